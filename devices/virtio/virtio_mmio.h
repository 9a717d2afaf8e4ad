// The virtio-mmio transport, version 2 (OASIS virtio 1.2, 4.2): the registers through which a
// driver finds, sets up, notifies and resets one virtio device.
//
//   vCPU: registers --> DRIVER_OK: Virtqueue::Create for each enabled queue, start the thread
//         QueueNotify (or ioeventfd) --> doorbell eventfd --> device thread: VirtioDevice::Serve
//         Status = 0 --> stop eventfd, join the thread, drop the queues; then the write is done
//
// A driver that breaks a rule, and a device that cannot go on, gets DEVICE_NEEDS_RESET: the machine
// lives on, the error is reported to the DeviceLog once, and a reset makes the device new. What is
// refused already when it is asked for (a queue that cannot be, features that were not offered)
// leaves the bit that asked for it 0, as the specification has it.
//
// Registers are accessed in aligned words of 4 bytes; any other access of them reads all ones and
// writes nothing. Accesses of the configuration space have 1, 2, 4 or 8 bytes.
//
// Invariants: what the driver set for a queue does not change between DRIVER_OK and the reset.
// After a reset no byte of guest memory is touched, and nothing of it is mapped.
// Lock order: the port's listener, lifecycle_mutex_, mutex_, then those of memory/. mutex_ is not
// held while the thread is joined, nor while the device is called.
// Thread safety: Read and Write from the vCPU threads; UsedBuffers and ConfigChanged from any.
#ifndef VMWIRE_DEVICES_VIRTIO_VIRTIO_MMIO_H_
#define VMWIRE_DEVICES_VIRTIO_VIRTIO_MMIO_H_

#include <atomic>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/statusor.h"
#include "devices/device.h"
#include "devices/device_log.h"
#include "devices/dma_port.h"
#include "devices/event_fd.h"
#include "devices/interrupt_line.h"
#include "devices/virtio/virtio_device.h"
#include "memory/mutex.h"

namespace vmwire {

class VirtioMmio final : public Device, public VirtioEvents {
 public:
  static constexpr uint64_t kWindowSize = 0x1000;
  // Of QueueNotify: where an ioeventfd of 4 bytes may stand in for a write.
  static constexpr uint64_t kNotifyOffset = 0x50;

  // ResourceExhausted: no descriptor for the events. REQUIRES: all outlive the transport; nothing
  // else uses `device` or `port`.
  static absl::StatusOr<std::unique_ptr<VirtioMmio>> Create(VirtioDevice& device, DmaPort& port,
                                                            InterruptLine& line, DeviceLog& log);

  // Resets the device.
  ~VirtioMmio() override;

  std::string Name() const override { return device_.Name(); }
  void Read(uint64_t offset, std::span<std::byte> data) override;
  void Write(uint64_t offset, std::span<const std::byte> data) override;

  void UsedBuffers() override;
  void ConfigChanged() override;

  // An eventfd for KVM_IOEVENTFD.
  const EventFd& doorbell() const { return doorbell_; }
  const VirtioDevice& device() const { return device_; }
  uint64_t resets_needed() const { return resets_needed_.load(std::memory_order_relaxed); }

 private:
  // What the driver set for a queue: words as they were written.
  struct Queue {
    uint16_t max_size = 0;
    bool ready = false;
    uint32_t size = 0;
    uint64_t descriptors = 0;
    uint64_t driver = 0;
    uint64_t device = 0;
  };

  VirtioMmio(VirtioDevice& device, DmaPort& port, InterruptLine& line, DeviceLog& log,
             EventFd doorbell, EventFd stop);

  uint32_t ReadRegister(uint64_t offset) ABSL_LOCKS_EXCLUDED(mutex_);
  void WriteRegister(uint64_t offset, uint32_t value) ABSL_LOCKS_EXCLUDED(lifecycle_mutex_, mutex_);
  void WriteDriverFeatures(uint32_t value) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  // Registers of the selected queue; dropped if there is none, or if it may not change any more.
  void WriteQueueRegister(uint64_t offset, uint32_t value) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  // Null: there is none.
  Queue* SelectedQueue() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void WriteQueueReady(uint32_t value) ABSL_LOCKS_EXCLUDED(lifecycle_mutex_, mutex_);
  // What the driver set for `queue`; InvalidArgument: its size is above the device's.
  static absl::StatusOr<VirtqueueConfig> ConfigOf(const Queue& queue);
  void Notify(uint32_t queue) ABSL_LOCKS_EXCLUDED(mutex_);

  void WriteStatus(uint32_t value) ABSL_LOCKS_EXCLUDED(lifecycle_mutex_, mutex_);
  // Sets FEATURES_OK, if the driver's features are such as it may have.
  void AcceptFeatures() ABSL_EXCLUSIVE_LOCKS_REQUIRED(lifecycle_mutex_) ABSL_LOCKS_EXCLUDED(mutex_);
  // Makes the queues and starts the thread. Errors: as Virtqueue::Create, or ResourceExhausted: no
  // thread. Nothing is mapped then.
  absl::Status Start() ABSL_EXCLUSIVE_LOCKS_REQUIRED(lifecycle_mutex_) ABSL_LOCKS_EXCLUDED(mutex_);
  // The same for the queues alone.
  absl::Status CreateQueues(const std::vector<Queue>& queues, bool event_index)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(lifecycle_mutex_);
  void Reset() ABSL_EXCLUSIVE_LOCKS_REQUIRED(lifecycle_mutex_) ABSL_LOCKS_EXCLUDED(mutex_);
  // Ends the thread and drops the queues: no byte of guest memory is touched from here on.
  void Stop() ABSL_EXCLUSIVE_LOCKS_REQUIRED(lifecycle_mutex_);
  // Memory is wanted back. If a queue lies in it, the device lets it go and needs a reset;
  // transfers end by themselves.
  void Revoke(const GuestRange& range) ABSL_LOCKS_EXCLUDED(lifecycle_mutex_, mutex_);
  // The device cannot go on: it needs a reset, and the driver and the log are told.
  void Fail(const absl::Status& error);
  void Interrupt(uint32_t reason);

  VirtioDevice& device_;
  DmaPort& port_;
  InterruptLine& line_;
  DeviceLog& log_;
  const EventFd doorbell_;
  const EventFd stop_;
  const uint64_t offered_features_;
  std::atomic<uint64_t> resets_needed_ = 0;

  // Written under lifecycle_mutex_, save for DEVICE_NEEDS_RESET, which the device's thread sets.
  // DRIVER_OK is set under mutex_ too: who holds that, and does not see it, may change a queue.
  std::atomic<uint32_t> status_ = 0;
  std::atomic<uint32_t> interrupt_status_ = 0;
  std::atomic<uint32_t> config_generation_ = 0;

  // Makes writes of Status and QueueReady take turns. Held while the thread is joined.
  Mutex lifecycle_mutex_;
  // Of the thread alone while that runs.
  std::vector<std::optional<Virtqueue>> running_ ABSL_GUARDED_BY(lifecycle_mutex_);
  std::thread thread_ ABSL_GUARDED_BY(lifecycle_mutex_);

  Mutex mutex_;
  uint32_t device_features_select_ ABSL_GUARDED_BY(mutex_) = 0;
  uint32_t driver_features_select_ ABSL_GUARDED_BY(mutex_) = 0;
  uint64_t driver_features_ ABSL_GUARDED_BY(mutex_) = 0;
  bool unknown_features_ ABSL_GUARDED_BY(mutex_) = false;  // A bit above 63 was accepted.
  uint32_t queue_select_ ABSL_GUARDED_BY(mutex_) = 0;
  std::vector<Queue> queues_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace vmwire

#endif  // VMWIRE_DEVICES_VIRTIO_VIRTIO_MMIO_H_
