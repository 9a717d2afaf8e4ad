// Makes every call of the host fail in turn, in a scenario that uses all of memory/: each failing
// step leaves the state as it was, and nothing leaks.
#include <gtest/gtest.h>

#include <cerrno>
#include <cstdint>
#include <cstring>
#include <memory>
#include <optional>
#include <string>
#include <tuple>
#include <vector>

#include "memory/status_macros.h"
#include "memory/vm_object.h"
#include "memory/wire_policy.h"
#include "tests/support/map_fixture.h"
#include "tests/support/status_matchers.h"

namespace vmwire {
namespace {

WirePolicy PolicyOf(WirePolicyKind kind) {
  switch (kind) {
    case WirePolicyKind::kAll:
      return WirePolicy::All();
    case WirePolicyKind::kOnDemand:
      return WirePolicy::OnDemand();
    case WirePolicyKind::kNone:
      return WirePolicy::None();
    case WirePolicyKind::kDma:
      break;
  }
  return WirePolicy::Dma({Pages(30, 33), Pages(35, 37)});
}

// Makes two objects, maps them, wires, holds and applies a policy; every step checks itself.
class Scenario {
 public:
  Scenario(TestMap& test, WirePolicyKind policy, MemoryBacking backing)
      : test_(test), policy_(policy), backing_(backing) {}
  Scenario(const Scenario&) = delete;
  Scenario& operator=(const Scenario&) = delete;
  ~Scenario() {
    slot_.reset();
    hold_.reset();
    wired_.clear();
    EXPECT_THAT(test_.map().Remove(Pages(0, 1000)), IsOk());
  }

  absl::Status Run() {
    VMWIRE_RETURN_IF_ERROR(Step([this] { return MapNew(10, 20); }));
    VMWIRE_RETURN_IF_ERROR(Step([this] { return MapNew(20, 40); }));
    VMWIRE_RETURN_IF_ERROR(Step([this] { return WireToken(Pages(12, 14)); }));
    VMWIRE_RETURN_IF_ERROR(Step([this] { return WireToken(Pages(10, 25)); }));
    VMWIRE_RETURN_IF_ERROR(
        Step([this] { return test_.map().WireRange(Pages(18, 28), WireFlags::kUser); }));
    VMWIRE_RETURN_IF_ERROR(Step([this] { return Hold(Pages(11, 31)); }));
    return Step([this] { return Apply(Pages(20, 40)); });
  }

 private:
  template <typename Do>
  absl::Status Step(Do step) {
    const std::string before = test_.State();
    const size_t mappings = test_.host().mappings();
    const size_t files = test_.host().files();
    absl::Status status = step();
    EXPECT_THAT(test_.map().CheckInvariants(), IsOk());
    if (!status.ok()) {
      EXPECT_EQ(test_.State(), before);
      EXPECT_EQ(test_.host().mappings(), mappings);
      EXPECT_EQ(test_.host().files(), files);
    }
    return status;
  }

  absl::Status MapNew(uint64_t first, uint64_t end) {
    VMWIRE_ASSIGN_OR_RETURN(
        std::shared_ptr<VmObject> object,
        VmObject::Create(test_.host(), {.size = (end - first) * kPageSize, .backing = backing_}));
    return test_.MapPages(first, end, std::move(object));
  }
  absl::Status WireToken(const GuestRange& range) {
    VMWIRE_ASSIGN_OR_RETURN(WiredRange wired, test_.map().Wire(range));
    wired_.push_back(std::move(wired));
    return absl::OkStatus();
  }
  absl::Status Hold(const GuestRange& range) {
    VMWIRE_ASSIGN_OR_RETURN(hold_, test_.map().KeepMapped(range));
    return absl::OkStatus();
  }
  absl::Status Apply(const GuestRange& range) {
    VMWIRE_ASSIGN_OR_RETURN(slot_, PolicyOf(policy_).Apply(test_.map(), range));
    return absl::OkStatus();
  }

  TestMap& test_;
  const WirePolicyKind policy_;
  const MemoryBacking backing_;
  std::vector<WiredRange> wired_;
  std::optional<MappedRange> hold_;
  std::optional<SlotBacking> slot_;
};

using Param = std::tuple<WirePolicyKind, PinLevel, MemoryBacking, int>;

std::string ParamName(const testing::TestParamInfo<Param>& info) {
  const auto& [policy, level, backing, error] = info.param;
  return std::string(ToString(policy)) + "_" + ToString(level) + "_" + ToString(backing) + "_" +
         strerrorname_np(error);
}

class FailNthTest : public testing::TestWithParam<Param> {};

INSTANTIATE_TEST_SUITE_P(
    Scenarios, FailNthTest,
    testing::Combine(testing::Values(WirePolicyKind::kAll, WirePolicyKind::kDma,
                                     WirePolicyKind::kNone),
                     testing::Values(PinLevel::kResident, PinLevel::kPinned, PinLevel::kGuarded),
                     testing::Values(MemoryBacking::kAnonymous, MemoryBacking::kMemfd),
                     testing::Values(ENOMEM, EPERM, EAGAIN)),
    ParamName);

TEST_P(FailNthTest, EveryFailingCallIsUndoneAndNothingLeaks) {
  const auto [policy, level, backing, error] = GetParam();
  uint64_t failures = 0;
  for (uint64_t n = 1;; ++n) {
    SCOPED_TRACE(n);
    TestMap test({.level = level});
    {
      Scenario scenario(test, policy, backing);
      test.journal().FailNth(n, error);
      const absl::Status status = scenario.Run();
      const bool failed = test.journal().failed();
      test.journal().FailNth(0, 0);
      if (!failed) {
        EXPECT_THAT(status, IsOk());
        break;
      }
      // Faulting in again is the answer to EAGAIN there, and nowhere else.
      EXPECT_TRUE(!status.ok() || error == EAGAIN);
      if (!status.ok()) ++failures;
    }
    EXPECT_EQ(test.host().locked_bytes(), 0u);
    EXPECT_EQ(test.host().buffer_bytes(), 0u);
    EXPECT_EQ(test.budget().used(), 0u);
    EXPECT_EQ(test.host().mappings(), 0u);
    EXPECT_EQ(test.host().files(), 0u);
  }
  EXPECT_GE(failures, 6u);
}

}  // namespace
}  // namespace vmwire
