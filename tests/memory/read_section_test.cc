#include "memory/read_section.h"

#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <memory>
#include <thread>
#include <vector>

namespace vmwire {
namespace {

using std::chrono::milliseconds;

// A thread that is inside a read section until told to leave it.
class Reader {
 public:
  Reader() : thread_([this] { Run(); }) {
    while (!inside_.load()) std::this_thread::yield();
  }
  ~Reader() { Leave(); }
  void Leave() {
    leave_.store(true);
    if (thread_.joinable()) thread_.join();
  }

 private:
  void Run() {
    const ReadGuard guard;
    inside_.store(true);
    while (!leave_.load()) std::this_thread::yield();
  }
  std::atomic<bool> inside_ = false;
  std::atomic<bool> leave_ = false;
  std::thread thread_;
};

TEST(ReadSectionTest, WithoutReadersNothingIsWaitedFor) { SynchronizeReaders(); }

TEST(ReadSectionTest, SynchronizeWaitsForASectionThatHasBegun) {
  Reader reader;
  std::atomic<bool> over = false;
  std::thread writer([&] {
    SynchronizeReaders();
    over.store(true);
  });
  std::this_thread::sleep_for(milliseconds(20));
  EXPECT_FALSE(over.load());
  reader.Leave();
  writer.join();
  EXPECT_TRUE(over.load());
}

TEST(ReadSectionTest, SynchronizeDoesNotWaitForSectionsThatBeginLater) {
  // A thread that is nearly always inside a section, but never in the same one for long.
  std::atomic<bool> stop = false;
  std::thread reader([&] {
    while (!stop.load(std::memory_order_relaxed)) const ReadGuard guard;
  });
  for (int i = 0; i < 1000; ++i) SynchronizeReaders();
  stop.store(true);
  reader.join();
}

TEST(ReadSectionTest, InnerGuardsDoNotEndTheOuterSection) {
  std::atomic<bool> inside = false;
  std::atomic<bool> leave = false;
  std::atomic<bool> over = false;
  std::thread reader([&] {
    const ReadGuard outer;
    inside.store(true);
    while (!leave.load()) {
      const ReadGuard inner;
      std::this_thread::yield();
    }
  });
  while (!inside.load()) std::this_thread::yield();
  std::thread writer([&] {
    SynchronizeReaders();
    over.store(true);
  });
  std::this_thread::sleep_for(milliseconds(20));
  EXPECT_FALSE(over.load());
  leave.store(true);
  reader.join();
  writer.join();
}

TEST(ReadSectionDeathTest, WaitingForOneselfEndsTheProcess) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  EXPECT_DEATH(
      {
        const ReadGuard guard;
        SynchronizeReaders();
      },
      "its own read section");
}

TEST(ReadSectionTest, WhatAReaderFoundIsNotFreedUnderIt) {
  struct Pair {
    int a;
    int b;
  };
  std::atomic<Pair*> published = new Pair{0, 0};
  std::atomic<bool> stop = false;
  std::atomic<int> torn = 0;
  std::vector<std::thread> readers;
  for (int i = 0; i < 2; ++i) {
    readers.emplace_back([&] {
      while (!stop.load(std::memory_order_relaxed)) {
        const ReadGuard guard;
        const Pair* const pair = published.load(kObserve);
        if (pair->a != pair->b) torn.fetch_add(1);
      }
    });
  }
  for (int i = 1; i <= 2000; ++i) {
    const std::unique_ptr<Pair> old(published.exchange(new Pair{i, i}));
    SynchronizeReaders();
    old->a = -1;  // A reader that still looked at it would see this, and so would TSan.
  }
  stop.store(true);
  for (std::thread& reader : readers) reader.join();
  delete published.load();
  EXPECT_EQ(torn.load(), 0);
}

}  // namespace
}  // namespace vmwire
