#include "memory/wire_limits.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <optional>
#include <string>
#include <vector>

namespace vmwire {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

HostLimits LimitedHost() {
  HostLimits host;
  host.memlock_soft = 1000;
  host.memlock_hard = 2000;
  host.memory_available = 50000;
  return host;
}

std::vector<std::string> Names(const std::vector<WireBudget::Limit>& limits) {
  std::vector<std::string> names;
  for (const WireBudget::Limit& limit : limits) names.push_back(limit.name);
  return names;
}

std::optional<WireBudget::Limit> Find(const std::vector<WireBudget::Limit>& limits,
                                      const std::string& name) {
  for (const WireBudget::Limit& limit : limits) {
    if (limit.name == name) return limit;
  }
  return std::nullopt;
}

TEST(WireLimitsTest, AvailableMemoryIsAlwaysALimit) {
  HostLimits host;
  host.memlock_soft = kUnlimited;
  host.memory_available = 50000;
  const auto limits = WireLimits(host, PinLevel::kResident, std::nullopt);

  EXPECT_THAT(Names(limits), ElementsAre("the host's available memory"));
  EXPECT_EQ(limits[0].bytes, 50000u);
}

TEST(WireLimitsTest, MemlockBindsWithoutTheCapability) {
  const auto limits = WireLimits(LimitedHost(), PinLevel::kResident, std::nullopt);
  const auto memlock = Find(limits, "RLIMIT_MEMLOCK");

  ASSERT_TRUE(memlock.has_value());
  EXPECT_EQ(memlock->bytes, 1000u);
}

TEST(WireLimitsTest, CapabilityLiftsMemlock) {
  HostLimits host = LimitedHost();
  host.may_exceed_memlock = true;

  EXPECT_THAT(Names(WireLimits(host, PinLevel::kResident, std::nullopt)),
              ElementsAre("the host's available memory"));
}

TEST(WireLimitsTest, LocksAndPinsAreTakenOffMemlockApart) {
  HostLimits host = LimitedHost();
  host.locked_bytes = 100;
  host.pinned_bytes = 300;

  EXPECT_EQ(Find(WireLimits(host, PinLevel::kResident, std::nullopt), "RLIMIT_MEMLOCK")->bytes,
            900u);
  EXPECT_EQ(Find(WireLimits(host, PinLevel::kPinned, std::nullopt), "RLIMIT_MEMLOCK")->bytes, 700u);
}

TEST(WireLimitsTest, GuardedIsBoundByWhicheverOfLocksAndPinsHasLessRoom) {
  HostLimits host = LimitedHost();
  host.locked_bytes = 400;
  host.pinned_bytes = 300;
  EXPECT_EQ(Find(WireLimits(host, PinLevel::kGuarded, std::nullopt), "RLIMIT_MEMLOCK")->bytes,
            600u);
  host.pinned_bytes = 500;
  EXPECT_EQ(Find(WireLimits(host, PinLevel::kGuarded, std::nullopt), "RLIMIT_MEMLOCK")->bytes,
            500u);
}

TEST(WireLimitsTest, UsageAboveMemlockLeavesNothing) {
  HostLimits host = LimitedHost();
  host.locked_bytes = 1001;

  EXPECT_EQ(Find(WireLimits(host, PinLevel::kResident, std::nullopt), "RLIMIT_MEMLOCK")->bytes, 0u);
}

TEST(WireLimitsTest, RemedyOfMemlockFollowsTheHardLimit) {
  HostLimits host = LimitedHost();
  const auto hard = Find(WireLimits(host, PinLevel::kResident, std::nullopt), "RLIMIT_MEMLOCK");
  host.memlock_hard = kUnlimited;
  const auto soft = Find(WireLimits(host, PinLevel::kResident, std::nullopt), "RLIMIT_MEMLOCK");

  EXPECT_THAT(hard->remedy, HasSubstr("as root"));
  EXPECT_THAT(soft->remedy, HasSubstr("ulimit -l unlimited"));
}

TEST(WireLimitsTest, CgroupLeavesItsRoomAndIsNamed) {
  HostLimits host = LimitedHost();
  host.cgroup = CgroupMemory{.limit = 700, .usage = 200, .path = "/sys/fs/cgroup/test.slice"};
  const auto limits = WireLimits(host, PinLevel::kResident, std::nullopt);
  const auto cgroup = Find(limits, "the memory cgroup /sys/fs/cgroup/test.slice");

  ASSERT_TRUE(cgroup.has_value());
  EXPECT_EQ(cgroup->bytes, 500u);
}

TEST(WireLimitsTest, ConfiguredLimitIsTakenAsItIs) {
  const auto limits = WireLimits(LimitedHost(), PinLevel::kPinned, 0);
  const auto configured = Find(limits, "the wire limit");

  ASSERT_TRUE(configured.has_value());
  EXPECT_EQ(configured->bytes, 0u);
  EXPECT_THAT(configured->remedy, HasSubstr("raise it"));
}

}  // namespace
}  // namespace vmwire
