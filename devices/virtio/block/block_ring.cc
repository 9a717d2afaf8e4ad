#include "devices/virtio/block/block_ring.h"

#include <poll.h>
#include <sched.h>

#include <array>
#include <cerrno>
#include <utility>

#include "absl/strings/str_cat.h"
#include "memory/check.h"
#include "memory/errno_status.h"
#include "memory/status_macros.h"

namespace vmwire {
namespace {

constexpr uint32_t kEntries = 256;
// Every operation, a few polls, and the cancellation.
constexpr uint32_t kCompletions = 2 * BlockRing::kMostInFlight;

// Places in the ring's table of files.
constexpr int kBufferedFile = 0;
constexpr int kDirectFile = 1;

constexpr uint64_t kDoorbellToken = BlockRing::kTokenEnd;
constexpr uint64_t kStopToken = BlockRing::kTokenEnd + 1;
constexpr uint64_t kCancelToken = BlockRing::kTokenEnd + 2;

// From what serves best to what every kernel takes. Completions are then worked on when we ask for
// them, and not by an interruption of whatever the thread does.
constexpr std::array<unsigned, 3> kSetupFlags = {
    IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN,  // Linux 6.1.
    IORING_SETUP_COOP_TASKRUN,                                // Linux 5.19.
    0,
};

int MakeRing(io_uring& ring) {
  int result = -EINVAL;
  for (const unsigned flags : kSetupFlags) {
    io_uring_params params = {};
    params.flags = flags | IORING_SETUP_CQSIZE;
    params.cq_entries = kCompletions;
    result = io_uring_queue_init_params(kEntries, &ring, &params);
    if (result != -EINVAL) break;
  }
  return result;
}

absl::Status RingError(int error) {
  const absl::Status status = ErrnoStatus(error, "making an io_uring for a block device");
  std::string remedy = "raise the limits of open files (ulimit -n) and of memory";
  if (error == ENOSYS) remedy = "a kernel with CONFIG_IO_URING is needed";
  if (error == EPERM) {
    remedy = "allow it: sysctl kernel.io_uring_disabled=0, and no seccomp filter against it";
  }
  return absl::Status(status.code(), absl::StrCat(status.message(), "; ", remedy));
}

void Prepare(io_uring_sqe* entry, const BlockOperation& operation) {
  const int file = operation.direct ? kDirectFile : kBufferedFile;
  const bool read = operation.kind == BlockOperation::Kind::kRead;
  switch (operation.kind) {
    case BlockOperation::Kind::kSync:
      return io_uring_prep_fsync(entry, file, IORING_FSYNC_DATASYNC);
    case BlockOperation::Kind::kAllocate:
      return io_uring_prep_fallocate(entry, file, operation.mode,
                                     static_cast<off_t>(operation.offset),
                                     static_cast<off_t>(operation.length));
    case BlockOperation::Kind::kRead:
    case BlockOperation::Kind::kWrite:
      break;
  }
  if (operation.piece_count > 1) {
    io_uring_prep_rw(read ? IORING_OP_READV : IORING_OP_WRITEV, entry, file, operation.pieces,
                     operation.piece_count, operation.offset);
    return;
  }
  const bool fixed = operation.buffer != DmaPiece::kNoBuffer;
  const auto length = static_cast<unsigned>(operation.length);
  void* const memory = operation.pieces->iov_base;
  if (fixed) {
    io_uring_prep_rw(read ? IORING_OP_READ_FIXED : IORING_OP_WRITE_FIXED, entry, file, memory,
                     length, operation.offset);
    entry->buf_index = static_cast<uint16_t>(operation.buffer);
  } else {
    io_uring_prep_rw(read ? IORING_OP_READ : IORING_OP_WRITE, entry, file, memory, length,
                     operation.offset);
  }
}

}  // namespace

absl::StatusOr<std::unique_ptr<BlockRing>> BlockRing::Create(const DiskFile& disk) {
  auto ring = std::unique_ptr<BlockRing>(new BlockRing());
  VMWIRE_RETURN_IF_ERROR(ring->Init(disk));
  return ring;
}

absl::Status BlockRing::Init(const DiskFile& disk) {
  if (const int result = MakeRing(ring_); result < 0) return RingError(-result);
  made_ = true;
  const std::array<int, 2> files = {disk.buffered_fd(), disk.direct_fd()};
  const int result = io_uring_register_files(&ring_, files.data(), disk.direct() ? 2u : 1u);
  if (result < 0) return RingError(-result);
  // Saves a look-up of the descriptor at each call; without it all works as well.
  io_uring_register_ring_fd(&ring_);
  return absl::OkStatus();
}

BlockRing::~BlockRing() {
  if (!made_) return;
  // The kernel ends a ring a moment later; the files, and so the lock of the disk, are let go now.
  io_uring_unregister_files(&ring_);
  io_uring_queue_exit(&ring_);
}

void BlockRing::Watch(int doorbell, int stop) {
  doorbell_ = doorbell;
  ArmDoorbell();
  io_uring_sqe* const entry = NextEntry();
  io_uring_prep_poll_add(entry, stop, POLLIN);
  io_uring_sqe_set_data64(entry, kStopToken);
}

void BlockRing::ArmDoorbell() {
  io_uring_sqe* const entry = NextEntry();
  io_uring_prep_poll_multishot(entry, doorbell_, POLLIN);
  io_uring_sqe_set_data64(entry, kDoorbellToken);
  doorbell_armed_ = true;
}

bool BlockRing::HasRoom() const { return in_flight_ < kMostInFlight && !SubmissionQueueFull(); }

void BlockRing::Queue(const BlockOperation& operation, uint64_t token) {
  io_uring_sqe* const entry = NextEntry();
  Prepare(entry, operation);
  entry->flags |= IOSQE_FIXED_FILE;
  io_uring_sqe_set_data64(entry, token);
  ++in_flight_;
  ++queued_;
  ++operations_;
}

io_uring_sqe* BlockRing::NextEntry() {
  io_uring_sqe* const entry = io_uring_get_sqe(&ring_);
  VMWIRE_CHECK(entry != nullptr, "the submission queue of a block device is full");
  return entry;
}

absl::Status BlockRing::Enter(bool sleep) {
  const unsigned before = io_uring_sq_ready(&ring_);
  const int result =
      sleep ? io_uring_submit_and_wait(&ring_, 1) : io_uring_submit_and_get_events(&ring_);
  if (before > 0 && queued_ > 0) ++submits_;
  if (io_uring_sq_ready(&ring_) == 0) queued_ = 0;
  if (result >= 0 || result == -EINTR) return absl::OkStatus();
  // The kernel is short of memory just now, or wants its completions taken first.
  if (result == -EAGAIN || result == -EBUSY) {
    sched_yield();
    return absl::OkStatus();
  }
  return ErrnoStatus(-result, "io_uring_enter of a block device");
}

absl::StatusOr<BlockRing::Wakes> BlockRing::Wait(bool sleep, Handler handle) {
  if (doorbell_ >= 0 && !doorbell_armed_) ArmDoorbell();
  VMWIRE_RETURN_IF_ERROR(Enter(sleep));
  Wakes wakes;
  unsigned head = 0;
  unsigned count = 0;
  io_uring_cqe* entry = nullptr;
  io_uring_for_each_cqe(&ring_, head, entry) {
    ++count;
    const uint64_t token = entry->user_data;
    if (token < kTokenEnd) {
      --in_flight_;
      handle(token, entry->res);
    } else if (token == kStopToken) {
      wakes.stop = true;
    } else if (token == kDoorbellToken) {
      doorbell_armed_ = (entry->flags & IORING_CQE_F_MORE) != 0;
    }
  }
  io_uring_cq_advance(&ring_, count);
  return wakes;
}

void BlockRing::Cancel() {
  doorbell_ = -1;  // Its poll is cancelled, too, and not wanted again.
  io_uring_sqe* const entry = NextEntry();
  // Kernels before Linux 5.19 refuse the flags, and cancel nothing.
  io_uring_prep_cancel64(entry, 0, IORING_ASYNC_CANCEL_ANY | IORING_ASYNC_CANCEL_ALL);
  io_uring_sqe_set_data64(entry, kCancelToken);
}

}  // namespace vmwire
