// Each cell of the table of pinner.h, level x backing x disturbance, on the running kernel.
#include <gtest/gtest.h>

#include <cctype>
#include <optional>
#include <string>
#include <tuple>

#include "absl/strings/str_format.h"
#include "memory/pin_promises.h"
#include "memory/status_macros.h"
#include "tests/kernel/disturbance/disturb.h"
#include "tests/kernel/disturbance/leak_check.h"
#include "tests/kernel/disturbance/unheld_memory.h"
#include "tests/kernel/disturbance/wired_region.h"
#include "tests/support/child.h"
#include "tests/support/hugetlb_pool.h"
#include "tests/support/status_matchers.h"

namespace vmwire {
namespace {

using Cell = std::tuple<PinLevel, RegionKind, Disturbance>;

std::string CellName(const testing::TestParamInfo<Cell>& info) {
  const auto [level, kind, disturbance] = info.param;
  std::string name = ToString(level) + "_" + ToString(kind) + "_" + ToString(disturbance);
  for (char& letter : name) {
    if (std::isalnum(static_cast<unsigned char>(letter)) == 0) letter = '_';
  }
  return name;
}

class DisturbanceTest : public testing::TestWithParam<Cell> {
 protected:
  PinLevel level() const { return std::get<0>(GetParam()); }
  RegionKind kind() const { return std::get<1>(GetParam()); }
  Disturbance disturbance() const { return std::get<2>(GetParam()); }

  Outcome Promised() const {
    const Outcome outcome = PromiseOf(level(), BackingOf(kind()), disturbance()).outcome;
    // Of huge pages there is nothing to collapse: the kernel says so by doing nothing.
    const bool is_collapsed =
        disturbance() == Disturbance::kCollapse && kind() == RegionKind::kAnonymousHuge;
    return is_collapsed && outcome == Outcome::kRefused ? Outcome::kKept : outcome;
  }

  absl::Status RunCell(DisturbanceHost& host) const;
  void Check(const Effect& effect, const RegionChange& change) const;
};

INSTANTIATE_TEST_SUITE_P(
    Cells, DisturbanceTest,
    testing::Combine(testing::ValuesIn(kPinLevels),
                     testing::Values(RegionKind::kAnonymousSmall, RegionKind::kAnonymousHuge,
                                     RegionKind::kMemfd, RegionKind::kMemfdSealed,
                                     RegionKind::kHugetlb, RegionKind::kGuestMemfd),
                     testing::ValuesIn(kDisturbances)),
    CellName);

absl::Status DisturbanceTest::RunCell(DisturbanceHost& host) const {
  VMWIRE_RETURN_IF_ERROR(CheckFramesAreTold());
  VMWIRE_RETURN_IF_ERROR(host.Enter(disturbance()));
  const LeakCheck leaks;
  VMWIRE_ASSIGN_OR_RETURN(const auto region, WiredRegion::Create(level(), kind()));
  VMWIRE_ASSIGN_OR_RETURN(const Effect effect, Disturb(*region, disturbance()));
  const RegionChange change = region->Look();
  absl::PrintF("%-8s %-13s %-13s promised %-8s: %s; %s; %s\n", ToString(level()), ToString(kind()),
               ToString(disturbance()), ToString(Promised()), effect.ToString(), change.ToString(),
               effect.note);
  Check(effect, change);
  return absl::OkStatus();
}

void DisturbanceTest::Check(const Effect& effect, const RegionChange& change) const {
  switch (Promised()) {
    case Outcome::kKept:
      EXPECT_EQ(effect.error, 0);
      EXPECT_TRUE(change.KeptAfterTouch());
      return;
    case Outcome::kRefused:
      EXPECT_NE(effect.error, 0);
      EXPECT_TRUE(change.IsNone());
      return;
    case Outcome::kExcluded:
      EXPECT_FALSE(effect.library.empty());
      for (const absl::Status& said : effect.library) EXPECT_FALSE(said.ok());
      EXPECT_TRUE(change.IsNone());
      return;
    case Outcome::kNone:
      // What was found is printed.
      return;
  }
}

TEST_P(DisturbanceTest, ShowsWhatTheTablePromises) {
  DisturbanceHost host;
  const absl::Status prepared = host.Prepare(disturbance());
  if (!prepared.ok()) GTEST_SKIP() << prepared.message();
  std::optional<HugetlbPool> pool;
  if (kind() == RegionKind::kHugetlb) pool.emplace(WiredRegion::kSize / kHugePageSize);
  if (pool.has_value() && !pool->status().ok()) GTEST_SKIP() << pool->status().message();

  const absl::Status ran = RunInChild([&] { return RunCell(host); });

  if (absl::IsUnavailable(ran)) GTEST_SKIP() << ran.message();
  EXPECT_THAT(ran, IsOk());
}

}  // namespace
}  // namespace vmwire
