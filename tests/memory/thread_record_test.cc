#include "memory/thread_record.h"

#include <gtest/gtest.h>
#include <pthread.h>
#include <unistd.h>

#include <atomic>
#include <thread>

#include "memory/read_section.h"

namespace vmwire {
namespace {

ThreadRecord* RecordOfANewThread() {
  ThreadRecord* record = nullptr;
  std::thread([&] { record = &ThreadRecord::Current(); }).join();
  return record;
}

TEST(ThreadRecordTest, FirstUseRegistersAndTheEndUnregisters) {
  ThreadRecord::Current();
  const size_t before = ThreadRecord::Registered();
  size_t during = 0;
  std::thread([&] {
    EXPECT_EQ(ThreadRecord::CurrentIfAny(), nullptr);
    const ThreadRecord& record = ThreadRecord::Current();
    EXPECT_EQ(ThreadRecord::CurrentIfAny(), &record);
    during = ThreadRecord::Registered();
  }).join();

  EXPECT_EQ(during, before + 1);
  EXPECT_EQ(ThreadRecord::Registered(), before);
}

TEST(ThreadRecordTest, RecordOfAnEndedThreadIsGivenToTheNext) {
  EXPECT_EQ(RecordOfANewThread(), RecordOfANewThread());
}

TEST(ThreadRecordTest, LivingThreadsHaveRecordsOfTheirOwn) {
  ThreadRecord& own = ThreadRecord::Current();
  EXPECT_EQ(own.thread_id, gettid());
  EXPECT_NE(&own, RecordOfANewThread());
}

// What a program's own thread-local objects do as they are destroyed.
struct ReadsWhenDestroyed {
  ~ReadsWhenDestroyed() {
    const ReadGuard guard;
    *read = true;
  }
  bool* read = nullptr;
};

TEST(ThreadRecordTest, ThreadLocalDestructorMayStillRead) {
  const size_t before = ThreadRecord::Registered();
  bool read = false;
  std::thread([&] {
    static thread_local ReadsWhenDestroyed last;
    last.read = &read;
  }).join();

  EXPECT_TRUE(read);
  EXPECT_EQ(ThreadRecord::Registered(), before);
}

TEST(ThreadRecordTest, WhoFindsNoOtherThreadIsSeenByTheNextToRegister) {
  // Whatever FenceOtherThreads leaves out, a thread that it did not count must see the store.
  for (int round = 0; round < 500; ++round) {
    std::atomic<int> stored = 0;
    std::atomic<int> inside = 0;
    int reader_saw = 0;
    std::thread reader([&] {
      const ReadGuard guard;
      inside.store(1, kPublish);
      LightFence();
      reader_saw = stored.load(kObserve);
    });
    stored.store(1, kPublish);
    FenceOtherThreads();
    const int writer_saw = inside.load(kObserve);
    reader.join();
    ASSERT_TRUE(reader_saw == 1 || writer_saw == 1);
  }
}

}  // namespace
}  // namespace vmwire
