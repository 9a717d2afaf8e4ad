#include "memory/mlock_pinner.h"

#include <gtest/gtest.h>

#include <cerrno>

#include "tests/fakes/fake_host_memory.h"
#include "tests/fakes/journal.h"
#include "tests/support/status_matchers.h"

namespace vmwire {
namespace {

using absl::StatusCode;
using testing::AllOf;
using testing::ElementsAre;
using testing::HasSubstr;

class MlockPinnerTest : public testing::Test {
 protected:
  MlockPinnerTest() { journal_.Clear(); }
  void TearDown() override { host_.Unmap(range_); }

  Journal journal_;
  FakeHostMemory host_{journal_};
  const HostRange range_ = *host_.Map({.size = 4 * kPageSize, .congruent_to = 0, .file = {}});
  MlockPinner pinner_{host_, {}};
};

TEST_F(MlockPinnerTest, LevelIsResident) { EXPECT_EQ(pinner_.level(), PinLevel::kResident); }

TEST_F(MlockPinnerTest, PinLocksBeforeItFaultsIn) {
  VMWIRE_ASSERT_OK_AND_ASSIGN(const PinnedExtent extent, pinner_.Pin(range_, {}));

  EXPECT_THAT(journal_.entries(), ElementsAre("lock 0x4000", "populate 0x4000"));
  EXPECT_EQ(extent.host, range_);
  EXPECT_THAT(extent.buffers, testing::IsEmpty());
  EXPECT_TRUE(host_.IsLocked(range_));
}

TEST_F(MlockPinnerTest, UnpinUnlocks) {
  VMWIRE_ASSERT_OK_AND_ASSIGN(const PinnedExtent extent, pinner_.Pin(range_, {}));

  pinner_.Unpin(extent);

  EXPECT_EQ(host_.locked_bytes(), 0u);
}

TEST_F(MlockPinnerTest, MoreExtentsThanMayBeLockedAreRefusedWithTheReason) {
  MlockPinner pinner(host_, {}, 1);
  VMWIRE_ASSERT_OK_AND_ASSIGN(const PinnedExtent extent,
                              pinner.Pin(*range_.Slice(0, kPageSize), {}));

  EXPECT_THAT(pinner.Pin(*range_.Slice(kPageSize, kPageSize), {}),
              StatusIs(StatusCode::kResourceExhausted, HasSubstr("vm.max_map_count")));

  pinner.Unpin(extent);
  VMWIRE_ASSERT_OK_AND_ASSIGN(const PinnedExtent again,
                              pinner.Pin(*range_.Slice(0, kPageSize), {}));
  pinner.Unpin(again);
}

TEST_F(MlockPinnerTest, HalfOfTheMappingsAreForExtentsThatAreGivenBack) {
  EXPECT_EQ(MaxLockedExtents(65530), 30717u);
  EXPECT_EQ(MaxLockedExtents(100), 0u);
}

TEST_F(MlockPinnerTest, RefusedLockNamesTheRemedyAndFaultsNothingIn) {
  host_.SetMemlockLimit(3 * kPageSize);

  EXPECT_THAT(pinner_.Pin(range_, {}),
              StatusIs(StatusCode::kResourceExhausted,
                       AllOf(HasSubstr("RLIMIT_MEMLOCK"), HasSubstr("ulimit -l"))));

  EXPECT_EQ(host_.resident_bytes(), 0u);
  EXPECT_EQ(host_.locked_bytes(), 0u);
}

TEST_F(MlockPinnerTest, FailedLockIsUnlockedSinceAPartMayBeLocked) {
  journal_.FailNth(1, ENOMEM);

  EXPECT_THAT(pinner_.Pin(range_, {}), StatusIs(StatusCode::kResourceExhausted));

  EXPECT_THAT(journal_.entries(), ElementsAre("lock 0x4000 FAILED", "unlock 0x4000"));
}

TEST_F(MlockPinnerTest, DeniedLockKeepsItsCodeAndNamesTheRemedy) {
  journal_.FailNth(1, EPERM);

  EXPECT_THAT(pinner_.Pin(range_, {}),
              StatusIs(StatusCode::kPermissionDenied, HasSubstr("ulimit -l")));
}

TEST_F(MlockPinnerTest, FailedPopulateUnlocks) {
  journal_.FailNth(2, ENOMEM);

  EXPECT_THAT(pinner_.Pin(range_, {}), StatusIs(StatusCode::kResourceExhausted));

  EXPECT_EQ(host_.locked_bytes(), 0u);
}

TEST_F(MlockPinnerTest, PageThatCannotBeFaultedInIsNamed) {
  const HostAddress broken(range_.start().value() + 2 * kPageSize);
  host_.BreakPage(broken);
  HostAddress failed_at;

  EXPECT_THAT(pinner_.Pin(range_, {.progress = nullptr, .failed_at = &failed_at}),
              StatusIs(StatusCode::kResourceExhausted));

  EXPECT_EQ(failed_at, broken);
  EXPECT_EQ(host_.locked_bytes(), 0u);
}

TEST_F(MlockPinnerTest, RefusedLockNamesTheFirstPage) {
  host_.SetMemlockLimit(kPageSize);
  HostAddress failed_at;

  EXPECT_THAT(pinner_.Pin(range_, {.progress = nullptr, .failed_at = &failed_at}),
              StatusIs(StatusCode::kResourceExhausted));

  EXPECT_EQ(failed_at, range_.start());
}

TEST_F(MlockPinnerTest, D16TransientRefusalOfTheLockIsTriedAgain) {
  for (const int error : {EAGAIN, EINTR}) {
    journal_.FailNth(1, error, 5);

    VMWIRE_ASSERT_OK_AND_ASSIGN(const PinnedExtent extent, pinner_.Pin(range_, {}));

    EXPECT_TRUE(host_.IsLocked(range_));
    pinner_.Unpin(extent);
  }
}

TEST_F(MlockPinnerTest, D16TransientRefusalWithoutEndIsGivenUpOn) {
  journal_.FailNth(1, EAGAIN, UINT64_MAX);

  EXPECT_THAT(pinner_.Pin(range_, {}), StatusIs(StatusCode::kUnavailable));

  EXPECT_EQ(host_.locked_bytes(), 0u);
}

TEST_F(MlockPinnerTest, FreeExtentsCountWhatIsLocked) {
  MlockPinner pinner(host_, {}, 3);
  EXPECT_EQ(pinner.FreeExtents(), 3u);
  VMWIRE_ASSERT_OK_AND_ASSIGN(const PinnedExtent extent, pinner.Pin(range_, {}));
  EXPECT_EQ(pinner.FreeExtents(), 2u);

  pinner.Unpin(extent);

  EXPECT_EQ(pinner.FreeExtents(), 3u);
}

TEST_F(MlockPinnerTest, HasNoBuffers) {
  VMWIRE_ASSERT_OK_AND_ASSIGN(const PinnedExtent extent, pinner_.Pin(range_, {}));

  EXPECT_FALSE(pinner_.BufferAt(extent, range_.start()).has_value());
  pinner_.Unpin(extent);
}

TEST_F(MlockPinnerTest, StopUnlocks) {
  EXPECT_THAT(pinner_.Pin(range_, {[](uint64_t) { return false; }}),
              StatusIs(StatusCode::kCancelled));

  EXPECT_EQ(host_.locked_bytes(), 0u);
}

}  // namespace
}  // namespace vmwire
