// Strong address types: a guest physical address cannot be taken for a host virtual one, nor for a
// size.
//
// Invariants: no operation wraps; what could is a function that returns an optional.
// Thread safety: values.
#ifndef VMWIRE_MEMORY_ADDRESS_H_
#define VMWIRE_MEMORY_ADDRESS_H_

#include <compare>
#include <cstdint>
#include <optional>

namespace vmwire {

// The page of vm_map_wire(9): 4096 bytes, whatever the host backs it with.
inline constexpr uint64_t kPageSize = 4096;
inline constexpr uint64_t kHugePageSize = uint64_t{2} << 20;

constexpr bool IsAligned(uint64_t value, uint64_t alignment) { return value % alignment == 0; }
constexpr uint64_t AlignDown(uint64_t value, uint64_t alignment) {
  return value - value % alignment;
}

// The next multiple of `alignment` at or above `value`; nullopt if that is beyond 64 bits.
constexpr std::optional<uint64_t> CheckedAlignUp(uint64_t value, uint64_t alignment) {
  const uint64_t rest = value % alignment;
  if (rest == 0) return value;
  if (value > UINT64_MAX - (alignment - rest)) return std::nullopt;
  return value + (alignment - rest);
}

// An address in the space that `Space` names. There is no implicit conversion and no operator+.
template <typename Space>
class Address {
 public:
  constexpr Address() = default;
  explicit constexpr Address(uint64_t value) : value_(value) {}

  constexpr uint64_t value() const { return value_; }

  // This address plus `bytes`; nullopt if that wraps.
  constexpr std::optional<Address> CheckedAdd(uint64_t bytes) const {
    if (value_ > UINT64_MAX - bytes) return std::nullopt;
    return Address(value_ + bytes);
  }

  // The bytes from `base` up to this address; nullopt if `base` is above it.
  constexpr std::optional<uint64_t> OffsetFrom(Address base) const {
    if (value_ < base.value_) return std::nullopt;
    return value_ - base.value_;
  }

  constexpr bool IsPageAligned() const { return IsAligned(value_, kPageSize); }

  friend constexpr auto operator<=>(Address, Address) = default;

 private:
  uint64_t value_ = 0;
};

// A guest physical address (GPA).
using GuestAddress = Address<struct GuestSpace>;
// A virtual address of this process (HVA).
using HostAddress = Address<struct HostSpace>;

}  // namespace vmwire

#endif  // VMWIRE_MEMORY_ADDRESS_H_
