#include "vmm/memory_slot.h"

#include "vmm/slot_table.h"

namespace vmwire {

MemorySlot::MemorySlot(MemorySlot&& other) noexcept
    : table_(std::exchange(other.table_, nullptr)),
      id_(other.id_),
      read_only_(other.read_only_),
      backing_(std::move(other.backing_)) {}

MemorySlot& MemorySlot::operator=(MemorySlot&& other) noexcept {
  if (this == &other) return *this;
  // The old slot goes before the assignment below releases its memory.
  DeleteSlot();
  table_ = std::exchange(other.table_, nullptr);
  id_ = other.id_;
  read_only_ = other.read_only_;
  backing_ = std::move(other.backing_);
  return *this;
}

// The members die after this body: the memory after its slot.
MemorySlot::~MemorySlot() { DeleteSlot(); }

void MemorySlot::DeleteSlot() {
  if (table_ == nullptr) return;
  std::exchange(table_, nullptr)->Delete(id_, range().start());
}

}  // namespace vmwire
