// The token of a live KVM memory slot. It owns the backing that the slot was made of: guest memory
// that is wired, or that a policy says need not be.
//
// Invariants: while the token lives, the slot is live and its memory is held. Its end deletes the
// slot first and only then lets go of the memory: KVM would go on using what had been unmapped,
// without a complaint.
//
// Thread safety: as its SlotTable; a token may be moved between threads.
#ifndef VMWIRE_VMM_MEMORY_SLOT_H_
#define VMWIRE_VMM_MEMORY_SLOT_H_

#include <cstdint>
#include <utility>

#include "memory/page_range.h"
#include "memory/wire_policy.h"

namespace vmwire {

class SlotTable;

class [[nodiscard]] MemorySlot {
 public:
  MemorySlot(MemorySlot&& other) noexcept;
  MemorySlot& operator=(MemorySlot&& other) noexcept;
  MemorySlot(const MemorySlot&) = delete;
  MemorySlot& operator=(const MemorySlot&) = delete;
  // Deletes the slot, then releases the memory. If KVM refuses the deletion the process ends: the
  // guest would keep memory that is about to be given back.
  ~MemorySlot();

  uint32_t id() const { return id_; }
  const GuestRange& range() const { return RangeOf(backing_); }
  bool read_only() const { return read_only_; }
  // How much of it is wired, in bytes.
  uint64_t wired_bytes() const { return WiredBytesOf(backing_); }

 private:
  friend class SlotTable;
  MemorySlot(SlotTable* table, uint32_t id, bool read_only, SlotBacking backing)
      : table_(table), id_(id), read_only_(read_only), backing_(std::move(backing)) {}
  void DeleteSlot();

  SlotTable* table_;  // Null once moved from.
  uint32_t id_;
  bool read_only_;
  SlotBacking backing_;
};

}  // namespace vmwire

#endif  // VMWIRE_VMM_MEMORY_SLOT_H_
