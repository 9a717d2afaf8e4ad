// What a VmMap does, said page by page: no entries, no clipping, no merging, no record to undo.
//
// It is the oracle of vm_map_oracle_test. An operation is planned first (the code that it must give
// and the pages that it changes) and applied only if the real map did it, so that a failure that
// the host was made to have leaves the model alone. Entries are derived: they are the longest runs
// of pages that nothing tells apart.
//
// Thread safety: thread-compatible.
#ifndef VMWIRE_TESTS_MEMORY_PAGE_MODEL_H_
#define VMWIRE_TESTS_MEMORY_PAGE_MODEL_H_

#include <cstdint>
#include <functional>
#include <optional>
#include <vector>

#include "absl/status/status.h"
#include "memory/protection.h"
#include "memory/vm_map.h"

namespace vmwire {

struct ModelPage {
  bool guard = false;  // Nothing of what follows but mapped_tokens and cut_below counts then.
  size_t object = 0;   // Index of the object.
  uint64_t object_page = 0;
  Protection protection = Protection::kNone;
  Protection max_protection = Protection::kNone;
  uint32_t raw_wires = 0;    // By WireRange.
  uint32_t token_wires = 0;  // By Wire.
  bool user_wired = false;
  uint32_t mapped_tokens = 0;  // By KeepMapped.
  uint32_t holds = 0;          // By Hold: they tell no pages apart.
  bool cut_below = false;      // By Clip: it and the page below are told apart.

  uint32_t system_wires() const { return raw_wires + token_wires; }
  bool IsWired() const { return system_wires() != 0 || user_wired; }
};

// The pages [first, end) of the guest, or of the longest run that nothing tells apart.
struct ModelRange {
  uint64_t first;
  uint64_t end;
};

struct ModelPlan {
  absl::StatusCode code = absl::StatusCode::kOk;
  std::vector<uint64_t> pages;  // That a successful call changes.
  // Of a wiring: the pages that are wired then, and those that are passed over.
  uint64_t wired = 0;
  uint64_t skipped = 0;
};

class PageModel {
 public:
  struct Options {
    uint64_t first_page;
    uint64_t end_page;
    uint64_t object_pages;  // Of each object.
    uint64_t user_limit_pages;
    uint32_t max_system_wires;
  };
  // Whether the pin table has a page of an object pinned now. It is the one thing that the model
  // asks instead of knowing: how long an extent stays is the pin table's to say.
  using IsPinned = std::function<bool(size_t object, uint64_t page)>;

  explicit PageModel(const Options& options);

  // Null for a hole and for what is outside of the map.
  const ModelPage* At(uint64_t page) const;
  uint64_t UserWiredPages() const;
  // For each page of `object`, how many guest pages wire it, and whether one is held.
  std::vector<uint32_t> WireCounts(size_t object) const;
  std::vector<bool> Held(size_t object) const;
  // The entries that the map must have, ascending.
  std::vector<ModelRange> Entries() const;

  absl::StatusCode PlanMap(const ModelRange& range, const ModelPage& first) const;
  void ApplyMap(const ModelRange& range, const ModelPage& first);
  // Mapping while wire-future is on: the plan is that of its user wiring.
  ModelPlan PlanMapFuture(const ModelRange& range, const ModelPage& first, uint64_t room,
                          const IsPinned& pinned) const;
  void ApplyMapFuture(const ModelRange& range, const ModelPage& first);

  absl::StatusCode PlanRemove(const ModelRange& range) const;
  void ApplyRemove(const ModelRange& range);

  absl::StatusCode PlanProtect(const ModelRange& range, Protection protection) const;
  void ApplyProtect(const ModelRange& range, Protection protection);

  void ApplyClip(uint64_t page);

  absl::StatusCode PlanKeep(const ModelRange& range) const;
  void ApplyKeep(const ModelRange& range, int delta);

  absl::StatusCode PlanHold(const ModelRange& range, Protection access) const;
  void ApplyHold(const ModelRange& range, int delta);

  // `pinned`: by something else than the cache.
  absl::StatusCode PlanDiscard(size_t object, const ModelRange& run, const IsPinned& pinned) const;

  void SetUserLimit(uint64_t pages) { options_.user_limit_pages = pages; }

  // Whether what the wiring has to pin fits in `room` pages, and what it charges into the user
  // limit.
  bool Fits(const ModelRange& range, WireFlags flags, uint64_t room, const IsPinned& pinned) const;
  // `room`: the pages that the budget has left.
  ModelPlan PlanWire(const ModelRange& range, WireFlags flags, uint64_t room,
                     const IsPinned& pinned) const;
  ModelPlan PlanUnwire(const ModelRange& range, WireFlags flags) const;
  void ApplyWire(const ModelRange& range, const ModelPlan& plan, WireFlags flags);
  void ApplyUnwire(const ModelRange& range, const ModelPlan& plan, WireFlags flags);
  void ApplyToken(const ModelRange& range, const ModelPlan& plan);
  void ApplyTokenDeath(const ModelPlan& plan);

 private:
  ModelPage* MutableAt(uint64_t page);
  bool CanMerge(uint64_t page) const;
  uint64_t RunEnd(uint64_t page, uint64_t end) const;
  ModelRange Clamp(const ModelRange& range) const;
  // A wiring or unwiring of `range` forgets the cuts in it and at its ends.
  void ForgetCuts(const ModelRange& range);
  absl::StatusCode CheckRun(const ModelRange& run, WireFlags flags, uint64_t user_pages) const;

  Options options_;
  std::vector<std::optional<ModelPage>> pages_;  // From options_.first_page.
};

}  // namespace vmwire

#endif  // VMWIRE_TESTS_MEMORY_PAGE_MODEL_H_
