// Reads by the virtio block device: a thread of its own serves it, and this is the driver, which
// asks as a guest's would, through a split virtqueue in guest memory (OASIS virtio 1.2, 2.7) with
// the event index. An eventfd is the interrupt, as KVM's irqfd is in a machine.
//
// Invariants: request n has descriptors 3n to 3n + 2: header, data, status.
// Thread safety: one thread, the driver's.
#ifndef VMWIRE_BENCH_BLOCK_READS_H_
#define VMWIRE_BENCH_BLOCK_READS_H_

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <thread>

#include "absl/status/status.h"
#include "bench/block_load.h"
#include "bench/require.h"
#include "devices/dma_space.h"
#include "devices/event_fd.h"
#include "devices/virtio/block/virtio_block.h"
#include "devices/virtio/virtqueue.h"
#include "memory/address.h"

namespace vmwire::bench {

class BlockReads final : public Reader {
 public:
  static constexpr uint32_t kMostDepth = 64;
  // Of guest memory that the queue and the requests take.
  static constexpr uint64_t kQueueBytes = 0x6000;

  struct Options {
    bool registered_buffers = true;
    GuestAddress queue = GuestAddress(0);  // kQueueBytes of memory, all zero; page-aligned.
    std::byte* queue_memory = nullptr;     // The same on the host.
    GuestAddress data = GuestAddress(0);   // What Place::memory counts from.
  };

  // Of the file at `path`, with direct I/O. REQUIRES: `space` outlives it; what `options` names is
  // wired.
  BlockReads(DmaSpace& space, const std::string& path, const Options& options);
  // Stops the device.
  ~BlockReads() override;

  void Begin(uint32_t slot, const Place& place, uint32_t bytes) override;
  void Wait(absl::FunctionRef<void(uint32_t slot)> done) override;
  bool WorksInCaller() const override { return false; }

  // Of VirtioDevice::Counters. Ends the process if there is none of that name.
  uint64_t Counter(const std::string& name) const;

 private:
  class Interrupt final : public VirtioEvents {
   public:
    void UsedBuffers() override { event.Signal(); }
    void ConfigChanged() override {}

    const EventFd event = Require(EventFd::Create());
  };

  template <typename T>
  T* At(uint64_t offset) const {
    return reinterpret_cast<T*>(options_.queue_memory + offset);
  }
  void LayOut();
  void RingDoorbell();
  // Takes one used chain; false: there is none.
  bool TakeOne(absl::FunctionRef<void(uint32_t slot)> done);

  const Options options_;
  const std::unique_ptr<DmaPort> port_;
  const std::unique_ptr<VirtioBlock> device_;
  Interrupt interrupt_;
  const EventFd doorbell_ = Require(EventFd::Create());
  const EventFd stop_ = Require(EventFd::Create());
  Virtqueue queue_;  // The device's side.
  VirtioSession session_;
  uint16_t available_ = 0;
  uint16_t notified_ = 0;  // available_ when the doorbell was last thought of.
  uint16_t used_ = 0;
  std::thread thread_;
};

}  // namespace vmwire::bench

#endif  // VMWIRE_BENCH_BLOCK_READS_H_
