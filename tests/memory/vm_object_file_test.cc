// Objects of files that were made elsewhere (VmObject::FromFile).
#include <gtest/gtest.h>

#include <cerrno>
#include <cstdint>
#include <memory>

#include "memory/vm_object.h"
#include "tests/fakes/fake_host_memory.h"
#include "tests/fakes/journal.h"
#include "tests/support/status_matchers.h"

namespace vmwire {
namespace {

using absl::StatusCode;
using testing::HasSubstr;

constexpr uint64_t kSize = 8 * kPageSize;

class VmObjectFileTest : public testing::Test {
 protected:
  void SetUp() override {
    auto file = host_.CreateMemfd({.name = "made-elsewhere"});
    ASSERT_THAT(file, IsOk());
    file_ = *file;
    ASSERT_THAT(host_.ResizeFile(file_, kSize), IsOk());
    journal_.Clear();
  }
  void TearDown() override { host_.CloseFile(file_); }

  auto FromFile(MemoryBacking backing, uint64_t size) {
    return VmObject::FromFile(host_, file_, backing, size, GuestAddress(0));
  }

  Journal journal_;
  FakeHostMemory host_{journal_};
  int file_ = -1;
};

TEST_F(VmObjectFileTest, FileStaysTheCallersAndIsDuplicated) {
  {
    VMWIRE_ASSERT_OK_AND_ASSIGN(const auto object, FromFile(MemoryBacking::kMemfd, kSize));
    EXPECT_EQ(object->size(), kSize);
    EXPECT_EQ(object->backing(), MemoryBacking::kMemfd);
    EXPECT_EQ(host_.files(), 2u);
  }
  EXPECT_EQ(host_.files(), 1u);
  EXPECT_EQ(host_.mappings(), 0u);
}

TEST_F(VmObjectFileTest, GuestMemfdIsMappedAndItsPagesAreNotChosenHere) {
  VMWIRE_ASSERT_OK_AND_ASSIGN(const auto object, FromFile(MemoryBacking::kGuestMemfd, kSize));

  EXPECT_EQ(object->backing(), MemoryBacking::kGuestMemfd);
  EXPECT_EQ(object->page_bytes(), kPageSize);
  EXPECT_THAT(journal_.EntriesWith("huge"), testing::IsEmpty());
  EXPECT_THAT(journal_.EntriesWith("no-huge"), testing::IsEmpty());
  EXPECT_EQ(journal_.EntriesWith("dont-fork").size(), 1u);
}

TEST_F(VmObjectFileTest, PartOfTheFileMayBeMapped) {
  VMWIRE_ASSERT_OK_AND_ASSIGN(const auto object, FromFile(MemoryBacking::kMemfd, 3 * kPageSize));

  EXPECT_EQ(object->pages().size(), 3u);
}

TEST_F(VmObjectFileTest, TwoObjectsOfOneFileAreTheSameBytes) {
  VMWIRE_ASSERT_OK_AND_ASSIGN(const auto first, FromFile(MemoryBacking::kMemfd, kSize));
  VMWIRE_ASSERT_OK_AND_ASSIGN(const auto second, FromFile(MemoryBacking::kMemfd, kSize));

  *HostPointer(first->host_range().start()) = std::byte{7};

  EXPECT_EQ(*HostPointer(second->host_range().start()), std::byte{7});
}

TEST_F(VmObjectFileTest, SizeThatTheFileHasNotIsInvalidArgument) {
  for (const uint64_t size : {uint64_t{0}, kPageSize + 1, kSize + kPageSize}) {
    EXPECT_THAT(FromFile(MemoryBacking::kMemfd, size),
                StatusIs(StatusCode::kInvalidArgument, HasSubstr("a file of 32768 bytes")))
        << size;
  }
  EXPECT_EQ(host_.files(), 1u);
}

TEST_F(VmObjectFileTest, MemoryWithoutAFileIsInvalidArgument) {
  EXPECT_THAT(FromFile(MemoryBacking::kAnonymous, kSize),
              StatusIs(StatusCode::kInvalidArgument, HasSubstr("anonymous")));
  EXPECT_THAT(FromFile(MemoryBacking::kSimulated, kSize),
              StatusIs(StatusCode::kInvalidArgument, HasSubstr("simulated")));
}

TEST_F(VmObjectFileTest, FileThatIsSealedAgainstMappingIsPermissionDenied) {
  ASSERT_THAT(host_.SealFile(file_, {.discard = true}), IsOk());

  EXPECT_THAT(FromFile(MemoryBacking::kMemfd, kSize), StatusIs(StatusCode::kPermissionDenied));
  EXPECT_EQ(host_.files(), 1u);
}

TEST_F(VmObjectFileTest, DiscardOfASealedFileIsTheHostsError) {
  VMWIRE_ASSERT_OK_AND_ASSIGN(const auto object, FromFile(MemoryBacking::kMemfd, kSize));
  ASSERT_THAT(host_.SealFile(file_, {.discard = true}), IsOk());

  EXPECT_THAT(object->Discard({0, 1}), StatusIs(StatusCode::kPermissionDenied));
}

TEST_F(VmObjectFileTest, DiscardPunchesTheFileForEverybody) {
  VMWIRE_ASSERT_OK_AND_ASSIGN(const auto first, FromFile(MemoryBacking::kMemfd, kSize));
  VMWIRE_ASSERT_OK_AND_ASSIGN(const auto second, FromFile(MemoryBacking::kMemfd, kSize));
  std::byte* const byte = HostPointer(second->host_range().start()) + 2 * kPageSize;
  *byte = std::byte{7};

  ASSERT_THAT(first->Discard({2, 3}), IsOk());

  EXPECT_EQ(*byte, std::byte{0});
}

}  // namespace
}  // namespace vmwire
