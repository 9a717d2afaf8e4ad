#include "devices/virtio/block/block_session.h"

#include <cerrno>
#include <optional>
#include <utility>

#include "devices/event_fd.h"
#include "memory/status_macros.h"

namespace vmwire {
namespace {

// What a completion must bring back to be understood: its slot, the lane, and how many bytes were
// asked for (at most BlockRing::kMostBytes).
constexpr int kLaneShift = 32;
constexpr int kSlotShift = 40;

uint64_t LengthOf(const BlockOperation& operation) {
  const bool transfer = operation.kind == BlockOperation::Kind::kRead ||
                        operation.kind == BlockOperation::Kind::kWrite;
  return transfer ? operation.length : 0;
}

}  // namespace

absl::StatusOr<std::unique_ptr<BlockSession>> BlockSession::Create(
    const BlockRequestContext& context, const VirtioSession& session, bool registered_buffers,
    BlockCounters& counters) {
  auto made = std::unique_ptr<BlockSession>(new BlockSession(context, session, counters));
  VMWIRE_ASSIGN_OR_RETURN(made->ring_, BlockRing::Create(context.disk));
  // Without them the disk works by address.
  if (registered_buffers) made->attached_ = context.port.AttachRing(made->ring_->fd()).ok();
  return made;
}

BlockSession::BlockSession(const BlockRequestContext& context, const VirtioSession& session,
                           BlockCounters& counters)
    : context_(context), session_(session), counters_(counters) {
  for (Virtqueue* const queue : session.queues) {
    if (queue == nullptr) continue;
    queues_.push_back({.ring = queue});
    slot_count_ += queue->size();
  }
  slots_ = std::make_unique<Slot[]>(slot_count_);
  for (uint32_t number = slot_count_; number > 0; --number) free_slots_.push_back(number - 1);
}

BlockSession::~BlockSession() {
  // The kernel first: what a slot maps must not go while a transfer may run.
  if (attached_) context_.port.DetachRing();
  ring_.reset();
}

absl::Status BlockSession::Run() {
  // Told to stop before it began: all that is available is served, and then it returns.
  const bool once = IsReadable(session_.stop);
  if (!once) ring_->Watch(session_.doorbell, session_.stop);
  absl::Status error;
  while (true) {
    bool more = false;
    if (error.ok() && !aborted_) {
      absl::StatusOr<bool> collected = Collect();
      if (collected.ok()) {
        more = *collected;
      } else {
        error = collected.status();
      }
    }
    Issue();
    TellDriver();
    const bool idle = ring_->Idle() && waiting_.empty();
    if (idle && (aborted_ || !error.ok() || (once && !more))) return error;
    VMWIRE_ASSIGN_OR_RETURN(const bool stop, Sleep(more));
    if (stop && !aborted_) Abort();
    TellDriver();
  }
}

absl::StatusOr<bool> BlockSession::Collect() {
  bool more = false;
  for (size_t i = 0; i < queues_.size(); ++i) {
    VMWIRE_ASSIGN_OR_RETURN(const bool left, CollectFrom((first_queue_ + i) % queues_.size()));
    more = more || left;
  }
  if (!queues_.empty()) first_queue_ = (first_queue_ + 1) % queues_.size();
  return more;
}

absl::StatusOr<bool> BlockSession::CollectFrom(size_t queue) {
  Queue& from = queues_[queue];
  from.ring->DisableNotifications();
  for (uint32_t taken = 0; taken < from.ring->size(); ++taken) {
    // A completion makes room, and the next pass looks again.
    if (!waiting_.empty() || from.in_work == from.ring->size()) return false;
    VMWIRE_ASSIGN_OR_RETURN(const std::optional<DescriptorChain> chain, from.ring->Pop());
    if (chain.has_value()) {
      VMWIRE_RETURN_IF_ERROR(Take(queue, *chain));
      Issue();
    } else if (from.ring->EnableNotifications()) {
      return false;
    }
  }
  return true;
}

absl::Status BlockSession::Take(size_t queue, const DescriptorChain& chain) {
  const uint32_t number = free_slots_.back();
  Slot& slot = slots_[number];
  slot.queue = queue;
  slot.next = 0;
  slot.error = 0;
  if (absl::Status status = slot.request.Start(context_, chain); !status.ok()) {
    queues_[queue].ring->Push(chain.head(), 0);
    queues_[queue].pushed = true;
    return status;
  }
  if (slot.request.done()) {
    GiveBack(queue, slot.request);
    return absl::OkStatus();
  }
  free_slots_.pop_back();
  ++queues_[queue].in_work;
  slot.request.BeginTransfer();
  Await(number);
  return absl::OkStatus();
}

void BlockSession::Await(uint32_t number) {
  slots_[number].waiting = true;
  waiting_.push_back(number);
}

void BlockSession::Issue() {
  while (!waiting_.empty()) {
    const uint32_t number = waiting_.front();
    Slot& slot = slots_[number];
    while (slot.error == 0 && slot.next < slot.request.operations().size()) {
      if (!IssueOne(number)) return;
    }
    waiting_.pop_front();
    slot.waiting = false;
    if (slot.running == 0) Settle(number);
  }
}

bool BlockSession::IssueOne(uint32_t number) {
  Slot& slot = slots_[number];
  const BlockOperation& operation = slot.request.operations()[slot.next];
  const Lane lane = LaneOf(operation);
  if (lane != kNoLane && lanes_[lane == kDirectWrites ? kBufferedWrites : kDirectWrites] != 0) {
    return false;
  }
  if (!ring_->HasRoom()) return false;
  ring_->Queue(operation,
               uint64_t{number} << kSlotShift | uint64_t{lane} << kLaneShift | LengthOf(operation));
  ++lanes_[lane];
  ++slot.next;
  ++slot.running;
  Count(operation);
  return true;
}

BlockSession::Lane BlockSession::LaneOf(const BlockOperation& operation) const {
  if (operation.kind != BlockOperation::Kind::kWrite || !context_.disk.direct()) return kNoLane;
  return operation.direct ? kDirectWrites : kBufferedWrites;
}

void BlockSession::Count(const BlockOperation& operation) {
  counters_.operations.Add(1);
  if (LengthOf(operation) == 0) return;
  if (operation.direct) counters_.direct.Add(1);
  if (operation.piece_count > 1) {
    counters_.vectored.Add(1);
  } else if (operation.buffer != DmaPiece::kNoBuffer) {
    counters_.fixed.Add(1);
  } else {
    counters_.plain.Add(1);
  }
}

absl::StatusOr<bool> BlockSession::Sleep(bool more) {
  // An operation that waits for a place in the submission queue finds one at once; one that waits
  // for others to end is woken by them.
  const bool submit_only = !waiting_.empty() && ring_->SubmissionQueueFull();
  const uint64_t submits = ring_->submits();
  const absl::StatusOr<BlockRing::Wakes> wakes =
      ring_->Wait(!more && !submit_only,
                  [this](uint64_t token, int32_t result) { OnCompletion(token, result); });
  counters_.submits.Add(ring_->submits() - submits);
  if (!wakes.ok()) return wakes.status();
  return wakes->stop;
}

void BlockSession::OnCompletion(uint64_t token, int32_t result) {
  const auto number = static_cast<uint32_t>(token >> kSlotShift);
  Slot& slot = slots_[number];
  --lanes_[token >> kLaneShift & 0xff];
  --slot.running;
  const auto asked = static_cast<uint32_t>(token);
  // A short read is the end of a file that was truncated under us; a short write, a full disk.
  if (result < 0 || static_cast<uint32_t>(result) != asked) {
    if (slot.error == 0) slot.error = result < 0 ? -result : EIO;
  }
  const bool all_issued = slot.error != 0 || slot.next == slot.request.operations().size();
  if (all_issued && slot.running == 0 && !slot.waiting) Settle(number);
}

void BlockSession::Settle(uint32_t number) {
  Slot& slot = slots_[number];
  const int error = std::exchange(slot.error, 0);
  if (aborted_ && error != 0) return Finish(number, BlockStatus::kIoError);
  const bool again =
      error == 0 ? slot.request.Continue(context_) : slot.request.TryOtherWay(context_, error);
  if (again && !slot.request.operations().empty()) {
    slot.next = 0;
    return Await(number);
  }
  Finish(number, error == 0 || again ? BlockStatus::kOk : BlockStatus::kIoError);
}

void BlockSession::Finish(uint32_t number, BlockStatus status) {
  Slot& slot = slots_[number];
  slot.request.EndTransfer();
  slot.request.Complete(status);
  --queues_[slot.queue].in_work;
  GiveBack(slot.queue, slot.request);
  free_slots_.push_back(number);
}

void BlockSession::GiveBack(size_t queue, BlockRequest& request) {
  counters_.Count(request.type(), request.status(), request.data_bytes());
  const uint16_t head = request.head();
  const uint32_t written = request.written();
  // Let go of before the driver knows: it may do what it likes with the memory then.
  request.Reset();
  queues_[queue].ring->Push(head, written);
  queues_[queue].pushed = true;
}

void BlockSession::Abort() {
  aborted_ = true;
  for (const uint32_t number : waiting_) {
    if (slots_[number].error == 0) slots_[number].error = ECANCELED;
  }
  if (!ring_->Idle()) ring_->Cancel();
}

void BlockSession::TellDriver() {
  bool tell = false;
  for (Queue& queue : queues_) {
    if (std::exchange(queue.pushed, false) && queue.ring->NeedsInterrupt()) tell = true;
  }
  if (tell) session_.events->UsedBuffers();
}

}  // namespace vmwire
