#include "vmm/firmware/memory_map.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <vector>

namespace vmwire {
namespace {

using testing::ElementsAre;

constexpr MemoryMapEntry kLow{GuestAddress(0), 0xa0000, MemoryType::kUsable};
constexpr MemoryMapEntry kTables{GuestAddress(0xe0000), 0x20000, MemoryType::kReserved};

std::vector<MemoryMapEntry> MapOf(uint64_t memory_bytes) {
  return MakeMemoryMap(GuestLayout::Create(memory_bytes, 46).value());
}

MemoryMapEntry Usable(uint64_t start, uint64_t size) {
  return {GuestAddress(start), size, MemoryType::kUsable};
}

TEST(MemoryMap, TheLeastMachineHasConventionalMemoryOnly) {
  EXPECT_THAT(MapOf(kMiB), ElementsAre(kLow, kTables));
}

TEST(MemoryMap, MemoryFromOneMiBIsOneEntry) {
  EXPECT_THAT(MapOf(64 * kMiB), ElementsAre(kLow, kTables, Usable(0x100000, 0x3f00000)));
}

TEST(MemoryMap, MemoryOfThreeGiBEndsAtTheHole) {
  EXPECT_THAT(MapOf(3 * kGiB), ElementsAre(kLow, kTables, Usable(0x100000, 0xbff00000)));
}

TEST(MemoryMap, AnotherPageIsAnEntryAboveTheHole) {
  EXPECT_THAT(MapOf(3 * kGiB + 4096), ElementsAre(kLow, kTables, Usable(0x100000, 0xbff00000),
                                                  Usable(0x100000000, 0x1000)));
}

TEST(MemoryMap, EightGiBGoOnAboveTheHole) {
  EXPECT_THAT(MapOf(8 * kGiB), ElementsAre(kLow, kTables, Usable(0x100000, 0xbff00000),
                                           Usable(0x100000000, 0x140000000)));
}

}  // namespace
}  // namespace vmwire
