// A half-open run of whole pages in the guest physical or the host virtual address space.
//
// Invariants: never empty, page-aligned at both ends, and its end does not wrap. A range that
// breaks this cannot be built.
// Thread safety: values.
#ifndef VMWIRE_MEMORY_PAGE_RANGE_H_
#define VMWIRE_MEMORY_PAGE_RANGE_H_

#include <algorithm>
#include <compare>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/str_format.h"
#include "memory/address.h"
#include "memory/check.h"

namespace vmwire {

template <typename AddressT>
class PageRange {
 public:
  // The range of `size` bytes from `start`.
  // InvalidArgument: an end is not page-aligned, or `size` is 0. OutOfRange: start + size is beyond
  // 64 bits.
  static absl::StatusOr<PageRange> Create(AddressT start, uint64_t size) {
    if (size == 0) {
      return absl::InvalidArgumentError(
          absl::StrFormat("the range at 0x%x is empty", start.value()));
    }
    if (!start.IsPageAligned() || !IsAligned(size, kPageSize)) {
      return absl::InvalidArgumentError(
          absl::StrFormat("the range 0x%x+0x%x is not page-aligned (a page is %d bytes)",
                          start.value(), size, kPageSize));
    }
    if (!start.CheckedAdd(size).has_value()) {
      return absl::OutOfRangeError(
          absl::StrFormat("the range 0x%x+0x%x ends beyond 64 bits", start.value(), size));
    }
    return PageRange(start, size);
  }

  // The range [start, end). InvalidArgument: as above, or the ends are inverted.
  static absl::StatusOr<PageRange> FromBounds(AddressT start, AddressT end) {
    const std::optional<uint64_t> size = end.OffsetFrom(start);
    if (!size.has_value()) {
      return absl::InvalidArgumentError(
          absl::StrFormat("the range [0x%x, 0x%x) is inverted", start.value(), end.value()));
    }
    return Create(start, *size);
  }

  // The same for ends that the caller knows to be right; our own bug if they are not.
  // REQUIRES: start < end, both page-aligned.
  static PageRange Between(AddressT start, AddressT end) {
    VMWIRE_CHECK(start < end && start.IsPageAligned() && end.IsPageAligned(),
                 absl::StrFormat("[0x%x, 0x%x) is no page range", start.value(), end.value()));
    return PageRange(start, end.value() - start.value());
  }

  AddressT start() const { return start_; }
  AddressT end() const { return AddressT(start_.value() + size_); }
  uint64_t size() const { return size_; }
  uint64_t pages() const { return size_ / kPageSize; }

  bool Contains(AddressT address) const { return start_ <= address && address < end(); }
  bool Contains(const PageRange& other) const {
    return start_ <= other.start_ && other.end() <= end();
  }
  // Two ranges [a, b) and [c, d) overlap if and only if a < d and c < b.
  bool Overlaps(const PageRange& other) const {
    return start_ < other.end() && other.start_ < end();
  }

  // The pages that both have; nullopt if there are none.
  std::optional<PageRange> Intersect(const PageRange& other) const {
    const AddressT start = std::max(start_, other.start_);
    const AddressT end = std::min(this->end(), other.end());
    if (!(start < end)) return std::nullopt;
    return PageRange(start, end.value() - start.value());
  }

  // The `size` bytes from `offset` of this range.
  // InvalidArgument: empty or unaligned. OutOfRange: not wholly inside this range.
  absl::StatusOr<PageRange> Slice(uint64_t offset, uint64_t size) const {
    if (offset > size_ || size > size_ - offset) {
      return absl::OutOfRangeError(absl::StrFormat("0x%x+0x%x leaves the range %s of 0x%x bytes",
                                                   offset, size, ToString(), size_));
    }
    return Create(AddressT(start_.value() + offset), size);
  }

  // "[0x1000, 0x3000)"
  std::string ToString() const {
    return absl::StrFormat("[0x%x, 0x%x)", start_.value(), end().value());
  }

  friend auto operator<=>(const PageRange&, const PageRange&) = default;

 private:
  PageRange(AddressT start, uint64_t size) : start_(start), size_(size) {}

  AddressT start_;
  uint64_t size_;
};

using GuestRange = PageRange<GuestAddress>;
using HostRange = PageRange<HostAddress>;

// SAFETY: a host range is only ever made of an address that mmap gave; whoever holds the mapping
// may read and write it.
inline std::byte* HostPointer(HostAddress address) {
  return reinterpret_cast<std::byte*>(address.value());
}

}  // namespace vmwire

#endif  // VMWIRE_MEMORY_PAGE_RANGE_H_
