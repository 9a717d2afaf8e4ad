// Guest memory for tests of vmm/boot: a map on the fake host with memory from address 0.
//
// Thread safety: thread-compatible.
#ifndef VMWIRE_TESTS_VMM_BOOT_BOOT_MEMORY_H_
#define VMWIRE_TESTS_VMM_BOOT_BOOT_MEMORY_H_

#include <gtest/gtest.h>

#include <cstdint>
#include <vector>

#include "memory/guest_memory.h"
#include "tests/support/map_fixture.h"

namespace vmwire {

class BootMemory {
 public:
  explicit BootMemory(uint64_t bytes) : map_({.end_page = bytes / kPageSize}) {
    map_.Add(0, bytes / kPageSize);
  }

  const GuestMemory& memory() const { return memory_; }

  // The object at `address`, which must be in memory.
  template <typename T>
  T At(uint64_t address) const {
    const absl::StatusOr<T> value = memory_.Load<T>(GuestAddress(address));
    EXPECT_TRUE(value.ok()) << value.status();
    return value.ok() ? *value : T{};
  }

  // True if all `size` bytes from `address` are zero.
  bool IsZero(uint64_t address, uint64_t size) const {
    std::vector<std::byte> bytes(size);
    const absl::Status read = memory_.Read(GuestAddress(address), bytes);
    EXPECT_TRUE(read.ok()) << read;
    for (std::byte byte : bytes) {
      if (byte != std::byte{0}) return false;
    }
    return true;
  }

 private:
  TestMap map_;
  GuestMemory memory_{map_.map()};
};

}  // namespace vmwire

#endif  // VMWIRE_TESTS_VMM_BOOT_BOOT_MEMORY_H_
