// HostMemory without the host's pins: real address space behind it, so that bytes can be written,
// but frames, locks, registered buffers and residency are only remembered, by the kernel's rules.
//
// The rules that it knows: locks do not nest, and one Unlock undoes them all; a Lock over
// RLIMIT_MEMLOCK locks nothing; a lock counts each page once; a registered buffer faults in and is
// charged, also for pages that another has, but a clone of it is not; a mapping is unmapped whole;
// an unmapped range can be neither advised, locked nor registered; anonymous pages that are locked
// cannot be discarded, those of a file can; a transfer goes to the frames that the buffer has, and
// is lost where the address leads to others by now; a hugetlb file takes whole pages from a pool
// when it is mapped; a sealed file is neither resized, punched nor mapped.
//
// Its files are in three parts: mappings and files, buffers, and questions.
//
// Invariants: at its death nothing is mapped, open or registered, or the test fails.
// Thread safety: thread-safe.
#ifndef VMWIRE_TESTS_FAKES_FAKE_HOST_MEMORY_H_
#define VMWIRE_TESTS_FAKES_FAKE_HOST_MEMORY_H_

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "memory/host_memory.h"
#include "memory/mutex.h"
#include "tests/fakes/fake_backing.h"
#include "tests/fakes/journal.h"

namespace vmwire {

class FakeHostMemory final : public HostMemory {
 public:
  // REQUIRES: `journal` outlives this object.
  explicit FakeHostMemory(Journal& journal) : journal_(journal) {}
  FakeHostMemory(const FakeHostMemory&) = delete;
  FakeHostMemory& operator=(const FakeHostMemory&) = delete;
  ~FakeHostMemory() override;

  // What a test may set.
  // RLIMIT_MEMLOCK in bytes, for locks and for buffers apart; none by default.
  void SetMemlockLimit(uint64_t bytes);
  // How many hugetlb pages of that size the host has; none by default.
  void SetHugetlbPool(uint64_t page_bytes, uint64_t pages);
  // Whether the process may know frame numbers; it may by default.
  void SetFramesReadable(bool readable);
  // The page at this address can no longer be faulted in, as a broken one.
  void BreakPage(HostAddress page);
  // What compaction does: each page of `range` that is in no buffer gets another frame.
  void MoveFrames(const HostRange& range);
  // What KSM says of the frames of `range` from now on, though it merges nothing.
  void MergePages(const HostRange& range);

  // What a test may ask.
  uint64_t locked_bytes() const;
  uint64_t buffer_bytes() const;
  uint64_t resident_bytes() const;
  size_t mappings() const;
  size_t files() const;
  size_t tables() const;
  bool IsLocked(const HostRange& range) const;
  bool IsInBuffers(const HostRange& range) const;
  // For each page of `range`, whether it is locked and resident, or lies in a buffer.
  std::vector<bool> PinnedPages(const HostRange& range) const;

  absl::StatusOr<int> CreateMemfd(const MemfdRequest& request) override;
  absl::Status ResizeFile(int file, uint64_t size) override;
  absl::StatusOr<uint64_t> FileSize(int file) const override;
  absl::Status SealFile(int file, FileSeals seals) override;
  absl::StatusOr<int> DuplicateFile(int file) override;
  void CloseFile(int file) override;
  absl::StatusOr<HostRange> Map(const HostMapRequest& request) override;
  void Unmap(const HostRange& range) override;
  absl::Status Advise(const HostRange& range, HostAdvice advice) override;
  absl::Status Discard(const HostRange& range, std::optional<FilePlace> file) override;
  absl::Status Lock(const HostRange& range) override;
  void Unlock(const HostRange& range) override;
  absl::StatusOr<BufferTable> CreateBufferTable(uint32_t slots) override;
  absl::StatusOr<BufferTable> CloneBufferTable(BufferTable table) override;
  absl::Status CloneIntoRing(BufferTable table, int ring) override;
  void ClearRing(int ring) override;
  absl::Status ShareBuffer(BufferTable from, uint32_t from_slot, BufferTable to,
                           uint32_t to_slot) override;
  void DestroyBufferTable(BufferTable table) override;
  absl::Status SetBuffer(BufferTable table, uint32_t slot, const HostRange& range) override;
  absl::Status SetBuffers(BufferTable table, uint32_t first_slot,
                          absl::Span<const HostRange> ranges, size_t* failed) override;
  void ClearBuffer(BufferTable table, uint32_t slot) override;
  absl::Status TransferIn(BufferTable table, uint32_t slot, HostAddress to,
                          absl::Span<const std::byte> bytes) override;
  absl::Status TransferOut(BufferTable table, uint32_t slot, HostAddress from,
                           absl::Span<std::byte> bytes) override;
  absl::StatusOr<HostUsage> Usage(const HostRange& range) const override;
  absl::StatusOr<std::vector<bool>> Residency(const HostRange& range) const override;
  absl::StatusOr<std::vector<uint64_t>> Frames(const HostRange& range) const override;
  absl::StatusOr<std::vector<uint64_t>> FrameFlags(
      absl::Span<const uint64_t> frames) const override;
  absl::StatusOr<ProcessPins> Pins() const override;

 private:
  struct Table final : BufferTableState {
    uint32_t slots = 0;
    std::map<uint32_t, std::shared_ptr<const FakeBuffer>> buffers;
  };

  // The mapping that holds all of `range`; null: none.
  FakeMapping* Find(const HostRange& range) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  const FakeMapping* Find(const HostRange& range) const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  Table& Of(BufferTable table) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  uint64_t LockedPages() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  uint64_t BufferBytesLocked() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  std::set<const FakeBuffer*> Buffers() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  uint64_t FreeHugetlbPages(uint64_t page_bytes) const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  // Real memory for the request, at the address that it wants.
  absl::StatusOr<FakeMapping> MapBytes(const HostMapRequest& request,
                                       std::shared_ptr<FakeBacking> backing);
  // False: some page cannot be faulted in; those before it are.
  bool FaultIn(FakeMapping& mapping, uint64_t first, uint64_t pages)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  absl::Status DiscardAnonymous(const HostRange& range) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  absl::Status DiscardFile(const HostRange& range, const FilePlace& place)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  // Pages [first, end) of the backing lose their frames, wherever they are mapped.
  void DropFrames(FakeBacking& backing, uint64_t first, uint64_t end)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  absl::Status Register(Table& table, uint32_t slot, const HostRange& range)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  // The buffer in `slot` if it holds these bytes; null: it does not.
  const FakeBuffer* BufferOf(BufferTable table, uint32_t slot, HostAddress start, uint64_t size)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  // Whether the page's address still leads to the frame that the buffer has.
  bool StillThere(const FakeBuffer& buffer, HostAddress page) const
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  Journal& journal_;
  mutable Mutex mutex_;
  uint64_t memlock_limit_ ABSL_GUARDED_BY(mutex_) = UINT64_MAX;
  bool frames_readable_ ABSL_GUARDED_BY(mutex_) = true;
  std::map<uint64_t, uint64_t> hugetlb_pools_ ABSL_GUARDED_BY(mutex_);  // Pages by page size.
  std::set<HostAddress> broken_pages_ ABSL_GUARDED_BY(mutex_);
  std::set<uint64_t> merged_frames_ ABSL_GUARDED_BY(mutex_);
  std::map<HostAddress, FakeMapping> mappings_ ABSL_GUARDED_BY(mutex_);
  std::map<int, std::shared_ptr<FakeBacking>> files_ ABSL_GUARDED_BY(mutex_);
  std::map<BufferTable, std::unique_ptr<Table>> tables_ ABSL_GUARDED_BY(mutex_);
  std::map<int, BufferTable> rings_ ABSL_GUARDED_BY(mutex_);  // Of devices: a table for each.
  int next_file_ ABSL_GUARDED_BY(mutex_) = 1000;
  uint64_t next_frame_ ABSL_GUARDED_BY(mutex_) = 1;
};

}  // namespace vmwire

#endif  // VMWIRE_TESTS_FAKES_FAKE_HOST_MEMORY_H_
