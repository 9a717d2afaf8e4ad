// One life of a block device, from DRIVER_OK to the reset: takes requests off the queues, runs
// their operations on the ring, and gives them back.
//
//   each pass: collect chains -> issue operations -> sleep -> completions -> give back, interrupt
//
// Invariants: at most as many requests of a queue are in work as it has descriptors, and new chains
// are taken only while no operation waits for room: so a guest cannot make it grow. Where a disk
// has two descriptors, writes through one never run while writes through the other do: a buffered
// one would put the rest of its page back as it was.
// Thread safety: one thread, the device's, makes, uses and destroys it.
#ifndef VMWIRE_DEVICES_VIRTIO_BLOCK_BLOCK_SESSION_H_
#define VMWIRE_DEVICES_VIRTIO_BLOCK_BLOCK_SESSION_H_

#include <array>
#include <cstdint>
#include <deque>
#include <memory>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "devices/virtio/block/block_counters.h"
#include "devices/virtio/block/block_request.h"
#include "devices/virtio/block/block_ring.h"
#include "devices/virtio/virtio_device.h"

namespace vmwire {

class BlockSession {
 public:
  // `registered_buffers`: the memory's pinned buffers are used where the host can share them.
  // Errors as BlockRing::Create. REQUIRES: all outlive the session.
  static absl::StatusOr<std::unique_ptr<BlockSession>> Create(const BlockRequestContext& context,
                                                              const VirtioSession& session,
                                                              bool registered_buffers,
                                                              BlockCounters& counters);
  BlockSession(const BlockSession&) = delete;
  BlockSession& operator=(const BlockSession&) = delete;
  ~BlockSession();

  // As VirtioDevice::Serve. After an error of the ring itself, what was in flight goes to the
  // quarantine of the port.
  absl::Status Run();

 private:
  // Writes of one kind of descriptor, that must not run beside those of the other.
  enum Lane : uint8_t { kNoLane, kBufferedWrites, kDirectWrites, kLanes };

  struct Queue {
    Virtqueue* ring = nullptr;
    uint32_t in_work = 0;
    bool pushed = false;  // Since the driver was last told.
  };
  struct Slot {
    BlockRequest request;
    size_t queue = 0;
    size_t next = 0;  // The first operation that was not issued.
    uint32_t running = 0;
    bool waiting = false;  // Its number stands in waiting_.
    int error = 0;         // An errno; the first.
  };

  BlockSession(const BlockRequestContext& context, const VirtioSession& session,
               BlockCounters& counters);
  // True: there may be more, that was left for the next pass.
  absl::StatusOr<bool> Collect();
  absl::StatusOr<bool> CollectFrom(size_t queue);
  absl::Status Take(size_t queue, const DescriptorChain& chain);
  void Issue();
  bool IssueOne(uint32_t number);
  void Await(uint32_t number);
  Lane LaneOf(const BlockOperation& operation) const;
  void Count(const BlockOperation& operation);
  absl::StatusOr<bool> Sleep(bool more);
  void OnCompletion(uint64_t token, int32_t result);
  void Settle(uint32_t number);
  void Finish(uint32_t number, BlockStatus status);
  void GiveBack(size_t queue, BlockRequest& request);
  void Abort();
  void TellDriver();

  const BlockRequestContext context_;
  const VirtioSession& session_;
  BlockCounters& counters_;
  std::unique_ptr<BlockRing> ring_;
  bool attached_ = false;
  bool aborted_ = false;
  std::vector<Queue> queues_;
  size_t first_queue_ = 0;  // To collect from, so that none starves.
  uint32_t slot_count_ = 0;
  std::unique_ptr<Slot[]> slots_;
  std::vector<uint32_t> free_slots_;
  std::deque<uint32_t> waiting_;             // Slots with operations to issue, in order.
  std::array<uint32_t, kLanes> lanes_ = {};  // Operations that run in each.
};

}  // namespace vmwire

#endif  // VMWIRE_DEVICES_VIRTIO_BLOCK_BLOCK_SESSION_H_
