// The device's side of a split virtqueue (OASIS virtio 1.2, 2.7): chains of buffers that the driver
// made available are taken, and given back used.
//
//   descriptors  driver -> device  address, length, flags, next; copied once, then checked
//   driver area  driver -> device  flags, idx, ring of heads, used_event     ("available")
//   device area  device -> driver  flags, idx, ring of {head, written}, avail_event   ("used")
//
// Everything in guest memory is hostile and may change at any time: it is read once, checked as the
// copy that was read, and never read again. Indirect descriptors are not offered: their flag is an
// error, as is any that is not known.
//
// Invariants: a chain has at most as many descriptors as the queue, and at most 4 GiB - 1 bytes;
// readable buffers come before writable ones. A driver can have at most as many chains popped and
// not pushed as the queue has descriptors. The three areas stay mapped while the queue lives.
// Thread safety: one thread, the device's, uses a queue.
#ifndef VMWIRE_DEVICES_VIRTIO_VIRTQUEUE_H_
#define VMWIRE_DEVICES_VIRTIO_VIRTQUEUE_H_

#include <bitset>
#include <cstdint>
#include <optional>
#include <utility>

#include "absl/container/inlined_vector.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "devices/dma_port.h"
#include "memory/address.h"
#include "memory/page_range.h"

namespace vmwire {

// The largest queue that any device offers.
inline constexpr uint16_t kMaxQueueSize = 256;

// What the driver set for one queue.
struct VirtqueueConfig {
  uint16_t size = 0;
  GuestAddress descriptors = GuestAddress(0);
  GuestAddress driver = GuestAddress(0);
  GuestAddress device = GuestAddress(0);
};

// One buffer of a chain. Nothing of it is checked against guest memory: DmaPort::Map does that.
struct VirtqueueBuffer {
  GuestAddress address = GuestAddress(0);
  uint32_t length = 0;
};

// What the driver asks: buffers for the device to read, then buffers for it to write.
class DescriptorChain {
 public:
  using Buffers = absl::InlinedVector<VirtqueueBuffer, 4>;

  // Which descriptor it starts with: what Virtqueue::Push takes.
  uint16_t head() const { return head_; }
  // Buffers of length 0 are left out (checklist: accepted and skipped).
  const Buffers& readable() const { return readable_; }
  const Buffers& writable() const { return writable_; }
  uint64_t readable_bytes() const { return readable_bytes_; }
  uint64_t writable_bytes() const { return writable_bytes_; }

 private:
  friend class Virtqueue;
  void Add(uint64_t address, uint32_t length, bool writable);

  uint16_t head_ = 0;
  bool has_writable_ = false;  // Of whatever length.
  Buffers readable_;
  Buffers writable_;
  uint64_t readable_bytes_ = 0;
  uint64_t writable_bytes_ = 0;
};

class Virtqueue {
 public:
  // Maps the three areas for as long as the queue lives. InvalidArgument: the size is 0, not a
  // power of two or above kMaxQueueSize; or an area is not aligned (16, 2 and 4 bytes; 2.7).
  // Otherwise as DmaPort::Map, naming the area. REQUIRES: `port` outlives the queue.
  static absl::StatusOr<Virtqueue> Create(DmaPort& port, const VirtqueueConfig& config,
                                          bool event_index);

  Virtqueue(Virtqueue&&) noexcept = default;
  Virtqueue& operator=(Virtqueue&&) noexcept = default;
  Virtqueue(const Virtqueue&) = delete;
  Virtqueue& operator=(const Virtqueue&) = delete;
  ~Virtqueue() = default;

  uint16_t size() const { return config_.size; }
  // Whether a part of the areas is in `range`.
  bool LiesIn(const GuestRange& range) const;

  // The next chain that is available; nullopt: none. InvalidArgument: the driver broke a rule of
  // 2.7 (an index that jumped by more than the queue's size or went backwards, a head or next that
  // is no descriptor, a head that was popped and not pushed yet, a loop, an unknown or indirect
  // flag, readable after writable, more than 4 GiB - 1 bytes); the device needs a reset then, and
  // every later call fails the same way.
  absl::StatusOr<std::optional<DescriptorChain>> Pop();

  // Gives the chain back; `written` bytes of its writable buffers were written, from the first on.
  // REQUIRES: `head` was popped, and not pushed yet.
  void Push(uint16_t head, uint32_t written);

  // True if the driver wants an interrupt for what was pushed since the last call (2.7.7, or its
  // flags without the event index).
  bool NeedsInterrupt();

  // Asks the driver for a notification when it next makes a buffer available (2.7.10). False: there
  // is one already, made available before the driver could see the request; Pop again.
  bool EnableNotifications();
  // The driver need not notify: the device looks by itself.
  void DisableNotifications();

 private:
  struct Descriptor;

  Virtqueue(const VirtqueueConfig& config, bool event_index, DmaMapping descriptors,
            DmaMapping driver, DmaMapping device)
      : config_(config),
        event_index_(event_index),
        descriptors_(std::move(descriptors)),
        driver_(std::move(driver)),
        device_(std::move(device)) {}

  // The chain that starts with `head`. InvalidArgument: as Pop.
  absl::StatusOr<DescriptorChain> Walk(uint16_t head) const;
  Descriptor CopyDescriptor(uint16_t index) const;
  // How many chains are available. InvalidArgument: the index jumped or went backwards.
  absl::StatusOr<uint16_t> CountAvailable();
  absl::StatusOr<std::optional<DescriptorChain>> PopNext();

  VirtqueueConfig config_;
  bool event_index_;
  DmaMapping descriptors_;
  DmaMapping driver_;
  DmaMapping device_;
  absl::Status broken_;  // What Pop fails with; OK: nothing.
  uint16_t next_available_ = 0;
  uint16_t seen_available_ = 0;           // The driver's index when it was last looked at.
  std::bitset<kMaxQueueSize> in_flight_;  // By head: popped and not pushed.
  uint16_t next_used_ = 0;
  uint64_t unsignalled_ = 0;  // Pushed since the last NeedsInterrupt.
};

}  // namespace vmwire

#endif  // VMWIRE_DEVICES_VIRTIO_VIRTQUEUE_H_
