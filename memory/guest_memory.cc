#include "memory/guest_memory.h"

#include <algorithm>
#include <cstring>
#include <optional>

#include "absl/strings/str_format.h"
#include "memory/status_macros.h"

namespace vmwire {
namespace {

struct Piece {
  const VmMapEntry* entry;
  GuestAddress start;
  uint64_t size;
};

absl::Status Denied(const VmMapEntry& entry, GuestAddress address, Protection access) {
  return absl::PermissionDeniedError(
      absl::StrFormat("access %s to guest address 0x%x is not allowed by entry %s",
                      ToString(access), address.value(), ToString(entry)));
}

// The part of [start, end) that the entry at `start` holds, once the entry is seen to allow
// `access`.
absl::StatusOr<Piece> FindPiece(const VmMap& map, GuestAddress start, GuestAddress end,
                                Protection access) {
  const VmMapEntry* entry = map.Lookup(start);
  if (entry == nullptr) {
    return absl::NotFoundError(
        absl::StrFormat("nothing is mapped at guest address 0x%x", start.value()));
  }
  if (!Allows(entry->protection, access)) return Denied(*entry, start, access);
  const GuestAddress piece_end = std::min(end, entry->range.end());
  return Piece{entry, start, piece_end.value() - start.value()};
}

// The host bytes of a piece; OutOfRange past the object's end.
absl::StatusOr<std::span<std::byte>> HostBytes(const Piece& piece) {
  const HostRange& host = piece.entry->object->host_range();
  const uint64_t offset = piece.entry->OffsetOf(piece.start);
  if (offset > host.size() || piece.size > host.size() - offset) {
    return absl::OutOfRangeError(
        absl::StrFormat("guest address 0x%x lies past the end of its object, entry %s",
                        piece.start.value(), ToString(*piece.entry)));
  }
  return std::span<std::byte>(HostPointer(host.start()) + offset, piece.size);
}

// Calls `visit` with each piece's bytes. Stops at the first error.
template <typename Visit>
absl::Status WalkPieces(const VmMap& map, GuestAddress start, GuestAddress end, Protection access,
                        Visit visit) {
  while (start < end) {
    VMWIRE_ASSIGN_OR_RETURN(const Piece piece, FindPiece(map, start, end, access));
    VMWIRE_ASSIGN_OR_RETURN(const std::span<std::byte> bytes, HostBytes(piece));
    visit(bytes);
    start = GuestAddress(start.value() + piece.size);
  }
  return absl::OkStatus();
}

}  // namespace

absl::Status GuestMemory::ForEachSpan(
    GuestAddress address, uint64_t size, Protection access,
    const std::function<void(std::span<std::byte>)>& visit) const {
  const std::optional<GuestAddress> end = address.CheckedAdd(size);
  if (!end.has_value()) {
    return absl::OutOfRangeError(
        absl::StrFormat("guest range 0x%x+0x%x wraps", address.value(), size));
  }
  VMWIRE_RETURN_IF_ERROR(WalkPieces(map_, address, *end, access, [](std::span<std::byte>) {}));
  return WalkPieces(map_, address, *end, access, visit);
}

absl::Status GuestMemory::Read(GuestAddress address, std::span<std::byte> out) const {
  return ForEachSpan(address, out.size(), Protection::kRead, [&out](std::span<std::byte> bytes) {
    std::memcpy(out.data(), bytes.data(), bytes.size());
    out = out.subspan(bytes.size());
  });
}

absl::Status GuestMemory::Write(GuestAddress address, std::span<const std::byte> in) const {
  return ForEachSpan(address, in.size(), Protection::kWrite, [&in](std::span<std::byte> bytes) {
    std::memcpy(bytes.data(), in.data(), bytes.size());
    in = in.subspan(bytes.size());
  });
}

absl::Status GuestMemory::Zero(GuestAddress address, uint64_t size) const {
  return ForEachSpan(address, size, Protection::kWrite, [](std::span<std::byte> bytes) {
    std::memset(bytes.data(), 0, bytes.size());
  });
}

}  // namespace vmwire
