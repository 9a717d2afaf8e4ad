#include "memory/pin_proof.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"

namespace vmwire {
namespace {

const PartProof* FirstDisproven(const std::vector<PartProof>& parts) {
  const auto found = std::find_if(parts.begin(), parts.end(), [](const PartProof& part) {
    return part.verdict == ProofVerdict::kDisproven;
  });
  return found == parts.end() ? nullptr : &*found;
}

absl::Status Disproof(const std::string& whose, const PartProof& part) {
  return absl::FailedPreconditionError(absl::StrCat(
      "the pins of ", whose, " do not hold: ", ToString(part.part), ": ", part.detail));
}

// "proven", and which parts are not.
std::string Headline(const std::vector<PartProof>& parts) {
  std::string line = ToString(VerdictOf(parts));
  std::vector<std::string> open;
  for (const PartProof& part : parts) {
    if (part.verdict == ProofVerdict::kNotProvable) open.push_back(ToString(part.part));
  }
  if (!open.empty() && open.size() < parts.size()) {
    absl::StrAppend(&line, "; not provable here: ", absl::StrJoin(open, ", "));
  }
  return line;
}

std::string Details(const std::vector<PartProof>& parts) {
  std::string lines;
  for (const PartProof& part : parts) {
    absl::StrAppend(&lines, absl::StrFormat("  %-16s %s: %s\n", ToString(part.part),
                                            ToString(part.verdict), part.detail));
  }
  return lines;
}

}  // namespace

std::string ToString(ProofPart part) {
  switch (part) {
    case ProofPart::kPinTable:
      return "pin table";
    case ProofPart::kResidency:
      return "residency";
    case ProofPart::kFrames:
      return "frames";
    case ProofPart::kPageFlags:
      return "page flags";
    case ProofPart::kLock:
      return "lock";
    case ProofPart::kBuffers:
      return "buffers";
    case ProofPart::kTransfer:
      return "DMA round trip";
    case ProofPart::kHugePages:
      return "huge pages";
    case ProofPart::kVmLck:
      return "VmLck";
    case ProofPart::kVmPin:
      return "VmPin";
  }
  return "unknown";
}

std::string ToString(ProofVerdict verdict) {
  switch (verdict) {
    case ProofVerdict::kProven:
      return "proven";
    case ProofVerdict::kDisproven:
      return "DISPROVEN";
    case ProofVerdict::kNotProvable:
      return "not provable here";
  }
  return "unknown";
}

ProofVerdict VerdictOf(const std::vector<PartProof>& parts) {
  if (FirstDisproven(parts) != nullptr) return ProofVerdict::kDisproven;
  const bool any = std::any_of(parts.begin(), parts.end(), [](const PartProof& part) {
    return part.verdict == ProofVerdict::kProven;
  });
  return any ? ProofVerdict::kProven : ProofVerdict::kNotProvable;
}

ProofVerdict RangeProof::verdict() const { return VerdictOf(parts); }

std::string RangeProof::ToString() const {
  return absl::StrFormat("%s %s, %s, %d bytes: %s\n", name, vmwire::ToString(level),
                         vmwire::ToString(backing), host.size(), Headline(parts)) +
         Details(parts);
}

ProofVerdict PinProof::verdict() const {
  std::vector<PartProof> all = process;
  for (const RangeProof& range : ranges) {
    all.insert(all.end(), range.parts.begin(), range.parts.end());
  }
  return VerdictOf(all);
}

absl::Status PinProof::status() const {
  for (const RangeProof& range : ranges) {
    if (const PartProof* part = FirstDisproven(range.parts)) return Disproof(range.name, *part);
  }
  if (const PartProof* part = FirstDisproven(process)) return Disproof("the process", *part);
  return absl::OkStatus();
}

std::string PinProof::ToString() const {
  if (ranges.empty()) return "nothing is wired, so there is nothing to prove\n";
  std::string text;
  for (const RangeProof& range : ranges) absl::StrAppend(&text, range.ToString());
  return absl::StrCat(text, "the process: ", Headline(process), "\n", Details(process));
}

}  // namespace vmwire
