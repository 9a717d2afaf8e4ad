#include "vmm/page_walk.h"

#include <array>
#include <cstddef>
#include <span>

#include "absl/strings/str_format.h"
#include "memory/address.h"
#include "vmm/cpu_mode.h"
#include "vmm/guest_layout.h"

namespace vmwire {
namespace {

// Bits of an entry (Intel SDM volume 3, 4.3 to 4.5).
constexpr uint64_t kPresent = uint64_t{1} << 0;
constexpr uint64_t kWritable = uint64_t{1} << 1;
constexpr uint64_t kUser = uint64_t{1} << 2;
constexpr uint64_t kAccessed = uint64_t{1} << 5;
constexpr uint64_t kDirty = uint64_t{1} << 6;
constexpr uint64_t kLarge = uint64_t{1} << 7;
constexpr uint64_t kGlobal = uint64_t{1} << 8;
constexpr uint64_t kNoExecute = uint64_t{1} << 63;
constexpr uint64_t kWideAddress = 0x000f'ffff'ffff'f000;
constexpr uint64_t kNarrowAddress = 0xffff'f000;

// One level of tables: the bits of the linear address that choose the entry.
struct Level {
  const char* table;
  int shift;
  int bits;
  bool may_be_page;
  bool has_rights;
};

constexpr std::array<Level, 5> kLongLevels = {{{"PML5", 48, 9, false, true},
                                               {"PML4", 39, 9, false, true},
                                               {"PDPT", 30, 9, true, true},
                                               {"PD", 21, 9, true, true},
                                               {"PT", 12, 9, false, true}}};
// The entries of the first table of PAE have no bits for rights (4.4.1).
constexpr std::array<Level, 3> kPaeLevels = {
    {{"PDPT", 30, 2, false, false}, {"PD", 21, 9, true, true}, {"PT", 12, 9, false, true}}};
constexpr std::array<Level, 2> k32BitLevels = {
    {{"PD", 22, 10, true, true}, {"PT", 12, 10, false, true}}};

std::span<const Level> LevelsOf(PagingMode mode) {
  switch (mode) {
    case PagingMode::kNone:
      break;
    case PagingMode::k32Bit:
      return k32BitLevels;
    case PagingMode::kPae:
      return kPaeLevels;
    case PagingMode::k4Level:
      return std::span(kLongLevels).subspan(1);
    case PagingMode::k5Level:
      return kLongLevels;
  }
  return {};
}

bool IsCanonical(uint64_t linear, PagingMode mode) {
  const int shift = mode == PagingMode::k5Level ? 64 - 57 : 64 - 48;
  return static_cast<uint64_t>(static_cast<int64_t>(linear << shift) >> shift) == linear;
}

std::optional<uint64_t> ReadEntry(uint64_t address, PagingMode mode, const GuestMemory& memory) {
  if (mode == PagingMode::k32Bit) {
    const absl::StatusOr<uint32_t> narrow = memory.Load<uint32_t>(GuestAddress(address));
    return narrow.ok() ? std::optional<uint64_t>(*narrow) : std::nullopt;
  }
  const absl::StatusOr<uint64_t> wide = memory.Load<uint64_t>(GuestAddress(address));
  return wide.ok() ? std::optional<uint64_t>(*wide) : std::nullopt;
}

uint64_t TableAt(uint64_t cr3, PagingMode mode) {
  if (mode == PagingMode::kPae) return cr3 & 0xffff'ffe0;
  return cr3 & (mode == PagingMode::k32Bit ? kNarrowAddress : kWideAddress);
}

// Where the page of `entry` begins, whose size is 1 << shift.
uint64_t PageAt(uint64_t entry, int shift, PagingMode mode) {
  const uint64_t mask = ~((uint64_t{1} << shift) - 1);
  if (mode != PagingMode::k32Bit) return entry & kWideAddress & mask;
  // Bits 13 to 20 of an entry for 4 MiB are bits 32 to 39 of the address (PSE-36; 4.3).
  const uint64_t high = shift == 22 ? (entry >> 13 & 0xff) << 32 : 0;
  return high | (entry & kNarrowAddress & mask);
}

void TakeRights(uint64_t entry, const kvm_sregs& sregs, PageWalk& walk) {
  walk.is_writable = walk.is_writable && (entry & kWritable) != 0;
  walk.is_user = walk.is_user && (entry & kUser) != 0;
  const bool has_nx =
      walk.mode != PagingMode::k32Bit && (sregs.efer & cpu_bits::kEferNoExecute) != 0;
  if (has_nx && (entry & kNoExecute) != 0) walk.is_executable = false;
}

void Land(uint64_t physical, const GuestMemory& memory, PageWalk& walk) {
  walk.physical = physical;
  walk.is_memory = memory.Load<uint8_t>(GuestAddress(physical)).ok();
}

std::string FlagsOf(uint64_t entry) {
  std::string flags = (entry & kPresent) != 0 ? "present" : "not present";
  if ((entry & kPresent) == 0) return flags;
  flags += (entry & kWritable) != 0 ? ", writable" : ", read-only";
  flags += (entry & kUser) != 0 ? ", user" : ", supervisor";
  if ((entry & kLarge) != 0) flags += ", bit 7";
  if ((entry & kGlobal) != 0) flags += ", global";
  if ((entry & kAccessed) != 0) flags += ", accessed";
  if ((entry & kDirty) != 0) flags += ", dirty";
  if ((entry & kNoExecute) != 0) flags += ", no execution";
  return flags;
}

std::string PlaceOf(uint64_t physical, bool is_memory) {
  if (is_memory) return "memory";
  const bool in_hole = physical >= kMmioHoleStart.value() && physical < kMmioHoleEnd.value();
  return in_hole ? "the MMIO hole: no memory" : "no memory";
}

}  // namespace

PagingMode PagingModeOf(const kvm_sregs& sregs) {
  if ((sregs.cr0 & cpu_bits::kCr0Paging) == 0) return PagingMode::kNone;
  if ((sregs.cr4 & cpu_bits::kCr4PhysicalAddressExtension) == 0) return PagingMode::k32Bit;
  if ((sregs.efer & cpu_bits::kEferLongModeActive) == 0) return PagingMode::kPae;
  return (sregs.cr4 & cpu_bits::kCr4FiveLevelPaging) != 0 ? PagingMode::k5Level
                                                          : PagingMode::k4Level;
}

std::string ToString(PagingMode mode) {
  switch (mode) {
    case PagingMode::kNone:
      return "paging off";
    case PagingMode::k32Bit:
      return "32-bit";
    case PagingMode::kPae:
      return "PAE";
    case PagingMode::k4Level:
      return "4-level";
    case PagingMode::k5Level:
      return "5-level";
  }
  return "unknown";
}

PageWalk WalkPages(uint64_t linear, const kvm_sregs& sregs, const GuestMemory& memory) {
  PageWalk walk;
  walk.linear = linear;
  walk.mode = PagingModeOf(sregs);
  walk.root = sregs.cr3;
  if (walk.mode == PagingMode::kNone) {
    Land(linear, memory, walk);
    return walk;
  }
  const bool is_long = walk.mode == PagingMode::k4Level || walk.mode == PagingMode::k5Level;
  if (is_long && !IsCanonical(linear, walk.mode)) {
    walk.why = "the address is not canonical";
    return walk;
  }
  const uint64_t entry_size = walk.mode == PagingMode::k32Bit ? 4 : 8;
  uint64_t table = TableAt(sregs.cr3, walk.mode);
  for (const Level& level : LevelsOf(walk.mode)) {
    const auto index =
        static_cast<uint32_t>(linear >> level.shift & ((uint64_t{1} << level.bits) - 1));
    PageWalkStep step{level.table, index, table + index * entry_size, std::nullopt};
    step.entry = ReadEntry(step.address, walk.mode, memory);
    walk.steps.push_back(step);
    if (!step.entry.has_value()) {
      walk.why = absl::StrFormat("there is no memory where the %s is", level.table);
      return walk;
    }
    const uint64_t entry = *step.entry;
    if ((entry & kPresent) == 0) {
      walk.why = absl::StrFormat("the %s entry is not present", level.table);
      return walk;
    }
    if (level.has_rights) TakeRights(entry, sregs, walk);
    const bool takes_large =
        walk.mode != PagingMode::k32Bit || (sregs.cr4 & cpu_bits::kCr4PageSizeExtension) != 0;
    const bool is_large = level.may_be_page && takes_large && (entry & kLarge) != 0;
    if (is_large || level.shift == 12) {
      walk.page_size = uint64_t{1} << level.shift;
      Land(PageAt(entry, level.shift, walk.mode) | (linear & (walk.page_size - 1)), memory, walk);
      return walk;
    }
    table = entry & (walk.mode == PagingMode::k32Bit ? kNarrowAddress : kWideAddress);
  }
  return walk;
}

std::string PageWalk::ToString(const std::string& name) const {
  std::string text =
      absl::StrFormat("  page walk of %s 0x%x (%s", name, linear, vmwire::ToString(mode));
  if (mode == PagingMode::kNone) {
    return text + absl::StrFormat("): %s\n", PlaceOf(linear, is_memory));
  }
  absl::StrAppendFormat(&text, ", CR3 0x%x):\n", root);
  for (const PageWalkStep& step : steps) {
    absl::StrAppendFormat(&text, "    %-4s[%d] at 0x%x: ", step.table, step.index, step.address);
    if (!step.entry.has_value()) {
      text += "cannot be read\n";
      continue;
    }
    absl::StrAppendFormat(&text, "%016x %s\n", *step.entry, FlagsOf(*step.entry));
  }
  if (!physical.has_value()) return text + absl::StrFormat("    ends: %s\n", why);
  absl::StrAppendFormat(&text, "    guest physical 0x%x in a page of %d KiB (%s, %s%s): %s\n",
                        *physical, page_size / 1024, is_writable ? "writable" : "read-only",
                        is_user ? "user" : "supervisor", is_executable ? "" : ", no execution",
                        PlaceOf(*physical, is_memory));
  return text;
}

}  // namespace vmwire
