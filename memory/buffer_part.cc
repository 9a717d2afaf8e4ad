#include "memory/buffer_part.h"

#include <time.h>

#include <algorithm>
#include <string>
#include <thread>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "memory/check.h"
#include "memory/retry.h"
#include "memory/status_macros.h"

namespace vmwire {
namespace {

constexpr std::chrono::milliseconds kRetryAfter{20};
// Up to here the registration itself faults in: as fast as a populate, and half as many calls.
constexpr uint64_t kFaultedByRegistration = kHugePageSize;

// Some nanoseconds instead of some tens, and good to some milliseconds.
int64_t CoarseNow() {
  timespec now;
  clock_gettime(CLOCK_MONOTONIC_COARSE, &now);
  return now.tv_sec * int64_t{1000} + now.tv_nsec / 1'000'000;
}

uint64_t Pieces(const HostRange& range) { return (range.size() - 1) / kMaxBufferBytes + 1; }

HostRange PieceAt(const HostRange& range, uint64_t index) {
  const uint64_t start = range.start().value() + index * kMaxBufferBytes;
  return HostRange::Between(HostAddress(start),
                            HostAddress(std::min(start + kMaxBufferBytes, range.end().value())));
}

absl::Status WithTableRemedy(const absl::Status& status) {
  if (absl::IsPermissionDenied(status) || absl::IsUnimplemented(status)) {
    return absl::UnimplementedError(
        absl::StrCat(std::string(status.message()),
                     "; levels 'pinned' and 'guarded' need io_uring (sysctl "
                     "kernel.io_uring_disabled=0, and in a "
                     "container a seccomp profile that allows it), level 'resident' does not"));
  }
  if (absl::IsResourceExhausted(status)) {
    return absl::ResourceExhaustedError(absl::StrCat(
        std::string(status.message()), "; raise RLIMIT_NOFILE (ulimit -n) or RLIMIT_MEMLOCK"));
  }
  return status;
}

absl::Status WithBufferRemedy(const absl::Status& status) {
  if (!absl::IsResourceExhausted(status)) return status;
  return absl::ResourceExhaustedError(absl::StrCat(
      std::string(status.message()),
      "; raise RLIMIT_MEMLOCK (ulimit -l), which io_uring counts per user, or wire less memory"));
}

absl::Status Stopped(uint64_t done, const HostRange& range) {
  return absl::CancelledError(absl::StrFormat("stopped after pinning 0x%x bytes of host memory %s",
                                              done, range.ToString()));
}

void Tell(const PinControl& control, HostAddress failed_at) {
  if (control.failed_at != nullptr) *control.failed_at = failed_at;
}

}  // namespace

BufferPart::~BufferPart() {
  VMWIRE_CHECK(FreeSlots() == options_.slots, "a pinned extent outlives its pinner");
  if (BufferTable table = table_.load(); table != nullptr) host_.DestroyBufferTable(table);
}

absl::StatusOr<SlotList> BufferPart::Reserve(const HostRange& range) {
  if (absl::Status made = CreateTableOnce(); !made.ok()) return WithTableRemedy(made);
  const uint64_t pieces = Pieces(range);
  const MutexLock lock(mutex_);
  const uint64_t free = options_.slots - used_ + released_.size();
  if (free < pieces) {
    return absl::ResourceExhaustedError(absl::StrFormat(
        "host memory %s needs %d registered buffers, and %d of %d are free; wire fewer, larger "
        "ranges",
        range.ToString(), pieces, free, options_.slots));
  }
  SlotList slots;
  while (slots.size() < pieces) {
    if (released_.empty()) {
      slots.Add(used_++);
    } else {
      slots.Add(released_.back());
      released_.pop_back();
    }
  }
  return slots;
}

void BufferPart::Return(const SlotList& slots) {
  const MutexLock lock(mutex_);
  for (size_t i = slots.size(); i > 0; --i) released_.push_back(slots[i - 1]);
}

absl::Status BufferPart::Fill(const HostRange& range, const SlotList& slots,
                              const PinControl& control) {
  if (range.size() > kFaultedByRegistration) {
    VMWIRE_RETURN_IF_ERROR(Populate(host_, range, populate_, control));
  }
  size_t filled = 0;
  absl::Status pinned = FillPieces(range, slots, filled, control);
  if (pinned.ok() && range.size() <= kFaultedByRegistration && control.progress &&
      !control.progress(range.size())) {
    pinned = Stopped(range.size(), range);
  }
  if (pinned.ok()) return absl::OkStatus();
  const BufferTable table = table_.load(std::memory_order_relaxed);
  for (size_t i = 0; i < filled; ++i) host_.ClearBuffer(table, slots[i]);
  if (filled > 0) last_clear_ms_.store(CoarseNow(), std::memory_order_relaxed);
  return pinned;
}

void BufferPart::Clear(const SlotList& slots) {
  const BufferTable table = table_.load(std::memory_order_relaxed);
  for (const uint32_t slot : slots) host_.ClearBuffer(table, slot);
  last_clear_ms_.store(CoarseNow(), std::memory_order_relaxed);
  Return(slots);
}

uint64_t BufferPart::FreeSlots() const {
  const MutexLock lock(mutex_);
  return options_.slots - used_ + released_.size();
}

PinnedBuffer BufferPart::BufferAt(const HostRange& host, const SlotList& slots,
                                  HostAddress address) const {
  VMWIRE_CHECK(host.Contains(address), "an address outside of its extent");
  const uint64_t piece = (address.value() - host.start().value()) / kMaxBufferBytes;
  return {table_.load(std::memory_order_relaxed), slots[piece], PieceAt(host, piece)};
}

absl::Status BufferPart::CreateTableOnce() {
  if (table_.load(std::memory_order_acquire) != nullptr) return absl::OkStatus();
  VMWIRE_ASSIGN_OR_RETURN(const BufferTable made, host_.CreateBufferTable(options_.slots));
  BufferTable none = nullptr;
  // Another thread may have been faster; the mutex is not held over a call of the host.
  if (!table_.compare_exchange_strong(none, made)) host_.DestroyBufferTable(made);
  return absl::OkStatus();
}

absl::Status BufferPart::FillPieces(const HostRange& range, const SlotList& slots, size_t& filled,
                                    const PinControl& control) {
  for (; filled < slots.size(); ++filled) {
    // A large range takes seconds to register.
    if (filled != 0 && control.progress && !control.progress(range.size())) {
      return Stopped(filled * kMaxBufferBytes, range);
    }
    const uint64_t done = range.size() > kFaultedByRegistration ? range.size() : 0;
    VMWIRE_RETURN_IF_ERROR(FillSlot(PieceAt(range, filled), slots[filled], done, control));
  }
  return absl::OkStatus();
}

// `done`: the bytes that the progress has been told of.
absl::Status BufferPart::FillSlot(const HostRange& piece, uint32_t slot, uint64_t done,
                                  const PinControl& control) {
  const auto set = [&] {
    return host_.SetBuffer(table_.load(std::memory_order_relaxed), slot, piece);
  };
  absl::Status pinned = RetryTransient(set);
  while (absl::IsResourceExhausted(pinned) && MayBeChargedStill()) {
    if (control.progress && !control.progress(done)) return Stopped(0, piece);
    std::this_thread::sleep_for(kRetryAfter);
    pinned = RetryTransient(set);
  }
  if (pinned.ok()) return absl::OkStatus();
  return Explain(pinned, piece, slot, control);
}

// Why the host refused a piece, and which page of it.
absl::Status BufferPart::Explain(const absl::Status& refused, const HostRange& piece, uint32_t slot,
                                 const PinControl& control) {
  if (absl::IsResourceExhausted(refused) || absl::IsUnavailable(refused)) {
    Tell(control, piece.start());
    return WithBufferRemedy(refused);
  }
  // Either some page cannot be faulted in, for which a populate has a better error, or none can be
  // pinned.
  const PinControl quiet = {.progress = nullptr, .failed_at = control.failed_at};
  VMWIRE_RETURN_IF_ERROR(Populate(host_, piece, populate_, quiet));
  if (control.failed_at != nullptr) *control.failed_at = FirstRefusedPage(piece, slot);
  return refused;
}

// The pages before the first one that is refused can be pinned together, so it can be bisected.
HostAddress BufferPart::FirstRefusedPage(const HostRange& piece, uint32_t slot) {
  const BufferTable table = table_.load(std::memory_order_relaxed);
  uint64_t good = 0;
  uint64_t bad = piece.pages();
  while (bad - good > 1) {
    const uint64_t middle = good + (bad - good) / 2;
    const HostAddress end(piece.start().value() + middle * kPageSize);
    if (host_.SetBuffer(table, slot, HostRange::Between(piece.start(), end)).ok()) {
      host_.ClearBuffer(table, slot);
      good = middle;
    } else {
      bad = middle;
    }
  }
  return HostAddress(piece.start().value() + good * kPageSize);
}

bool BufferPart::MayBeChargedStill() const {
  return CoarseNow() < last_clear_ms_.load(std::memory_order_relaxed) + options_.late_unpin.count();
}

}  // namespace vmwire
