// The token of a hold: guest memory that stays where it is on the host, while a transfer runs.
//
// Invariants: while the token lives, the pages stay pinned in their frames, though they may be
// unwired meanwhile, and their entries cannot be removed; the host address stays valid.
// Thread safety: may be moved to and released in any thread.
#ifndef VMWIRE_MEMORY_HELD_RANGE_H_
#define VMWIRE_MEMORY_HELD_RANGE_H_

#include <cstddef>
#include <cstdint>
#include <span>
#include <utility>

#include "memory/hold_table.h"

namespace vmwire {

class [[nodiscard]] HeldRange {
 public:
  HeldRange(HeldRange&& other) noexcept
      : slot_(std::exchange(other.slot_, nullptr)), bytes_(other.bytes_) {}
  HeldRange& operator=(HeldRange&& other) noexcept {
    if (this != &other) {
      Release();
      slot_ = std::exchange(other.slot_, nullptr);
      bytes_ = other.bytes_;
    }
    return *this;
  }
  HeldRange(const HeldRange&) = delete;
  HeldRange& operator=(const HeldRange&) = delete;
  // Ends the hold; cannot fail. REQUIRES: no lock of memory/ is held; not inside a ReadGuard.
  ~HeldRange() { Release(); }

  // Gives the hold up to the caller, who is to end it with HoldTable::Release.
  HoldSlot* Detach() && { return std::exchange(slot_, nullptr); }

  // The bytes that are held. The guest may write them at any time.
  std::span<std::byte> bytes() const { return bytes_; }

 private:
  friend class VmMap;
  HeldRange(HoldSlot* slot, std::span<std::byte> bytes) : slot_(slot), bytes_(bytes) {}
  void Release() {
    if (slot_ != nullptr) HoldTable::Release(std::exchange(slot_, nullptr));
  }

  HoldSlot* slot_;  // Null once moved from.
  std::span<std::byte> bytes_;
};

}  // namespace vmwire

#endif  // VMWIRE_MEMORY_HELD_RANGE_H_
