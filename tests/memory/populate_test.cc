#include "memory/populate.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cerrno>
#include <cstdint>
#include <string>
#include <vector>

#include "tests/fakes/fake_host_memory.h"
#include "tests/fakes/journal.h"
#include "tests/support/status_matchers.h"

namespace vmwire {
namespace {

using absl::StatusCode;
using testing::HasSubstr;

class PopulateTest : public testing::Test {
 protected:
  static constexpr uint64_t kSize = 160 * kHugePageSize;

  void TearDown() override { host_.Unmap(range_); }

  size_t Calls() const { return journal_.EntriesWith("populate").size(); }

  Journal journal_;
  FakeHostMemory host_{journal_};
  // One page past a huge page, so that the first and the last chunk are odd ones.
  const HostRange range_ = *host_.Map({.size = kSize, .congruent_to = kPageSize, .file = {}});
};

TEST_F(PopulateTest, MakesEveryPageResident) {
  ASSERT_THAT(Populate(host_, range_, {}, {}), IsOk());

  EXPECT_EQ(host_.resident_bytes(), kSize);
}

TEST_F(PopulateTest, SinglePageIsOneCall) {
  const HostRange page = *range_.Slice(0, kPageSize);

  ASSERT_THAT(Populate(host_, page, {}, {}), IsOk());

  EXPECT_THAT(journal_.EntriesWith("populate"), testing::ElementsAre("populate 0x1000"));
  EXPECT_EQ(host_.resident_bytes(), kPageSize);
}

TEST_F(PopulateTest, ProgressRisesToTheWholeSizeInChunks) {
  std::vector<uint64_t> told;

  ASSERT_THAT(Populate(host_, range_, {}, {[&told](uint64_t bytes) {
                         told.push_back(bytes);
                         return true;
                       }}),
              IsOk());

  ASSERT_EQ(told.size(), Calls());
  EXPECT_GE(told.size(), kSize / (16 * kHugePageSize));
  EXPECT_TRUE(std::is_sorted(told.begin(), told.end()));
  EXPECT_EQ(told.back(), kSize);
}

TEST_F(PopulateTest, StopAfterTheFirstChunkIsCancelled) {
  EXPECT_THAT(Populate(host_, range_, {}, {[](uint64_t) { return false; }}),
              StatusIs(StatusCode::kCancelled, HasSubstr(range_.ToString())));

  EXPECT_EQ(Calls(), 1u);
}

TEST_F(PopulateTest, ErrorOfTheHostEndsIt) {
  journal_.FailNth(3, ENOMEM);

  EXPECT_THAT(Populate(host_, range_, {}, {}), StatusIs(StatusCode::kResourceExhausted));

  EXPECT_EQ(Calls(), 3u);
}

TEST_F(PopulateTest, PageThatFailsIsNamedIfAskedFor) {
  const HostAddress broken(range_.start().value() + 50 * kHugePageSize + 3 * kPageSize);
  host_.BreakPage(broken);
  HostAddress failed_at;

  EXPECT_THAT(Populate(host_, range_, {}, {.progress = nullptr, .failed_at = &failed_at}),
              StatusIs(StatusCode::kResourceExhausted));

  EXPECT_EQ(failed_at, broken);
}

TEST_F(PopulateTest, ErrorThatDoesNotComeAgainNamesItsChunk) {
  journal_.FailNth(2, ENOMEM);
  HostAddress failed_at;

  EXPECT_THAT(Populate(host_, range_, {}, {.progress = nullptr, .failed_at = &failed_at}),
              StatusIs(StatusCode::kResourceExhausted));

  EXPECT_EQ(failed_at.value(),
            AlignDown(range_.start().value(), 8 * kHugePageSize) + 8 * kHugePageSize);
}

TEST_F(PopulateTest, D16SignalIsTriedAgain) {
  journal_.FailNth(2, EINTR, 5);

  EXPECT_THAT(Populate(host_, range_, {}, {}), IsOk());

  EXPECT_TRUE(journal_.failed());
  EXPECT_EQ(host_.resident_bytes(), kSize);
}

TEST_F(PopulateTest, D16SignalsWithoutEndAreGivenUpOn) {
  journal_.FailNth(1, EINTR, UINT64_MAX);

  EXPECT_THAT(Populate(host_, range_, {}, {}), StatusIs(StatusCode::kUnavailable));
}

TEST_F(PopulateTest, SeveralThreadsPopulateEveryPageOnce) {
  ASSERT_THAT(Populate(host_, range_, {.max_threads = 4}, {}), IsOk());

  EXPECT_EQ(host_.resident_bytes(), kSize);
  EXPECT_LE(Calls(), kSize / (8 * kHugePageSize) + 1);
}

TEST_F(PopulateTest, ErrorOnAnyThreadIsReported) {
  journal_.FailNth(7, ENOMEM);

  EXPECT_THAT(Populate(host_, range_, {.max_threads = 4}, {}),
              StatusIs(StatusCode::kResourceExhausted));
}

TEST_F(PopulateTest, ProgressEndsAtTheWholeSizeWhoeverDidTheLastChunk) {
  uint64_t last = 0;

  ASSERT_THAT(Populate(host_, range_, {.max_threads = 4}, {[&last](uint64_t bytes) {
                         last = bytes;
                         return true;
                       }}),
              IsOk());

  EXPECT_EQ(last, kSize);
}

TEST_F(PopulateTest, StopWithSeveralThreadsIsCancelled) {
  // The calling thread has at least one chunk, whatever the others take: it is told of that one, or
  // there was none left for it, and then all is done.
  const absl::Status status =
      Populate(host_, range_, {.max_threads = 4}, {[](uint64_t) { return false; }});

  if (status.ok()) {
    EXPECT_EQ(host_.resident_bytes(), kSize);
  } else {
    EXPECT_THAT(status, StatusIs(StatusCode::kCancelled));
  }
}

TEST_F(PopulateTest, NoThreadsAtAllMeansTheCallingThread) {
  size_t told = 0;

  ASSERT_THAT(Populate(host_, range_, {.max_threads = 0}, {[&told](uint64_t) {
                         ++told;
                         return true;
                       }}),
              IsOk());

  EXPECT_EQ(told, Calls());
  EXPECT_EQ(host_.resident_bytes(), kSize);
}

}  // namespace
}  // namespace vmwire
