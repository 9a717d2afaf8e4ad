#include "memory/pin_verifier.h"

#include <algorithm>
#include <map>
#include <memory>
#include <random>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "memory/dma_round_trip.h"
#include "memory/mutex.h"
#include "memory/object_pins.h"
#include "memory/pin_look.h"
#include "memory/pin_table.h"

namespace vmwire {
namespace {

using enum ProofVerdict;

bool Locks(PinLevel level) { return level != PinLevel::kPinned; }
bool Registers(PinLevel level) { return level != PinLevel::kResident; }

// What the pin table says of a run of pages that is pinned.
struct Claim {
  PageRun pages;
  PinLevel level;
  bool is_wired;
};

std::vector<Claim> ClaimsIn(VmObject& object, const PageRun& run) {
  std::vector<Claim> claims;
  ObjectPins& pins = object.pins();
  const MutexLock lock(pins.mutex);
  for (auto extent = pins.FirstEndingAfter(run.first);
       extent != pins.extents.end() && extent->first < run.end; ++extent) {
    const PinExtent& found = extent->second;
    if (found.IsBusy()) continue;
    claims.push_back({{extent->first, found.end},
                      found.table->level(),
                      found.state == PinExtent::State::kPinned});
  }
  return claims;
}

// Bytes that the kernel must have on its books if the claims are true.
struct Booked {
  uint64_t locked = 0;
  uint64_t pinned = 0;
};

Booked BookedFor(const VmObject& object, const std::vector<Claim>& claims) {
  Booked booked;
  for (const Claim& claim : claims) {
    const uint64_t bytes = claim.pages.pages() * kPageSize;
    // The kernel does not lock hugetlb pages, which it never reclaims.
    if (Locks(claim.level) && object.backing() != MemoryBacking::kHugetlb) booked.locked += bytes;
    if (Registers(claim.level)) booked.pinned += bytes;
  }
  return booked;
}

PartProof JudgePinTable(const PinSubject& subject, const std::vector<Claim>& claims) {
  uint64_t page = subject.pages.first;
  for (const Claim& claim : claims) {
    if (claim.pages.first > page) break;
    if (!Covers(claim.level, subject.level)) {
      return {ProofPart::kPinTable, kDisproven,
              absl::StrCat(subject.PageName(page - subject.pages.first), " is pinned at level '",
                           ToString(claim.level), "' only")};
    }
    page = std::max(page, claim.pages.end);
  }
  if (page < subject.pages.end) {
    return {ProofPart::kPinTable, kDisproven,
            subject.PageName(page - subject.pages.first) + " is in no pinned extent"};
  }
  return {ProofPart::kPinTable, kProven,
          absl::StrFormat("pinned extents: %d; level: '%s' or one that covers it", claims.size(),
                          ToString(subject.level))};
}

PartProof JudgeLock(const HostMemory& host, const PinSubject& subject,
                    const std::vector<Claim>& claims) {
  const VmObject& object = *subject.object;
  if (!Locks(subject.level)) {
    return {ProofPart::kLock, kNotProvable, "level 'pinned' locks nothing"};
  }
  if (object.backing() == MemoryBacking::kHugetlb) {
    return {ProofPart::kLock, kNotProvable,
            "the kernel locks no hugetlb pages, and reclaims none either"};
  }
  const absl::StatusOr<HostUsage> usage = host.Usage(object.host_range());
  if (!usage.ok()) {
    return {ProofPart::kLock, kNotProvable, std::string(usage.status().message())};
  }
  const uint64_t claimed = BookedFor(object, claims).locked;
  const std::string figures = absl::StrFormat("%d bytes of its object are locked, %d are claimed",
                                              usage->locked_bytes, claimed);
  if (usage->locked_bytes >= claimed) return {ProofPart::kLock, kProven, figures};
  if (usage->resident_bytes < claimed) {
    return {ProofPart::kLock, kNotProvable,
            "its mapping is one with memory of others, of which /proc says no part"};
  }
  // Of a file the kernel says a share for each process that maps it.
  if (object.backing() != MemoryBacking::kAnonymous && usage->locked_bytes != 0) {
    return {ProofPart::kLock, kNotProvable, figures + "; others may map the file"};
  }
  return {ProofPart::kLock, kDisproven,
          absl::StrCat(figures, "; first claimed: ", subject.PageName(0))};
}

PartProof JudgeBuffers(const PinSubject& subject) {
  if (!Registers(subject.level)) {
    return {ProofPart::kBuffers, kNotProvable, "level 'resident' has no registered buffer"};
  }
  uint64_t buffers = 0;
  for (uint64_t index = 0; index < subject.pages.pages();) {
    const auto buffer = PinTable::BufferOf(*subject.object, subject.pages.first + index);
    if (!buffer.has_value() || !buffer->range.Contains(subject.HostOf(index))) {
      return {ProofPart::kBuffers, kDisproven,
              subject.PageName(index) + " is in no registered buffer"};
    }
    ++buffers;
    index = (buffer->range.end().value() - subject.HostOf(0).value()) / kPageSize;
  }
  return {ProofPart::kBuffers, kProven, absl::StrFormat("registered buffers: %d", buffers)};
}

// Ascending indices of pages: all if they are at most `most`, else the first, the last, and others.
std::set<uint64_t> Sample(uint64_t pages, uint64_t most, std::mt19937_64& random) {
  std::set<uint64_t> sample = {0, pages - 1};
  if (pages <= most) {
    for (uint64_t page = 0; page < pages; ++page) sample.insert(page);
  }
  std::uniform_int_distribution<uint64_t> any(0, pages - 1);
  while (sample.size() < std::min(pages, most)) sample.insert(any(random));
  return sample;
}

PartProof JudgeTransfer(HostMemory& host, const PinSubject& subject, uint64_t sample_pages,
                        std::mt19937_64& random, uint64_t seed) {
  if (!Registers(subject.level)) {
    return {ProofPart::kTransfer, kNotProvable, "no registered buffer at level 'resident'"};
  }
  const uint64_t pages = subject.pages.pages();
  const std::set<uint64_t> sample = Sample(pages, sample_pages, random);
  for (const uint64_t index : sample) {
    const auto buffer = PinTable::BufferOf(*subject.object, subject.pages.first + index);
    if (!buffer.has_value()) {
      return {ProofPart::kTransfer, kDisproven,
              subject.PageName(index) + " is in no registered buffer"};
    }
    const absl::Status moved = DmaRoundTrip(host, *buffer, subject.HostOf(index), random());
    if (moved.ok()) continue;
    return {ProofPart::kTransfer, absl::IsFailedPrecondition(moved) ? kDisproven : kNotProvable,
            absl::StrCat(subject.PageName(index), ": ", std::string(moved.message()))};
  }
  if (sample.size() == pages) {
    return {ProofPart::kTransfer, kProven, absl::StrFormat("pages: all %d", pages)};
  }
  return {ProofPart::kTransfer, kProven,
          absl::StrFormat("pages: %d of %d: the first, the last and random ones (seed %d)",
                          sample.size(), pages, seed)};
}

PartProof DescribeHugePages(const HostMemory& host, const PinSubject& subject) {
  const HostRange own = subject.host();
  absl::StatusOr<HostUsage> usage = host.Usage(own);
  std::string of = "";
  // A mapping that is longer than the range is not counted in it.
  if (usage.ok() && usage->resident_bytes < own.size()) {
    usage = host.Usage(subject.object->host_range());
    of = " of its object";
  }
  if (!usage.ok()) {
    return {ProofPart::kHugePages, kNotProvable, std::string(usage.status().message())};
  }
  if (usage->resident_bytes == 0) {
    return {ProofPart::kHugePages, kNotProvable,
            "its mapping is one with memory of others, of which /proc says no part"};
  }
  return {
      ProofPart::kHugePages, kProven,
      absl::StrFormat("%d of %d resident bytes%s (%d %%)", usage->huge_bytes, usage->resident_bytes,
                      of, usage->huge_bytes * 100 / usage->resident_bytes)};
}

PartProof JudgeBooks(ProofPart part, uint64_t has, uint64_t claimed) {
  return {part, has < claimed ? kDisproven : kProven,
          absl::StrFormat("%d bytes, of which the pins above claim %d", has, claimed)};
}

std::vector<PartProof> JudgeProcess(const HostMemory& host, const Booked& booked) {
  const absl::StatusOr<ProcessPins> pins = host.Pins();
  if (!pins.ok()) {
    const std::string why(pins.status().message());
    return {{ProofPart::kVmLck, kNotProvable, why}, {ProofPart::kVmPin, kNotProvable, why}};
  }
  return {JudgeBooks(ProofPart::kVmLck, pins->locked_bytes, booked.locked),
          JudgeBooks(ProofPart::kVmPin, pins->pinned_bytes, booked.pinned)};
}

// An object without memory has nothing that the kernel could say of it.
RangeProof OfSimulation(const PinSubject& subject) {
  return {subject.Name(),
          subject.host(),
          subject.level,
          MemoryBacking::kSimulated,
          {JudgePinTable(subject, ClaimsIn(*subject.object, subject.pages)),
           {ProofPart::kFrames, kNotProvable, "a simulated object has no memory"}}};
}

RangeProof ProofOf(HostMemory& host, const PinSubject& subject, const PinLook& before,
                   const VerifyOptions& options, std::mt19937_64& random, uint64_t seed) {
  if (subject.object->simulation() != nullptr) return OfSimulation(subject);
  const std::vector<Claim> claims = ClaimsIn(*subject.object, subject.pages);
  RangeProof proof{subject.Name(), subject.host(), subject.level, subject.object->backing(), {}};
  PartProof transfer = JudgeTransfer(host, subject, options.sample_pages, random, seed);
  // After the transfers, so that they are known to have moved no page either.
  const PinLook after = LookAt(host, subject);
  proof.parts = {JudgePinTable(subject, claims),
                 JudgeResidency(subject, before, after),
                 JudgeFrames(subject, before, after),
                 JudgePageFlags(subject, before, after),
                 JudgeLock(host, subject, claims),
                 JudgeBuffers(subject),
                 std::move(transfer),
                 DescribeHugePages(host, subject)};
  return proof;
}

// What the claims on the subjects' pages add up to, each extent once.
Booked BookedForAll(const std::vector<PinSubject>& subjects) {
  Booked all;
  std::map<VmObject*, std::set<uint64_t>> counted;
  for (const PinSubject& subject : subjects) {
    if (subject.object->simulation() != nullptr) continue;
    for (const Claim& claim : ClaimsIn(*subject.object, subject.pages)) {
      if (!counted[subject.object.get()].insert(claim.pages.first).second) continue;
      const Booked booked = BookedFor(*subject.object, {claim});
      all.locked += booked.locked;
      all.pinned += booked.pinned;
    }
  }
  return all;
}

PinProof Prove(HostMemory& host, const std::vector<PinSubject>& subjects,
               const VerifyOptions& options) {
  PinProof proof;
  proof.seed = options.seed.has_value() ? *options.seed : std::random_device()();
  std::mt19937_64 random(proof.seed);
  std::vector<PinLook> before(subjects.size());
  for (size_t i = 0; i < subjects.size(); ++i) {
    if (subjects[i].object->simulation() == nullptr) before[i] = LookAt(host, subjects[i]);
  }
  if (options.disturb) options.disturb();
  for (size_t i = 0; i < subjects.size(); ++i) {
    proof.ranges.push_back(ProofOf(host, subjects[i], before[i], options, random, proof.seed));
  }
  if (!subjects.empty()) proof.process = JudgeProcess(host, BookedForAll(subjects));
  return proof;
}

}  // namespace

PinProof PinVerifier::Verify(const VmMap& map, const GuestRange& range,
                             const VerifyOptions& options) {
  std::vector<PinSubject> subjects;
  std::optional<VmMapEntry> entry = map.LookupFrom(range.start());
  while (entry.has_value() && entry->range.Overlaps(range)) {
    if (entry->IsWired() && !entry->IsGuard()) {
      const GuestRange part = *entry->range.Intersect(range);
      const uint64_t first = entry->OffsetOf(part.start()) / kPageSize;
      subjects.push_back(
          {entry->object, {first, first + part.pages()}, part.start(), map.pins().level()});
    }
    if (entry->range.end() >= range.end()) break;
    entry = map.LookupFrom(entry->range.end());
  }
  return Prove(host_, subjects, options);
}

PinProof PinVerifier::Verify(VmObject& object, const PageRun& run, const VerifyOptions& options) {
  std::vector<PinSubject> subjects;
  for (const Claim& claim : ClaimsIn(object, run)) {
    if (!claim.is_wired) continue;
    const PageRun part{std::max(claim.pages.first, run.first), std::min(claim.pages.end, run.end)};
    subjects.push_back({object.shared_from_this(), part, std::nullopt, claim.level});
  }
  return Prove(host_, subjects, options);
}

}  // namespace vmwire
