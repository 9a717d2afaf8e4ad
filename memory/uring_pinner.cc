#include "memory/uring_pinner.h"

#include <algorithm>

#include "absl/cleanup/cleanup.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "memory/check.h"
#include "memory/status_macros.h"

namespace vmwire {
namespace {

absl::Status WithRemedy(const absl::Status& status) {
  if (absl::IsPermissionDenied(status) || absl::IsUnimplemented(status)) {
    return absl::UnimplementedError(
        absl::StrCat(std::string(status.message()),
                     "; pin level 'pinned' needs io_uring (sysctl kernel.io_uring_disabled=0), "
                     "level 'resident' does not"));
  }
  if (absl::IsResourceExhausted(status)) {
    return absl::ResourceExhaustedError(absl::StrCat(
        std::string(status.message()),
        "; raise RLIMIT_MEMLOCK (ulimit -l), which io_uring counts per user, or wire less memory"));
  }
  return status;
}

}  // namespace

UringPinner::~UringPinner() {
  VMWIRE_CHECK(released_.size() == used_, "a pinned extent outlives its pinner");
  if (table_.has_value()) host_.DestroyBufferTable(*table_);
}

absl::StatusOr<PinnedExtent> UringPinner::Pin(const HostRange& range, const PinProgress& progress) {
  VMWIRE_RETURN_IF_ERROR(WithRemedy(CreateTableOnce()));
  VMWIRE_RETURN_IF_ERROR(Populate(host_, range, populate_, progress));
  PinnedExtent extent{range, {}};
  absl::Cleanup undo = [&] { Unpin(extent); };
  for (uint64_t offset = 0; offset < range.size(); offset += kMaxBufferBytes) {
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
  }
}

absl::Status UringPinner::CreateTableOnce() {
  if (table_.has_value()) return absl::OkStatus();
  VMWIRE_ASSIGN_OR_RETURN(table_, host_.CreateBufferTable(slots_));
  return absl::OkStatus();
}

absl::StatusOr<uint32_t> UringPinner::TakeSlot() {
  if (!released_.empty()) {
    const uint32_t slot = released_.back();
    released_.pop_back();
    return slot;
  }
  if (used_ == slots_) {
    return absl::ResourceExhaustedError(
        absl::StrFormat("all %d registered buffers are in use; wire fewer, larger ranges", slots_));
  }
  return used_++;
}

absl::Status UringPinner::PinPiece(const HostRange& piece, PinnedExtent& extent) {
  VMWIRE_ASSIGN_OR_RETURN(const uint32_t slot, TakeSlot());
  if (absl::Status set = host_.SetBuffer(*table_, slot, piece); !set.ok()) {
    released_.push_back(slot);
    return WithRemedy(set);
  }
  extent.buffers.push_back(slot);
  return absl::OkStatus();
}

}  // namespace vmwire
