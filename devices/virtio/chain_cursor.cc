#include "devices/virtio/chain_cursor.h"

#include <algorithm>
#include <utility>

#include "memory/status_macros.h"

namespace vmwire {

absl::StatusOr<size_t> ChainCursor::Read(std::span<std::byte> out) {
  return Advance(out.size(), DmaDirection::kToDevice,
                 [out](DmaMapping& mapping, size_t done, size_t bytes) {
                   mapping.CopyTo(0, out.subspan(done, bytes));
                 });
}

absl::StatusOr<size_t> ChainCursor::Write(std::span<const std::byte> in) {
  return Advance(in.size(), DmaDirection::kFromDevice,
                 [in](DmaMapping& mapping, size_t done, size_t bytes) {
                   mapping.CopyFrom(0, in.subspan(done, bytes));
                 });
}

absl::StatusOr<size_t> ChainCursor::Advance(size_t size, DmaDirection direction, Copy copy) {
  size_t done = 0;
  while (done < size && index_ < buffers_.size()) {
    const VirtqueueBuffer& buffer = buffers_[index_];
    const auto bytes =
        static_cast<size_t>(std::min<uint64_t>(size - done, buffer.length - offset_));
    // Its first bytes are mapped with all the others, which is the check; later ones alone. The sum
    // cannot wrap: that was part of the check.
    const bool first = offset_ == 0;
    VMWIRE_ASSIGN_OR_RETURN(
        DmaMapping mapping,
        first ? port_.Map(buffer.address, buffer.length, direction)
              : port_.Map(GuestAddress(buffer.address.value() + offset_), bytes, direction));
    copy(mapping, done, bytes);
    done += bytes;
    offset_ += bytes;
    if (offset_ == buffer.length) {
      ++index_;
      offset_ = 0;
    }
  }
  return done;
}

}  // namespace vmwire
