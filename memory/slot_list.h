// The slots of a buffer table that one extent has: nearly always one, and then nothing is
// allocated. (absl::InlinedVector of a plain type makes GCC 12 warn of what is not there.)
//
// Invariants: keeps the order in which they were added.
// Thread safety: a value.
#ifndef VMWIRE_MEMORY_SLOT_LIST_H_
#define VMWIRE_MEMORY_SLOT_LIST_H_

#include <cstddef>
#include <cstdint>
#include <vector>

namespace vmwire {

class SlotList {
 public:
  using value_type = uint32_t;
  using const_iterator = const uint32_t*;

  SlotList() = default;

  bool empty() const { return size() == 0; }
  size_t size() const { return many_.empty() ? one_count_ : many_.size(); }
  const_iterator begin() const { return many_.empty() ? &one_ : many_.data(); }
  const_iterator end() const { return begin() + size(); }
  // REQUIRES: index < size().
  uint32_t operator[](size_t index) const { return begin()[index]; }

  void Add(uint32_t slot) {
    if (empty()) {
      one_ = slot;
      one_count_ = 1;
      return;
    }
    if (many_.empty()) many_.push_back(one_);
    many_.push_back(slot);
    one_count_ = 0;
  }

 private:
  // The only slot, or all of them if there are more.
  uint32_t one_ = 0;
  uint32_t one_count_ = 0;
  std::vector<uint32_t> many_;
};

}  // namespace vmwire

#endif  // VMWIRE_MEMORY_SLOT_LIST_H_
