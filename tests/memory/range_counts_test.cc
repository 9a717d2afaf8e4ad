#include "memory/range_counts.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdint>
#include <random>
#include <vector>

#include "tests/support/seed.h"

namespace vmwire {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;

std::vector<PageRun> RunsWith(const RangeCounts& counts, const PageRun& run, uint32_t count) {
  std::vector<PageRun> runs;
  counts.ForEachWithCount(run, count, [&runs](const PageRun& piece) { runs.push_back(piece); });
  return runs;
}

TEST(RangeCountsTest, EmptyCountsZeroEverywhere) {
  const RangeCounts counts;

  EXPECT_TRUE(counts.empty());
  EXPECT_EQ(counts.CountOf(0), 0u);
  EXPECT_EQ(counts.MaxIn({0, UINT64_MAX}), 0u);
  EXPECT_THAT(RunsWith(counts, {3, 9}, 0), ElementsAre(PageRun{3, 9}));
}

TEST(RangeCountsTest, IncrementCountsOnlyItsPages) {
  RangeCounts counts;
  counts.Increment({3, 5});

  EXPECT_EQ(counts.CountOf(2), 0u);
  EXPECT_EQ(counts.CountOf(3), 1u);
  EXPECT_EQ(counts.CountOf(4), 1u);
  EXPECT_EQ(counts.CountOf(5), 0u);
}

TEST(RangeCountsTest, OverlapsAddUp) {
  RangeCounts counts;
  counts.Increment({0, 10});
  counts.Increment({5, 15});

  EXPECT_EQ(counts.MaxIn({0, 5}), 1u);
  EXPECT_EQ(counts.MaxIn({0, 6}), 2u);
  EXPECT_THAT(RunsWith(counts, {0, 20}, 1), ElementsAre(PageRun{0, 5}, PageRun{10, 15}));
  EXPECT_THAT(RunsWith(counts, {0, 20}, 2), ElementsAre(PageRun{5, 10}));
  EXPECT_THAT(RunsWith(counts, {0, 20}, 0), ElementsAre(PageRun{15, 20}));
}

TEST(RangeCountsTest, PiecesAreCutToTheRunAskedFor) {
  RangeCounts counts;
  counts.Increment({0, 10});

  EXPECT_THAT(RunsWith(counts, {4, 6}, 1), ElementsAre(PageRun{4, 6}));
  EXPECT_THAT(RunsWith(counts, {4, 6}, 0), IsEmpty());
}

TEST(RangeCountsTest, NeighboursOfEqualCountAreOnePiece) {
  RangeCounts counts;
  counts.Increment({0, 5});
  counts.Increment({5, 10});

  EXPECT_THAT(RunsWith(counts, {0, 10}, 1), ElementsAre(PageRun{0, 10}));
}

TEST(RangeCountsTest, DecrementUndoesIncrement) {
  RangeCounts counts;
  counts.Increment({0, 10});
  counts.Increment({3, 6});
  counts.Decrement({0, 10});
  counts.Decrement({3, 6});

  EXPECT_TRUE(counts.empty());
}

TEST(RangeCountsTest, DecrementOfWhatIsNotCountedIsOurBug) {
  RangeCounts counts;
  counts.Increment({0, 4});

  EXPECT_DEATH(counts.Decrement({3, 5}), "is not counted");
}

TEST(RangeCountsTest, CountsAtTheLastPageNumberDoNotWrap) {
  RangeCounts counts;
  counts.Increment({UINT64_MAX - 1, UINT64_MAX});

  EXPECT_EQ(counts.CountOf(UINT64_MAX - 1), 1u);
  counts.Decrement({UINT64_MAX - 1, UINT64_MAX});
  EXPECT_TRUE(counts.empty());
}

// What RangeCounts stands for: a count for each page, with nothing clever about it.
class Model {
 public:
  explicit Model(uint64_t pages) : counts_(pages) {}

  void Add(const PageRun& run, int delta) {
    for (uint64_t page = run.first; page < run.end; ++page) counts_[page] += delta;
  }
  int CountOf(uint64_t page) const { return counts_[page]; }
  int MinIn(const PageRun& run) const { return *std::min_element(At(run.first), At(run.end)); }
  int MaxIn(const PageRun& run) const { return *std::max_element(At(run.first), At(run.end)); }
  bool empty() const {
    return std::all_of(counts_.begin(), counts_.end(), [](int count) { return count == 0; });
  }

  std::vector<PageRun> RunsWith(const PageRun& run, int count) const {
    std::vector<PageRun> runs;
    for (uint64_t page = run.first; page < run.end; ++page) {
      if (counts_[page] != count) continue;
      if (!runs.empty() && runs.back().end == page) {
        runs.back().end = page + 1;
      } else {
        runs.push_back({page, page + 1});
      }
    }
    return runs;
  }

 private:
  std::vector<int>::const_iterator At(uint64_t page) const {
    return counts_.begin() + static_cast<std::ptrdiff_t>(page);
  }

  std::vector<int> counts_;
};

TEST(RangeCountsTest, RandomOperationsAgreeWithAnArray) {
  constexpr uint64_t kPages = 48;
  const uint64_t seed = TestSeed();
  SCOPED_TRACE(seed);
  std::mt19937_64 random(seed);
  RangeCounts counts;
  Model model(kPages);
  for (int step = 0; step < 50000; ++step) {
    const uint64_t first = random() % kPages;
    const PageRun run = {first, first + 1 + random() % (kPages - first)};
    if (random() % 2 == 0 && model.MinIn(run) > 0) {
      counts.Decrement(run);
      model.Add(run, -1);
    } else if (model.MaxIn(run) < 6) {
      counts.Increment(run);
      model.Add(run, 1);
    }

    const int wanted = static_cast<int>(random() % 4);
    ASSERT_EQ(RunsWith(counts, run, static_cast<uint32_t>(wanted)), model.RunsWith(run, wanted))
        << "step " << step;
    ASSERT_EQ(counts.MaxIn(run), static_cast<uint32_t>(model.MaxIn(run))) << "step " << step;
    ASSERT_EQ(counts.empty(), model.empty()) << "step " << step;
    for (uint64_t page = 0; page < kPages; ++page) {
      ASSERT_EQ(counts.CountOf(page), static_cast<uint32_t>(model.CountOf(page)))
          << "step " << step << " page " << page;
    }
  }
}

}  // namespace
}  // namespace vmwire
