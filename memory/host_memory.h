// The seam to the host: every effect that memory/ has on the machine goes through here, one
// function a system call or two.
//
// The real one (host_memory_linux.h) is thin. The fake one of the tests keeps a journal, knows the
// kernel's rules, and can fail the n-th call; one contract test holds both to the same behaviour.
//
// Invariants: a call that fails has changed nothing, but where its comment says otherwise.
// Thread safety: every function may be called from any thread; calls on overlapping ranges are the
// caller's to order.
#ifndef VMWIRE_MEMORY_HOST_MEMORY_H_
#define VMWIRE_MEMORY_HOST_MEMORY_H_

#include <cstdint>
#include <optional>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "memory/page_range.h"

namespace vmwire {

enum class HostAdvice {
  kHugePages,    // MADV_HUGEPAGE: back with transparent huge pages where that can be done.
  kNoHugePages,  // MADV_NOHUGEPAGE
  kDontFork,  // MADV_DONTFORK: a child does not get this memory (pinned memory would be copied for
              // it).
  kPopulateWrite  // MADV_POPULATE_WRITE: fault every page in for writing, now.
};

struct HostMapRequest {
  uint64_t size = 0;  // Bytes; whole pages.
  uint64_t congruent_to =
      0;  // The mapping's address will be equal to this modulo 2 MiB, so that huge pages can map.
  std::optional<int>
      file;  // Shared mapping of this file from its start; private anonymous memory without.
};

// What the kernel says of a range.
struct HostUsage {
  uint64_t resident_bytes = 0;
  uint64_t huge_bytes = 0;    // Of those, in huge pages.
  uint64_t locked_bytes = 0;  // Of those, in mappings that are locked.
};

// A table of registered io_uring buffers. Each buffer that is set is a long-term pin of its pages.
using BufferTable = int;

// The kernel's limits of one registered buffer and of one table.
inline constexpr uint64_t kMaxBufferBytes = uint64_t{1} << 30;
inline constexpr uint32_t kMaxBuffers = 16384;

class HostMemory {
 public:
  virtual ~HostMemory() = default;

  // A new, empty memory file. `name` is what /proc/self/maps shows. ResourceExhausted: too many
  // files.
  virtual absl::StatusOr<int> CreateMemfd(const std::string& name) = 0;
  // ResourceExhausted or InvalidArgument: the host cannot make a file of `size` bytes.
  virtual absl::Status ResizeFile(int file, uint64_t size) = 0;
  virtual void CloseFile(int file) = 0;

  // Maps readable, writable memory; nothing is faulted in. ResourceExhausted: no address space or
  // memory left for it.
  virtual absl::StatusOr<HostRange> Map(const HostMapRequest& request) = 0;
  // REQUIRES: `range` is a whole mapping from Map.
  virtual void Unmap(const HostRange& range) = 0;

  // kPopulateWrite: ResourceExhausted: no memory, or none for some page. Unavailable: a signal
  // came, or the host asks to try again. A part may then be populated. Huge-page advice:
  // InvalidArgument if the kernel has no huge pages.
  virtual absl::Status Advise(const HostRange& range, HostAdvice advice) = 0;

  // Locks the mapping (mlock2 with MLOCK_ONFAULT): what is resident is locked now, the rest as it
  // is faulted in. Does not nest. ResourceExhausted: RLIMIT_MEMLOCK, or memory. PermissionDenied:
  // RLIMIT_MEMLOCK is 0. A part may then be locked.
  virtual absl::Status Lock(const HostRange& range) = 0;
  // Undoes every Lock of the range.
  virtual void Unlock(const HostRange& range) = 0;

  // An empty table of `slots` registered buffers. Unimplemented: the kernel has no io_uring or no
  // sparse tables. PermissionDenied: io_uring is switched off. REQUIRES: 0 < slots <= kMaxBuffers.
  virtual absl::StatusOr<BufferTable> CreateBufferTable(uint32_t slots) = 0;
  virtual void DestroyBufferTable(BufferTable table) = 0;
  // Puts `range` into an empty slot of the table: pins it. ResourceExhausted: RLIMIT_MEMLOCK, which
  // counts registered buffers apart from locks and per user. REQUIRES: range.size() <=
  // kMaxBufferBytes.
  virtual absl::Status SetBuffer(BufferTable table, uint32_t slot, const HostRange& range) = 0;
  // Empties the slot: unpins. (Linux 6.1 and its like unpin and un-charge up to a second later.)
  virtual void ClearBuffer(BufferTable table, uint32_t slot) = 0;

  // What is resident, huge and locked of the mappings that lie wholly inside `range`.
  virtual absl::StatusOr<HostUsage> Usage(const HostRange& range) const = 0;
};

}  // namespace vmwire

#endif  // VMWIRE_MEMORY_HOST_MEMORY_H_
