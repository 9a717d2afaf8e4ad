// Random operations on one VmMap, each compared with the model of pages (page_model.h): the code
// that it returns and what it says, and then the whole state.
//
// Invariants: after a step the map and the model agree, or the test has failed.
// Thread safety: thread-compatible.
#ifndef VMWIRE_TESTS_MEMORY_ORACLE_ROUND_H_
#define VMWIRE_TESTS_MEMORY_ORACLE_ROUND_H_

#include <cstdint>
#include <map>
#include <memory>
#include <random>
#include <vector>

#include "absl/status/status.h"
#include "memory/vm_map.h"
#include "tests/memory/page_model.h"
#include "tests/support/map_fixture.h"

namespace vmwire {

class OracleRound {
 public:
  struct Options {
    PinLevel level = PinLevel::kResident;
    bool cache = false;  // Whether the pin table has a cache.
  };

  OracleRound(const Options& options, uint64_t seed);
  OracleRound(const OracleRound&) = delete;
  OracleRound& operator=(const OracleRound&) = delete;

  // One operation and the comparison after it.
  void Step();
  // Gives everything back, and checks that nothing is left.
  void Finish();

  // How often each code came.
  const std::map<absl::StatusCode, int>& codes() const { return codes_; }

 private:
  struct LiveToken {
    WiredRange token;
    ModelPlan plan;
  };
  struct LiveKeep {
    MappedRange token;
    ModelRange range;
  };
  struct LiveHold {
    HeldRange token;
    ModelRange range;
  };
  // The plan of a wiring. With a cache, it depends on the order in which extents are let go of
  // whether the budget suffices in the end: then it may also fail for want of it.
  struct WirePlan {
    ModelPlan plan;
    bool may_exhaust = false;
  };

  VmMap& map() { return test_.map(); }
  uint64_t Below(uint64_t limit) { return random_() % limit; }
  bool OneIn(uint64_t n) { return Below(n) == 0; }
  ModelRange AnyRange();
  Protection AnyProtection();
  WireFlags AnyFlags();
  ModelRange RangeToHold();
  // Stops a wiring now and then, and remembers that it did.
  WireProgress AnyProgress();

  void Operate();
  void Map();
  void Guard();
  void Remove();
  void RemoveWait();
  void Protect();
  void Clip();
  void WireToken();
  void DropToken();
  void WireRange();
  void UnwireRange();
  void Keep();
  void DropKeep();
  void Hold();
  void DropHold();
  void Discard();
  void Set();

  // An extent of an object's pins.
  struct Extent {
    ModelRange run;
    PinExtent::State state;
    uint64_t wired_pages;
    bool held;  // By a hold of the model.
  };
  std::vector<Extent> Extents(size_t object);
  bool IsPinned(size_t object, uint64_t page, bool by_cache_too);
  template <typename Plan>
  WirePlan PlanWithin(const ModelRange& range, const PageModel& model, WireFlags flags, Plan plan);
  WirePlan PlanWire(const ModelRange& range, WireFlags flags);

  // Expects `code`, unless the host was made to fail or the progress function stopped the call.
  template <typename Apply>
  void Expect(const absl::Status& status, absl::StatusCode code, Apply apply,
              bool may_exhaust = false);
  void ExpectReport(const WireReport& report, const absl::Status& status, const ModelPlan& plan);

  bool AnySystemWires();
  void Compare();
  void CompareEntries();
  void ComparePins(size_t object);
  void CompareExtents(size_t object, const std::vector<uint32_t>& wires);
  void CompareSums();

  const Options options_;
  std::mt19937_64 random_;
  TestMap test_;
  std::vector<std::shared_ptr<VmObject>> objects_;
  PageModel model_;
  bool wire_future_ = false;
  std::vector<LiveToken> tokens_;
  std::vector<LiveKeep> kept_;
  std::vector<LiveHold> holds_;
  bool stopped_ = false;
  std::map<absl::StatusCode, int> codes_;
};

}  // namespace vmwire

#endif  // VMWIRE_TESTS_MEMORY_ORACLE_ROUND_H_
