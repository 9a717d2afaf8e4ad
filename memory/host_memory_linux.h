// HostMemory on the running Linux: one or two system calls a function.
//
// Thread safety: as HostMemory; the list of buffer tables has a mutex of its own, never held over a
// system call that faults.
#ifndef VMWIRE_MEMORY_HOST_MEMORY_LINUX_H_
#define VMWIRE_MEMORY_HOST_MEMORY_LINUX_H_

#include <map>
#include <memory>
#include <string>

#include "absl/base/thread_annotations.h"
#include "memory/host_memory.h"
#include "memory/mutex.h"

struct io_uring;

namespace vmwire {

class HostMemoryLinux final : public HostMemory {
 public:
  HostMemoryLinux();
  ~HostMemoryLinux() override;
  HostMemoryLinux(const HostMemoryLinux&) = delete;
  HostMemoryLinux& operator=(const HostMemoryLinux&) = delete;

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
  io_uring* RingOf(BufferTable table) const ABSL_LOCKS_EXCLUDED(mutex_);

  mutable Mutex mutex_;
  // A table's number is the file descriptor of its ring.
  std::map<BufferTable, std::unique_ptr<io_uring>> tables_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace vmwire

#endif  // VMWIRE_MEMORY_HOST_MEMORY_LINUX_H_
