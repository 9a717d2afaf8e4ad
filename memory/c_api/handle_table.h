// The handles of the C API: numbers that look like pointers, and lead to objects of one kind.
//
// A handle says its kind, the slot of its table, and which use of that slot it is: so a handle that
// was destroyed, or is of another kind, or was never given out, is found out. No handle is an
// address of this process: who follows one faults at once.
//
//   63..62 kind   61..24 which use of the slot, from 1 on   23..0 slot
//
// Invariants: a slot is used again only 2^38 times; chunks of slots are never freed.
// Thread safety: thread-safe; Find takes no lock. What Find gives is the caller's only as long as
// nobody destroys the handle.
#ifndef VMWIRE_MEMORY_C_API_HANDLE_TABLE_H_
#define VMWIRE_MEMORY_C_API_HANDLE_TABLE_H_

#include <array>
#include <atomic>
#include <cstdint>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "memory/mutex.h"

namespace vmwire {

enum class HandleKind : uint64_t { kMap = 1, kObject = 2 };

// True if `value` may be the address of something in user space that is aligned to `alignment`: a
// handle of a HandleTable never is.
inline bool MayBeAddress(const void* value, uint64_t alignment) {
  const auto address = reinterpret_cast<uintptr_t>(value);
  return address != 0 && (address >> 47) == 0 && address % alignment == 0;
}

// The table without the types.
class HandleSlots {
 public:
  explicit HandleSlots(HandleKind kind) : kind_(kind) {}
  HandleSlots(const HandleSlots&) = delete;
  HandleSlots& operator=(const HandleSlots&) = delete;

  // 0: there are as many handles as there can be. REQUIRES: `value` is not null.
  uint64_t Add(void* value);
  // Null: `handle` is not one of this table, or not any more.
  void* Find(uint64_t handle) const;
  // REQUIRES: Find(handle) is not null.
  void Remove(uint64_t handle);

 private:
  static constexpr uint64_t kKindShift = 62;
  static constexpr uint64_t kUseShift = 24;
  static constexpr uint64_t kMaxSlots = uint64_t{1} << kUseShift;
  static constexpr uint64_t kUseMask = (uint64_t{1} << (kKindShift - kUseShift)) - 1;
  static constexpr uint64_t kChunkSlots = 4096;

  struct Slot {
    std::atomic<uint64_t> handle = 0;  // 0: free.
    std::atomic<void*> value = nullptr;
    uint64_t uses = 0;  // Guarded by the table's mutex.
  };
  struct Chunk {
    std::array<Slot, kChunkSlots> slots;
  };

  Slot* SlotAt(uint64_t index) const;

  const HandleKind kind_;
  std::array<std::atomic<Chunk*>, kMaxSlots / kChunkSlots> chunks_ = {};
  Mutex mutex_;
  uint64_t slots_ ABSL_GUARDED_BY(mutex_) = 0;  // How many were ever in use: the first ones.
  std::vector<uint32_t> free_ ABSL_GUARDED_BY(mutex_);
};

// `Handle` is the C API's pointer type, `T` what it leads to.
template <typename Handle, typename T>
class HandleTable {
 public:
  explicit HandleTable(HandleKind kind) : slots_(kind) {}

  // Null: there are as many handles as there can be.
  Handle Add(T* value) { return reinterpret_cast<Handle>(slots_.Add(value)); }
  T* Find(Handle handle) const {
    return static_cast<T*>(slots_.Find(reinterpret_cast<uint64_t>(handle)));
  }
  void Remove(Handle handle) { slots_.Remove(reinterpret_cast<uint64_t>(handle)); }

 private:
  HandleSlots slots_;
};

}  // namespace vmwire

#endif  // VMWIRE_MEMORY_C_API_HANDLE_TABLE_H_
