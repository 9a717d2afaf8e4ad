// Proves that what is wired is what its level promises, by what the kernel says of each page and by
// transfers through the registered buffers.
//
// It looks twice, and the caller may disturb the memory in between: every page must be in memory
// and, from kPinned on, in the same frame at both looks. After the disturbance it moves bytes
// through the registered buffers of some pages (of all, if they are few) and puts them back.
//
// What it cannot see: which frame a buffer has pinned. That an address still leads to it is shown
// by the transfers, so for the pages that were sampled; each first and last page of a range is.
//
// Invariants: memory has the bytes afterwards that it had before. Nothing is wired or let go.
// Thread safety: for the duration of a call, what is verified stays wired, and nobody else writes
// it or does I/O to it.
#ifndef VMWIRE_MEMORY_PIN_VERIFIER_H_
#define VMWIRE_MEMORY_PIN_VERIFIER_H_

#include <cstdint>
#include <functional>
#include <optional>

#include "memory/host_memory.h"
#include "memory/page_range.h"
#include "memory/page_run.h"
#include "memory/pin_proof.h"
#include "memory/vm_map.h"
#include "memory/vm_object.h"

namespace vmwire {

struct VerifyOptions {
  // Called between the two looks.
  std::function<void()> disturb = nullptr;
  // Of each range at most so many pages are transferred: the first, the last, and random ones.
  uint64_t sample_pages = 64;
  // Of the random choices; nullopt: another one each time. The proof has it.
  std::optional<uint64_t> seed = std::nullopt;
};

class PinVerifier {
 public:
  // REQUIRES: `host` is that of the objects, and outlives the verifier.
  explicit PinVerifier(HostMemory& host) : host_(host) {}

  // A proof for each wired entry of the map in `range`, at the level of the map's pins. What is not
  // wired is passed over.
  PinProof Verify(const VmMap& map, const GuestRange& range, const VerifyOptions& options = {});

  // The same for the pinned extents of the object in `run` that have wired pages, each at the level
  // of the table that pinned it.
  PinProof Verify(VmObject& object, const PageRun& run, const VerifyOptions& options = {});

 private:
  HostMemory& host_;
};

}  // namespace vmwire

#endif  // VMWIRE_MEMORY_PIN_VERIFIER_H_
