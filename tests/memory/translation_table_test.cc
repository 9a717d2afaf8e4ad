#include "memory/translation_table.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <optional>
#include <random>
#include <thread>
#include <vector>

#include "memory/read_section.h"
#include "tests/support/seed.h"

namespace vmwire {
namespace {

constexpr uint64_t kMiB = uint64_t{1} << 20;
constexpr uint64_t kGiB = uint64_t{1} << 30;
constexpr uint64_t kHost = uint64_t{0x7f00} << 32;

GuestRange Guest(uint64_t start, uint64_t size) {
  return GuestRange::Create(GuestAddress(start), size).value();
}

// Objects are compared only: any number will do for one.
const VmObject* Object(uintptr_t number) {
  return reinterpret_cast<const VmObject*>(number * kPageSize);
}

TranslationTable::Run MakeRun(uint64_t start, uint64_t size, uint64_t host,
                              Protection protection = Protection::kReadWrite) {
  return {.range = Guest(start, size),
          .host = HostAddress(host),
          .protection = protection,
          .object = Object(1),
          .first_page = 100};
}

void Put(TranslationTable& table, const TranslationTable::Run& run) {
  table.Replace(run.range, {&run, 1});
}

// The host address that both look-ups give; they must agree.
std::optional<uint64_t> HostOf(const TranslationTable& table, uint64_t address, uint64_t size = 1) {
  const ReadGuard guard;
  HostPlace place;
  Translation translation;
  const bool found = table.Translate(GuestAddress(address), size, place);
  EXPECT_EQ(found, table.Lookup(GuestAddress(address), size, translation)) << address;
  if (!found) return std::nullopt;
  EXPECT_EQ(place.host, translation.host) << address;
  EXPECT_EQ(place.protection, translation.protection) << address;
  return place.host.value();
}

TEST(TranslationTableTest, EmptyTableHasNothing) {
  const TranslationTable table;
  EXPECT_EQ(HostOf(table, 0), std::nullopt);
  EXPECT_EQ(HostOf(table, UINT64_MAX), std::nullopt);
}

TEST(TranslationTableTest, LookupTellsAllOfTheRun) {
  TranslationTable table;
  Put(table, MakeRun(4 * kMiB, 3 * kMiB, kHost, Protection::kRead | Protection::kExecute));
  const ReadGuard guard;
  Translation translation;

  ASSERT_TRUE(table.Lookup(GuestAddress(5 * kMiB + 8), 16, translation));
  EXPECT_EQ(translation.host.value(), kHost + kMiB + 8);
  EXPECT_EQ(translation.bytes_left, 2 * kMiB - 8);
  EXPECT_EQ(translation.protection, Protection::kRead | Protection::kExecute);
  EXPECT_EQ(translation.object, Object(1));
  EXPECT_EQ(translation.object_page, 100 + kMiB / kPageSize);
  EXPECT_TRUE(table.IsCurrent(GuestAddress(5 * kMiB + 8), translation));
}

TEST(TranslationTableTest, TranslateTellsPlaceAndRights) {
  TranslationTable table;
  Put(table, MakeRun(4 * kMiB, kMiB, kHost, Protection::kRead));
  const ReadGuard guard;
  HostPlace place;

  ASSERT_TRUE(table.Translate(GuestAddress(4 * kMiB + 4095), 4097, place));
  EXPECT_EQ(place.host.value(), kHost + 4095);
  EXPECT_EQ(place.protection, Protection::kRead);
}

TEST(TranslationTableTest, HostMayLieBelowTheGuestAddress) {
  TranslationTable table;
  Put(table, MakeRun(64 * kGiB, kMiB, 0x10000));
  EXPECT_EQ(HostOf(table, 64 * kGiB + 5), 0x10005u);
}

TEST(TranslationTableTest, AccessMustLieInOneRun) {
  TranslationTable table;
  const std::vector<TranslationTable::Run> runs = {
      MakeRun(0, 2 * kMiB, kHost), MakeRun(2 * kMiB, 3 * kPageSize, kHost + 2 * kMiB)};
  table.Replace(Guest(0, 4 * kMiB), runs);

  EXPECT_EQ(HostOf(table, kMiB - 8, 16), kHost + kMiB - 8);
  EXPECT_EQ(HostOf(table, 0, 2 * kMiB), kHost);
  EXPECT_EQ(HostOf(table, 0, 2 * kMiB + 1), std::nullopt);
  EXPECT_EQ(HostOf(table, 2 * kMiB - 8, 16), std::nullopt);
  EXPECT_EQ(HostOf(table, 2 * kMiB, 3 * kPageSize), kHost + 2 * kMiB);
  EXPECT_EQ(HostOf(table, 2 * kMiB, 3 * kPageSize + 1), std::nullopt);
  EXPECT_EQ(HostOf(table, 2 * kMiB + 3 * kPageSize), std::nullopt);
  EXPECT_EQ(HostOf(table, 0, UINT64_MAX), std::nullopt);
}

TEST(TranslationTableTest, GranuleMayHoldSeveralRuns) {
  TranslationTable table;
  Put(table, MakeRun(kMiB, kPageSize, kHost));
  Put(table, MakeRun(kMiB + 2 * kPageSize, 2 * kPageSize, kHost + kGiB));

  EXPECT_EQ(HostOf(table, kMiB, kPageSize), kHost);
  EXPECT_EQ(HostOf(table, kMiB + kPageSize), std::nullopt);
  EXPECT_EQ(HostOf(table, kMiB + 3 * kPageSize), kHost + kGiB + kPageSize);
  EXPECT_EQ(HostOf(table, kMiB + 4 * kPageSize), std::nullopt);
}

TEST(TranslationTableTest, ReplaceByNothingRemoves) {
  TranslationTable table;
  Put(table, MakeRun(0, 2 * kGiB, kHost));
  Put(table, MakeRun(3 * kGiB, kPageSize, kHost + 3 * kGiB));
  table.Replace(Guest(0, 2 * kGiB), {});

  EXPECT_EQ(HostOf(table, 0), std::nullopt);
  EXPECT_EQ(HostOf(table, 2 * kGiB - 1), std::nullopt);
  EXPECT_EQ(HostOf(table, 3 * kGiB), kHost + 3 * kGiB);
}

TEST(TranslationTableTest, WidenGivesTheRunsThatTheEndsCut) {
  TranslationTable table;
  Put(table, MakeRun(0, 4 * kMiB, kHost));
  Put(table, MakeRun(8 * kMiB, 4 * kMiB, kHost + kGiB));

  EXPECT_EQ(table.WidenToRuns(Guest(kMiB, 8 * kMiB)), Guest(0, 12 * kMiB));
  EXPECT_EQ(table.WidenToRuns(Guest(kMiB, kPageSize)), Guest(0, 4 * kMiB));
  EXPECT_EQ(table.WidenToRuns(Guest(4 * kMiB, 4 * kMiB)), Guest(4 * kMiB, 4 * kMiB));
  EXPECT_EQ(table.WidenToRuns(Guest(0, 16 * kMiB)), Guest(0, 16 * kMiB));
}

TEST(TranslationTableDeathTest, ReplaceThatCutsARunEndsTheProcess) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  TranslationTable table;
  Put(table, MakeRun(0, 4 * kMiB, kHost));
  EXPECT_DEATH(table.Replace(Guest(kMiB, kMiB), {}), "cuts a run");
}

TEST(TranslationTableTest, RebuiltRunIsAnotherRun) {
  TranslationTable table;
  Put(table, MakeRun(0, kMiB, kHost));
  Translation translation;
  {
    const ReadGuard guard;
    ASSERT_TRUE(table.Lookup(GuestAddress(0), 1, translation));
    EXPECT_TRUE(table.IsCurrent(GuestAddress(0), translation));
  }
  Put(table, MakeRun(0, kMiB, kHost));
  const ReadGuard guard;
  EXPECT_FALSE(table.IsCurrent(GuestAddress(0), translation));
}

TEST(TranslationTableTest, WhatLiesBeyondTheLimitIsPassedOver) {
  TranslationTable table;
  constexpr uint64_t kLimit = TranslationTable::kLimit;
  Put(table, MakeRun(kLimit, kMiB, kHost));
  Put(table, MakeRun(kLimit - 2 * kPageSize, 4 * kPageSize, kHost));
  Put(table, MakeRun(UINT64_MAX - kMiB + 1 - kPageSize, kMiB, kHost));

  EXPECT_EQ(HostOf(table, kLimit), std::nullopt);
  EXPECT_EQ(HostOf(table, kLimit - kPageSize, kPageSize), kHost + kPageSize);
  EXPECT_EQ(HostOf(table, kLimit - kPageSize, kPageSize + 1), std::nullopt);
  EXPECT_EQ(HostOf(table, UINT64_MAX - kMiB), std::nullopt);

  table.Replace(Guest(0, uint64_t{1} << 62), {});
  EXPECT_EQ(HostOf(table, kLimit - kPageSize), std::nullopt);
}

TEST(TranslationTableTest, RunsFarApartAreAllFound) {
  TranslationTable table;
  for (int bit = 30; bit < 47; ++bit) {
    Put(table, MakeRun(uint64_t{1} << bit, kPageSize, kHost + (static_cast<uint64_t>(bit) << 20)));
  }
  for (int bit = 30; bit < 47; ++bit) {
    EXPECT_EQ(HostOf(table, uint64_t{1} << bit), kHost + (static_cast<uint64_t>(bit) << 20));
  }
}

void PutMany(TranslationTable& table, uint64_t size) {
  for (uint64_t i = 0; i < 65'536; ++i) {
    Put(table, MakeRun(i * size, size, kHost + (65'536 - i) * size));
  }
}

TEST(TranslationTableTest, HoldsManyRunsOfOneGranule) {
  TranslationTable table;
  PutMany(table, kMiB);
  for (uint64_t i = 0; i < 65'536; i += 7) {
    ASSERT_EQ(HostOf(table, i * kMiB + 9), kHost + (65'536 - i) * kMiB + 9);
  }
}

TEST(TranslationTableTest, HoldsManyRunsOfOnePage) {
  TranslationTable table;
  PutMany(table, kPageSize);
  for (uint64_t i = 0; i < 65'536; i += 7) {
    ASSERT_EQ(HostOf(table, i * kPageSize + 9), kHost + (65'536 - i) * kPageSize + 9);
    ASSERT_EQ(HostOf(table, i * kPageSize + 9, kPageSize), std::nullopt);
  }
}

// What each page of the first 1 GiB + 4 MiB around a GiB boundary maps to, page by page.
class PageModel {
 public:
  static constexpr uint64_t kStart = kGiB - 4 * kMiB;
  static constexpr uint64_t kPages = 8 * kMiB / kPageSize;

  struct Page {
    uint64_t run_start = 0;  // Which run; 0: none.
    uint64_t run_end = 0;
    uint64_t host = 0;
  };
  std::vector<Page> pages = std::vector<Page>(kPages);

  static uint64_t Address(uint64_t page) { return kStart + page * kPageSize; }

  // Makes [first, end) be random runs, and tells which.
  std::vector<TranslationTable::Run> Fill(uint64_t first, uint64_t end, std::mt19937_64& random) {
    std::vector<TranslationTable::Run> runs;
    for (uint64_t page = first; page < end;) {
      const uint64_t most = random() % 4 == 0 ? end - page : std::min<uint64_t>(end - page, 300);
      const uint64_t length = 1 + random() % most;
      const bool hole = random() % 3 == 0;
      const uint64_t host = kHost + random() % kGiB * kPageSize;
      for (uint64_t i = 0; i < length; ++i) {
        pages[page + i] = hole ? Page{}
                               : Page{.run_start = Address(page),
                                      .run_end = Address(page + length),
                                      .host = host + i * kPageSize};
      }
      if (!hole) runs.push_back(MakeRun(Address(page), length * kPageSize, host));
      page += length;
    }
    return runs;
  }
};

TEST(TranslationTableTest, RandomChangesAgreeWithAPageByPageModel) {
  std::mt19937_64 random(TestSeed());
  TranslationTable table;
  PageModel model;
  for (int step = 0; step < 400; ++step) {
    const uint64_t first = random() % PageModel::kPages;
    const uint64_t most = random() % 2 == 0 ? 16 : PageModel::kPages;
    const uint64_t count = 1 + random() % std::min(most, PageModel::kPages - first);
    const GuestRange asked = Guest(PageModel::Address(first), count * kPageSize);

    const GuestRange region = table.WidenToRuns(asked);
    const PageModel::Page& head = model.pages[first];
    const PageModel::Page& tail = model.pages[first + count - 1];
    ASSERT_EQ(region.start().value(), head.run_start != 0 ? head.run_start : asked.start().value());
    ASSERT_EQ(region.end().value(), tail.run_end != 0 ? tail.run_end : asked.end().value());
    table.Replace(region,
                  model.Fill((region.start().value() - PageModel::kStart) / kPageSize,
                             (region.end().value() - PageModel::kStart) / kPageSize, random));

    for (uint64_t page = random() % 5; page < PageModel::kPages; page += 5) {
      const PageModel::Page& expected = model.pages[page];
      const uint64_t address = PageModel::Address(page) + 17;
      if (expected.run_start == 0) {
        ASSERT_EQ(HostOf(table, address), std::nullopt) << page;
        continue;
      }
      ASSERT_EQ(HostOf(table, address, expected.run_end - address), expected.host + 17) << page;
      ASSERT_EQ(HostOf(table, address, expected.run_end - address + 1), std::nullopt) << page;
    }
  }
}

// Looks one address up again and again, both ways, and says how often the answer was neither that
// of `even` nor of `odd`.
class RacingReader {
 public:
  RacingReader(const TranslationTable& table, uint64_t address, uint64_t host, uint64_t other_host)
      : table_(table), address_(address), hosts_{host, other_host}, thread_([this] { Run(); }) {}

  uint64_t Finish() {
    stop_.store(true);
    thread_.join();
    EXPECT_GT(looks_, 0u);
    return wrong_;
  }

 private:
  void Run() {
    while (!stop_.load(std::memory_order_relaxed) || looks_ == 0) {
      const ReadGuard guard;
      HostPlace place;
      Translation translation;
      const GuestAddress address(address_);
      if (!table_.Translate(address, 8, place) || !IsOneOfThem(place.host.value())) ++wrong_;
      if (!table_.Lookup(address, 8, translation) || !IsOneOfThem(translation.host.value()) ||
          translation.object != Object(1)) {
        ++wrong_;
      }
      ++looks_;
    }
  }
  bool IsOneOfThem(uint64_t host) const { return host == hosts_[0] || host == hosts_[1]; }

  const TranslationTable& table_;
  const uint64_t address_;
  const std::array<uint64_t, 2> hosts_;
  uint64_t looks_ = 0;
  uint64_t wrong_ = 0;
  std::atomic<bool> stop_ = false;
  std::thread thread_;
};

TEST(TranslationTableRaceTest, ReadersSeeTheOldRunOrTheNewWhileAllShapesAlternate) {
  TranslationTable table;
  const uint64_t page = 3 * kMiB + 7 * kPageSize;
  const std::vector<TranslationTable::Run> one = {MakeRun(0, 8 * kMiB, kHost)};
  const std::vector<TranslationTable::Run> several = {
      MakeRun(0, 3 * kMiB, kHost + kGiB), MakeRun(page, kPageSize, kHost + 2 * kGiB),
      MakeRun(page + 2 * kPageSize, kPageSize, kHost + 3 * kGiB)};
  const std::vector<TranslationTable::Run> part = {MakeRun(0, 3 * kMiB, kHost + kGiB),
                                                   MakeRun(page, kPageSize, kHost + 2 * kGiB)};
  const GuestRange region = Guest(0, 8 * kMiB);
  table.Replace(region, one);
  RacingReader whole_granule(table, 5 * kPageSize, kHost + 5 * kPageSize,
                             kHost + kGiB + 5 * kPageSize);
  RacingReader one_page(table, page, kHost + page, kHost + 2 * kGiB);

  for (int i = 0; i < 3000; ++i) {
    table.Replace(region, several);
    table.Replace(region, part);
    table.Replace(region, one);
    // A far run makes the root grow and leaves come and go.
    const uint64_t far = (uint64_t{1} << (33 + i % 14)) + kGiB;
    Put(table, MakeRun(far, kMiB, kHost));
    table.Replace(Guest(far, kMiB), {});
  }

  EXPECT_EQ(whole_granule.Finish(), 0u);
  EXPECT_EQ(one_page.Finish(), 0u);
}

TEST(TranslationTableRaceTest, NeighboursOfAChangeNeverVanish) {
  TranslationTable table;
  for (uint64_t i = 0; i < 256; ++i) {
    Put(table, MakeRun(i * kPageSize, kPageSize, kHost + i * kMiB));
  }
  RacingReader reader(table, 10 * kPageSize, kHost + 10 * kMiB, kHost + 10 * kMiB);
  for (int i = 0; i < 5000; ++i) {
    const uint64_t page = 11 + static_cast<uint64_t>(i) % 200;
    table.Replace(Guest(page * kPageSize, kPageSize), {});
    Put(table, MakeRun(page * kPageSize, kPageSize, kHost + page * kMiB));
  }
  EXPECT_EQ(reader.Finish(), 0u);
}

TEST(TranslationTableRaceTest, ReadersMayLookWhereLeavesAndRootsComeAndGo) {
  TranslationTable table;
  const uint64_t far = 5 * kGiB;
  std::atomic<bool> stop = false;
  std::atomic<int> wrong = 0;
  std::thread reader([&] {
    while (!stop.load(std::memory_order_relaxed)) {
      // Many look-ups a section, so that it is often in one while a leaf goes.
      const ReadGuard guard;
      for (int i = 0; i < 50; ++i) {
        HostPlace place;
        const bool found = table.Translate(GuestAddress(far + 5), 8, place);
        if (found && place.host.value() != kHost + 5) wrong.fetch_add(1);
      }
    }
  });
  for (int i = 0; i < 5000; ++i) {
    Put(table, MakeRun(far, kMiB, kHost));
    table.Replace(Guest(far, kMiB), {});
  }
  stop.store(true);
  reader.join();
  EXPECT_EQ(wrong.load(), 0);
}

}  // namespace
}  // namespace vmwire
