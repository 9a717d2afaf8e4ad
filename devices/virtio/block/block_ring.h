// The io_uring of one block device: transfers between its disk and memory, and the one place where
// its thread sleeps, for completions, the doorbell and the order to stop.
//
// What was queued since the last Wait goes to the kernel with it, in one system call. The doorbell
// is watched by one poll that stays armed and costs no call at all, so the doorbell is never read.
//
// Invariants: at most kMostInFlight operations are queued or run; the kernel's completion queue
// holds them all, so none is lost.
// Thread safety: one thread, that which made it, uses and destroys a ring.
#ifndef VMWIRE_DEVICES_VIRTIO_BLOCK_BLOCK_RING_H_
#define VMWIRE_DEVICES_VIRTIO_BLOCK_BLOCK_RING_H_

#include <liburing.h>
#include <sys/uio.h>

#include <cstdint>
#include <memory>

#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "devices/dma_mapping.h"
#include "devices/virtio/block/disk_file.h"

namespace vmwire {

// One thing that the kernel does with the disk.
struct BlockOperation {
  enum class Kind : uint8_t {
    kRead,
    kWrite,
    kSync,      // fdatasync(2).
    kAllocate,  // fallocate(2).
  };

  Kind kind = Kind::kSync;
  bool direct = false;  // Through the direct descriptor.
  int mode = 0;         // Of fallocate.
  // Of the disk, in bytes.
  uint64_t offset = 0;
  uint64_t length = 0;
  // The memory of a read or write, `length` bytes in all. Stays until the operation has completed.
  const iovec* pieces = nullptr;
  uint32_t piece_count = 0;
  // Of one piece: the ring's registered buffer that holds it.
  int32_t buffer = DmaPiece::kNoBuffer;
};

class BlockRing {
 public:
  static constexpr uint32_t kMostInFlight = 1024;
  // What one operation may transfer: less than the kernel's own limit (MAX_RW_COUNT, IOV_MAX).
  static constexpr uint64_t kMostBytes = uint64_t{1} << 30;
  static constexpr uint32_t kMostPieces = 1024;
  // A token of Queue is less.
  static constexpr uint64_t kTokenEnd = uint64_t{1} << 63;

  // What woke Wait, besides completions.
  struct Wakes {
    bool stop = false;
  };
  // Gets the token of an operation, and what it returned: bytes, 0, or -errno.
  using Handler = absl::FunctionRef<void(uint64_t token, int32_t result)>;

  // Unimplemented: the kernel has no io_uring; PermissionDenied: it is switched off; both say what
  // to do. ResourceExhausted: no memory, or too many files. REQUIRES: `disk` outlives the ring.
  static absl::StatusOr<std::unique_ptr<BlockRing>> Create(const DiskFile& disk);
  BlockRing(const BlockRing&) = delete;
  BlockRing& operator=(const BlockRing&) = delete;
  // REQUIRES: Idle(), unless Wait failed; no buffers are registered.
  ~BlockRing();

  // For DmaPort::AttachRing.
  int fd() const { return ring_.ring_fd; }

  // From now on Wait wakes when `doorbell` is signalled or `stop` is readable. At most once.
  void Watch(int doorbell, int stop);

  // Whether Queue may be called.
  bool HasRoom() const;
  // Whether it is the next Wait that makes room.
  bool SubmissionQueueFull() const { return io_uring_sq_space_left(&ring_) <= kReserved; }
  // Queues an operation, for the next Wait. REQUIRES: HasRoom(); `token` < kTokenEnd.
  void Queue(const BlockOperation& operation, uint64_t token);

  // Gives the kernel what was queued. If `sleep`, waits until there is a completion, a doorbell or
  // stop; else looks only. Calls `handle` for each completion. Any error is the ring's end: what
  // was in flight may still run.
  absl::StatusOr<Wakes> Wait(bool sleep, Handler handle);

  // Asks for all that runs to be cancelled, and watches the doorbell no more. What was written or
  // read already stays, and most of what a disk has begun cannot be cancelled: Wait until Idle().
  void Cancel();

  bool Idle() const { return in_flight_ == 0; }

  // Since it was made: calls of the kernel that submitted operations, and operations in them.
  uint64_t submits() const { return submits_; }
  uint64_t operations() const { return operations_; }

 private:
  // Entries of the submission queue that operations leave for polls and the cancellation.
  static constexpr uint32_t kReserved = 4;

  BlockRing() = default;
  absl::Status Init(const DiskFile& disk);
  void ArmDoorbell();
  io_uring_sqe* NextEntry();
  absl::Status Enter(bool sleep);

  io_uring ring_ = {};
  bool made_ = false;
  int doorbell_ = -1;
  bool doorbell_armed_ = false;
  uint32_t in_flight_ = 0;
  uint32_t queued_ = 0;  // Operations of in_flight_ that the kernel does not know yet.
  uint64_t submits_ = 0;
  uint64_t operations_ = 0;
};

}  // namespace vmwire

#endif  // VMWIRE_DEVICES_VIRTIO_BLOCK_BLOCK_RING_H_
