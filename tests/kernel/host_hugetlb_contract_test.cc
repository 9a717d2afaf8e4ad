// The contract of HostMemory's hugetlb files, held against the fake host and, where a pool of huge
// pages can be had, the real one.
#include <gtest/gtest.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <functional>
#include <vector>

#include "memory/guarded_pinner.h"
#include "memory/host_memory.h"
#include "tests/kernel/host_contract.h"
#include "tests/support/hugetlb_pool.h"
#include "tests/support/status_matchers.h"

namespace vmwire {
namespace {

using absl::StatusCode;
using testing::HasSubstr;

constexpr uint64_t kHuge = kHugePageSize;
constexpr uint64_t kSmallPages = kHuge / kPageSize;

// A hugetlb file of some pages and its mapping.
class HugetlbMapping {
 public:
  HugetlbMapping(HostMemory& memory, uint64_t pages, uint64_t page_bytes = kHuge)
      : memory_(memory),
        file_(*memory.CreateMemfd({.name = "contract", .huge_page_bytes = page_bytes})) {
    EXPECT_THAT(memory.ResizeFile(file_, pages * page_bytes), IsOk());
    range_ = memory.Map({.size = pages * page_bytes, .file = file_, .page_bytes = page_bytes});
  }
  HugetlbMapping(const HugetlbMapping&) = delete;
  HugetlbMapping& operator=(const HugetlbMapping&) = delete;
  ~HugetlbMapping() {
    if (range_.ok()) memory_.Unmap(*range_);
    memory_.CloseFile(file_);
  }

  int file() const { return file_; }
  const absl::StatusOr<HostRange>& mapped() const { return range_; }
  const HostRange& range() const { return *range_; }

 private:
  HostMemory& memory_;
  const int file_;
  absl::StatusOr<HostRange> range_;
};

class HostHugetlbContractTest : public testing::TestWithParam<HostKind> {
 protected:
  // Runs `body` on a host with `pages` free huge pages, or skips the test.
  void WithPool(uint64_t pages, const std::function<void(HostMemory&)>& body) {
    const auto run = [&] {
      ContractHost host(GetParam());
      if (host.fake() != nullptr) host.fake()->SetHugetlbPool(kHuge, pages);
      body(host.memory());
    };
    if (GetParam() == HostKind::kFake) return run();
    const absl::Status ran = RunWithHugetlbPool(pages, run);
    if (!ran.ok()) GTEST_SKIP() << ran;
  }
};

INSTANTIATE_TEST_SUITE_P(Hosts, HostHugetlbContractTest,
                         testing::Values(HostKind::kFake, HostKind::kLinux), HostKindName);

TEST_P(HostHugetlbContractTest, M46PoolThatIsTooSmallIsResourceExhaustedAtMapAndNamesTheRemedy) {
  const HugetlbPoolTurn turn;
  ContractHost host(GetParam());
  const HugetlbMapping mapping(host.memory(), FreeHugetlbPages(kHuge) + 20000);

  EXPECT_THAT(mapping.mapped(),
              StatusIs(StatusCode::kResourceExhausted, HasSubstr("/proc/sys/vm/nr_hugepages")));
}

TEST_P(HostHugetlbContractTest, FileOfAPartOfAHugePageIsInvalidArgument) {
  ContractHost host(GetParam());
  HostMemory& memory = host.memory();
  const auto file = memory.CreateMemfd({.name = "contract", .huge_page_bytes = kHuge});
  if (!file.ok()) GTEST_SKIP() << file.status();

  EXPECT_THAT(memory.ResizeFile(*file, kHuge + kPageSize), StatusIs(StatusCode::kInvalidArgument));
  EXPECT_THAT(memory.ResizeFile(*file, kHuge), IsOk());
  EXPECT_THAT(
      memory.Map({.size = kHuge, .congruent_to = kPageSize, .file = *file, .page_bytes = kHuge}),
      StatusIs(StatusCode::kInvalidArgument));
  memory.CloseFile(*file);
}

TEST_P(HostHugetlbContractTest, MappingReservesItsPagesUntilFileAndMappingAreGone) {
  WithPool(2, [](HostMemory& memory) {
    const uint64_t free = std::max<uint64_t>(2, FreeHugetlbPages(kHuge));
    {
      const HugetlbMapping first(memory, free);
      ASSERT_THAT(first.mapped(), IsOk());
      const HugetlbMapping second(memory, 1);
      EXPECT_THAT(second.mapped(), StatusIs(StatusCode::kResourceExhausted));
    }
    const HugetlbMapping again(memory, free);
    EXPECT_THAT(again.mapped(), IsOk());
  });
}

TEST_P(HostHugetlbContractTest, TouchOfAByteBringsAWholeAlignedHugePage) {
  WithPool(2, [](HostMemory& memory) {
    const HugetlbMapping mapping(memory, 2);
    ASSERT_THAT(mapping.mapped(), IsOk());
    const HostRange& range = mapping.range();
    EXPECT_EQ(range.start().value() % kHuge, 0u);
    EXPECT_EQ(memory.Usage(range)->resident_bytes, 0u);

    ASSERT_THAT(memory.Advise(*range.Slice(kPageSize, kPageSize), HostAdvice::kPopulateWrite),
                IsOk());

    EXPECT_EQ(memory.Usage(range)->resident_bytes, kHuge);
    EXPECT_EQ(memory.Usage(range)->huge_bytes, kHuge);
    std::vector<bool> expected(2 * kSmallPages, false);
    std::fill_n(expected.begin(), kSmallPages, true);
    EXPECT_EQ(*memory.Residency(range), expected);
  });
}

TEST_P(HostHugetlbContractTest, FramesOfAHugePageFollowEachOther) {
  WithPool(1, [](HostMemory& memory) {
    const HugetlbMapping mapping(memory, 1);
    ASSERT_THAT(mapping.mapped(), IsOk());
    ASSERT_THAT(memory.Advise(mapping.range(), HostAdvice::kPopulateWrite), IsOk());
    const auto frames = memory.Frames(mapping.range());
    if (absl::IsPermissionDenied(frames.status())) return;
    ASSERT_THAT(frames, IsOk());

    for (uint64_t i = 0; i < kSmallPages; ++i) ASSERT_EQ((*frames)[i], frames->front() + i);
    const auto flags = memory.FrameFlags(*frames);
    if (absl::IsPermissionDenied(flags.status()) || absl::IsUnavailable(flags.status())) return;
    ASSERT_THAT(flags, IsOk());
    for (const uint64_t flag : *flags) ASSERT_NE(flag & kFrameHugetlb, 0u);
  });
}

TEST_P(HostHugetlbContractTest, LockFaultsInAndIsNotCounted) {
  WithPool(1, [](HostMemory& memory) {
    const HugetlbMapping mapping(memory, 1);
    ASSERT_THAT(mapping.mapped(), IsOk());

    ASSERT_THAT(memory.Lock(mapping.range()), IsOk());

    EXPECT_EQ(memory.Usage(mapping.range())->resident_bytes, kHuge);
    EXPECT_EQ(memory.Usage(mapping.range())->locked_bytes, 0u);
    EXPECT_EQ(memory.Pins()->locked_bytes, 0u);
    memory.Unlock(mapping.range());
  });
}

TEST_P(HostHugetlbContractTest, DiscardGivesBackWholeHugePagesOnlyAndZeroesTheRest) {
  WithPool(2, [](HostMemory& memory) {
    const HugetlbMapping mapping(memory, 2);
    ASSERT_THAT(mapping.mapped(), IsOk());
    const HostRange& range = mapping.range();
    std::memset(HostPointer(range.start()), 7, range.size());
    ASSERT_THAT(memory.Advise(range, HostAdvice::kPopulateWrite), IsOk());

    ASSERT_THAT(memory.Discard(*range.Slice(kHuge - kPageSize, kHuge + kPageSize),
                               FilePlace{mapping.file(), kHuge - kPageSize}),
                IsOk());

    std::vector<bool> expected(2 * kSmallPages, true);
    std::fill_n(expected.begin() + kSmallPages, kSmallPages, false);
    EXPECT_EQ(*memory.Residency(range), expected);
    EXPECT_EQ(HostPointer(range.start())[kHuge - kPageSize], std::byte{0});
    EXPECT_EQ(HostPointer(range.start())[kHuge - kPageSize - 1], std::byte{7});
  });
}

TEST_P(HostHugetlbContractTest, SealsHoldForHugetlbFiles) {
  WithPool(1, [](HostMemory& memory) {
    const HugetlbMapping mapping(memory, 1);
    ASSERT_THAT(mapping.mapped(), IsOk());

    ASSERT_THAT(memory.SealFile(mapping.file(), {.resize = true, .discard = true}), IsOk());

    EXPECT_THAT(memory.ResizeFile(mapping.file(), 2 * kHuge),
                StatusIs(StatusCode::kPermissionDenied));
    EXPECT_THAT(memory.Discard(mapping.range(), FilePlace{mapping.file(), 0}),
                StatusIs(StatusCode::kPermissionDenied));
  });
}

TEST_P(HostHugetlbContractTest, PartOfAHugePageCanBePinnedAndTransferredTo) {
  WithPool(2, [](HostMemory& memory) {
    const HugetlbMapping mapping(memory, 2);
    ASSERT_THAT(mapping.mapped(), IsOk());
    const HostRange part = *mapping.range().Slice(kHuge - kPageSize, 3 * kPageSize);
    GuardedPinner pinner(memory, {});
    const auto extent = pinner.Pin(part, {});
    if (absl::IsUnimplemented(extent.status())) return;
    ASSERT_THAT(extent, IsOk());
    const PinnedBuffer buffer = *pinner.BufferAt(*extent, part.start());
    const std::vector<std::byte> sent(2 * kPageSize, std::byte{9});

    EXPECT_THAT(memory.TransferIn(buffer.table, buffer.slot, part.start(), sent), IsOk());

    EXPECT_EQ(HostPointer(part.start())[2 * kPageSize - 1], std::byte{9});
    EXPECT_EQ(HostPointer(part.start())[2 * kPageSize], std::byte{0});
    pinner.Unpin(*extent);
  });
}

TEST_P(HostHugetlbContractTest, PagesOfAGibibyteWhereThereAreSome) {
  ContractHost host(GetParam());
  if (host.fake() != nullptr) {
    host.fake()->SetHugetlbPool(kGigaPageSize, 1);
  } else if (FreeHugetlbPages(kGigaPageSize) == 0) {
    GTEST_SKIP() << "no pool of hugetlb pages of 1 GiB";
  }
  const HugetlbMapping mapping(host.memory(), 1, kGigaPageSize);
  ASSERT_THAT(mapping.mapped(), IsOk());

  ASSERT_THAT(
      host.memory().Advise(*mapping.range().Slice(0, kPageSize), HostAdvice::kPopulateWrite),
      IsOk());

  EXPECT_EQ(mapping.range().start().value() % kGigaPageSize, 0u);
  EXPECT_EQ(host.memory().Usage(mapping.range())->resident_bytes, kGigaPageSize);
}

}  // namespace
}  // namespace vmwire
