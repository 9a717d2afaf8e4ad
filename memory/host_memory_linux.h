// HostMemory on the running Linux: one or two system calls a function. Files, mappings and locks
// are in host_memory_linux.cc, registered buffers in host_buffers_linux.cc, what /proc tells in
// host_queries_linux.cc.
//
// Invariants: holds no state but a count of the buffer tables, which must be gone before it goes.
// Thread safety: as HostMemory. A transfer holds a mutex of its table across the call that waits
// for it; no other function takes a lock.
#ifndef VMWIRE_MEMORY_HOST_MEMORY_LINUX_H_
#define VMWIRE_MEMORY_HOST_MEMORY_LINUX_H_

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <vector>

#include "memory/host_memory.h"

namespace vmwire {

class HostMemoryLinux final : public HostMemory {
 public:
  HostMemoryLinux() = default;
  ~HostMemoryLinux() override;
  HostMemoryLinux(const HostMemoryLinux&) = delete;
  HostMemoryLinux& operator=(const HostMemoryLinux&) = delete;

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
  std::atomic<uint64_t> tables_ = 0;
};

}  // namespace vmwire

#endif  // VMWIRE_MEMORY_HOST_MEMORY_LINUX_H_
