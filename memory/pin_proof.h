// What PinVerifier found out: for each wired range, and for the process, each part of the proof
// with its verdict.
//
// Invariants: a part that is disproven names the page (or the figure) that shows it; one that
// cannot be proven here says why.
// Thread safety: values.
#ifndef VMWIRE_MEMORY_PIN_PROOF_H_
#define VMWIRE_MEMORY_PIN_PROOF_H_

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "memory/page_range.h"
#include "memory/pinner.h"
#include "memory/vm_object.h"

namespace vmwire {

enum class ProofPart {
  // Of a range.
  kPinTable,   // Each page lies in an extent that is pinned, at a level that covers its own.
  kResidency,  // Each page is in memory (mincore).
  kFrames,     // Each page has a frame, and kept it (pagemap).
  kPageFlags,  // No page is merged (kpageflags).
  kLock,       // The kernel counts the range as locked (smaps).
  kBuffers,    // A registered buffer holds each page.
  kTransfer,   // What a device writes the CPU reads, and the other way, for some or all pages.
  kHugePages,  // The share that is in huge pages. A figure; no level promises one.
  // Of the process.
  kVmLck,  // It has locked at least what the pins claim.
  kVmPin   // It has pinned at least what they claim.
};

enum class ProofVerdict {
  kProven,
  kDisproven,
  kNotProvable  // Not here, or not at this level: the detail says why.
};

// "pin table", "residency", ...; "proven", "DISPROVEN", "not provable here".
std::string ToString(ProofPart part);
std::string ToString(ProofVerdict verdict);

struct PartProof {
  ProofPart part;
  ProofVerdict verdict;
  std::string detail;
};

struct RangeProof {
  std::string name;  // "[0x0, 0x400000)" of the guest, or "pages [0x0, 0x10) of the object".
  HostRange host;
  PinLevel level;  // What is to be proven.
  MemoryBacking backing;
  std::vector<PartProof> parts;

  ProofVerdict verdict() const;
  // One line and one for each part, ended.
  std::string ToString() const;
};

struct PinProof {
  std::vector<RangeProof> ranges;  // Ascending. Empty: nothing is wired.
  std::vector<PartProof> process;
  uint64_t seed = 0;  // Of the pages that were sampled, and of the patterns.

  // kProven: nothing is disproven, and something is proven. kNotProvable: nothing is either.
  ProofVerdict verdict() const;
  // FailedPrecondition, naming the range, the part and the page, if anything is disproven; else OK.
  absl::Status status() const;
  // For people: each range, then the process; lines ended. "nothing is wired" where that is so.
  std::string ToString() const;
};

// Of several parts: disproven if one is; proven if one is; else not provable.
ProofVerdict VerdictOf(const std::vector<PartProof>& parts);

}  // namespace vmwire

#endif  // VMWIRE_MEMORY_PIN_PROOF_H_
