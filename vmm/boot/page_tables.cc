#include "vmm/boot/page_tables.h"

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <vector>

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
static_assert(sizeof(Table) == kPageSize);

// One directory maps 1 GiB.
uint64_t DirectoryCount(const GuestLayout& layout) {
  const uint64_t end = std::max(layout.top(), kMmioHoleEnd).value();
  return end / kGiB + (end % kGiB != 0 ? 1 : 0);
}

void PutTable(uint64_t index, const Table& table, BootBlock& tables) {
  std::memcpy(tables.bytes.data() + index * kPageSize, table.data(), sizeof(table));
}

}  // namespace

BootBlock MakePageTables(const GuestLayout& layout, PageAccess access) {
  const uint64_t flags = kPresent | kWritable | (access == PageAccess::kUser ? kUser : 0);
  const uint64_t base = kPageTablesAddress.value();
  const uint64_t directories = DirectoryCount(layout);
  BootBlock tables{.address = kPageTablesAddress,
                   .bytes = std::vector<std::byte>((2 + directories) * kPageSize)};

  Table root = {};
  root[0] = (base + kPageSize) | flags;
  PutTable(0, root, tables);

  Table pointers = {};
  for (uint64_t i = 0; i < directories; ++i) pointers[i] = (base + (2 + i) * kPageSize) | flags;
  PutTable(1, pointers, tables);

  for (uint64_t i = 0; i < directories; ++i) {
    Table directory;
    for (uint64_t j = 0; j < kEntries; ++j) {
      directory[j] = (i * kEntries + j) * kHugePageSize | flags | kLargePage;
    }
    PutTable(2 + i, directory, tables);
  }
  return tables;
}

absl::Status WritePageTables(const GuestLayout& layout, PageAccess access,
                             const GuestMemory& memory) {
  const BootBlock tables = MakePageTables(layout, access);
  return memory.Write(tables.address, tables.bytes);
}

}  // namespace vmwire
