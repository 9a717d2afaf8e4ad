// HostMemory without the host's pins: real address space behind it, so that bytes can be written,
// but locks, registered buffers and residency are only remembered, by the kernel's rules.
//
// The rules that it knows: locks do not nest, and one Unlock undoes them all; a Lock over
// RLIMIT_MEMLOCK locks nothing; a lock counts each page once; every registered buffer is charged,
// also for pages that another has; a mapping is unmapped whole; an unmapped range can be neither
// advised nor locked.
//
// Invariants: at its death nothing is mapped, open or registered, or the test fails.
// Thread safety: thread-safe.
#ifndef VMWIRE_TESTS_FAKES_FAKE_HOST_MEMORY_H_
#define VMWIRE_TESTS_FAKES_FAKE_HOST_MEMORY_H_

#include <cstdint>
#include <map>
#include <set>
#include <string>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "memory/host_memory.h"
#include "memory/mutex.h"
#include "tests/fakes/journal.h"

namespace vmwire {

class FakeHostMemory final : public HostMemory {
 public:
  // REQUIRES: `journal` outlives this object.
  explicit FakeHostMemory(Journal& journal) : journal_(journal) {}
  FakeHostMemory(const FakeHostMemory&) = delete;
  FakeHostMemory& operator=(const FakeHostMemory&) = delete;
  ~FakeHostMemory() override;

  // RLIMIT_MEMLOCK in bytes, for locks and for buffers apart; none by default.
  void SetMemlockLimit(uint64_t bytes);

  // What a test may ask.
  uint64_t locked_bytes() const;
  uint64_t buffer_bytes() const;
  uint64_t resident_bytes() const;
  size_t mappings() const;
  size_t files() const;
  bool IsLocked(const HostRange& range) const;
  bool IsInBuffers(const HostRange& range) const;
  // For each page of `range`, whether it is locked and resident, or lies in a buffer.
  std::vector<bool> PinnedPages(const HostRange& range) const;

  absl::StatusOr<int> CreateMemfd(const std::string& name) override;
  absl::Status ResizeFile(int file, uint64_t size) override;
  void CloseFile(int file) override;
  absl::StatusOr<HostRange> Map(const HostMapRequest& request) override;
  void Unmap(const HostRange& range) override;
  absl::Status Advise(const HostRange& range, HostAdvice advice) override;
  absl::Status Lock(const HostRange& range) override;
  void Unlock(const HostRange& range) override;
  absl::StatusOr<BufferTable> CreateBufferTable(uint32_t slots) override;
  void DestroyBufferTable(BufferTable table) override;
  absl::Status SetBuffer(BufferTable table, uint32_t slot, const HostRange& range) override;
  void ClearBuffer(BufferTable table, uint32_t slot) override;
  absl::StatusOr<HostUsage> Usage(const HostRange& range) const override;

 private:
  struct Mapping {
    HostRange range;
    HostRange reserved;         // What the real mmap gave.
    std::set<uint64_t> locked;  // Page indices in the mapping.
    std::set<uint64_t> resident;
  };
  struct Table {
    uint32_t slots;
    std::map<uint32_t, HostRange> buffers;
  };

  Mapping* Find(const HostRange& range) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  const Mapping* Find(const HostRange& range) const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  uint64_t LockedPages() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  uint64_t BufferBytesLocked() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  Journal& journal_;
  mutable Mutex mutex_;
  uint64_t memlock_limit_ ABSL_GUARDED_BY(mutex_) = UINT64_MAX;
  std::map<HostAddress, Mapping> mappings_ ABSL_GUARDED_BY(mutex_);
  std::map<int, uint64_t> files_ ABSL_GUARDED_BY(mutex_);  // Their sizes.
  std::map<BufferTable, Table> tables_ ABSL_GUARDED_BY(mutex_);
  int next_number_ ABSL_GUARDED_BY(mutex_) = 1000;
};

}  // namespace vmwire

#endif  // VMWIRE_TESTS_FAKES_FAKE_HOST_MEMORY_H_
