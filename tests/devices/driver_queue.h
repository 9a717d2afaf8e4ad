// The driver's side of a split virtqueue (OASIS virtio 1.2, 2.7), for tests of devices: what a
// guest's driver would do, and, through the raw fields, what one that breaks the rules would.
//
//   DriverQueue queue(port, GuestAddress(0x1000), 8);
//   auto device_side = Virtqueue::Create(port, queue.config(), /*event_index=*/true);
//   queue.Add({{request, 16}}, {{data, 512}, {status, 1}});    // Readable, then writable.
//   ... serve ...
//   queue.TakeUsed();                                          // {head, written}
//
// Invariants: a descriptor is free, or part of one chain that was built and not taken back used.
// Thread safety: one thread, the driver's; the device's side may be in use by another.
#ifndef VMWIRE_TESTS_DEVICES_DRIVER_QUEUE_H_
#define VMWIRE_TESTS_DEVICES_DRIVER_QUEUE_H_

#include <cstddef>
#include <cstdint>
#include <optional>
#include <vector>

#include "devices/virtio/virtqueue.h"
#include "memory/address.h"
#include "tests/fakes/fake_dma_port.h"

namespace vmwire {

class DriverQueue {
 public:
  // Of Descriptor::flags.
  static constexpr uint16_t kNext = 1;
  static constexpr uint16_t kWrite = 2;
  static constexpr uint16_t kIndirect = 4;

  struct Descriptor {
    uint64_t address = 0;
    uint32_t length = 0;
    uint16_t flags = 0;
    uint16_t next = 0;
  };

  // What the device gave back.
  struct Used {
    uint32_t head = 0;
    uint32_t written = 0;

    friend bool operator==(const Used&, const Used&) = default;
  };

  // Lays out a queue of `size` descriptors in the Bytes(size) bytes at `base`, all zero. Maps
  // nothing. REQUIRES: `size` is a power of two; `base` is a multiple of 16; the bytes lie in one
  // region of `port`, which outlives the DriverQueue.
  DriverQueue(FakeDmaPort& port, GuestAddress base, uint16_t size);
  DriverQueue(const DriverQueue&) = delete;
  DriverQueue& operator=(const DriverQueue&) = delete;

  static uint64_t Bytes(uint16_t size);

  // What Virtqueue::Create, or the queue's registers, are given.
  VirtqueueConfig config() const;

  // Builds a chain of free descriptors and makes it available; its head. A failed check of the test
  // if there are not enough. REQUIRES: not both empty.
  uint16_t Add(const std::vector<VirtqueueBuffer>& readable,
               const std::vector<VirtqueueBuffer>& writable);
  // The two halves of it.
  uint16_t Build(const std::vector<VirtqueueBuffer>& readable,
                 const std::vector<VirtqueueBuffer>& writable);
  void MakeAvailable(uint16_t head);

  // The next chain that the device gave back, whose descriptors are free again; nullopt: none.
  std::optional<Used> TakeUsed();
  // How many were taken, as an index: what SetUsedEvent takes to be told of the next one.
  uint16_t next_used() const { return next_used_; }
  uint16_t free_descriptors() const { return static_cast<uint16_t>(free_.size()); }

  // True if the device wants a notification for what was made available since the last call.
  // `event_index`: as was negotiated.
  bool NeedsNotification(bool event_index);

  // The fields as they are in memory, whether the rest makes sense or not. Slots and descriptors
  // are taken modulo the size.
  void SetDescriptor(uint16_t index, const Descriptor& descriptor);
  Descriptor descriptor(uint16_t index) const;
  void SetAvailableFlags(uint16_t flags);  // 1: no interrupts please.
  void SetAvailableIndex(uint16_t index);
  uint16_t available_index() const;
  void SetAvailableEntry(uint16_t slot, uint16_t head);
  void SetUsedEvent(uint16_t index);
  uint16_t used_flags() const;  // 1: no notifications please.
  uint16_t used_index() const;
  Used used_entry(uint16_t slot) const;
  uint16_t available_event() const;

 private:
  template <typename T>
  T Get(uint64_t offset) const;
  template <typename T>
  void Set(uint64_t offset, T value);
  uint64_t DescriptorOffset(uint16_t index) const;
  uint64_t UsedOffset(uint16_t slot) const;

  const GuestAddress base_;
  const uint16_t size_;
  const uint64_t available_;  // Offsets from base_.
  const uint64_t used_;
  std::byte* const memory_;
  std::vector<uint16_t> free_;                 // The next one last.
  std::vector<std::vector<uint16_t>> chains_;  // By head; of those not free.
  uint16_t next_used_ = 0;
  uint16_t notified_ = 0;  // available_index() at the last NeedsNotification.
};

}  // namespace vmwire

#endif  // VMWIRE_TESTS_DEVICES_DRIVER_QUEUE_H_
