// What boot code and devices see of guest memory: bytes at guest addresses, checked for bounds and
// rights here and nowhere else.
//
// An access is whole or not at all: every byte of it is looked up and its rights are checked before
// the first is copied.
//
// Invariants: no pointer into guest memory leaves this class but for the duration of a ForEachSpan
// callback.
// Thread safety: thread-safe; takes no lock where the map has translations (below 2^47). The guest
// may write the bytes at any time; what is read is a copy, to be checked as a copy. A callback of
// ForEachSpan must not change the map, nor wait: removals wait for it.
#ifndef VMWIRE_MEMORY_GUEST_MEMORY_H_
#define VMWIRE_MEMORY_GUEST_MEMORY_H_

#include <cstddef>
#include <cstdint>
#include <functional>
#include <span>
#include <type_traits>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "memory/address.h"
#include "memory/protection.h"
#include "memory/status_macros.h"
#include "memory/vm_map.h"

namespace vmwire {

class GuestMemory {
 public:
  // REQUIRES: `map` outlives this object.
  explicit GuestMemory(const VmMap& map) : map_(map) {}

  // Copies `out.size()` bytes at `address` out of the guest; they may lie in several entries. Zero
  // bytes succeed. NotFound: a byte has no entry. PermissionDenied: an entry is not readable.
  // OutOfRange: the end wraps, or an entry reaches past its object's end.
  absl::Status Read(GuestAddress address, std::span<std::byte> out) const;

  // Copies `in` into the guest at `address`. Errors as Read; PermissionDenied if an entry is not
  // writable.
  absl::Status Write(GuestAddress address, std::span<const std::byte> in) const;

  // Sets `size` bytes at `address` to zero. Errors as Write.
  absl::Status Zero(GuestAddress address, uint64_t size) const;

  // One object of type T at `address`, of any alignment, in the guest's byte order (x86: ours).
  // Errors as Read and Write.
  template <typename T>
  absl::StatusOr<T> Load(GuestAddress address) const {
    static_assert(std::is_trivially_copyable_v<T>);
    T value;
    VMWIRE_RETURN_IF_ERROR(Read(address, std::as_writable_bytes(std::span<T, 1>(&value, 1))));
    return value;
  }
  template <typename T>
  absl::Status Store(GuestAddress address, const T& value) const {
    static_assert(std::is_trivially_copyable_v<T>);
    return Write(address, std::as_bytes(std::span<const T, 1>(&value, 1)));
  }

  // Calls `visit` with each piece of host memory behind [address, address + size), in ascending
  // order, once all of it has been checked for `access`. A span is valid only during its call.
  // Errors as Read and Write.
  absl::Status ForEachSpan(GuestAddress address, uint64_t size, Protection access,
                           const std::function<void(std::span<std::byte>)>& visit) const;

 private:
  const VmMap& map_;
};

}  // namespace vmwire

#endif  // VMWIRE_MEMORY_GUEST_MEMORY_H_
