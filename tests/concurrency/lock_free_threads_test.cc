// The sides that take no lock, holds and accesses, against changes of the map, with threads that
// run freely for a while: between their atomic steps a scheduler cannot stand.
//
// The host is a fake, but its memory is real: a page that is discarded reads as zeroes, one that is
// unmapped faults. So a hold that is missed shows without a lock that would keep it from happening.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <functional>
#include <memory>
#include <thread>
#include <utility>
#include <vector>

#include "memory/guest_memory.h"
#include "memory/page_wiring.h"
#include "tests/concurrency/world.h"
#include "tests/support/map_fixture.h"
#include "tests/support/status_matchers.h"

namespace vmwire {
namespace {

using absl::StatusCode;
using testing::AnyOf;

constexpr auto kFor = std::chrono::milliseconds(300);
constexpr auto kAtMost = std::chrono::seconds(30);
constexpr size_t kReaders = 2;

// Runs `change` over and over in this thread, and `read(number, round)` in others, for a while, and
// on until both of the counts have come: a busy machine may need longer.
void RunBeside(const std::function<void(size_t number, uint64_t round)>& read,
               const std::function<void()>& change, const std::atomic<uint64_t>& first,
               const std::atomic<uint64_t>& second) {
  std::atomic<bool> over = false;
  std::vector<std::thread> readers;
  for (size_t number = 0; number < kReaders; ++number) {
    readers.emplace_back([&, number] {
      for (uint64_t round = 1; !over && !testing::Test::HasFailure(); ++round) {
        read(number, round);
      }
    });
  }
  const auto start = std::chrono::steady_clock::now();
  const auto passed = [start] { return std::chrono::steady_clock::now() - start; };
  while (!testing::Test::HasFailure() &&
         (passed() < kFor || ((first == 0 || second == 0) && passed() < kAtMost))) {
    change();
  }
  over = true;
  for (std::thread& reader : readers) reader.join();
  EXPECT_GT(first, 0u);
  EXPECT_GT(second, 0u);
}

// Writes a word of its own into what it holds, and finds it there again after a while.
void UseHeld(const HeldRange& held, size_t number, uint64_t round) {
  auto* const words = static_cast<volatile uint64_t*>(static_cast<void*>(held.bytes().data()));
  words[number] = round;
  for (int i = 0; i < 20; ++i) {
    if (i % 10 == 0) std::this_thread::yield();
    ASSERT_EQ(words[number], round) << "what is held was taken away";
  }
}

class LockFreeThreads : public testing::TestWithParam<PinLevel> {};
INSTANTIATE_TEST_SUITE_P(, LockFreeThreads,
                         testing::Values(PinLevel::kResident, PinLevel::kGuarded),
                         LevelName<testing::TestParamInfo<PinLevel>>);

TEST_P(LockFreeThreads, HoldKeepsItsPageFromADiscardAfterTheUnwiring) {
  World world({.level = GetParam()});
  const auto object = world.Add(10, 14);
  std::atomic<uint64_t> held = 0;
  std::atomic<uint64_t> discarded = 0;
  RunBeside(
      [&](size_t number, uint64_t round) {
        const auto hold = world.map().Hold(Page(12), kPageSize, Protection::kReadWrite);
        if (!hold.ok()) {
          EXPECT_THAT(hold, StatusIs(StatusCode::kFailedPrecondition));
          return;
        }
        ++held;
        UseHeld(*hold, number, round);
      },
      [&] {
        EXPECT_THAT(world.Wire(10, 14, kSystemWiring), IsOk());
        EXPECT_THAT(world.Unwire(10, 14, kSystemWiring), IsOk());
        const absl::Status given_back = object->Discard({0, 4});
        EXPECT_THAT(given_back.code(), AnyOf(StatusCode::kOk, StatusCode::kFailedPrecondition));
        if (given_back.ok()) ++discarded;
        world.journal().Clear();
      },
      held, discarded);
  EXPECT_FALSE(world.IsAnythingPinned());
  world.CheckQuiet();
}

TEST_P(LockFreeThreads, HoldKeepsItsPageFromARemoval) {
  World world({.level = GetParam()});
  world.map().SetWireFuture(true);
  std::atomic<uint64_t> held = 0;
  std::atomic<uint64_t> refused = 0;
  RunBeside(
      [&](size_t number, uint64_t round) {
        const auto hold = world.map().Hold(Page(11), 2 * kPageSize, Protection::kReadWrite);
        if (!hold.ok()) {
          // It is not there, or it is being wired.
          EXPECT_THAT(hold.status().code(),
                      AnyOf(StatusCode::kNotFound, StatusCode::kFailedPrecondition));
          return;
        }
        ++held;
        UseHeld(*hold, number, round);
      },
      [&] {
        {
          const auto object = world.Add(10, 14);
          world.Forget(object);
        }
        std::this_thread::yield();
        // The object, and its memory, goes with its entry.
        const absl::Status removed = world.Remove(10, 14);
        if (!removed.ok()) {
          EXPECT_THAT(removed, StatusIs(StatusCode::kFailedPrecondition));
          ++refused;
          EXPECT_THAT(world.map().RemoveWait(Pages(10, 14), {}), IsOk());
        }
        EXPECT_EQ(world.host().mappings(), 0u);
        world.journal().Clear();
      },
      held, refused);
  EXPECT_FALSE(world.IsAnythingPinned());
  world.CheckQuiet();
}

TEST_P(LockFreeThreads, HoldKeepsItsPageWhileTheCacheIsEmptied) {
  World world({.level = GetParam(), .cache_pages = 8});
  const auto object = world.Add(10, 14);
  std::atomic<uint64_t> held = 0;
  std::atomic<uint64_t> moved = 0;
  RunBeside(
      [&](size_t number, uint64_t round) {
        const auto hold = world.map().Hold(Page(11), kPageSize, Protection::kReadWrite);
        if (!hold.ok()) return;
        ++held;
        UseHeld(*hold, number, round);
      },
      [&] {
        EXPECT_THAT(world.Wire(10, 14, kSystemWiring), IsOk());
        EXPECT_THAT(world.Unwire(10, 14, kSystemWiring), IsOk());
        if (world.pins().cache_stats().cached_extents != 0) ++moved;
        if (moved % 2 == 0) world.pins().DropCache();
        object->Discard({0, 4}).IgnoreError();
        world.journal().Clear();
      },
      held, moved);
  world.pins().DropCache();
  EXPECT_FALSE(world.IsAnythingPinned());
  world.CheckQuiet();
}

TEST_P(LockFreeThreads, AccessGoesToTheOldMemoryOrTheNewOrNowhere) {
  World world({.level = GetParam()});
  world.Add(8, 10);
  std::atomic<uint64_t> accessed = 0;
  std::atomic<uint64_t> missed = 0;
  RunBeside(
      [&](size_t number, uint64_t round) {
        GuestMemory memory(world.map());
        const GuestAddress at(Page(11).value() + number * sizeof(uint64_t));
        const absl::Status stored = memory.Store(at, round);
        EXPECT_THAT(stored.code(), AnyOf(StatusCode::kOk, StatusCode::kNotFound));
        ++(stored.ok() ? accessed : missed);
        // What stays is always found, whatever changes beside it.
        EXPECT_THAT(memory.Store(GuestAddress(Page(9).value() + number * sizeof(uint64_t)), round),
                    IsOk());
        EXPECT_EQ(memory.Load<uint64_t>(GuestAddress(Page(9).value() + number * sizeof(uint64_t)))
                      .value_or(0),
                  round);
      },
      [&] {
        {
          const auto object = world.Add(10, 14);
          world.Forget(object);
        }
        EXPECT_THAT(world.map().Protect(Pages(12, 13), Protection::kRead), IsOk());
        EXPECT_THAT(world.Remove(10, 14), IsOk());
        world.journal().Clear();
      },
      accessed, missed);
  EXPECT_EQ(world.host().mappings(), 1u);
  world.CheckQuiet();
}

TEST_P(LockFreeThreads, PageWiringsNestWhileTheEntryIsWiredAndUnwired) {
  World world({.level = GetParam()});
  const auto object = world.Add(10, 12);
  EXPECT_THAT(world.Wire(10, 12, kSystemWiring), IsOk());
  EXPECT_THAT(world.Unwire(10, 12, kSystemWiring), IsOk());
  std::atomic<uint64_t> wired = 0;
  std::atomic<uint64_t> unwired = 0;
  RunBeside(
      [&](size_t number, uint64_t round) {
        VmPage& page = *object->pages().Find(1);
        EXPECT_THAT(WirePage(page, world.pins()), IsOk());
        auto* const words = static_cast<volatile uint64_t*>(static_cast<void*>(
            HostPointer(HostAddress(object->host_range().start().value() + kPageSize))));
        words[number] = round;
        std::this_thread::yield();
        EXPECT_EQ(words[number], round);
        ++wired;
        UnwirePage(page, PageQueue::kActive);
      },
      [&] {
        EXPECT_THAT(world.Wire(10, 12, kUserWiring), IsOk());
        EXPECT_THAT(world.Unwire(10, 12, kUserWiring), IsOk());
        ++unwired;
        object->Discard({1, 2}).IgnoreError();
        world.journal().Clear();
      },
      wired, unwired);
  EXPECT_FALSE(world.IsAnythingPinned());
  world.CheckQuiet();
}

}  // namespace
}  // namespace vmwire
