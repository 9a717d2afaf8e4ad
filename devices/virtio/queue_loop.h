// What the threads of simple virtio devices have in common: wait for the doorbell, then serve the
// chains of every queue; and look again where the driver may not have seen that it should ring.
//
//   RunQueueLoop:  drain doorbell --> pass over the queues --> stop? --> wait --> ...
//   ServeChains:   no notifications --> chains --> ask for notifications, look again --> interrupt
//
// Invariants: a pass is bounded, whatever the driver makes available meanwhile, so that `stop` is
// seen in time.
// Thread safety: one thread, the device's, uses these.
#ifndef VMWIRE_DEVICES_VIRTIO_QUEUE_LOOP_H_
#define VMWIRE_DEVICES_VIRTIO_QUEUE_LOOP_H_

#include <cstddef>
#include <cstdint>

#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "devices/virtio/virtio_device.h"
#include "devices/virtio/virtqueue.h"

namespace vmwire {

// What a device does with one chain: how many bytes of its writable buffers it wrote. An error: the
// driver broke a rule, or the device cannot go on.
using ChainHandler = absl::FunctionRef<absl::StatusOr<uint32_t>(const DescriptorChain& chain)>;

// What one pass over the queues found.
struct QueuePass {
  // There may be more to do; the next pass comes at once.
  bool more = false;
  // A descriptor to wait for besides the others; -1: none.
  int wait_fd = -1;
};

// Runs `pass` at once, then whenever the doorbell, `wake_fd` (-1: none) or what the last pass asked
// for is readable, until session.stop is. If `stop` is readable from the start, `pass` runs once.
// The doorbell is drained here, `wake_fd` by whoever owns it, in the pass. OK: stopped; otherwise
// the error of `pass`.
absl::Status RunQueueLoop(const VirtioSession& session, int wake_fd,
                          absl::FunctionRef<absl::StatusOr<QueuePass>()> pass);

// Handles what is available in `queue` and gives it back, at most as many chains as the queue has
// descriptors; then one interrupt if the driver wants it, also for those before an error. True:
// there may be more; false: there is none, and the driver will notify of the next. A queue that is
// null has none. Errors: of `handle`, whose chain is not given back, and of Virtqueue::Pop.
absl::StatusOr<bool> ServeChains(Virtqueue* queue, VirtioEvents& events, ChainHandler handle);

// The queue with that number; null: not enabled.
Virtqueue* QueueOf(const VirtioSession& session, size_t number);

// InvalidArgument: the driver put a writable buffer into a queue of `what` that the device only
// reads, or a readable one into a queue that it only writes.
absl::Status CheckOnlyReadable(const DescriptorChain& chain, const char* what);
absl::Status CheckOnlyWritable(const DescriptorChain& chain, const char* what);

// Whether a long request is to be given up because the device is to come to rest. Never, if it was
// to from the start: such a session serves what is there.
class StopSign {
 public:
  explicit StopSign(const VirtioSession& session);

  // One system call.
  bool Pending() const;

 private:
  int fd_;  // -1: never.
};

}  // namespace vmwire

#endif  // VMWIRE_DEVICES_VIRTIO_QUEUE_LOOP_H_
