// The seam to the host: every effect that memory/ has on the machine goes through here, one
// function a system call or two.
//
// The real one (host_memory_linux.h) is thin. The fake one of the tests keeps a journal, knows the
// kernel's rules, and can fail the n-th call; one contract test holds both to the same behaviour.
//
// Invariants: a call that fails has changed nothing, but where its comment says otherwise. A call
// that succeeds allocates nothing for its status.
// Thread safety: every function may be called from any thread; calls on overlapping ranges, on one
// file or on one slot of a buffer table are the caller's to order.
#ifndef VMWIRE_MEMORY_HOST_MEMORY_H_
#define VMWIRE_MEMORY_HOST_MEMORY_H_

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "memory/page_range.h"

namespace vmwire {

enum class HostAdvice {
  kHugePages,    // MADV_HUGEPAGE: back with transparent huge pages where that can be done.
  kNoHugePages,  // MADV_NOHUGEPAGE
  kDontFork,  // MADV_DONTFORK: a child does not get this memory (pinned memory would be copied for
              // it).
  kPopulateWrite  // MADV_POPULATE_WRITE: fault every page in for writing, now.
};

// The larger of the two sizes of hugetlb pages; the other is kHugePageSize.
inline constexpr uint64_t kGigaPageSize = uint64_t{1} << 30;

struct MemfdRequest {
  std::string name;              // What /proc/self/maps shows.
  uint64_t huge_page_bytes = 0;  // Of hugetlb pages: kHugePageSize or kGigaPageSize. 0: a file of
                                 // small pages.
};

struct HostMapRequest {
  uint64_t size = 0;  // Bytes; whole pages of page_bytes.
  // The mapping's address will be equal to this modulo 2 MiB, or page_bytes where that is more, so
  // that huge pages can map.
  uint64_t congruent_to = 0;
  // Shared mapping of this file from its start; private anonymous memory without.
  std::optional<int> file = {};
  // The size of the file's pages: more than kPageSize for a hugetlb file, whose pages are then
  // reserved here, for the whole mapping, so that no fault in it lacks one.
  uint64_t page_bytes = kPageSize;
};

// What a file is sealed against, for good.
struct FileSeals {
  bool resize = false;   // F_SEAL_SHRINK and F_SEAL_GROW.
  bool discard = false;  // F_SEAL_FUTURE_WRITE: no hole is punched and no writable mapping made
                         // from now on; those that exist stay writable.
};

// A place in a file.
struct FilePlace {
  int file = -1;
  uint64_t offset = 0;
};

// What the kernel says of a range.
struct HostUsage {
  uint64_t resident_bytes = 0;
  uint64_t huge_bytes = 0;    // Of those, in huge pages.
  uint64_t locked_bytes = 0;  // Of those, in mappings that are locked. Hugetlb pages never are.
};

// What this process has locked and pinned: VmLck and VmPin of /proc/self/status.
struct ProcessPins {
  uint64_t locked_bytes = 0;
  uint64_t pinned_bytes = 0;
};

// Bits of FrameFlags (the kernel's Documentation/admin-guide/mm/pagemap.rst).
inline constexpr uint64_t kFrameHugetlb = uint64_t{1} << 17;
inline constexpr uint64_t kFrameUnevictable = uint64_t{1} << 18;
inline constexpr uint64_t kFrameAbsent = uint64_t{1} << 20;  // There is no such frame.
inline constexpr uint64_t kFrameMerged = uint64_t{1} << 21;  // By KSM.
inline constexpr uint64_t kFrameTransparentHuge = uint64_t{1} << 22;

// A table of registered io_uring buffers. Each buffer that is set is a long-term pin of its pages.
// Opaque: each host derives from it what a table is there.
class BufferTableState {
 protected:
  ~BufferTableState() = default;
};
using BufferTable = BufferTableState*;

// The kernel's limits of one registered buffer and of one table.
inline constexpr uint64_t kMaxBufferBytes = uint64_t{1} << 30;
inline constexpr uint32_t kMaxBuffers = 16384;

class HostMemory {
 public:
  virtual ~HostMemory() = default;

  // Files. Each function REQUIRES: `file` is open.

  // A new, empty memory file that can be sealed. ResourceExhausted: too many files. Unimplemented:
  // the host has no hugetlb pages of that size. Costs nothing of a hugetlb pool yet.
  virtual absl::StatusOr<int> CreateMemfd(const MemfdRequest& request) = 0;
  // ResourceExhausted or InvalidArgument: the host cannot make a file of `size` bytes, or `size` is
  // not whole pages of a hugetlb file. PermissionDenied: it is sealed against that.
  virtual absl::Status ResizeFile(int file, uint64_t size) = 0;
  // In bytes.
  virtual absl::StatusOr<uint64_t> FileSize(int file) const = 0;
  // Cannot be undone; seals that are there stay. PermissionDenied: the file takes no seals.
  // InvalidArgument: it is no memory file, or the kernel lacks such a seal (F_SEAL_FUTURE_WRITE:
  // Linux 5.1).
  virtual absl::Status SealFile(int file, FileSeals seals) = 0;
  // Another descriptor of the same file, to be closed on its own. ResourceExhausted: too many.
  virtual absl::StatusOr<int> DuplicateFile(int file) = 0;
  virtual void CloseFile(int file) = 0;

  // Mappings.

  // Maps readable, writable memory; nothing is faulted in. ResourceExhausted: no address space or
  // memory left for it; too few free pages in the hugetlb pool (the message names the file under
  // /proc/sys or /sys that makes it larger). InvalidArgument: size or congruent_to is not whole
  // pages of page_bytes. FailedPrecondition: a file that cannot be mapped. PermissionDenied: the
  // file is sealed against new writable mappings. REQUIRES: page_bytes is that of the file.
  virtual absl::StatusOr<HostRange> Map(const HostMapRequest& request) = 0;
  // REQUIRES: `range` is a whole mapping from Map.
  virtual void Unmap(const HostRange& range) = 0;

  // kPopulateWrite: ResourceExhausted: no memory, or none for some page (one beyond the end of its
  // file, or broken). Unavailable: a signal came, or the host asks to try again. A part may then be
  // populated. Huge-page advice: InvalidArgument if the kernel has no huge pages.
  virtual absl::Status Advise(const HostRange& range, HostAdvice advice) = 0;

  // Gives the range's pages back to the host: it reads as zeroes from now on. `file` is what the
  // range maps: without, private anonymous memory (MADV_DONTNEED); with, a hole is punched into the
  // file at that place, whoever maps or locks it. Of a hugetlb file only whole pages are given
  // back, the rest is zeroed. PermissionDenied: the file is sealed against it. InvalidArgument:
  // anonymous memory that is locked; what lies before the locked page may then be gone.
  // Unavailable: a signal came. Pinned frames stay allocated, but no longer lie behind the range.
  virtual absl::Status Discard(const HostRange& range, std::optional<FilePlace> file) = 0;

  // Locks the mapping (mlock2 with MLOCK_ONFAULT): what is resident is locked now, the rest as it
  // is faulted in. Hugetlb pages are not locked, but faulted in. Does not nest. ResourceExhausted:
  // RLIMIT_MEMLOCK, or memory. PermissionDenied: RLIMIT_MEMLOCK is 0. Unavailable: a signal came,
  // or the host asks to try again. A part may then be locked.
  virtual absl::Status Lock(const HostRange& range) = 0;
  // Undoes every Lock of the range.
  virtual void Unlock(const HostRange& range) = 0;

  // Registered buffers.

  // An empty table of `slots` registered buffers. Unimplemented: the kernel has no io_uring or no
  // sparse tables. PermissionDenied: io_uring is switched off. ResourceExhausted: files or memory.
  // REQUIRES: 0 < slots <= kMaxBuffers.
  virtual absl::StatusOr<BufferTable> CreateBufferTable(uint32_t slots) = 0;
  // A new table with as many slots and the buffers that `table` has now, which share its pins and
  // its charge: a page stays pinned until both tables let it go. Unimplemented: a kernel before
  // Linux 6.12. ResourceExhausted, PermissionDenied: as CreateBufferTable.
  virtual absl::StatusOr<BufferTable> CloneBufferTable(BufferTable table) = 0;
  // Puts the buffer in slot `from_slot` of `from` into the empty slot `to_slot` of `to`, another
  // table: the two share its pins and its charge; a page stays pinned until both let it go. Takes
  // about 1 ns for each slot of `to`, beyond what the call costs. Unimplemented: a kernel before
  // Linux 6.13. ResourceExhausted: memory. REQUIRES: from_slot holds a buffer; to_slot is in `to`.
  virtual absl::Status ShareBuffer(BufferTable from, uint32_t from_slot, BufferTable to,
                                   uint32_t to_slot) = 0;
  // Gives the io_uring behind the descriptor `ring`, which is a device's own, the buffers that
  // `table` has now, in slots of the same numbers: for transfers of its own (READ_FIXED,
  // WRITE_FIXED). Pins and charge are shared, as by CloneBufferTable; errors as there.
  // AlreadyExists: the ring has buffers. REQUIRES: ClearRing before the ring is closed.
  virtual absl::Status CloneIntoRing(BufferTable table, int ring) = 0;
  // Takes them from the ring again. REQUIRES: CloneIntoRing gave them; no transfer of it runs.
  virtual void ClearRing(int ring) = 0;
  // Lets go of every buffer that is set. REQUIRES: no transfer runs.
  virtual void DestroyBufferTable(BufferTable table) = 0;

  // Puts `range` into an empty slot of the table: faults it in for writing and pins it.
  // ResourceExhausted: RLIMIT_MEMLOCK, which counts registered buffers apart from locks and per
  // user; or memory. FailedPrecondition: some page is not mapped, is beyond the end of its file, or
  // cannot be pinned; or the range is larger than kMaxBufferBytes. InvalidArgument: no such slot.
  // Unavailable: a signal came, or the host asks to try again. Takes no lock of this process.
  virtual absl::Status SetBuffer(BufferTable table, uint32_t slot, const HostRange& range) = 0;
  // The same for the slots from `first_slot` on, one a range, in one call: all of them, or none.
  // Errors as SetBuffer; `failed`, where not null, is then the index of the first range that could
  // not be pinned. REQUIRES: `ranges` is not empty; the slots are.
  virtual absl::Status SetBuffers(BufferTable table, uint32_t first_slot,
                                  absl::Span<const HostRange> ranges, size_t* failed) = 0;
  // Empties the slot: unpins. (Linux 6.1 and its like unpin and un-charge up to a second later.)
  virtual void ClearBuffer(BufferTable table, uint32_t slot) = 0;

  // Writes `bytes` to memory as a device does: through the frames that the buffer in `slot` has
  // pinned (READ_FIXED), whatever lies behind their addresses by now. `to` is the address that the
  // first byte had when the buffer was set. FailedPrecondition: the slot is empty, or the bytes are
  // not wholly inside its buffer. ResourceExhausted: no file or memory for the transfer. On failure
  // a part may be written. Transfers of one table wait for each other.
  virtual absl::Status TransferIn(BufferTable table, uint32_t slot, HostAddress to,
                                  absl::Span<const std::byte> bytes) = 0;
  // The same the other way (WRITE_FIXED): reads what a device would.
  virtual absl::Status TransferOut(BufferTable table, uint32_t slot, HostAddress from,
                                   absl::Span<std::byte> bytes) = 0;

  // Questions.

  // What is resident, huge and locked of the mappings that lie wholly inside `range`. Unavailable:
  // /proc cannot be read.
  virtual absl::StatusOr<HostUsage> Usage(const HostRange& range) const = 0;
  // For each page of `range` whether it is in memory (mincore): of a file, whether the file has it,
  // be it mapped here or not. Hugetlb and guest_memfd too. FailedPrecondition: a part is not
  // mapped.
  virtual absl::StatusOr<std::vector<bool>> Residency(const HostRange& range) const = 0;
  // For each page of `range` the number of the frame that its address leads to (pagemap); 0: none
  // now. PermissionDenied: the kernel tells frame numbers to CAP_SYS_ADMIN only. Unavailable: /proc
  // cannot be read.
  virtual absl::StatusOr<std::vector<uint64_t>> Frames(const HostRange& range) const = 0;
  // The kFrame* flags, and others, of each frame (kpageflags); 0 for frame 0. PermissionDenied: for
  // root only. Unavailable: /proc cannot be read.
  virtual absl::StatusOr<std::vector<uint64_t>> FrameFlags(
      absl::Span<const uint64_t> frames) const = 0;
  // Unimplemented: /proc is not mounted.
  virtual absl::StatusOr<ProcessPins> Pins() const = 0;
};

}  // namespace vmwire

#endif  // VMWIRE_MEMORY_HOST_MEMORY_H_
