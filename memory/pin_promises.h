// What each level promises of a pinned range, for each backing and each disturbance: the table of
// pinner.h as data, with the reasons. The tests hold the running kernel to it cell by cell.
//
// Invariants: every cell has a reason.
// Thread safety: constants.
#ifndef VMWIRE_MEMORY_PIN_PROMISES_H_
#define VMWIRE_MEMORY_PIN_PROMISES_H_

#include <array>
#include <string>

#include "memory/pinner.h"

namespace vmwire {

// What the pinned range maps. Anonymous memory is private, small or transparent huge pages; all
// others are shared mappings of a file.
enum class PinBacking { kAnonymous, kMemfd, kHugetlbMemfd, kGuestMemfd };

// What may befall it. By the kernel on its own: kPressure, kCompaction, kCollapse (khugepaged) and
// kMerge (ksmd). The others only by a call of this process, or of one that has its files.
enum class Disturbance {
  kPageout,     // MADV_PAGEOUT
  kDontNeed,    // MADV_DONTNEED
  kFree,        // MADV_FREE, then reclaim
  kPunchHole,   // fallocate(FALLOC_FL_PUNCH_HOLE); for anonymous memory MADV_REMOVE
  kPressure,    // reclaim for want of memory
  kCompaction,  // pages moved together for a large allocation
  kCollapse,    // MADV_COLLAPSE, and what khugepaged does: small pages copied into a huge one
  kMerge,       // KSM: pages with the same bytes made one
  kFork,        // fork, then a write by this process
  kUnmap,       // munmap, or MAP_FIXED over it
};

enum class Outcome {
  kKept,      // It may happen; every page stays in its frame, with its bytes.
  kRefused,   // The kernel returns an error, and every page stays in its frame.
  kExcluded,  // It would break the level; the owner of the memory does not let it happen.
  kNone,      // The level does not promise it.
};

struct Promise {
  Outcome outcome;
  const char* reason;
};

inline constexpr std::array kPinLevels = {PinLevel::kResident, PinLevel::kPinned,
                                          PinLevel::kGuarded};
inline constexpr std::array kPinBackings = {PinBacking::kAnonymous, PinBacking::kMemfd,
                                            PinBacking::kHugetlbMemfd, PinBacking::kGuestMemfd};
inline constexpr std::array kDisturbances = {Disturbance::kPageout,  Disturbance::kDontNeed,
                                             Disturbance::kFree,     Disturbance::kPunchHole,
                                             Disturbance::kPressure, Disturbance::kCompaction,
                                             Disturbance::kCollapse, Disturbance::kMerge,
                                             Disturbance::kFork,     Disturbance::kUnmap};

Promise PromiseOf(PinLevel level, PinBacking backing, Disturbance disturbance);

// "anonymous", "memfd", "hugetlb", "guest-memfd"; "MADV_PAGEOUT", ...; "kept", ...
std::string ToString(PinBacking backing);
std::string ToString(Disturbance disturbance);
std::string ToString(Outcome outcome);

}  // namespace vmwire

#endif  // VMWIRE_MEMORY_PIN_PROMISES_H_
