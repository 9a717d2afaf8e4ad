// A VmMap on fakes, with all that it needs in the order that its lifetimes ask for, and helpers
// that count in pages, as the conformance cases of vm_map_wire(9) do.
//
// Invariants: as the parts'; whatever a test leaves behind in the fake host fails the test.
// Thread safety: thread-compatible.
#ifndef VMWIRE_TESTS_SUPPORT_MAP_FIXTURE_H_
#define VMWIRE_TESTS_SUPPORT_MAP_FIXTURE_H_

#include <cstdint>
#include <memory>
#include <optional>
#include <string>

#include "absl/status/status.h"
#include "memory/pin_table.h"
#include "memory/pinner.h"
#include "memory/vm_map.h"
#include "memory/vm_object.h"
#include "memory/wire_budget.h"
#include "tests/fakes/fake_host_memory.h"
#include "tests/fakes/journal.h"

namespace vmwire {

struct TestMapOptions {
  PinLevel level = PinLevel::kResident;
  std::optional<uint64_t> budget_pages = std::nullopt;  // Nullopt: no limit.
  uint64_t first_page = 0;                              // The map's bounds.
  uint64_t end_page = 1000;
  uint64_t user_limit_pages = UINT64_MAX;
  uint32_t max_system_wires = kMaxWireCount;
  uint64_t cache_pages = 0;  // The capacity of the pin cache; 0: none.
};

// The pages [first, end) of the guest. REQUIRES: first < end.
GuestRange Pages(uint64_t first, uint64_t end);
inline GuestAddress Page(uint64_t page) { return GuestAddress(page * kPageSize); }

// A pinner of `level` that faults in on the calling thread.
std::unique_ptr<Pinner> MakePinner(PinLevel level, HostMemory& host);

// "resident" or "pinned": the name of a test's parameter.
template <typename ParamInfo>
std::string LevelName(const ParamInfo& info) {
  return ToString(info.param);
}

class TestMap {
 public:
  explicit TestMap(const TestMapOptions& options = {});
  TestMap(const TestMap&) = delete;
  TestMap& operator=(const TestMap&) = delete;

  Journal& journal() { return journal_; }
  FakeHostMemory& host() { return host_; }
  WireBudget& budget() { return budget_; }
  PinTable& pins() { return pins_; }
  VmMap& map() { return map_; }

  // A new object of `pages` pages.
  std::shared_ptr<VmObject> NewObject(uint64_t pages,
                                      MemoryBacking backing = MemoryBacking::kAnonymous);

  // Maps guest pages [first, end) to `object` from its page `object_page`.
  absl::Status MapPages(uint64_t first, uint64_t end, std::shared_ptr<VmObject> object,
                        uint64_t object_page = 0, Protection protection = Protection::kReadWrite);

  // The same to a new object of just that size; it must succeed.
  std::shared_ptr<VmObject> Add(uint64_t first, uint64_t end,
                                Protection protection = Protection::kReadWrite);

  // A character for each guest page of [first, end): '.' a hole; a digit that many system wirings;
  // 'u', 'v', 'w'... a user wiring and 0, 1, 2... system wirings.
  std::string Wires(uint64_t first, uint64_t end) const;

  // A character for each page of `object`: '1' the fake host has it pinned, '0' it has not.
  std::string Pinned(const VmObject& object) const;
  // Pages that the fake host has pinned at the map's level.
  uint64_t HostPinnedPages() const;

  // All that a call which fails must leave as it was: entries, counts, charges and the host's pins.
  std::string State() const;

 private:
  Journal journal_;
  FakeHostMemory host_;
  const std::unique_ptr<Pinner> pinner_;
  WireBudget budget_;
  PinTable pins_;
  VmMap map_;
};

}  // namespace vmwire

#endif  // VMWIRE_TESTS_SUPPORT_MAP_FIXTURE_H_
