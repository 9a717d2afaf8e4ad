// Bytes that a start needs in guest memory, and where.
//
// Invariants: none.
// Thread safety: values.
#ifndef VMWIRE_VMM_BOOT_BOOT_BLOCK_H_
#define VMWIRE_VMM_BOOT_BOOT_BLOCK_H_

#include <cstddef>
#include <vector>

#include "memory/address.h"

namespace vmwire {

struct BootBlock {
  GuestAddress address;
  std::vector<std::byte> bytes;

  GuestAddress end() const { return GuestAddress(address.value() + bytes.size()); }
};

}  // namespace vmwire

#endif  // VMWIRE_VMM_BOOT_BOOT_BLOCK_H_
