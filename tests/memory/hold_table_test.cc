#include "memory/hold_table.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <set>
#include <thread>
#include <vector>

#include "memory/read_section.h"

namespace vmwire {
namespace {

// Spins for as long as another core needs, and gives way if that thread has no core.
void SpinUntil(const std::atomic<int>& word, int value) {
  for (int looks = 0; word.load() != value; ++looks) {
    if (looks > 1000) std::this_thread::yield();
  }
}

GuestRange Pages(uint64_t first, uint64_t count) {
  return GuestRange::Create(GuestAddress(first * kPageSize), count * kPageSize).value();
}

// Maps and objects are compared only: any address will do for one.
class HoldTableTest : public testing::Test {
 private:
  std::array<uint64_t, 4> places_ = {};

 protected:
  const VmObject* object_ = reinterpret_cast<const VmObject*>(&places_[0]);
  const VmObject* other_object_ = reinterpret_cast<const VmObject*>(&places_[1]);
  const void* map_ = &places_[2];
  const void* other_map_ = &places_[3];
};

TEST_F(HoldTableTest, HoldIsFoundByItsObjectPages) {
  HoldSlot* const slot = HoldTable::Publish(map_, Pages(100, 4), object_, 8);

  EXPECT_TRUE(HoldTable::FirstHolder(object_, PageRun{11, 20}).has_value());
  EXPECT_TRUE(HoldTable::FirstHolder(object_, PageRun{0, 9}).has_value());
  EXPECT_FALSE(HoldTable::FirstHolder(object_, PageRun{12, 20}).has_value());
  EXPECT_FALSE(HoldTable::FirstHolder(object_, PageRun{0, 8}).has_value());
  EXPECT_FALSE(HoldTable::FirstHolder(other_object_, PageRun{8, 12}).has_value());
  HoldTable::Release(slot);
}

TEST_F(HoldTableTest, HoldIsFoundByItsGuestRange) {
  HoldSlot* const slot = HoldTable::Publish(map_, Pages(100, 4), object_, 8);

  EXPECT_TRUE(HoldTable::FirstHolder(map_, Pages(103, 1)).has_value());
  EXPECT_FALSE(HoldTable::FirstHolder(map_, Pages(104, 1)).has_value());
  EXPECT_FALSE(HoldTable::FirstHolder(map_, Pages(8, 4)).has_value());
  EXPECT_FALSE(HoldTable::FirstHolder(other_map_, Pages(100, 4)).has_value());
  HoldTable::Release(slot);
}

TEST_F(HoldTableTest, HolderSaysWhoHoldsWhat) {
  HoldSlot* const slot = HoldTable::Publish(map_, Pages(100, 4), object_, 8);
  const auto holder = HoldTable::FirstHolder(object_, PageRun{9, 10});

  ASSERT_TRUE(holder.has_value());
  EXPECT_EQ(holder->thread_id, gettid());
  EXPECT_EQ(holder->guest, Pages(100, 4));
  EXPECT_EQ(holder->pages, (PageRun{8, 12}));
  HoldTable::Release(slot);
}

TEST_F(HoldTableTest, ReleasedHoldIsGone) {
  HoldTable::Release(HoldTable::Publish(map_, Pages(100, 4), object_, 8));
  EXPECT_FALSE(HoldTable::FirstHolder(object_, PageRun{0, 1000}).has_value());
  EXPECT_FALSE(HoldTable::FirstHolder(map_, Pages(0, 1000)).has_value());
}

TEST_F(HoldTableTest, ThousandsOfHoldsAreAllFoundUntilReleased) {
  std::vector<HoldSlot*> slots;
  for (uint64_t page = 0; page < 5000; ++page) {
    slots.push_back(HoldTable::Publish(map_, Pages(page, 1), object_, page));
  }
  for (uint64_t page = 0; page < 5000; page += 99) {
    EXPECT_TRUE(HoldTable::FirstHolder(object_, PageRun{page, page + 1}).has_value()) << page;
    HoldTable::Release(slots[page]);
    EXPECT_FALSE(HoldTable::FirstHolder(object_, PageRun{page, page + 1}).has_value()) << page;
  }
  for (uint64_t page = 0; page < 5000; ++page) {
    if (page % 99 != 0) HoldTable::Release(slots[page]);
  }
  EXPECT_FALSE(HoldTable::FirstHolder(object_, PageRun{0, 5000}).has_value());
}

TEST_F(HoldTableTest, SlotsThatOtherThreadsReleaseAreUsedAgain) {
  std::set<HoldSlot*> slots;
  std::thread([&] {
    for (int round = 0; round < 200; ++round) {
      std::vector<HoldSlot*> held;
      for (uint64_t i = 0; i < 20; ++i) {
        held.push_back(HoldTable::Publish(map_, Pages(i, 1), object_, i));
      }
      slots.insert(held.begin(), held.end());
      std::thread([&] {
        for (HoldSlot* slot : held) HoldTable::Release(slot);
      }).join();
    }
  }).join();
  // 4,000 holds, 20 at a time.
  EXPECT_LE(slots.size(), 128u);
  EXPECT_FALSE(HoldTable::FirstHolder(object_, PageRun{0, 100}).has_value());
}

TEST_F(HoldTableTest, HoldOutlivesItsThread) {
  HoldSlot* slot = nullptr;
  int32_t thread_id = 0;
  std::thread([&] {
    thread_id = gettid();
    slot = HoldTable::Publish(map_, Pages(1, 1), object_, 1);
  }).join();
  // The next thread takes the record over, and must not take the slot.
  HoldSlot* next_slot = nullptr;
  std::thread([&] { next_slot = HoldTable::Publish(map_, Pages(2, 1), object_, 2); }).join();

  EXPECT_NE(slot, next_slot);
  const auto holder = HoldTable::FirstHolder(object_, PageRun{1, 2});
  ASSERT_TRUE(holder.has_value());
  EXPECT_EQ(holder->thread_id, thread_id);
  HoldTable::Release(slot);
  EXPECT_FALSE(HoldTable::FirstHolder(object_, PageRun{1, 2}).has_value());
  EXPECT_TRUE(HoldTable::FirstHolder(object_, PageRun{2, 3}).has_value());
  HoldTable::Release(next_slot);
}

TEST_F(HoldTableTest, SecondReleaseEndsTheProcess) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  EXPECT_DEATH(
      {
        HoldSlot* const slot = HoldTable::Publish(map_, Pages(1, 1), object_, 1);
        HoldTable::Release(slot);
        HoldTable::Release(slot);
      },
      "released twice");
}

TEST_F(HoldTableTest, ReleaseInsideAReadSectionEndsTheProcess) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  EXPECT_DEATH(
      {
        HoldSlot* const slot = HoldTable::Publish(map_, Pages(1, 1), object_, 1);
        const ReadGuard guard;
        HoldTable::Release(slot);
      },
      "inside a read section");
}

// A page that may be held while `valid`; its bytes change only while nobody holds it.
struct RevocablePage {
  std::atomic<bool> valid = true;
  int bytes = 0;  // Not atomic: TSan sees a holder and a revoker that are in it together.
};

// Reads the bytes several times, for as long as a short transfer. True: they were being changed.
bool ReadsTorn(const RevocablePage& page) {
  bool torn = false;
  for (int i = 0; i < 10; ++i) {
    torn |= *const_cast<const volatile int*>(&page.bytes) % 2 != 0;
    __builtin_ia32_pause();
  }
  return torn;
}

// Holds, reads and releases until stopped. `release` gets the slot of a valid hold.
template <typename Release>
int HoldUntil(const std::atomic<bool>& stop, RevocablePage& page, const void* map,
              const VmObject* object, Release release) {
  int torn = 0;
  while (!stop.load(std::memory_order_relaxed)) {
    HoldSlot* const slot = HoldTable::Publish(map, Pages(5, 1), object, 5);
    if (page.valid.load(kObserve)) {
      torn += ReadsTorn(page) ? 1 : 0;
      release(slot);
    } else {
      HoldTable::Release(slot);
    }
    // Without this there would hardly be a time at which nobody holds the page.
    for (int i = 0; i < 20; ++i) __builtin_ia32_pause();
  }
  return torn;
}

// Takes the page from its holders `rounds` times.
int Revoke(int rounds, RevocablePage& page, const VmObject* object) {
  int revoked = 0;
  for (int round = 0; round < rounds; ++round) {
    page.valid.store(false, kPublish);
    if (!HoldTable::FirstHolder(object, PageRun{5, 6}).has_value()) {
      auto& bytes = *const_cast<volatile int*>(&page.bytes);
      bytes = bytes + 1;  // Odd: a holder that is in now sees it torn.
      __builtin_ia32_pause();
      bytes = bytes + 1;
      ++revoked;
    }
    page.valid.store(true, std::memory_order_release);
  }
  return revoked;
}

TEST_F(HoldTableTest, HolderSeesTheChangeOrIsSeen) {
  struct alignas(128) Word {
    std::atomic<int> value = 0;
  };
  constexpr int kRounds = 20'000;
  Word round;
  Word changed;
  Word done;
  int holder_saw = 0;
  HoldSlot* slot = nullptr;
  std::thread holder([&] {
    ThreadRecord::Current();
    for (int i = 1; i <= kRounds; ++i) {
      SpinUntil(round.value, i);
      slot = HoldTable::Publish(map_, Pages(5, 1), object_, 5);
      holder_saw = changed.value.load(kObserve);
      done.value.store(i);
    }
  });
  int missed = 0;
  for (int i = 1; i <= kRounds; ++i) {
    round.value.store(i);
    // The two are to meet: the other side starts a little later, or much.
    for (int spin = 0; spin < i % 64; ++spin) __builtin_ia32_pause();
    changed.value.store(i, kPublish);
    const bool seen = HoldTable::FirstHolder(object_, PageRun{5, 6}).has_value();
    SpinUntil(done.value, i);
    missed += !seen && holder_saw != i ? 1 : 0;
    HoldTable::Release(slot);
  }
  holder.join();
  EXPECT_EQ(missed, 0);
}

TEST_F(HoldTableTest, RevokerNeverMeetsAHolder) {
  RevocablePage page;
  std::atomic<bool> stop = false;
  std::atomic<int> torn = 0;
  std::vector<std::thread> holders;
  for (int i = 0; i < 2; ++i) {
    holders.emplace_back([&] { torn += HoldUntil(stop, page, map_, object_, HoldTable::Release); });
  }
  const int revoked = Revoke(20'000, page, object_);
  stop.store(true);
  for (std::thread& holder : holders) holder.join();

  EXPECT_EQ(torn.load(), 0);
  EXPECT_GT(revoked, 0);
}

TEST_F(HoldTableTest, RevokerNeverMeetsAHoldThatAnotherThreadReleases) {
  RevocablePage page;
  std::atomic<bool> stop = false;
  std::atomic<bool> all_held = false;
  std::atomic<HoldSlot*> handed = nullptr;
  std::atomic<int> torn = 0;
  std::thread holder([&] {
    torn += HoldUntil(stop, page, map_, object_, [&](HoldSlot* slot) {
      HoldSlot* const unclaimed = handed.exchange(slot);
      if (unclaimed != nullptr) HoldTable::Release(unclaimed);
    });
    all_held.store(true);
  });
  std::thread releaser([&] {
    while (!all_held.load() || handed.load() != nullptr) {
      HoldSlot* const slot = handed.exchange(nullptr);
      if (slot == nullptr) {
        std::this_thread::yield();
        continue;
      }
      torn += ReadsTorn(page) ? 1 : 0;
      HoldTable::Release(slot);
    }
  });
  Revoke(20'000, page, object_);
  stop.store(true);
  holder.join();
  releaser.join();

  EXPECT_EQ(torn.load(), 0);
  EXPECT_FALSE(HoldTable::FirstHolder(object_, PageRun{5, 6}).has_value());
}

TEST_F(HoldTableTest, LookIsRightWhileThreadsComeAndGo) {
  HoldSlot* const steady = HoldTable::Publish(map_, Pages(7, 1), object_, 7);
  std::atomic<bool> stop = false;
  std::thread churn([&] {
    while (!stop.load()) {
      std::thread([&] {
        HoldTable::Release(HoldTable::Publish(map_, Pages(9, 1), object_, 9));
      }).join();
    }
  });
  for (int i = 0; i < 2000; ++i) {
    ASSERT_TRUE(HoldTable::FirstHolder(object_, PageRun{7, 8}).has_value());
    ASSERT_FALSE(HoldTable::FirstHolder(object_, PageRun{8, 9}).has_value());
  }
  stop.store(true);
  churn.join();
  HoldTable::Release(steady);
}

}  // namespace
}  // namespace vmwire
