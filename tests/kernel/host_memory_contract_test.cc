// One suite for the fake host and the real one: what the tests of memory/ believe of the kernel is
// what the kernel does.
#include <gtest/gtest.h>

#include <cstdint>
#include <cstring>
#include <memory>
#include <optional>
#include <string>

#include "memory/host_memory.h"
#include "memory/host_memory_linux.h"
#include "tests/fakes/fake_host_memory.h"
#include "tests/fakes/journal.h"
#include "tests/support/eventually.h"
#include "tests/support/memlock_limit.h"
#include "tests/support/status_matchers.h"

namespace vmwire {
namespace {

using absl::StatusCode;

constexpr uint64_t kSize = 16 * kPageSize;

enum class Kind { kFake, kLinux };

// A host with a limit that can be set.
class Host {
 public:
  explicit Host(Kind kind) {
    if (kind == Kind::kFake) {
      fake_.emplace(journal_);
    } else {
      linux_.emplace();
      limit_.emplace();
    }
  }

  HostMemory& memory() {
    if (fake_.has_value()) return *fake_;
    return *linux_;
  }
  absl::Status SetMemlockLimit(uint64_t bytes) {
    if (!fake_.has_value()) return limit_->Set(bytes);
    fake_->SetMemlockLimit(bytes);
    return absl::OkStatus();
  }

 private:
  Journal journal_;
  std::optional<FakeHostMemory> fake_;
  std::optional<HostMemoryLinux> linux_;
  std::optional<MemlockLimit> limit_;
};

class HostMemoryContractTest : public testing::TestWithParam<Kind> {
 protected:
  HostMemory& memory() { return host_.memory(); }
  HostRange Map(uint64_t size = kSize, uint64_t congruent_to = 0, std::optional<int> file = {}) {
    const auto range = memory().Map({.size = size, .congruent_to = congruent_to, .file = file});
    EXPECT_THAT(range, IsOk());
    return *range;
  }
  HostUsage UsageOf(const HostRange& range) {
    const auto usage = memory().Usage(range);
    EXPECT_THAT(usage, IsOk());
    return usage.value_or(HostUsage{});
  }

  Host host_{GetParam()};
};

INSTANTIATE_TEST_SUITE_P(Hosts, HostMemoryContractTest, testing::Values(Kind::kFake, Kind::kLinux),
                         [](const auto& info) {
                           return info.param == Kind::kFake ? "fake" : "linux";
                         });

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
  VMWIRE_ASSERT_OK_AND_ASSIGN(const int file, memory().CreateMemfd("contract"));
  ASSERT_THAT(memory().ResizeFile(file, kSize), IsOk());
  const HostRange range = Map(kSize, 0, file);
  memory().CloseFile(file);

  EXPECT_THAT(memory().Advise(range, HostAdvice::kPopulateWrite), IsOk());

  EXPECT_EQ(UsageOf(range).resident_bytes, kSize);
  memory().Unmap(range);
}

TEST_P(HostMemoryContractTest, FileLargerThanFilesCanBeIsInvalidArgument) {
  VMWIRE_ASSERT_OK_AND_ASSIGN(const int file, memory().CreateMemfd("contract"));

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

// The tests of registered buffers, which a host may have switched off.
class BufferContractTest : public HostMemoryContractTest {
 protected:
  void SetUp() override {
    const auto table = memory().CreateBufferTable(4);
    if (!table.ok()) GTEST_SKIP() << "no io_uring buffers: " << table.status();
    table_ = *table;
  }
  void TearDown() override {
    if (table_.has_value()) memory().DestroyBufferTable(*table_);
  }

  std::optional<BufferTable> table_;
};

INSTANTIATE_TEST_SUITE_P(Hosts, BufferContractTest, testing::Values(Kind::kFake, Kind::kLinux),
                         [](const auto& info) {
                           return info.param == Kind::kFake ? "fake" : "linux";
                         });

TEST_P(BufferContractTest, BuffersAreSetAndClearedAndSetAgain) {
  const HostRange range = Map();
  for (int i = 0; i < 3; ++i) {
    ASSERT_THAT(memory().SetBuffer(*table_, 3, range), IsOk()) << i;
    memory().ClearBuffer(*table_, 3);
  }
  memory().Unmap(range);
}

TEST_P(BufferContractTest, TablesMayHoldOverlappingBuffers) {
  const HostRange range = Map();

  EXPECT_THAT(memory().SetBuffer(*table_, 0, range), IsOk());
  EXPECT_THAT(memory().SetBuffer(*table_, 1, *range.Slice(kPageSize, kPageSize)), IsOk());

  memory().ClearBuffer(*table_, 0);
  memory().ClearBuffer(*table_, 1);
  memory().Unmap(range);
}

TEST_P(BufferContractTest, SlotBeyondTheTableIsInvalidArgument) {
  const HostRange range = Map();

  EXPECT_THAT(memory().SetBuffer(*table_, 4, range), StatusIs(StatusCode::kInvalidArgument));
  memory().Unmap(range);
}

TEST_P(BufferContractTest, BufferOfWhatIsNotMappedIsFailedPrecondition) {
  const HostRange range = Map();
  memory().Unmap(range);

  EXPECT_THAT(memory().SetBuffer(*table_, 0, range), StatusIs(StatusCode::kFailedPrecondition));
}

TEST_P(BufferContractTest, BufferMayBeAsLargeAsAGibibyteAndNoLarger) {
  const HostRange range = Map(kMaxBufferBytes + kPageSize);

  EXPECT_THAT(memory().SetBuffer(*table_, 0, range), StatusIs(StatusCode::kFailedPrecondition));
  memory().Unmap(range);
}

TEST_P(BufferContractTest, DestroyedTableLetsGoOfItsBuffers) {
  const HostRange range = Map();
  ASSERT_THAT(memory().SetBuffer(*table_, 0, range), IsOk());

  memory().DestroyBufferTable(*table_);
  table_.reset();

  memory().Unmap(range);
}

// The limit leaves room beside the buffers: newer kernels charge the ring's own pages to it too.
TEST_P(BufferContractTest, BufferLimitCountsEveryBufferAlsoOfTheSamePages) {
  ASSERT_THAT(host_.SetMemlockLimit(kSize + kSize / 2), IsOk());
  const HostRange range = Map(2 * kSize);
  ASSERT_THAT(memory().Advise(range, HostAdvice::kNoHugePages), IsOk());
  const HostRange half = *range.Slice(0, kSize);

  EXPECT_THAT(memory().SetBuffer(*table_, 0, range), StatusIs(StatusCode::kResourceExhausted));
  EXPECT_THAT(Eventually([&] { return memory().SetBuffer(*table_, 0, half); },
                         [](const absl::Status& status) { return status.ok(); }),
              IsOk());
  EXPECT_THAT(memory().SetBuffer(*table_, 1, half), StatusIs(StatusCode::kResourceExhausted));

  memory().ClearBuffer(*table_, 0);
  memory().Unmap(range);
}

}  // namespace
}  // namespace vmwire
