// The memory that the threads of the stress share: objects, two maps that have all of them at fixed
// places, a budget that is too small, and a pin cache; on the fake host or on the real one.
//
// Guest page g of map m is always the same page of the same object, if it is mapped at all. So what
// the threads keep book of can be counted page by page.
//
// Invariants: those of the maps and tables, which CompareAtRest looks at.
// Thread safety: thread-safe, but for CompareAtRest: no thread may be at work then.
#ifndef VMWIRE_TESTS_CONCURRENCY_STRESS_WORLD_H_
#define VMWIRE_TESTS_CONCURRENCY_STRESS_WORLD_H_

#include <array>
#include <cstdint>
#include <memory>
#include <optional>
#include <vector>

#include "absl/status/status.h"
#include "memory/host_memory.h"
#include "memory/pin_table.h"
#include "memory/pinner.h"
#include "memory/vm_map.h"
#include "memory/vm_object.h"
#include "memory/wire_budget.h"

namespace vmwire {

inline constexpr size_t kStressMaps = 2;
inline constexpr size_t kStressObjects = 3;
inline constexpr uint64_t kObjectPages = 48;
inline constexpr uint64_t kGuestPages = kStressObjects * kObjectPages;
inline constexpr uint64_t kStressBudgetPages = 100;
inline constexpr uint64_t kStressCachePages = 24;
inline constexpr uint64_t kStressUserLimitPages = 40;

// A page of an object.
struct ObjectPage {
  size_t object;
  uint64_t page;
};
// What lies at a guest page of a map.
ObjectPage PlaceOf(size_t map, uint64_t guest_page);

// A host, and what it says of its pins.
class StressHost {
 public:
  virtual ~StressHost() = default;
  virtual HostMemory& memory() = 0;
  // What compaction does, where it can be had at will.
  virtual void MoveFrames(const HostRange& range) = 0;
  // Expects that the pinned pages of the objects are locked and in buffers, and no others are.
  virtual void ComparePins(const std::vector<std::shared_ptr<VmObject>>& objects,
                           uint64_t pinned_bytes) = 0;
};
std::unique_ptr<StressHost> NewFakeStressHost();
std::unique_ptr<StressHost> NewRealStressHost();

// What the threads have, counted by page.
struct StressBook {
  struct GuestPage {
    uint32_t tokens = 0;   // WiredRange tokens.
    uint32_t counted = 0;  // System wirings without a token.
    uint32_t mapped = 0;   // MappedRange tokens.
  };
  std::array<std::array<GuestPage, kGuestPages>, kStressMaps> guest;
  struct OfObject {
    uint32_t by_itself = 0;  // vm_page_wire.
    uint32_t holds = 0;
  };
  std::array<std::array<OfObject, kObjectPages>, kStressObjects> object;
};

class StressWorld {
 public:
  explicit StressWorld(std::unique_ptr<StressHost> host);
  StressWorld(const StressWorld&) = delete;
  StressWorld& operator=(const StressWorld&) = delete;

  StressHost& host() { return *host_; }
  PinTable& pins() { return *pins_; }
  VmMap& map(size_t index) { return *maps_[index]; }
  VmObject& object(size_t index) { return *objects_[index]; }

  // An error that names what the host lacks, if it cannot pin at all.
  absl::Status CheckHostPins();
  // Maps guest pages [first, end), which lie in one object.
  absl::Status MapPages(size_t map, uint64_t first, uint64_t end);
  // The word of a thread in a page: only that thread reads and writes it.
  uint64_t& WordOf(const ObjectPage& page, size_t word) const;

  void CompareAtRest(const StressBook& book);
  // Takes away what belongs to no thread, and expects that nothing is left.
  void Finish();

 private:
  // Compares the entries of a map, and adds its wirings to `wires`.
  using Wires = std::array<std::array<uint32_t, kObjectPages>, kStressObjects>;
  void CompareEntries(size_t map, const StressBook& book, Wires& wires);
  void CompareExtents(size_t object, const StressBook& book, const Wires& wires);

  const std::unique_ptr<StressHost> host_;
  const std::unique_ptr<Pinner> pinner_;
  WireBudget budget_;
  std::optional<PinTable> pins_;
  std::vector<std::shared_ptr<VmObject>> objects_;
  std::vector<std::unique_ptr<VmMap>> maps_;
  // Of CompareAtRest: what the extents of all objects come to.
  uint64_t pinned_bytes_ = 0;
  uint64_t cached_bytes_ = 0;
  uint64_t cached_extents_ = 0;
};

}  // namespace vmwire

#endif  // VMWIRE_TESTS_CONCURRENCY_STRESS_WORLD_H_
