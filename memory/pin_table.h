// The host's side of wiring: which runs of which objects are pinned, and how many wirings each of
// their pages has.
//
// A page may be wired through several entries, maps and devices; the host sees only the first of
// them come and the last of them go. What one Wire pins is an extent. It stays pinned, and charged,
// until its last wired page goes: so a partial Unwire never asks the host for anything, and cannot
// fail.
//
// Invariants: extents of an object are disjoint; every wired page lies in one; every extent has a
// wired page; the budget is charged the bytes of the extents, once, whoever shares them.
// Thread safety: thread-compatible.
#ifndef VMWIRE_MEMORY_PIN_TABLE_H_
#define VMWIRE_MEMORY_PIN_TABLE_H_

#include <cstdint>
#include <map>
#include <vector>

#include "absl/status/status.h"
#include "memory/pinner.h"
#include "memory/range_counts.h"
#include "memory/vm_object.h"
#include "memory/wire_budget.h"

namespace vmwire {

// The highest wire count of a page, as in vm_page_wire(9): 30 bits.
inline constexpr uint32_t kMaxWireCount = (uint32_t{1} << 30) - 1;

class PinTable {
 public:
  // REQUIRES: both outlive the table.
  PinTable(Pinner& pinner, WireBudget& budget) : pinner_(pinner), budget_(budget) {}
  PinTable(const PinTable&) = delete;
  PinTable& operator=(const PinTable&) = delete;
  // REQUIRES: nothing is wired.
  ~PinTable();

  PinLevel level() const { return pinner_.level(); }
  const WireBudget& budget() const { return budget_; }

  // Adds one wiring to each page of `run`, pinning what is not pinned yet. `progress` is told the
  // bytes of `run` done so far. OutOfRange: the run leaves the object. ResourceExhausted: the
  // budget, the host, or a page that has kMaxWireCount wirings. Else as Pinner::Pin. On failure
  // nothing is changed. REQUIRES: the object lives until the pages are unwired.
  absl::Status Wire(const VmObject& object, const PageRun& run, const PinProgress& progress);

  // Takes one wiring from each page of `run`; lets go of the extents that have no wired page left.
  // REQUIRES: each page of `run` is wired.
  void Unwire(const VmObject& object, const PageRun& run);

  // How many pages of `run` the host has not pinned yet.
  uint64_t UnpinnedPages(const VmObject& object, const PageRun& run) const;

  uint32_t WireCount(const VmObject& object, uint64_t page) const;
  bool IsPinned(const VmObject& object, uint64_t page) const;
  // Bytes that the host has pinned, each once.
  uint64_t pinned_bytes() const { return pinned_bytes_; }

 private:
  struct Extent {
    uint64_t end;          // One past its last page.
    uint64_t wired_pages;  // Of its pages, those with a count.
    PinnedExtent pin;
    WireBudget::Reservation charge;
  };
  using Extents = std::map<uint64_t, Extent>;  // By first page.
  struct ObjectPins {
    RangeCounts counts;
    Extents extents;
  };

  static std::vector<PageRun> NotPinned(const ObjectPins& pins, const PageRun& run);
  absl::Status PinRuns(const VmObject& object, const std::vector<PageRun>& runs, ObjectPins& pins,
                       const PinProgress& progress);
  absl::Status PinRun(const VmObject& object, const PageRun& run, ObjectPins& pins,
                      const PinProgress& progress);
  void Release(ObjectPins& pins, Extents::iterator extent);

  Pinner& pinner_;
  WireBudget& budget_;
  std::map<const VmObject*, ObjectPins> objects_;
  uint64_t pinned_bytes_ = 0;
};

}  // namespace vmwire

#endif  // VMWIRE_MEMORY_PIN_TABLE_H_
