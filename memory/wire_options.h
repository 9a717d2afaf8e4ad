// How a range is wired: flags, limits on waiting, progress, and the report of what was done.
//
// Invariants: none.
// Thread safety: values.
#ifndef VMWIRE_MEMORY_WIRE_OPTIONS_H_
#define VMWIRE_MEMORY_WIRE_OPTIONS_H_

#include <cstdint>
#include <functional>
#include <optional>

#include "absl/status/status.h"
#include "memory/address.h"
#include "memory/wait_queue.h"

namespace vmwire {

// VM_MAP_WIRE_*: the values are FreeBSD's, and may be or-ed.
enum class WireFlags : uint8_t {
  kSystem = 0,   // Counts nest; not limited.
  kNoHoles = 0,  // A page without an entry, or with one that cannot be wired, fails the whole call.
  kUser = 1,     // At most one for each entry; charged to the map's user limit.
  kHolesOk = 2,  // Such pages are passed over.
  kWrite = 4,    // An entry that is not writable cannot be wired.
};
constexpr WireFlags operator|(WireFlags a, WireFlags b) {
  return static_cast<WireFlags>(static_cast<uint8_t>(a) | static_cast<uint8_t>(b));
}
// False for kSystem and kNoHoles, which are the absence of the other flags.
constexpr bool Has(WireFlags flags, WireFlags flag) {
  return (static_cast<uint8_t>(flags) & static_cast<uint8_t>(flag)) != 0;
}

// Told how far a wiring is, in bytes that had to be pinned; false asks to stop, and undoes it.
using WireProgress = std::function<bool(uint64_t bytes_done, uint64_t bytes_total)>;

// Why a wiring failed.
enum class WireFailure {
  kNone,
  kHole,          // Nothing is mapped at a page.
  kUnreadable,    // An entry is neither readable nor executable.
  kNotWritable,   // kWrite was asked for, and an entry is not writable.
  kGuard,         // A guard entry.
  kLimit,         // The user limit, or the wire budget.
  kCountMaximum,  // A wire count is as high as it can be.
  kBackingEnd,    // An entry reaches past its object's end.
  kPinError,      // The host, or a simulated fault, refused.
  kCancelled,     // The progress function or the stop token said stop.
  kTimedOut,      // The deadline came.
  kNotSplittable  // The range cuts a huge page of its object.
};

// What a wiring did, or why it did nothing.
struct WireReport {
  WireFailure failure = WireFailure::kNone;
  // The first page that was in the way; not set when it was stopped.
  std::optional<GuestAddress> failed_at = std::nullopt;
  // The pages of the range, inside the map's bounds, that are wired now, and those that kHolesOk
  // passed over (holes included). Of a wiring that failed: 0, as all is undone.
  uint64_t pages_wired = 0;
  uint64_t pages_skipped = 0;
  // Of kLimit, in pages: what was asked of the limit that was short, and what it had left.
  uint64_t needed = 0;
  uint64_t available = 0;
};

struct WireOptions {
  // Called under no lock, on the calling thread. It must not release a token of the range that is
  // being wired; whatever else it asks of that range is refused.
  WireProgress progress = nullptr;
  WaitLimits limits = {};        // Of waits, and of the wiring as a whole.
  WireReport* report = nullptr;  // Where not null, is filled in.
};

}  // namespace vmwire

#endif  // VMWIRE_MEMORY_WIRE_OPTIONS_H_
