#include "memory/simulated_pinner.h"

#include <gtest/gtest.h>

#include <cstdint>
#include <vector>

#include "absl/status/status.h"
#include "tests/support/status_matchers.h"

namespace vmwire {
namespace {

using absl::StatusCode;
using testing::ElementsAre;
using testing::HasSubstr;

constexpr HostAddress kStart(uint64_t{1} << 60);
constexpr uint64_t kPages = 2048;

HostAddress AddressOf(uint64_t page) { return HostAddress(kStart.value() + page * kPageSize); }
HostRange Span(uint64_t first, uint64_t end) {
  return HostRange::Between(AddressOf(first), AddressOf(end));
}

class SimulatedPinnerTest : public testing::Test {
 protected:
  uint64_t ResidentPages() {
    uint64_t pages = 0;
    for (uint64_t page = 0; page < kPages; ++page) pages += pinner_.IsResident(page) ? 1 : 0;
    return pages;
  }

  SimulatedPinner pinner_{Span(0, kPages)};
};

TEST_F(SimulatedPinnerTest, PinFaultsEachMissingPageOnce) {
  VMWIRE_ASSERT_OK_AND_ASSIGN(const PinnedExtent extent, pinner_.Pin(Span(10, 20), {}));

  EXPECT_EQ(extent.host, Span(10, 20));
  EXPECT_EQ(pinner_.fault_calls(), 10u);
  EXPECT_EQ(ResidentPages(), 10u);
  EXPECT_FALSE(pinner_.IsResident(9));
  EXPECT_TRUE(pinner_.IsResident(19));
}

TEST_F(SimulatedPinnerTest, UnpinnedPagesStayResidentAndAreNotFaultedAgain) {
  VMWIRE_ASSERT_OK_AND_ASSIGN(const PinnedExtent extent, pinner_.Pin(Span(10, 20), {}));
  pinner_.Unpin(extent);
  EXPECT_EQ(ResidentPages(), 10u);

  ASSERT_THAT(pinner_.Pin(Span(5, 25), {}), IsOk());

  EXPECT_EQ(pinner_.fault_calls(), 20u);
}

TEST_F(SimulatedPinnerTest, FaultThatIsToFailFailsWithItsStatusAndNamesThePage) {
  pinner_.FailFaultAt(700, absl::DataLossError("broken"));
  HostAddress failed_at = kStart;

  EXPECT_THAT(pinner_.Pin(Span(600, 1200), {.failed_at = &failed_at}),
              StatusIs(StatusCode::kDataLoss, HasSubstr("broken")));

  EXPECT_EQ(failed_at, AddressOf(700));
  // Those before it were faulted in; the attempt itself is counted.
  EXPECT_EQ(pinner_.fault_calls(), 101u);
  EXPECT_EQ(ResidentPages(), 100u);
}

TEST_F(SimulatedPinnerTest, LowestOfSeveralFailuresIsMet) {
  pinner_.FailFaultAt(30, absl::InternalError("high"));
  pinner_.FailFaultAt(20, absl::DataLossError("low"));

  EXPECT_THAT(pinner_.Pin(Span(10, 40), {}), StatusIs(StatusCode::kDataLoss));
  EXPECT_THAT(pinner_.Pin(Span(21, 40), {}), StatusIs(StatusCode::kInternal));
  EXPECT_THAT(pinner_.Pin(Span(10, 20), {}), IsOk());
}

TEST_F(SimulatedPinnerTest, FailureEndsWhenItIsSetToOk) {
  pinner_.FailFaultAt(20, absl::DataLossError("broken"));
  ASSERT_THAT(pinner_.Pin(Span(10, 30), {}), StatusIs(StatusCode::kDataLoss));

  pinner_.FailFaultAt(20, absl::OkStatus());

  EXPECT_THAT(pinner_.Pin(Span(10, 30), {}), IsOk());
  EXPECT_EQ(pinner_.fault_calls(), 21u);
}

TEST_F(SimulatedPinnerTest, PageThatIsResidentIsNotFaultedAndCannotFail) {
  ASSERT_THAT(pinner_.Pin(Span(20, 21), {}), IsOk());
  pinner_.FailFaultAt(20, absl::DataLossError("broken"));

  EXPECT_THAT(pinner_.Pin(Span(10, 30), {}), IsOk());
}

TEST_F(SimulatedPinnerTest, ProgressIsToldChunkByChunk) {
  std::vector<uint64_t> told;

  ASSERT_THAT(pinner_.Pin(Span(100, 1300), {.progress =
                                                [&told](uint64_t bytes) {
                                                  told.push_back(bytes / kPageSize);
                                                  return true;
                                                }}),
              IsOk());

  EXPECT_THAT(told, ElementsAre(512, 1024, 1200));
}

TEST_F(SimulatedPinnerTest, StopIsCancelledAndFaultsNoMore) {
  EXPECT_THAT(pinner_.Pin(Span(0, 2000),
                          {.progress = [](uint64_t bytes) { return bytes < 1000 * kPageSize; }}),
              StatusIs(StatusCode::kCancelled, HasSubstr("1024 of 2000")));

  EXPECT_EQ(pinner_.fault_calls(), 1024u);
}

TEST_F(SimulatedPinnerTest, DiscardedPagesAreFaultedAgain) {
  ASSERT_THAT(pinner_.Pin(Span(10, 20), {}), IsOk());

  pinner_.Discard({15, 30});

  EXPECT_EQ(ResidentPages(), 5u);
  ASSERT_THAT(pinner_.Pin(Span(10, 20), {}), IsOk());
  EXPECT_EQ(pinner_.fault_calls(), 15u);
}

TEST_F(SimulatedPinnerTest, NothingOfTheHostIsNeeded) {
  VMWIRE_ASSERT_OK_AND_ASSIGN(const PinnedExtent extent, pinner_.Pin(Span(0, 1), {}));

  EXPECT_EQ(pinner_.level(), PinLevel::kGuarded);
  EXPECT_EQ(pinner_.FreeExtents(), UINT64_MAX);
  EXPECT_FALSE(pinner_.BufferAt(extent, kStart).has_value());
}

}  // namespace
}  // namespace vmwire
