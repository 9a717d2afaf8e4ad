// The contract of HostMemory's files, discards and questions, held against the fake host and the
// real one.
#include <gtest/gtest.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <optional>
#include <set>
#include <vector>

#include "memory/host_memory.h"
#include "tests/kernel/host_contract.h"
#include "tests/support/status_matchers.h"

namespace vmwire {
namespace {

using absl::StatusCode;

constexpr uint64_t kSize = kContractSize;
constexpr uint64_t kPages = kSize / kPageSize;

class HostFilesContractTest : public HostContractTest {
 protected:
  // For each page, whether it is resident.
  std::vector<bool> ResidencyOf(const HostRange& range) {
    const auto residency = memory().Residency(range);
    EXPECT_THAT(residency, IsOk());
    return residency.value_or(std::vector<bool>{});
  }
  static std::vector<bool> AllBut(uint64_t page) {
    std::vector<bool> pages(kPages, true);
    pages[page] = false;
    return pages;
  }
  static void Fill(const HostRange& range, std::byte value) {
    std::memset(HostPointer(range.start()), static_cast<int>(value), range.size());
  }
  static std::byte FirstByte(const HostRange& range) { return *HostPointer(range.start()); }
};

INSTANTIATE_TEST_SUITE_P(Hosts, HostFilesContractTest,
                         testing::Values(HostKind::kFake, HostKind::kLinux), HostKindName);

TEST_P(HostFilesContractTest, FileHasTheSizeThatItWasGiven) {
  const int file = MakeFile();
  EXPECT_EQ(*memory().FileSize(file), kSize);

  ASSERT_THAT(memory().ResizeFile(file, kPageSize), IsOk());

  EXPECT_EQ(*memory().FileSize(file), kPageSize);
  memory().CloseFile(file);
}

TEST_P(HostFilesContractTest, DuplicateIsTheSameFileAndOutlivesTheFirst) {
  const int file = MakeFile();
  VMWIRE_ASSERT_OK_AND_ASSIGN(const int duplicate, memory().DuplicateFile(file));
  const HostRange first = Map(kSize, 0, file);
  memory().CloseFile(file);
  const HostRange second = Map(kSize, 0, duplicate);

  Fill(first, std::byte{5});

  EXPECT_EQ(FirstByte(second), std::byte{5});
  EXPECT_EQ(*memory().FileSize(duplicate), kSize);
  memory().CloseFile(duplicate);
  memory().Unmap(first);
  memory().Unmap(second);
}

TEST_P(HostFilesContractTest, HugetlbPagesOfAStrangeSizeAreUnimplemented) {
  EXPECT_THAT(memory().CreateMemfd({.name = "contract", .huge_page_bytes = 64 << 10}),
              StatusIs(StatusCode::kUnimplemented));
}

TEST_P(HostFilesContractTest, M45FileSealedAgainstResizingKeepsItsSize) {
  const int file = MakeFile();
  ASSERT_THAT(memory().SealFile(file, {.resize = true}), IsOk());

  EXPECT_THAT(memory().ResizeFile(file, kSize / 2), StatusIs(StatusCode::kPermissionDenied));
  EXPECT_THAT(memory().ResizeFile(file, 2 * kSize), StatusIs(StatusCode::kPermissionDenied));

  EXPECT_EQ(*memory().FileSize(file), kSize);
  memory().CloseFile(file);
}

TEST_P(HostFilesContractTest, FileSealedAgainstDiscardsKeepsItsPagesAndItsMappingWritable) {
  const int file = MakeFile();
  const HostRange range = Map(kSize, 0, file);
  Fill(PageOf(range, 3), std::byte{7});
  ASSERT_THAT(memory().SealFile(file, {.discard = true}), IsOk());

  EXPECT_THAT(memory().Discard(PageOf(range, 3), FilePlace{file, 3 * kPageSize}),
              StatusIs(StatusCode::kPermissionDenied));
  EXPECT_THAT(memory().Map({.size = kSize, .file = file}), StatusIs(StatusCode::kPermissionDenied));

  EXPECT_EQ(FirstByte(PageOf(range, 3)), std::byte{7});
  EXPECT_THAT(memory().Advise(range, HostAdvice::kPopulateWrite), IsOk());
  Fill(range, std::byte{8});
  memory().Unmap(range);
  memory().CloseFile(file);
}

TEST_P(HostFilesContractTest, SealsAddUp) {
  const int file = MakeFile();
  const HostRange range = Map(kSize, 0, file);
  ASSERT_THAT(memory().SealFile(file, {.resize = true}), IsOk());
  ASSERT_THAT(memory().SealFile(file, {.discard = true}), IsOk());

  EXPECT_THAT(memory().ResizeFile(file, 2 * kSize), StatusIs(StatusCode::kPermissionDenied));
  EXPECT_THAT(memory().Discard(range, FilePlace{file, 0}), StatusIs(StatusCode::kPermissionDenied));
  memory().Unmap(range);
  memory().CloseFile(file);
}

TEST_P(HostFilesContractTest, DiscardOfAnonymousMemoryGivesItsPagesBack) {
  const HostRange range = MapResident();
  Fill(range, std::byte{7});

  ASSERT_THAT(memory().Discard(PageOf(range, 4), std::nullopt), IsOk());

  EXPECT_EQ(ResidencyOf(range), AllBut(4));
  EXPECT_EQ(FirstByte(PageOf(range, 4)), std::byte{0});
  EXPECT_EQ(FirstByte(PageOf(range, 5)), std::byte{7});
  memory().Unmap(range);
}

TEST_P(HostFilesContractTest, DiscardOfLockedAnonymousMemoryIsInvalidArgument) {
  const HostRange range = MapResident();
  Fill(range, std::byte{7});
  ASSERT_THAT(memory().Lock(range), IsOk());

  EXPECT_THAT(memory().Discard(PageOf(range, 4), std::nullopt),
              StatusIs(StatusCode::kInvalidArgument));

  EXPECT_EQ(FirstByte(PageOf(range, 4)), std::byte{7});
  memory().Unlock(range);
  EXPECT_THAT(memory().Discard(PageOf(range, 4), std::nullopt), IsOk());
  memory().Unmap(range);
}

TEST_P(HostFilesContractTest, DiscardOfAFileIsSeenByEveryMapping) {
  const int file = MakeFile();
  const HostRange first = Map(kSize, 0, file);
  const HostRange second = Map(kSize, 0, file);
  ASSERT_THAT(memory().Advise(first, HostAdvice::kPopulateWrite), IsOk());
  Fill(first, std::byte{7});

  ASSERT_THAT(memory().Discard(PageOf(first, 2), FilePlace{file, 2 * kPageSize}), IsOk());

  EXPECT_EQ(ResidencyOf(second), AllBut(2));
  EXPECT_EQ(FirstByte(PageOf(second, 2)), std::byte{0});
  EXPECT_EQ(FirstByte(PageOf(second, 3)), std::byte{7});
  EXPECT_EQ(*memory().FileSize(file), kSize);
  memory().Unmap(first);
  memory().Unmap(second);
  memory().CloseFile(file);
}

// The reason why the owner of a wired object must not discard: the kernel does not refuse.
TEST_P(HostFilesContractTest, LockDoesNotKeepAFileFromBeingDiscarded) {
  const int file = MakeFile();
  const HostRange range = Map(kSize, 0, file);
  ASSERT_THAT(memory().Lock(range), IsOk());
  ASSERT_THAT(memory().Advise(range, HostAdvice::kPopulateWrite), IsOk());
  Fill(range, std::byte{7});

  EXPECT_THAT(memory().Discard(PageOf(range, 2), FilePlace{file, 2 * kPageSize}), IsOk());

  EXPECT_EQ(FirstByte(PageOf(range, 2)), std::byte{0});
  memory().Unlock(range);
  memory().Unmap(range);
  memory().CloseFile(file);
}

TEST_P(HostFilesContractTest, PageBeyondTheEndOfItsFileCannotBeFaultedIn) {
  const int file = MakeFile();
  const HostRange range = Map(2 * kSize, 0, file);

  EXPECT_THAT(memory().Advise(range, HostAdvice::kPopulateWrite),
              StatusIs(StatusCode::kResourceExhausted));

  EXPECT_THAT(memory().Advise(*range.Slice(0, kSize), HostAdvice::kPopulateWrite), IsOk());
  memory().Unmap(range);
  memory().CloseFile(file);
}

TEST_P(HostFilesContractTest, ResidencyIsThatOfEachPage) {
  const HostRange range = Map();
  memory().Advise(range, HostAdvice::kNoHugePages).IgnoreError();
  EXPECT_EQ(ResidencyOf(range), std::vector<bool>(kPages, false));
  ASSERT_THAT(memory().Advise(*range.Slice(0, 2 * kPageSize), HostAdvice::kPopulateWrite), IsOk());

  std::vector<bool> expected(kPages, false);
  expected[0] = expected[1] = true;
  EXPECT_EQ(ResidencyOf(range), expected);
  memory().Unmap(range);
}

TEST_P(HostFilesContractTest, ResidencyOfWhatIsNotMappedIsFailedPrecondition) {
  const HostRange range = Map();
  memory().Unmap(range);

  EXPECT_THAT(memory().Residency(range), StatusIs(StatusCode::kFailedPrecondition));
}

class HostFramesContractTest : public HostFilesContractTest {
 protected:
  void SetUp() override {
    const HostRange range = MapResident();
    const absl::Status asked = memory().Frames(range).status();
    memory().Unmap(range);
    if (absl::IsPermissionDenied(asked)) GTEST_SKIP() << asked;
    ASSERT_THAT(asked, IsOk());
  }
};

INSTANTIATE_TEST_SUITE_P(Hosts, HostFramesContractTest,
                         testing::Values(HostKind::kFake, HostKind::kLinux), HostKindName);

TEST_P(HostFramesContractTest, ResidentPagesHaveFramesOfTheirOwnAndOthersNone) {
  const HostRange range = Map(2 * kSize);
  memory().Advise(range, HostAdvice::kNoHugePages).IgnoreError();
  ASSERT_THAT(memory().Advise(*range.Slice(0, kSize), HostAdvice::kPopulateWrite), IsOk());

  VMWIRE_ASSERT_OK_AND_ASSIGN(const std::vector<uint64_t> frames, memory().Frames(range));

  ASSERT_EQ(frames.size(), 2 * kPages);
  const std::set<uint64_t> resident(frames.begin(), frames.begin() + kPages);
  EXPECT_EQ(resident.size(), kPages);
  EXPECT_EQ(resident.count(0), 0u);
  EXPECT_TRUE(std::all_of(frames.begin() + kPages, frames.end(),
                          [](uint64_t frame) { return frame == 0; }));
  memory().Unmap(range);
}

TEST_P(HostFramesContractTest, MappingsOfAFileShareItsFrames) {
  const int file = MakeFile();
  const HostRange first = Map(kSize, 0, file);
  const HostRange second = Map(kSize, 0, file);
  ASSERT_THAT(memory().Advise(first, HostAdvice::kPopulateWrite), IsOk());
  ASSERT_THAT(memory().Advise(second, HostAdvice::kPopulateWrite), IsOk());

  EXPECT_EQ(*memory().Frames(first), *memory().Frames(second));
  memory().Unmap(first);
  memory().Unmap(second);
  memory().CloseFile(file);
}

TEST_P(HostFramesContractTest, DiscardedPageHasNoFrame) {
  const HostRange range = MapResident();

  ASSERT_THAT(memory().Discard(PageOf(range, 4), std::nullopt), IsOk());

  VMWIRE_ASSERT_OK_AND_ASSIGN(const std::vector<uint64_t> frames, memory().Frames(range));
  EXPECT_EQ(frames[4], 0u);
  EXPECT_NE(frames[5], 0u);
  memory().Unmap(range);
}

TEST_P(HostFramesContractTest, FlagsTellFramesThatThereAreFromThoseThatThereAreNot) {
  const HostRange range = MapResident();
  VMWIRE_ASSERT_OK_AND_ASSIGN(std::vector<uint64_t> frames, memory().Frames(range));
  frames.insert(frames.begin(), {0, uint64_t{1} << 40});

  const auto flags = memory().FrameFlags(frames);
  if (absl::IsPermissionDenied(flags.status()) || absl::IsUnavailable(flags.status())) {
    memory().Unmap(range);
    GTEST_SKIP() << flags.status();
  }
  ASSERT_THAT(flags, IsOk());

  ASSERT_EQ(flags->size(), kPages + 2);
  EXPECT_EQ((*flags)[0], 0u);
  EXPECT_EQ((*flags)[1], kFrameAbsent);
  for (size_t i = 2; i < flags->size(); ++i) {
    EXPECT_EQ((*flags)[i] & (kFrameAbsent | kFrameHugetlb), 0u) << i;
  }
  memory().Unmap(range);
}

TEST_P(HostFilesContractTest, LocksAreCountedByTheirBytes) {
  const HostRange range = Map();
  VMWIRE_ASSERT_OK_AND_ASSIGN(const ProcessPins before, memory().Pins());

  ASSERT_THAT(memory().Lock(*range.Slice(0, 3 * kPageSize)), IsOk());

  EXPECT_EQ(memory().Pins()->locked_bytes, before.locked_bytes + 3 * kPageSize);
  EXPECT_EQ(memory().Pins()->pinned_bytes, before.pinned_bytes);
  memory().Unlock(range);
  EXPECT_EQ(memory().Pins()->locked_bytes, before.locked_bytes);
  memory().Unmap(range);
}

}  // namespace
}  // namespace vmwire
