// What a concurrent case runs on: maps on a fake host, events that its threads wait for, and a
// place at which a thread is stopped inside of a fault.
//
// Everything here that waits does so on a Mutex and a Condition of memory/, so a case runs under
// the scheduler and with threads that run freely.
//
// Invariants: at its death nothing is left on the fake host, or the test fails.
// Thread safety: thread-safe, but for what sets the world up, and for CheckQuiet.
#ifndef VMWIRE_TESTS_CONCURRENCY_WORLD_H_
#define VMWIRE_TESTS_CONCURRENCY_WORLD_H_

#include <atomic>
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "memory/mutex.h"
#include "memory/pin_cache.h"
#include "memory/pin_table.h"
#include "memory/pinner.h"
#include "memory/vm_map.h"
#include "memory/vm_object.h"
#include "memory/wire_budget.h"
#include "tests/concurrency/concurrent_case.h"
#include "tests/fakes/fake_host_memory.h"
#include "tests/fakes/journal.h"

namespace vmwire {

inline constexpr WireFlags kSystemWiring = WireFlags::kSystem;
inline constexpr WireFlags kUserWiring = WireFlags::kUser;

// Something that happens once.
class Event {
 public:
  void Set() ABSL_LOCKS_EXCLUDED(mutex_);
  void Await() ABSL_LOCKS_EXCLUDED(mutex_);
  bool IsSet() const ABSL_LOCKS_EXCLUDED(mutex_);

 private:
  mutable Mutex mutex_;
  Condition condition_;
  bool set_ ABSL_GUARDED_BY(mutex_) = false;
};

struct WorldOptions {
  PinLevel level = PinLevel::kResident;
  std::optional<uint64_t> budget_pages = std::nullopt;  // Nullopt: no limit.
  uint64_t cache_pages = 0;
  uint64_t user_limit_pages = UINT64_MAX;  // Of each map.
  size_t maps = 1;                         // All on one PinTable.
  // Whether FaultStop stops anybody.
  bool stops_in_faults = false;
};

class World {
 public:
  explicit World(const WorldOptions& options);
  World(const World&) = delete;
  World& operator=(const World&) = delete;
  ~World();

  Journal& journal() { return journal_; }
  FakeHostMemory& host() { return host_; }
  WireBudget& budget() { return budget_; }
  PinTable& pins() { return *pins_; }
  VmMap& map(size_t index = 0) { return *maps_[index]; }

  // A new object, which the world keeps and CheckQuiet looks at.
  std::shared_ptr<VmObject> NewObject(uint64_t pages);
  // The world keeps it no more.
  void Forget(const std::shared_ptr<VmObject>& object);
  // Maps guest pages [first, end) to a new object of just that size.
  std::shared_ptr<VmObject> Add(uint64_t first, uint64_t end, size_t map = 0);
  absl::Status MapPages(uint64_t first, uint64_t end, std::shared_ptr<VmObject> object,
                        uint64_t object_page = 0, size_t map = 0);

  absl::Status Wire(uint64_t first, uint64_t end, WireFlags flags, const WireOptions& options = {},
                    size_t map = 0);
  absl::Status Unwire(uint64_t first, uint64_t end, WireFlags flags, size_t map = 0);
  absl::Status Remove(uint64_t first, uint64_t end, size_t map = 0);

  // One call of the host that the calling thread makes while a FaultStop of it lives stops: under
  // the scheduler until no other thread can run, else for a moment.
  class FaultStop {
   public:
    explicit FaultStop(World& world);
    FaultStop(const FaultStop&) = delete;
    FaultStop& operator=(const FaultStop&) = delete;
    ~FaultStop();
  };
  // Returns once a thread has stopped, or will not; at once if the options say that nobody does.
  void AwaitFault();
  // Expects that what just returned could not return before the stopped thread went on.
  void ExpectBlocked() const;
  // The contrary. Says nothing where threads run freely.
  void ExpectNotBlocked() const;

  // A character for each guest page of [first, end): '.' a hole; a digit that many system wirings;
  // 'u', 'v', 'w'... a user wiring and 0, 1, 2... system wirings.
  std::string Wires(uint64_t first, uint64_t end, size_t map = 0) const;
  // A character for each page of `object`: '1' the fake host has it pinned, '0' it has not.
  std::string Pinned(const VmObject& object) const;
  bool IsAnythingPinned() const;
  // How often the host was asked to fault something in.
  size_t Faults() const;

  // Says that page `page` of `object` has wirings by itself, for CheckQuiet.
  void NotePageWires(const VmObject& object, uint64_t page, uint32_t wires);
  // Compares all that there is: entries, page counts, pins, charges. No operation may be under way,
  // and no hold be left.
  void CheckQuiet();
  // The same after all wirings, entries and cached pins have gone.
  void ExpectNothingLeft();

  // What the threads of a case leave for its check.
  absl::Status result[3];

 private:
  void OnHostCall();
  void CheckMap(const VmMap& map);
  void CountWires(const VmMap& map, std::map<const VmObject*, std::vector<uint32_t>>& counts) const;
  uint64_t CheckObject(VmObject& object, const std::vector<uint32_t>& counts);
  void GiveBack();

  const WorldOptions options_;
  Journal journal_;
  FakeHostMemory host_;
  const std::unique_ptr<Pinner> pinner_;
  WireBudget budget_;
  std::optional<PinTable> pins_;
  std::vector<std::shared_ptr<VmObject>> objects_;
  std::vector<std::unique_ptr<VmMap>> maps_;
  std::map<std::pair<const VmObject*, uint64_t>, uint32_t> page_wires_;
  Event stopped_;
  std::atomic<bool> went_on_ = false;
};

// A world in which T1 stops in a fault if the setting says so.
std::shared_ptr<World> NewWorld(const Setting& setting, WorldOptions options = {});

// Adds T1, which wires [first, end) and may stop on the way. The result is result[0].
void AddWirer(Scenario& scenario, const std::shared_ptr<World>& world, uint64_t first, uint64_t end,
              WireFlags flags);

}  // namespace vmwire

#endif  // VMWIRE_TESTS_CONCURRENCY_WORLD_H_
