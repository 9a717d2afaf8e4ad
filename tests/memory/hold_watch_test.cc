#include "memory/hold_watch.h"

#include <gtest/gtest.h>

#include <array>
#include <atomic>
#include <chrono>
#include <functional>
#include <stop_token>
#include <thread>
#include <utility>
#include <vector>

#include "memory/hold_table.h"

namespace vmwire {
namespace {

using std::chrono::milliseconds;
using std::chrono::steady_clock;

constexpr PageRun kPages = {.first = 3, .end = 4};

class HoldWatchTest : public testing::Test {
 protected:
  HoldSlot* Hold() {
    return HoldTable::Publish(nullptr, GuestRange::Create(GuestAddress(0), kPageSize).value(),
                              object_, kPages.first);
  }
  bool IsHeld() const { return HoldTable::FirstHolderFenced(object_, kPages).has_value(); }

  const VmObject* object_ = reinterpret_cast<const VmObject*>(&place_);

 private:
  uint64_t place_ = 0;
};

class Listener final : public ReleaseListener {
 public:
  explicit Listener(std::function<void()> callback = [] {}) : callback_(std::move(callback)) {}
  void OnHoldReleased() override {
    calls.fetch_add(1);
    callback_();
  }
  std::atomic<int> calls = 0;

 private:
  std::function<void()> callback_;
};

TEST_F(HoldWatchTest, WaitEndsWhenTheHoldIsReleased) {
  HoldSlot* const slot = Hold();
  std::atomic<bool> looked = false;
  absl::Status status = absl::UnknownError("");
  bool held_after = true;
  std::thread waiter([&] {
    HoldWatch watch;
    EXPECT_TRUE(IsHeld());
    looked.store(true);
    status = watch.WaitForRelease({}, "waiting");
    held_after = IsHeld();
  });
  while (!looked.load()) std::this_thread::yield();
  HoldTable::Release(slot);
  waiter.join();

  EXPECT_TRUE(status.ok()) << status;
  EXPECT_FALSE(held_after);
}

TEST_F(HoldWatchTest, ReleaseBetweenTheLookAndTheWaitIsNotLost) {
  HoldSlot* const slot = Hold();
  HoldWatch watch;
  ASSERT_TRUE(IsHeld());
  HoldTable::Release(slot);
  EXPECT_TRUE(watch.WaitForRelease({}, "waiting").ok());
}

TEST_F(HoldWatchTest, WaitGivesUpAtItsDeadline) {
  HoldSlot* const slot = Hold();
  HoldWatch watch;
  const absl::Status status =
      watch.WaitForRelease({.deadline = steady_clock::now() + milliseconds(10)}, "waiting");
  EXPECT_EQ(status.code(), absl::StatusCode::kDeadlineExceeded);
  HoldTable::Release(slot);
}

TEST_F(HoldWatchTest, ReleasesDoNotCarryAWaitBeyondItsDeadline) {
  HoldWatch watch;
  HoldTable::Release(Hold());
  const absl::Status status =
      watch.WaitForRelease({.deadline = steady_clock::now() - milliseconds(1)}, "waiting");
  EXPECT_EQ(status.code(), absl::StatusCode::kDeadlineExceeded);
}

TEST_F(HoldWatchTest, WaitCanBeStopped) {
  HoldSlot* const slot = Hold();
  std::stop_source source;
  std::thread stopper([&] {
    std::this_thread::sleep_for(milliseconds(10));
    source.request_stop();
  });
  HoldWatch watch;
  const absl::Status status = watch.WaitForRelease({.stop = source.get_token()}, "waiting");
  stopper.join();
  EXPECT_EQ(status.code(), absl::StatusCode::kCancelled);
  HoldTable::Release(slot);
}

TEST_F(HoldWatchTest, WatchersNeverMissTheLastRelease) {
  for (int round = 0; round < 3000; ++round) {
    HoldSlot* const slot = Hold();
    std::thread releaser([&] { HoldTable::Release(slot); });
    {
      HoldWatch watch;
      const Deadline deadline = steady_clock::now() + std::chrono::seconds(20);
      while (IsHeld()) ASSERT_TRUE(watch.WaitForRelease({.deadline = deadline}, "waiting").ok());
    }
    releaser.join();
  }
}

TEST_F(HoldWatchTest, ListenerIsCalledForEachReleaseUntilItIsRemoved) {
  Listener listener;
  HoldReleases::AddListener(listener);
  HoldTable::Release(Hold());
  HoldTable::Release(Hold());
  HoldReleases::RemoveListener(listener);
  HoldTable::Release(Hold());
  EXPECT_EQ(listener.calls.load(), 2);
}

TEST_F(HoldWatchTest, RemovingAListenerThatWasNotAddedDoesNothing) {
  Listener listener;
  HoldReleases::RemoveListener(listener);
  EXPECT_FALSE(HoldReleases::Wanted());
}

TEST_F(HoldWatchTest, ListenerMayRemoveItselfInItsCallback) {
  Listener listener([&] { HoldReleases::RemoveListener(listener); });
  HoldReleases::AddListener(listener);
  HoldTable::Release(Hold());
  HoldTable::Release(Hold());
  EXPECT_EQ(listener.calls.load(), 1);
  EXPECT_FALSE(HoldReleases::Wanted());
}

TEST_F(HoldWatchTest, ListenerMayRemoveAnotherBeforeItsTurn) {
  Listener second;
  Listener first([&] { HoldReleases::RemoveListener(second); });
  HoldReleases::AddListener(first);
  HoldReleases::AddListener(second);
  HoldTable::Release(Hold());
  EXPECT_EQ(second.calls.load(), 0);
  HoldReleases::RemoveListener(first);
}

TEST_F(HoldWatchTest, ReleaseInACallbackCallsTheListenerAgain) {
  HoldSlot* inner = Hold();
  Listener listener([&] {
    if (inner != nullptr) HoldTable::Release(std::exchange(inner, nullptr));
  });
  HoldReleases::AddListener(listener);
  HoldTable::Release(Hold());
  EXPECT_EQ(listener.calls.load(), 2);
  HoldReleases::RemoveListener(listener);
}

TEST_F(HoldWatchTest, RemoveWaitsForACallbackOfAnotherThread) {
  std::atomic<bool> inside = false;
  std::atomic<bool> leave = false;
  std::atomic<bool> left = false;
  Listener listener([&] {
    inside.store(true);
    while (!leave.load()) std::this_thread::yield();
    left.store(true);
  });
  HoldReleases::AddListener(listener);
  std::thread releaser([&] { HoldTable::Release(Hold()); });
  while (!inside.load()) std::this_thread::yield();
  std::thread opener([&] {
    std::this_thread::sleep_for(milliseconds(10));
    leave.store(true);
  });
  HoldReleases::RemoveListener(listener);
  EXPECT_TRUE(left.load());
  releaser.join();
  opener.join();
}

TEST_F(HoldWatchTest, ReleaseDuringACallbackCallsTheListenerOnceMore) {
  std::atomic<bool> inside = false;
  std::atomic<bool> leave = false;
  Listener listener([&] {
    inside.store(true);
    while (!leave.load()) std::this_thread::yield();
  });
  HoldReleases::AddListener(listener);
  std::thread releaser([&] { HoldTable::Release(Hold()); });
  while (!inside.load()) std::this_thread::yield();
  HoldTable::Release(Hold());
  EXPECT_EQ(listener.calls.load(), 1);
  leave.store(true);
  releaser.join();
  EXPECT_EQ(listener.calls.load(), 2);
  HoldReleases::RemoveListener(listener);
}

TEST_F(HoldWatchTest, ListenersComeAndGoWhileThreadsRelease) {
  std::atomic<bool> stop = false;
  std::vector<std::thread> releasers;
  for (int i = 0; i < 2; ++i) {
    releasers.emplace_back([&] {
      while (!stop.load()) HoldTable::Release(Hold());
    });
  }
  for (int i = 0; i < 2000; ++i) {
    // On the stack: a callback after the removal would meet a dead one.
    Listener leaving([&] { HoldReleases::RemoveListener(leaving); });
    Listener listener;
    HoldReleases::AddListener(leaving);
    HoldReleases::AddListener(listener);
    HoldReleases::RemoveListener(listener);
    HoldReleases::RemoveListener(leaving);
  }
  stop.store(true);
  for (std::thread& releaser : releasers) releaser.join();
  EXPECT_FALSE(HoldReleases::Wanted());
}

}  // namespace
}  // namespace vmwire
