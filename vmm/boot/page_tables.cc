#include "vmm/boot/page_tables.h"

#include <algorithm>
#include <array>
#include <cstddef>
#include <span>

#include "memory/status_macros.h"

namespace vmwire {
namespace {

constexpr uint64_t kEntries = 512;
constexpr uint64_t kPresent = uint64_t{1} << 0;
constexpr uint64_t kWritable = uint64_t{1} << 1;
constexpr uint64_t kUser = uint64_t{1} << 2;
constexpr uint64_t kLargePage = uint64_t{1} << 7;

constexpr uint64_t kMaxDirectories =
    (kMaxGuestMemory + kMmioHoleEnd.value() - kMmioHoleStart.value()) / kGiB;
static_assert(kMaxDirectories <= kEntries, "one PDPT must do");
static_assert(kPageTablesAddress.value() + (2 + kMaxDirectories) * kPageSize <=
              kLowMemoryEnd.value());

using Table = std::array<uint64_t, kEntries>;

// One directory maps 1 GiB.
uint64_t DirectoryCount(const GuestLayout& layout) {
  const uint64_t end = std::max(layout.top(), kMmioHoleEnd).value();
  return end / kGiB + (end % kGiB != 0 ? 1 : 0);
}

absl::Status WriteTable(const GuestMemory& memory, uint64_t index, const Table& table) {
  return memory.Write(GuestAddress(kPageTablesAddress.value() + index * kPageSize),
                      std::as_bytes(std::span(table)));
}

}  // namespace

uint64_t PageTablesSize(const GuestLayout& layout) {
  return (2 + DirectoryCount(layout)) * kPageSize;
}

absl::Status WritePageTables(const GuestLayout& layout, PageAccess access,
                             const GuestMemory& memory) {
  const uint64_t flags = kPresent | kWritable | (access == PageAccess::kUser ? kUser : 0);
  const uint64_t base = kPageTablesAddress.value();
  const uint64_t directories = DirectoryCount(layout);

  Table root = {};
  root[0] = (base + kPageSize) | flags;
  VMWIRE_RETURN_IF_ERROR(WriteTable(memory, 0, root));

  Table pointers = {};
  for (uint64_t i = 0; i < directories; ++i) pointers[i] = (base + (2 + i) * kPageSize) | flags;
  VMWIRE_RETURN_IF_ERROR(WriteTable(memory, 1, pointers));

  for (uint64_t i = 0; i < directories; ++i) {
    Table directory;
    for (uint64_t j = 0; j < kEntries; ++j) {
      directory[j] = (i * kEntries + j) * kHugePageSize | flags | kLargePage;
    }
    VMWIRE_RETURN_IF_ERROR(WriteTable(memory, 2 + i, directory));
  }
  return absl::OkStatus();
}

}  // namespace vmwire
