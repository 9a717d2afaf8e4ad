#include "vmm/boot/page_tables.h"

#include <gtest/gtest.h>

#include <optional>

#include "tests/support/status_matchers.h"
#include "tests/vmm/boot/boot_memory.h"

namespace vmwire {
namespace {

struct Translation {
  uint64_t physical;
  bool writable;
  bool user;
  bool executable;
};

// Walks four levels as the CPU does, for 4 KiB, 2 MiB and 1 GiB pages; nullopt where it faults.
std::optional<Translation> Walk(const BootMemory& memory, uint64_t root, uint64_t address) {
  uint64_t table = root;
  Translation translation = {.physical = 0, .writable = true, .user = true, .executable = true};
  for (int shift = 39; shift >= 12; shift -= 9) {
    const uint64_t entry = memory.At<uint64_t>(table + (address >> shift & 511) * 8);
    if ((entry & 1) == 0) return std::nullopt;
    translation.writable = translation.writable && (entry >> 1 & 1) != 0;
    translation.user = translation.user && (entry >> 2 & 1) != 0;
    translation.executable = translation.executable && entry >> 63 == 0;
    const uint64_t frame = entry & 0x000ffffffffff000;
    if (shift == 12 || (shift < 39 && (entry >> 7 & 1) != 0)) {
      const uint64_t offset_mask = (uint64_t{1} << shift) - 1;
      EXPECT_EQ(frame & offset_mask, 0u) << "reserved bits are set";
      translation.physical = frame | (address & offset_mask);
      return translation;
    }
    table = frame;
  }
  return std::nullopt;
}

class PageTables : public ::testing::Test {
 protected:
  void Write(uint64_t memory_bytes, PageAccess access = PageAccess::kUser) {
    layout_ = *GuestLayout::Create(memory_bytes, 46);
    ASSERT_THAT(WritePageTables(*layout_, access, memory_.memory()), IsOk());
  }
  std::optional<Translation> At(uint64_t address) const {
    return Walk(memory_, kPageTablesAddress.value(), address);
  }
  void ExpectIdentity(uint64_t address) const {
    const std::optional<Translation> translation = At(address);
    ASSERT_TRUE(translation.has_value()) << std::hex << address;
    EXPECT_EQ(translation->physical, address);
    EXPECT_TRUE(translation->writable);
    EXPECT_TRUE(translation->executable);
  }

  BootMemory memory_{kMiB};
  std::optional<GuestLayout> layout_;
};

TEST_F(PageTables, SmallMemoryMapsFourGiBOneToOne) {
  Write(kMiB);
  for (uint64_t address = 0; address < 4 * kGiB; address += kHugePageSize) ExpectIdentity(address);
  ExpectIdentity(0x123456);
  ExpectIdentity(4 * kGiB - 1);
}

TEST_F(PageTables, NothingIsMappedAboveFourGiBOfSmallMemory) {
  Write(3 * kGiB);
  EXPECT_FALSE(At(4 * kGiB).has_value());
  EXPECT_FALSE(At(uint64_t{1} << 40).has_value());
  EXPECT_FALSE(At(uint64_t{1} << 47).has_value());
}

TEST_F(PageTables, MemoryAboveTheHoleIsMapped) {
  Write(3 * kGiB + kPageSize);
  ExpectIdentity(4 * kGiB);
  EXPECT_FALSE(At(5 * kGiB).has_value());
}

TEST_F(PageTables, TheMostMemoryIsMappedToItsEnd) {
  Write(128 * kGiB);
  ExpectIdentity(129 * kGiB - 1);
  EXPECT_FALSE(At(129 * kGiB).has_value());
}

TEST_F(PageTables, TheTablesOfTheMostMemoryEndBelowVideoMemory) {
  Write(128 * kGiB);
  const BootBlock tables = MakePageTables(*layout_, PageAccess::kUser);
  EXPECT_EQ(tables.bytes.size(), 131 * kPageSize);
  EXPECT_LE(tables.end(), kLowMemoryEnd);
  EXPECT_TRUE(memory_.IsZero(tables.end().value(), kPageSize));
}

TEST_F(PageTables, NothingBelowTheTablesIsWritten) {
  Write(kMiB);
  EXPECT_TRUE(memory_.IsZero(0, kPageTablesAddress.value()));
}

TEST_F(PageTables, UserMayAccessAUserMap) {
  Write(kMiB, PageAccess::kUser);
  EXPECT_TRUE(At(0x100000)->user);
}

TEST_F(PageTables, UserMayNotAccessASupervisorMap) {
  Write(kMiB, PageAccess::kSupervisor);
  EXPECT_FALSE(At(0x100000)->user);
}

}  // namespace
}  // namespace vmwire
