// The host of an object that has no host memory: it keeps book of faults and pins, and fails where
// it is told to. For tests of what is built on the map, and for trying out sizes that no host has.
//
// Invariants: a page is pinned only while it is resident.
// Thread safety: thread-safe.
#ifndef VMWIRE_MEMORY_SIMULATED_PINNER_H_
#define VMWIRE_MEMORY_SIMULATED_PINNER_H_

#include <cstdint>
#include <map>
#include <optional>

#include "absl/base/thread_annotations.h"
#include "memory/mutex.h"
#include "memory/page_run.h"
#include "memory/pinner.h"
#include "memory/range_counts.h"

namespace vmwire {

class SimulatedPinner final : public Pinner {
 public:
  // `memory`: the addresses that the object is said to have; nothing lies there.
  explicit SimulatedPinner(const HostRange& memory) : memory_(memory) {}

  // Whatever level is asked for, simulated pages never move.
  PinLevel level() const override { return PinLevel::kGuarded; }
  // The status that FailFaultAt gave, for the first such page of `range`; Cancelled.
  absl::StatusOr<PinnedExtent> Pin(const HostRange& range, const PinControl& control) override;
  void Unpin(const PinnedExtent& extent) override;
  uint64_t FreeExtents() const override { return UINT64_MAX; }
  std::optional<PinnedBuffer> BufferAt(const PinnedExtent&, HostAddress) const override {
    return std::nullopt;
  }

  // The fault of that page of the object fails with `status` until it is set to OK.
  void FailFaultAt(uint64_t page, const absl::Status& status);
  // Faults attempted on pages that were not resident.
  uint64_t fault_calls() const;
  bool IsResident(uint64_t page) const;
  void Discard(const PageRun& run);

 private:
  PageRun PagesOf(const HostRange& range) const;
  // Faults in what is not resident of `run`. Returns the end of what is now resident.
  uint64_t FaultIn(const PageRun& run, absl::Status& failure) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  const HostRange memory_;
  mutable Mutex mutex_;
  RangeCounts resident_ ABSL_GUARDED_BY(mutex_);
  std::map<uint64_t, absl::Status> failures_ ABSL_GUARDED_BY(mutex_);
  uint64_t fault_calls_ ABSL_GUARDED_BY(mutex_) = 0;
};

}  // namespace vmwire

#endif  // VMWIRE_MEMORY_SIMULATED_PINNER_H_
