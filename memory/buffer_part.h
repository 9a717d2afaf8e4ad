// The buffer half of a pinner: a table of registered io_uring buffers, which slots of it are free,
// and how a range is put into some of them.
//
// The table is made when the first slots are reserved, so that a pinner which pins nothing costs
// nothing. A small range is faulted in by its registration itself: a populate before it would be a
// second walk. A large one is populated first, since that can be done by several threads and
// stopped between chunks.
//
// Invariants: a slot is free, or reserved for one piece of one extent; a piece is kMaxBufferBytes
// but for the last of its extent.
// Thread safety: thread-safe. The mutex is a leaf, never held over a call of the host.
#ifndef VMWIRE_MEMORY_BUFFER_PART_H_
#define VMWIRE_MEMORY_BUFFER_PART_H_

#include <atomic>
#include <chrono>
#include <cstdint>
#include <optional>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "memory/host_memory.h"
#include "memory/mutex.h"
#include "memory/page_range.h"
#include "memory/pinner.h"
#include "memory/populate.h"
#include "memory/slot_list.h"

namespace vmwire {

struct BufferOptions {
  // How many buffers the table has room for. REQUIRES: 0 < slots <= kMaxBuffers.
  uint32_t slots = kMaxBuffers;
  // For how long after a Clear a refusal is tried again: kernels before the rework of io_uring's
  // resource nodes (Linux 6.1 is one) un-charge what was given back up to a second later.
  std::chrono::milliseconds late_unpin{2000};
};

class BufferPart {
 public:
  // REQUIRES: `host` outlives this object.
  BufferPart(HostMemory& host, const PopulateOptions& populate, const BufferOptions& options)
      : host_(host), populate_(populate), options_(options) {}
  BufferPart(const BufferPart&) = delete;
  BufferPart& operator=(const BufferPart&) = delete;
  // REQUIRES: every slot was given back.
  ~BufferPart();

  // Takes a slot for each piece of `range`, or none. Unimplemented: the host has no io_uring, or it
  // is switched off. ResourceExhausted: no slots, files or memory.
  absl::StatusOr<SlotList> Reserve(const HostRange& range) ABSL_LOCKS_EXCLUDED(mutex_);
  // Gives back slots that hold nothing.
  void Return(const SlotList& slots) ABSL_LOCKS_EXCLUDED(mutex_);

  // Faults `range` in and puts it into `slots`. Errors as Pinner::Pin, on which no slot holds
  // anything. REQUIRES: `slots` are those that Reserve gave for `range`, and hold nothing.
  absl::Status Fill(const HostRange& range, const SlotList& slots, const PinControl& control);
  // Empties `slots` and gives them back. REQUIRES: Fill filled them.
  void Clear(const SlotList& slots) ABSL_LOCKS_EXCLUDED(mutex_);

  uint64_t FreeSlots() const ABSL_LOCKS_EXCLUDED(mutex_);
  // The buffer that holds `address` of an extent at `host` in `slots`.
  PinnedBuffer BufferAt(const HostRange& host, const SlotList& slots, HostAddress address) const;

 private:
  absl::Status CreateTableOnce();
  absl::Status FillPieces(const HostRange& range, const SlotList& slots, size_t& filled,
                          const PinControl& control);
  absl::Status FillSlot(const HostRange& piece, uint32_t slot, uint64_t done,
                        const PinControl& control);
  absl::Status Explain(const absl::Status& refused, const HostRange& piece, uint32_t slot,
                       const PinControl& control);
  HostAddress FirstRefusedPage(const HostRange& piece, uint32_t slot);
  bool MayBeChargedStill() const;

  HostMemory& host_;
  const PopulateOptions populate_;
  const BufferOptions options_;
  std::atomic<BufferTable> table_ = nullptr;
  // When a buffer was last cleared, by CoarseNow.
  std::atomic<int64_t> last_clear_ms_ = INT64_MIN / 2;
  mutable Mutex mutex_;
  // SlotList below used_ were taken at least once; those of them that are free again are in
  // released_.
  uint32_t used_ ABSL_GUARDED_BY(mutex_) = 0;
  std::vector<uint32_t> released_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace vmwire

#endif  // VMWIRE_MEMORY_BUFFER_PART_H_
