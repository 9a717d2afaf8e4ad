// A DMA engine: copies, fills, compares and checksums guest memory by descriptors in two rings
// (dma_descriptor.h), on a thread of its own.
//
//   0x00 ID                r   0x414d4456, "VDMA"
//   0x04 VERSION           r   1
//   0x08 MAX_RING_SIZE     r   entries
//   0x0c MAX_SEGMENTS      r   of a scatter-gather list
//   0x10 MAX_LENGTH        r   bytes of a descriptor
//   0x14 CONTROL           rw  bit 0 RUN: starts; only RESET ends it. Bit 1 INTERRUPT: allowed.
//                              Bit 2 RESET: as below, and the other bits do not matter; reads 0.
//   0x18 STATUS            r   bit 0 RUNNING, bit 1 NEEDS_RESET
//   0x1c RING_SIZE         rw  entries of each ring, a power of two
//   0x20 RING_BASE         rw  64 bits, the low half first: the descriptor ring
//   0x28 COMPLETION_BASE   rw  64 bits, the low half first: the completion ring
//   0x30 DOORBELL          w   any value: look at `tail`
//   0x34 INTERRUPT_STATUS  r   bit 0: something was completed. Bit 1: NEEDS_RESET was set.
//   0x38 INTERRUPT_ACK     w   clears the bits that are 1
//   0x3c ERROR_COUNT       r   descriptors since the last reset that completed with an error
//
// Registers are read and written by 4 bytes at a time; another access reads all ones and is
// dropped. While it runs or needs a reset, writes of RING_SIZE, RING_BASE and COMPLETION_BASE are
// dropped. An interrupt is one edge when a bit of INTERRUPT_STATUS becomes 1: acknowledge first,
// then look at the completion ring, and none is missed.
//
//   vCPU: registers --> RUN: DmaRing::Create, start the thread
//         DOORBELL (or ioeventfd) --> eventfd --> thread: DmaWorker::Serve
//         RESET --> abort, join the thread, all registers as at power-on; then the write is done
//
// A guest that breaks a rule of the rings gets NEEDS_RESET; a bad descriptor only an error in its
// completion. Either is reported to the DeviceLog.
//
// Invariants: after a reset no byte of guest memory is touched, and nothing of it is mapped.
// Lock order: the port's, then mutex_, then those of memory/. The thread never takes mutex_, which
// is held while it is joined.
// Thread safety: thread-safe.
#ifndef VMWIRE_DEVICES_DMA_ENGINE_DMA_ENGINE_H_
#define VMWIRE_DEVICES_DMA_ENGINE_DMA_ENGINE_H_

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <thread>
#include <utility>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "devices/device.h"
#include "devices/device_log.h"
#include "devices/dma_engine/dma_worker.h"
#include "devices/dma_port.h"
#include "devices/event_fd.h"
#include "devices/interrupt_line.h"
#include "memory/mutex.h"
#include "memory/page_range.h"

namespace vmwire {

// What an engine has done since it was made.
struct DmaEngineStats {
  uint64_t descriptors = 0;  // Completed, with errors or without.
  uint64_t bytes = 0;        // The lengths of those without.
  uint64_t errors = 0;
  uint64_t resets_needed = 0;
};

class DmaEngine final : public Device, private DmaEvents {
 public:
  static constexpr uint64_t kWindowSize = 0x1000;
  // Of DOORBELL: where an ioeventfd of 4 bytes may stand in for a write.
  static constexpr uint64_t kDoorbellOffset = 0x30;

  // ResourceExhausted: no descriptor for the events. REQUIRES: all outlive the engine; nothing else
  // uses `port`.
  static absl::StatusOr<std::unique_ptr<DmaEngine>> Create(DmaPort& port, InterruptLine& line,
                                                           DeviceLog& log);

  // Resets the engine.
  ~DmaEngine() override;

  std::string Name() const override { return "DMA engine"; }
  void Read(uint64_t offset, std::span<std::byte> data) override;
  void Write(uint64_t offset, std::span<const std::byte> data) override;

  // An eventfd for KVM_IOEVENTFD.
  const EventFd& doorbell() const { return doorbell_; }
  DmaEngineStats stats() const;

 private:
  DmaEngine(DmaPort& port, InterruptLine& line, DeviceLog& log, EventFd doorbell, EventFd stop);

  uint32_t ReadRegister(uint64_t offset) const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void WriteRegister(uint64_t offset, uint32_t value) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void WriteSetup(uint64_t offset, uint32_t value) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void WriteControl(uint32_t value) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void Start() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  absl::Status TryStart() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void Reset() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void Revoke(const GuestRange& range) ABSL_LOCKS_EXCLUDED(mutex_);
  void NeedReset(const absl::Status& error);
  void Interrupt(uint32_t bit);
  void Ended(const DmaDescriptor& descriptor, const DmaOutcome& outcome) override;
  void Completed(const DmaDescriptor& descriptor, const DmaOutcome& outcome) override;

  DmaPort& port_;
  InterruptLine& line_;
  DeviceLog& log_;
  const EventFd doorbell_;
  const EventFd stop_;

  mutable Mutex mutex_;
  DmaRingConfig config_ ABSL_GUARDED_BY(mutex_);
  std::unique_ptr<DmaWorker> worker_ ABSL_GUARDED_BY(mutex_);  // Null: not started since a reset.
  std::thread thread_ ABSL_GUARDED_BY(mutex_);

  // Of the guest's registers, those that the thread writes or reads.
  std::atomic<bool> interrupt_allowed_ = false;
  std::atomic<uint32_t> status_ = 0;
  std::atomic<uint32_t> interrupt_status_ = 0;
  std::atomic<uint32_t> error_count_ = 0;

  std::atomic<uint64_t> descriptors_ = 0;
  std::atomic<uint64_t> bytes_ = 0;
  std::atomic<uint64_t> errors_ = 0;
  std::atomic<uint64_t> resets_needed_ = 0;
};

}  // namespace vmwire

#endif  // VMWIRE_DEVICES_DMA_ENGINE_DMA_ENGINE_H_
