#include "memory/retire_list.h"

#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <memory>
#include <thread>

#include "memory/read_section.h"

namespace vmwire {
namespace {

struct Counted {
  explicit Counted(std::atomic<int>& count) : freed(count) {}
  ~Counted() { freed.fetch_add(1); }
  std::atomic<int>& freed;
};

TEST(RetireListTest, FewObjectsWaitForMore) {
  std::atomic<int> freed = 0;
  RetireList list;
  list.Retire(std::make_unique<Counted>(freed));

  EXPECT_EQ(freed.load(), 0);
  EXPECT_EQ(list.pending(), 1u);
}

TEST(RetireListTest, FullBatchIsFreed) {
  std::atomic<int> freed = 0;
  RetireList list;
  for (size_t i = 0; i < RetireList::kBatchItems; ++i) {
    list.Retire(std::make_unique<Counted>(freed));
  }
  EXPECT_EQ(freed.load(), static_cast<int>(RetireList::kBatchItems));
  EXPECT_EQ(list.pending(), 0u);
}

TEST(RetireListTest, LargeObjectsMakeABatchFullSooner) {
  struct Large {
    char bytes[RetireList::kBatchBytes / 2];
  };
  RetireList list;
  list.Retire(std::make_unique<Large>());
  EXPECT_EQ(list.pending(), 1u);
  list.Retire(std::make_unique<Large>());
  EXPECT_EQ(list.pending(), 0u);
}

TEST(RetireListTest, ListFreesAllItHasWhenItGoes) {
  std::atomic<int> freed = 0;
  {
    RetireList list;
    list.Retire(std::make_unique<const Counted>(freed));
    list.Retire(std::make_unique<Counted>(freed));
  }
  EXPECT_EQ(freed.load(), 2);
}

TEST(RetireListTest, ObjectOutlivesTheReadersThatMaySeeIt) {
  std::atomic<int> freed = 0;
  std::atomic<bool> inside = false;
  int freed_inside = -1;
  std::thread reader([&] {
    const ReadGuard guard;
    inside.store(true);
    std::this_thread::sleep_for(std::chrono::milliseconds(20));
    freed_inside = freed.load();
  });
  while (!inside.load()) std::this_thread::yield();
  RetireList list;
  list.Retire(std::make_unique<Counted>(freed));
  list.Flush();
  reader.join();

  EXPECT_EQ(freed_inside, 0);
  EXPECT_EQ(freed.load(), 1);
}

}  // namespace
}  // namespace vmwire
