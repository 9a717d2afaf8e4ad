// Which pages of guest memory devices have written: a bit a page, taken and cleared by whoever
// copies memory while the guest runs.
//
// Invariants: a page that a mapping may have written is marked before the mapping is let go of, so
// that none is missed between two takes.
// Thread safety: thread-safe.
#ifndef VMWIRE_DEVICES_DIRTY_LOG_H_
#define VMWIRE_DEVICES_DIRTY_LOG_H_

#include <atomic>
#include <cstdint>
#include <vector>

#include "memory/page_range.h"

namespace vmwire {

class DirtyLog {
 public:
  // Of the pages of `range`, none of them dirty.
  explicit DirtyLog(const GuestRange& range);
  DirtyLog(const DirtyLog&) = delete;
  DirtyLog& operator=(const DirtyLog&) = delete;

  // The pages that [address, address + size) touches are dirty; what is outside of the range is
  // passed over. REQUIRES: the end does not wrap.
  void Mark(GuestAddress address, uint64_t size);

  // The addresses of the dirty pages, ascending, which are clean from now on. A page that is marked
  // meanwhile is in this list or in the next.
  std::vector<GuestAddress> Take();

 private:
  const GuestRange range_;
  std::vector<std::atomic<uint64_t>> words_;
};

}  // namespace vmwire

#endif  // VMWIRE_DEVICES_DIRTY_LOG_H_
