// The token of a transfer: guest memory that a device may reach until the token goes. What is
// mapped is wired and held: it can neither move nor vanish under the transfer.
//
// A token's normal end is its death. If the device still has a transfer in flight there
// (BeginTransfer without EndTransfer), the memory goes to the quarantine of the port instead, and
// stays held until the device says that it is quiet.
//
// Invariants: pieces() are in the order of the guest's addresses, not empty, and add up to size();
// no piece leaves the range that was asked for.
// Thread safety: one thread uses a token at a time; it may be moved to, and may die in, any thread.
#ifndef VMWIRE_DEVICES_DMA_MAPPING_H_
#define VMWIRE_DEVICES_DMA_MAPPING_H_

#include <cstddef>
#include <cstdint>
#include <span>
#include <utility>
#include <vector>

#include "absl/container/inlined_vector.h"
#include "absl/types/span.h"
#include "memory/address.h"
#include "memory/held_range.h"
#include "memory/protection.h"

namespace vmwire {

class DmaPort;

enum class DmaDirection {
  kToDevice,    // The device reads guest memory.
  kFromDevice,  // The device writes it.
  kBoth,
};

// The rights that a mapping of `direction` needs.
constexpr Protection AccessOf(DmaDirection direction) {
  switch (direction) {
    case DmaDirection::kToDevice:
      return Protection::kRead;
    case DmaDirection::kFromDevice:
      return Protection::kWrite;
    case DmaDirection::kBoth:
      break;
  }
  return Protection::kRead | Protection::kWrite;
}

// Guest memory that is one piece on the host.
struct DmaPiece {
  // No registered buffer holds the piece, or not the whole of it.
  static constexpr int32_t kNoBuffer = -1;

  // The guest may write them at any time.
  std::span<std::byte> bytes;
  // Which registered buffer of the port's ring holds it (see DmaPort::AttachRing): for READ_FIXED
  // and WRITE_FIXED, which take the address of `bytes` as it is.
  int32_t buffer = kNoBuffer;
};

class [[nodiscard]] DmaMapping {
 public:
  using Pieces = absl::InlinedVector<DmaPiece, 1>;
  using Holds = absl::InlinedVector<HeldRange, 1>;

  DmaMapping(DmaMapping&& other) noexcept;
  DmaMapping& operator=(DmaMapping&& other) noexcept;
  DmaMapping(const DmaMapping&) = delete;
  DmaMapping& operator=(const DmaMapping&) = delete;
  // Lets go, or hands over to the quarantine; cannot fail. REQUIRES: the port is alive.
  ~DmaMapping() { Release(); }

  GuestAddress address() const { return address_; }
  uint64_t size() const { return size_; }
  DmaDirection direction() const { return direction_; }
  absl::Span<const DmaPiece> pieces() const { return pieces_; }

  // Copy from and to the memory, from `offset` of it on. REQUIRES: the bytes are inside; the
  // direction allows it.
  void CopyTo(uint64_t offset, std::span<std::byte> out) const;
  void CopyFrom(uint64_t offset, std::span<const std::byte> in);

  // The device wrote some of it. For mappings that live long: of others it is known when they end.
  // REQUIRES: the direction allows it.
  void MarkWritten();

  // A transfer, by somebody else than this thread (the kernel, another thread), has begun and has
  // ended. They nest.
  void BeginTransfer() { ++transfers_; }
  void EndTransfer() { --transfers_; }
  bool InFlight() const { return transfers_ != 0; }

 private:
  friend class DmaPort;
  DmaMapping(DmaPort* port, GuestAddress address, uint64_t size, DmaDirection direction,
             Pieces pieces, Holds holds)
      : port_(port),
        address_(address),
        size_(size),
        direction_(direction),
        pieces_(std::move(pieces)),
        holds_(std::move(holds)) {}
  void Release();

  DmaPort* port_;  // Null once moved from.
  GuestAddress address_;
  uint64_t size_;
  DmaDirection direction_;
  uint32_t transfers_ = 0;
  Pieces pieces_;
  Holds holds_;  // Empty of a fake port.
};

}  // namespace vmwire

#endif  // VMWIRE_DEVICES_DMA_MAPPING_H_
