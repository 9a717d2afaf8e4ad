// One look of PinVerifier at a range: what the kernel says of each of its pages; and what two looks
// say together.
//
// Invariants: a look faults in nothing that is not in memory already.
// Thread safety: values; a look reads one byte of pages that are in memory but not in the page
// table.
#ifndef VMWIRE_MEMORY_PIN_LOOK_H_
#define VMWIRE_MEMORY_PIN_LOOK_H_

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "memory/host_memory.h"
#include "memory/page_range.h"
#include "memory/page_run.h"
#include "memory/pin_proof.h"
#include "memory/pinner.h"
#include "memory/vm_object.h"

namespace vmwire {

// A range whose wiring is to be proven.
struct PinSubject {
  std::shared_ptr<VmObject> object;
  PageRun pages;                      // Of the object.
  std::optional<GuestAddress> guest;  // Where its first page is mapped.
  PinLevel level;

  HostRange host() const;
  HostAddress HostOf(uint64_t index) const;
  // "[0x0, 0x4000)", or "pages [0x0, 0x4) of the object".
  std::string Name() const;
  // Of the index-th page: "guest page 0x3000 (host 0x7f0000003000)".
  std::string PageName(uint64_t index) const;
};

// An entry a page, or why there are none.
struct PinLook {
  absl::StatusOr<std::vector<bool>> resident;
  absl::StatusOr<std::vector<uint64_t>> frames;
  absl::StatusOr<std::vector<uint64_t>> flags;
};

PinLook LookAt(const HostMemory& host, const PinSubject& subject);

PartProof JudgeResidency(const PinSubject& subject, const PinLook& before, const PinLook& after);
// At kResident a frame may have moved; it must be there.
PartProof JudgeFrames(const PinSubject& subject, const PinLook& before, const PinLook& after);
PartProof JudgePageFlags(const PinSubject& subject, const PinLook& before, const PinLook& after);

}  // namespace vmwire

#endif  // VMWIRE_MEMORY_PIN_LOOK_H_
