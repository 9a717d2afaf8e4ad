// One suite for the fake host and the real one: what the tests of memory/ believe of the kernel is
// what the kernel does.
#include <gtest/gtest.h>

#include <cstdint>
#include <cstring>

#include "memory/host_memory.h"
#include "tests/kernel/host_contract.h"
#include "tests/support/status_matchers.h"

namespace vmwire {
namespace {

using absl::StatusCode;

constexpr uint64_t kSize = kContractSize;

class HostMemoryContractTest : public HostContractTest {};

INSTANTIATE_TEST_SUITE_P(Hosts, HostMemoryContractTest,
                         testing::Values(HostKind::kFake, HostKind::kLinux), HostKindName);

TEST_P(HostMemoryContractTest, MappingIsCongruentModuloAHugePage) {
  for (const uint64_t guest : {uint64_t{0}, kPageSize, 5 * kHugePageSize + 7 * kPageSize}) {
    const HostRange range = Map(3 * kHugePageSize, guest);
    EXPECT_EQ(range.start().value() % kHugePageSize, guest % kHugePageSize) << guest;
    EXPECT_EQ(range.size(), 3 * kHugePageSize);
    memory().Unmap(range);
  }
}

TEST_P(HostMemoryContractTest, MappingIsZeroAndWritable) {
  const HostRange range = Map();
  std::byte* bytes = HostPointer(range.start());

  for (uint64_t i = 0; i < kSize; ++i) ASSERT_EQ(bytes[i], std::byte{0}) << i;
  std::memset(bytes, 7, kSize);

  EXPECT_EQ(bytes[kSize - 1], std::byte{7});
  memory().Unmap(range);
}

TEST_P(HostMemoryContractTest, MappingFaultsNothingIn) {
  const HostRange range = Map();

  EXPECT_EQ(UsageOf(range).resident_bytes, 0u);
  EXPECT_EQ(UsageOf(range).locked_bytes, 0u);
  memory().Unmap(range);
}

TEST_P(HostMemoryContractTest, MappingBeyondTheAddressSpaceIsResourceExhausted) {
  EXPECT_THAT(
      memory().Map({.size = AlignDown(UINT64_MAX, kPageSize), .congruent_to = 0, .file = {}}),
      StatusIs(StatusCode::kResourceExhausted));
  EXPECT_THAT(memory().Map({.size = uint64_t{1} << 60, .congruent_to = 0, .file = {}}),
              StatusIs(StatusCode::kResourceExhausted));
}

TEST_P(HostMemoryContractTest, FileCanBeMadeMappedAndClosedBeforeItsMapping) {
  VMWIRE_ASSERT_OK_AND_ASSIGN(const int file, memory().CreateMemfd({.name = "contract"}));
  ASSERT_THAT(memory().ResizeFile(file, kSize), IsOk());
  const HostRange range = Map(kSize, 0, file);
  memory().CloseFile(file);

  EXPECT_THAT(memory().Advise(range, HostAdvice::kPopulateWrite), IsOk());

  EXPECT_EQ(UsageOf(range).resident_bytes, kSize);
  memory().Unmap(range);
}

TEST_P(HostMemoryContractTest, FileLargerThanFilesCanBeIsInvalidArgument) {
  VMWIRE_ASSERT_OK_AND_ASSIGN(const int file, memory().CreateMemfd({.name = "contract"}));

  EXPECT_THAT(memory().ResizeFile(file, uint64_t{1} << 63), StatusIs(StatusCode::kInvalidArgument));
  memory().CloseFile(file);
}

TEST_P(HostMemoryContractTest, PopulateMakesResident) {
  const HostRange range = Map();
  const HostRange part = *range.Slice(4 * kPageSize, 4 * kPageSize);
  ASSERT_THAT(memory().Advise(range, HostAdvice::kNoHugePages), IsOk());

  ASSERT_THAT(memory().Advise(part, HostAdvice::kPopulateWrite), IsOk());
  EXPECT_EQ(UsageOf(range).resident_bytes, 4 * kPageSize);
  ASSERT_THAT(memory().Advise(range, HostAdvice::kPopulateWrite), IsOk());
  EXPECT_EQ(UsageOf(range).resident_bytes, kSize);
  memory().Unmap(range);
}

TEST_P(HostMemoryContractTest, ChildrenCanBeKeptOut) {
  const HostRange range = Map();

  EXPECT_THAT(memory().Advise(range, HostAdvice::kDontFork), IsOk());
  memory().Unmap(range);
}

TEST_P(HostMemoryContractTest, WhatIsNotMappedCanBeNeitherAdvisedNorLocked) {
  const HostRange range = Map();
  memory().Unmap(range);

  EXPECT_THAT(memory().Advise(range, HostAdvice::kPopulateWrite),
              StatusIs(StatusCode::kResourceExhausted));
  EXPECT_THAT(memory().Lock(range), StatusIs(StatusCode::kResourceExhausted));
}

TEST_P(HostMemoryContractTest, LockTakesEffectAsPagesAreFaultedIn) {
  const HostRange range = Map();
  ASSERT_THAT(memory().Lock(range), IsOk());
  EXPECT_EQ(UsageOf(range).resident_bytes, 0u);

  ASSERT_THAT(memory().Advise(range, HostAdvice::kPopulateWrite), IsOk());

  EXPECT_EQ(UsageOf(range).locked_bytes, kSize);
  memory().Unlock(range);
  memory().Unmap(range);
}

TEST_P(HostMemoryContractTest, LocksDoNotNest) {
  const HostRange range = Map();
  ASSERT_THAT(memory().Advise(range, HostAdvice::kPopulateWrite), IsOk());
  ASSERT_THAT(memory().Lock(range), IsOk());
  ASSERT_THAT(memory().Lock(range), IsOk());
  EXPECT_EQ(UsageOf(range).locked_bytes, kSize);

  memory().Unlock(range);

  EXPECT_EQ(UsageOf(range).locked_bytes, 0u);
  EXPECT_EQ(UsageOf(range).resident_bytes, kSize);
  memory().Unmap(range);
}

TEST_P(HostMemoryContractTest, UnlockOfWhatIsNotLockedDoesNothing) {
  const HostRange range = Map();

  memory().Unlock(range);

  memory().Unmap(range);
}

TEST_P(HostMemoryContractTest, PartOfALockCanBeUndone) {
  const HostRange range = Map();
  ASSERT_THAT(memory().Advise(range, HostAdvice::kPopulateWrite), IsOk());
  ASSERT_THAT(memory().Lock(range), IsOk());

  memory().Unlock(*range.Slice(4 * kPageSize, 8 * kPageSize));

  EXPECT_EQ(UsageOf(range).locked_bytes, 8 * kPageSize);
  memory().Unlock(range);
  memory().Unmap(range);
}

TEST_P(HostMemoryContractTest, UnmapUnlocks) {
  ASSERT_THAT(host_.SetMemlockLimit(kSize), IsOk());
  for (int i = 0; i < 3; ++i) {
    const HostRange range = Map();
    EXPECT_THAT(memory().Lock(range), IsOk()) << i;
    memory().Unmap(range);
  }
}

TEST_P(HostMemoryContractTest, LockLimitIsExactAndCountsEachPageOnce) {
  ASSERT_THAT(host_.SetMemlockLimit(kSize), IsOk());
  const HostRange range = Map(2 * kSize);
  const HostRange half = *range.Slice(0, kSize);

  ASSERT_THAT(memory().Lock(half), IsOk());
  EXPECT_THAT(memory().Lock(half), IsOk());
  EXPECT_THAT(memory().Lock(*range.Slice(kPageSize, kSize)),
              StatusIs(StatusCode::kResourceExhausted));
  EXPECT_THAT(memory().Lock(range), StatusIs(StatusCode::kResourceExhausted));
  memory().Unlock(half);
  EXPECT_THAT(memory().Lock(*range.Slice(kPageSize, kSize)), IsOk());
  memory().Unlock(range);
  memory().Unmap(range);
}

}  // namespace
}  // namespace vmwire
