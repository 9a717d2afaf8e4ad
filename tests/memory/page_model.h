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
  size_t object = 0;  // Index of the object.
  uint64_t object_page = 0;
  Protection protection = Protection::kNone;
  Protection max_protection = Protection::kNone;
  uint32_t raw_wires = 0;    // By WireRange.
  uint32_t token_wires = 0;  // By Wire.
  bool user_wired = false;
  uint32_t holds = 0;

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
  // How many guest pages wire page `page` of `object`.
  uint32_t WireCount(size_t object, uint64_t page) const;
  // The entries that the map must have, ascending.
  std::vector<ModelRange> Entries() const;

  absl::StatusCode PlanMap(const ModelRange& range, const ModelPage& first) const;
  void ApplyMap(const ModelRange& range, const ModelPage& first);

  absl::StatusCode PlanRemove(const ModelRange& range) const;
  void ApplyRemove(const ModelRange& range);

  absl::StatusCode PlanProtect(const ModelRange& range, Protection protection) const;
  void ApplyProtect(const ModelRange& range, Protection protection);

  absl::StatusCode PlanHold(const ModelRange& range) const;
  void ApplyHold(const ModelRange& range, int delta);

  // `room`: the pages that the budget has left.
  ModelPlan PlanWire(const ModelRange& range, WireFlags flags, uint64_t room,
                     const IsPinned& pinned) const;
  ModelPlan PlanUnwire(const ModelRange& range, WireFlags flags) const;
  void ApplyWire(const ModelPlan& plan, WireFlags flags);
  void ApplyUnwire(const ModelPlan& plan, WireFlags flags);
  void ApplyToken(const ModelPlan& plan, int delta);

 private:
  ModelPage* MutableAt(uint64_t page);
  bool CanMerge(uint64_t page) const;
  uint64_t RunEnd(uint64_t page, uint64_t end) const;
  ModelRange Clamp(const ModelRange& range) const;
  bool Fits(const ModelRange& range, WireFlags flags, uint64_t room, const IsPinned& pinned) const;
  absl::StatusCode CheckRun(const ModelRange& run, WireFlags flags, uint64_t user_pages) const;

  const Options options_;
  std::vector<std::optional<ModelPage>> pages_;  // From options_.first_page.
};

}  // namespace vmwire

#endif  // VMWIRE_TESTS_MEMORY_PAGE_MODEL_H_
