#include "memory/pin_look.h"

#include <algorithm>
#include <cstddef>
#include <string>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "memory/status_macros.h"

namespace vmwire {
namespace {

using enum ProofVerdict;

std::string TextOf(const absl::Status& status) { return std::string(status.message()); }

// Pages of a file that are in memory may be out of this process's page table, which pagemap knows
// only; a read brings the same frame back.
void MapWhatIsResident(const PinSubject& subject, const std::vector<bool>& resident,
                       const std::vector<uint64_t>& frames) {
  for (size_t i = 0; i < frames.size(); ++i) {
    if (frames[i] != 0 || !resident[i]) continue;
    const volatile std::byte* byte = HostPointer(subject.HostOf(i));
    static_cast<void>(*byte);
  }
}

absl::StatusOr<std::vector<uint64_t>> FramesOf(const HostMemory& host, const PinSubject& subject,
                                               const absl::StatusOr<std::vector<bool>>& resident) {
  absl::StatusOr<std::vector<uint64_t>> frames = host.Frames(subject.host());
  const bool has_file = subject.object->backing() != MemoryBacking::kAnonymous;
  if (!has_file || !frames.ok() || !resident.ok()) return frames;
  if (std::find(frames->begin(), frames->end(), 0) == frames->end()) return frames;
  MapWhatIsResident(subject, *resident, *frames);
  return host.Frames(subject.host());
}

// The first look that has no answer, or null.
template <typename T>
const absl::Status* Missing(const absl::StatusOr<T>& before, const absl::StatusOr<T>& after,
                            absl::Status& room) {
  if (before.ok() && after.ok()) return nullptr;
  room = before.ok() ? after.status() : before.status();
  return &room;
}

}  // namespace

HostRange PinSubject::host() const { return HostRange::Between(HostOf(0), HostOf(pages.pages())); }

HostAddress PinSubject::HostOf(uint64_t index) const {
  return HostAddress(object->host_range().start().value() + (pages.first + index) * kPageSize);
}

std::string PinSubject::Name() const {
  if (guest.has_value()) {
    return absl::StrFormat("[0x%x, 0x%x)", guest->value(),
                           guest->value() + pages.pages() * kPageSize);
  }
  return absl::StrFormat("pages [0x%x, 0x%x) of the object", pages.first, pages.end);
}

std::string PinSubject::PageName(uint64_t index) const {
  const uint64_t at = HostOf(index).value();
  if (guest.has_value()) {
    return absl::StrFormat("guest page 0x%x (host 0x%x)", guest->value() + index * kPageSize, at);
  }
  return absl::StrFormat("page 0x%x of the object (host 0x%x)", pages.first + index, at);
}

PinLook LookAt(const HostMemory& host, const PinSubject& subject) {
  PinLook look;
  look.resident = host.Residency(subject.host());
  look.frames = FramesOf(host, subject, look.resident);
  if (look.frames.ok()) {
    look.flags = host.FrameFlags(*look.frames);
  } else {
    look.flags = look.frames.status();
  }
  return look;
}

PartProof JudgeResidency(const PinSubject& subject, const PinLook& before, const PinLook& after) {
  absl::Status missing;
  // mincore refuses only what is not mapped.
  if (Missing(before.resident, after.resident, missing) != nullptr) {
    return {ProofPart::kResidency, kDisproven, TextOf(missing)};
  }
  for (const auto* look : {&*before.resident, &*after.resident}) {
    const auto absent = std::find(look->begin(), look->end(), false);
    if (absent == look->end()) continue;
    const auto index = static_cast<uint64_t>(absent - look->begin());
    return {ProofPart::kResidency, kDisproven, subject.PageName(index) + " is not in memory"};
  }
  return {ProofPart::kResidency, kProven,
          absl::StrFormat("pages in memory: all %d", before.resident->size())};
}

PartProof JudgeFrames(const PinSubject& subject, const PinLook& before, const PinLook& after) {
  absl::Status missing;
  if (Missing(before.frames, after.frames, missing) != nullptr) {
    return {ProofPart::kFrames, kNotProvable, TextOf(missing)};
  }
  uint64_t moved = 0;
  for (size_t i = 0; i < before.frames->size(); ++i) {
    const uint64_t old_frame = (*before.frames)[i];
    const uint64_t new_frame = (*after.frames)[i];
    if (old_frame == 0 || new_frame == 0) {
      return {ProofPart::kFrames, kDisproven, subject.PageName(i) + " has no frame"};
    }
    if (old_frame == new_frame) continue;
    ++moved;
    if (subject.level == PinLevel::kResident) continue;
    return {ProofPart::kFrames, kDisproven,
            absl::StrFormat("%s moved from frame 0x%x to 0x%x", subject.PageName(i), old_frame,
                            new_frame)};
  }
  std::string detail =
      absl::StrFormat("pages with a frame: all %d; moved: %d", before.frames->size(), moved);
  if (moved != 0) absl::StrAppend(&detail, ", as level 'resident' allows");
  return {ProofPart::kFrames, kProven, std::move(detail)};
}

PartProof JudgePageFlags(const PinSubject& subject, const PinLook& before, const PinLook& after) {
  absl::Status missing;
  if (Missing(before.flags, after.flags, missing) != nullptr) {
    return {ProofPart::kPageFlags, kNotProvable, TextOf(missing)};
  }
  for (const auto* look : {&*before.flags, &*after.flags}) {
    for (size_t i = 0; i < look->size(); ++i) {
      if (((*look)[i] & kFrameMerged) == 0) continue;
      return {ProofPart::kPageFlags, kDisproven,
              subject.PageName(i) + " is merged with others (KSM)"};
    }
  }
  const auto count = [&](uint64_t flag) {
    return std::count_if(after.flags->begin(), after.flags->end(),
                         [flag](uint64_t flags) { return (flags & flag) != 0; });
  };
  return {ProofPart::kPageFlags, kProven,
          absl::StrFormat("merged: 0; unevictable: %d, hugetlb: %d, transparent huge: %d",
                          count(kFrameUnevictable), count(kFrameHugetlb),
                          count(kFrameTransparentHuge))};
}

}  // namespace vmwire
