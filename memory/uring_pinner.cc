#include "memory/uring_pinner.h"

#include <algorithm>
#include <string>
#include <thread>
#include <utility>

#include "absl/cleanup/cleanup.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "memory/check.h"
#include "memory/status_macros.h"

namespace vmwire {
namespace {

constexpr std::chrono::milliseconds kRetryAfter{20};

absl::Status WithTableRemedy(const absl::Status& status) {
  if (absl::IsPermissionDenied(status) || absl::IsUnimplemented(status)) {
    return absl::UnimplementedError(absl::StrCat(
        std::string(status.message()),
        "; level 'pinned' needs io_uring (sysctl kernel.io_uring_disabled=0, and in a container a "
        "seccomp profile that allows it), level 'resident' does not"));
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

}  // namespace

UringPinner::~UringPinner() {
  VMWIRE_CHECK(released_.size() == used_, "a pinned extent outlives its pinner");
  if (table_.has_value()) host_.DestroyBufferTable(*table_);
}

absl::StatusOr<PinnedExtent> UringPinner::Pin(const HostRange& range, const PinProgress& progress) {
  VMWIRE_RETURN_IF_ERROR(WithTableRemedy(CreateTableOnce()));
  VMWIRE_RETURN_IF_ERROR(Populate(host_, range, populate_, progress));
  PinnedExtent extent{range, {}};
  absl::Cleanup undo = [&] { Unpin(extent); };
  for (uint64_t offset = 0; offset < range.size(); offset += kMaxBufferBytes) {
    // A large range takes seconds to register.
    if (offset != 0 && progress && !progress(range.size())) {
      return absl::CancelledError(
          absl::StrFormat("stopped after pinning 0x%x of 0x%x bytes of host memory %s", offset,
                          range.size(), range.ToString()));
    }
    VMWIRE_ASSIGN_OR_RETURN(const HostRange piece,
                            range.Slice(offset, std::min(kMaxBufferBytes, range.size() - offset)));
    VMWIRE_RETURN_IF_ERROR(PinPiece(piece, extent));
  }
  std::move(undo).Cancel();
  return extent;
}

void UringPinner::Unpin(const PinnedExtent& extent) {
  for (const uint32_t slot : extent.buffers) {
    host_.ClearBuffer(*table_, slot);
    released_.push_back(slot);
    last_clear_ = std::chrono::steady_clock::now();
  }
}

absl::Status UringPinner::CreateTableOnce() {
  if (table_.has_value()) return absl::OkStatus();
  VMWIRE_ASSIGN_OR_RETURN(table_, host_.CreateBufferTable(slots_));
  return absl::OkStatus();
}

absl::StatusOr<uint32_t> UringPinner::TakeSlot(const HostRange& piece) {
  if (!released_.empty()) {
    const uint32_t slot = released_.back();
    released_.pop_back();
    return slot;
  }
  if (used_ == slots_) {
    return absl::ResourceExhaustedError(
        absl::StrFormat("no registered buffer is left for host memory %s: all %d are in use; wire "
                        "fewer, larger ranges",
                        piece.ToString(), slots_));
  }
  return used_++;
}

absl::Status UringPinner::PinPiece(const HostRange& piece, PinnedExtent& extent) {
  VMWIRE_ASSIGN_OR_RETURN(const uint32_t slot, TakeSlot(piece));
  absl::Status set = host_.SetBuffer(*table_, slot, piece);
  while (absl::IsResourceExhausted(set) &&
         std::chrono::steady_clock::now() < last_clear_ + late_unpin_) {
    // What was given back a moment ago may still be charged.
    std::this_thread::sleep_for(kRetryAfter);
    set = host_.SetBuffer(*table_, slot, piece);
  }
  if (!set.ok()) {
    released_.push_back(slot);
    return WithBufferRemedy(set);
  }
  extent.buffers.push_back(slot);
  return absl::OkStatus();
}

}  // namespace vmwire
