#include "memory/pin_promises.h"

#include <cstddef>

namespace vmwire {
namespace {

constexpr Promise Kept(const char* reason) { return {Outcome::kKept, reason}; }
constexpr Promise Refused(const char* reason) { return {Outcome::kRefused, reason}; }
constexpr Promise Excluded(const char* reason) { return {Outcome::kExcluded, reason}; }
constexpr Promise None(const char* reason) { return {Outcome::kNone, reason}; }

constexpr Promise kLockRefuses = Refused("the kernel refuses this advice for locked memory");
constexpr Promise kPinStays = Kept("the kernel leaves pinned frames where they are");
constexpr Promise kPinBlocks = Refused(
    "the kernel cannot isolate pinned frames, and gives up the huge page (it has nothing to do "
    "where the pages are huge already, and they stay)");
constexpr Promise kLockMoves = None("a lock keeps pages in memory, not in their frames");
constexpr Promise kLockStays = Kept("the kernel does not reclaim locked memory");
constexpr Promise kFileKeeps =
    Kept("only the mapping goes: the file keeps the frame, and the next touch finds it");
constexpr Promise kHugetlbRefuses = Refused("the kernel refuses this advice for hugetlb pages");
constexpr Promise kHugetlbStays =
    Kept("the kernel neither reclaims, moves nor merges hugetlb pages");
constexpr Promise kGuestMemfdStays =
    Kept("the kernel neither reclaims, moves nor merges pages of a guest_memfd");
constexpr Promise kNotAnonymous = Refused("the kernel takes this advice for anonymous memory only");
constexpr Promise kNotPrivate = Kept("the kernel merges private memory only");
constexpr Promise kNotCollapsible = Refused("the kernel makes no huge pages of this file");
constexpr Promise kShared = Kept("parent and child share the file's frames; none is copied");
constexpr Promise kNoHoleInAnonymous = Refused("anonymous memory has no file to punch a hole into");
constexpr Promise kDontFork = Excluded(
    "a write after fork moves the parent to a copy: the object keeps its memory from "
    "children (MADV_DONTFORK)");
constexpr Promise kOwnFile = Excluded(
    "neither a lock nor a pin stops it: the object alone has the file, and discards no "
    "wired page; a sealed file refuses it");
constexpr Promise kOwnMapping = Excluded(
    "neither a lock nor a pin stops it: the object alone has the mapping, and outlives "
    "every wiring");

// One cell for each level.
struct Row {
  Promise resident;
  Promise pinned;
  Promise guarded;

  const Promise& At(PinLevel level) const {
    switch (level) {
      case PinLevel::kResident:
        return resident;
      case PinLevel::kPinned:
        return pinned;
      case PinLevel::kGuarded:
        break;
    }
    return guarded;
  }
};

constexpr Row Always(const Promise& promise) { return {promise, promise, promise}; }

Row AnonymousRow(Disturbance disturbance) {
  switch (disturbance) {
    case Disturbance::kPageout:
    case Disturbance::kFree:
      return {kLockRefuses, kPinStays, kLockRefuses};
    case Disturbance::kDontNeed:
      return {kLockRefuses,
              None("a pin is no lock: the address gets another frame, without an error"),
              kLockRefuses};
    case Disturbance::kPunchHole:
      return Always(kNoHoleInAnonymous);
    case Disturbance::kPressure:
      return {kLockStays, kPinStays, kLockStays};
    case Disturbance::kCompaction:
    case Disturbance::kMerge:
      return {kLockMoves, kPinStays, kPinStays};
    case Disturbance::kCollapse:
      return {kLockMoves, kPinBlocks, kPinBlocks};
    case Disturbance::kFork:
      return Always(kDontFork);
    case Disturbance::kUnmap:
      break;
  }
  return Always(kOwnMapping);
}

Row MemfdRow(Disturbance disturbance) {
  switch (disturbance) {
    case Disturbance::kPageout:
    case Disturbance::kDontNeed:
      return {kLockRefuses, kFileKeeps, kLockRefuses};
    case Disturbance::kFree:
      return Always(kNotAnonymous);
    case Disturbance::kPunchHole:
      return Always(kOwnFile);
    case Disturbance::kPressure:
      return {kLockStays, kPinStays, kLockStays};
    case Disturbance::kCompaction:
      return {kLockMoves, kPinStays, kPinStays};
    case Disturbance::kCollapse:
      return {kLockMoves, kPinBlocks, kPinBlocks};
    case Disturbance::kMerge:
      return Always(kNotPrivate);
    case Disturbance::kFork:
      return Always(kShared);
    case Disturbance::kUnmap:
      break;
  }
  return Always(kOwnMapping);
}

Row HugetlbRow(Disturbance disturbance) {
  switch (disturbance) {
    case Disturbance::kPageout:
      return Always(kHugetlbRefuses);
    case Disturbance::kDontNeed:  // A lock does not stop this one for hugetlb pages.
      return Always(kFileKeeps);
    case Disturbance::kFree:
      return Always(kNotAnonymous);
    case Disturbance::kPunchHole:
      return Always(kOwnFile);
    case Disturbance::kPressure:
    case Disturbance::kCompaction:
    case Disturbance::kMerge:
      return Always(kHugetlbStays);
    case Disturbance::kCollapse:
      return Always(kHugetlbRefuses);
    case Disturbance::kFork:
      return Always(kShared);
    case Disturbance::kUnmap:
      break;
  }
  return Always(kOwnMapping);
}

Row GuestMemfdRow(Disturbance disturbance) {
  switch (disturbance) {
    case Disturbance::kPageout:
      return {kLockRefuses, kGuestMemfdStays, kLockRefuses};
    case Disturbance::kDontNeed:
      return {kLockRefuses, kFileKeeps, kLockRefuses};
    case Disturbance::kFree:
      return Always(kNotAnonymous);
    case Disturbance::kPunchHole:
      return Always(kOwnFile);
    case Disturbance::kPressure:
    case Disturbance::kCompaction:
    case Disturbance::kMerge:
      return Always(kGuestMemfdStays);
    case Disturbance::kCollapse:
      return Always(kNotCollapsible);
    case Disturbance::kFork:
      return Always(kShared);
    case Disturbance::kUnmap:
      break;
  }
  return Always(kOwnMapping);
}

Row RowOf(PinBacking backing, Disturbance disturbance) {
  switch (backing) {
    case PinBacking::kAnonymous:
      return AnonymousRow(disturbance);
    case PinBacking::kMemfd:
      return MemfdRow(disturbance);
    case PinBacking::kHugetlbMemfd:
      return HugetlbRow(disturbance);
    case PinBacking::kGuestMemfd:
      break;
  }
  return GuestMemfdRow(disturbance);
}

}  // namespace

Promise PromiseOf(PinLevel level, PinBacking backing, Disturbance disturbance) {
  return RowOf(backing, disturbance).At(level);
}

std::string ToString(PinBacking backing) {
  constexpr std::array kNames = {"anonymous", "memfd", "hugetlb", "guest-memfd"};
  return kNames[static_cast<size_t>(backing)];
}

std::string ToString(Disturbance disturbance) {
  constexpr std::array kNames = {"MADV_PAGEOUT", "MADV_DONTNEED", "MADV_FREE",     "PUNCH_HOLE",
                                 "pressure",     "compaction",    "MADV_COLLAPSE", "KSM",
                                 "fork",         "munmap"};
  return kNames[static_cast<size_t>(disturbance)];
}

std::string ToString(Outcome outcome) {
  constexpr std::array kNames = {"kept", "refused", "excluded", "none"};
  return kNames[static_cast<size_t>(outcome)];
}

}  // namespace vmwire
