// The limits of a process without privileges, at each level: what is refused, when, with which
// words, and that nothing of it is left.
#include <grp.h>
#include <gtest/gtest.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "memory/guarded_pinner.h"
#include "memory/host_limits.h"
#include "memory/host_memory_linux.h"
#include "memory/mlock_pinner.h"
#include "memory/pin_promises.h"
#include "memory/pin_table.h"
#include "memory/status_macros.h"
#include "memory/uring_pinner.h"
#include "memory/vm_map.h"
#include "memory/vm_object.h"
#include "memory/wire_limits.h"
#include "tests/kernel/disturbance/host_settings.h"
#include "tests/kernel/disturbance/leak_check.h"
#include "tests/support/child.h"
#include "tests/support/map_fixture.h"
#include "tests/support/memlock_limit.h"
#include "tests/support/status_matchers.h"

namespace vmwire {
namespace {

using absl::StatusCode;
using testing::AllOf;
using testing::AnyOf;
using testing::HasSubstr;

constexpr uint64_t kMiB = 1 << 20;
constexpr uint64_t kLimit = 4 * kMiB;
constexpr uint64_t kPages = 16 * kMiB / kPageSize;

uint64_t PagesOf(uint64_t bytes) { return bytes / kPageSize; }

struct HostOptions {
  uint64_t max_extents = UINT64_MAX;  // Of locks.
  BufferOptions buffers = {};
  std::vector<WireBudget::Limit> limits = {};
};

// A map of kPages pages of anonymous memory on the real host.
class LimitedMap {
 public:
  explicit LimitedMap(PinLevel level, const HostOptions& options = {})
      : pinner_(MakePinner(level, options)),
        budget_(options.limits),
        pins_(*pinner_, budget_),
        map_(pins_, {}),
        object_(*VmObject::Create(host_,
                                  {.size = kPages * kPageSize, .huge_pages = HugePages::kNone})) {
    EXPECT_THAT(map_.Map(Pages(0, kPages), object_, 0, Protection::kReadWrite), IsOk());
  }

  VmMap& map() { return map_; }
  // What a wiring that fails must leave as it was. (Whatever a map says, the kernel's own figures
  // are LeakCheck's.)
  std::string State() const { return absl::StrCat(map_.ToString(), budget_.used()); }
  uint64_t ResidentPages() const {
    const auto resident = host_.Residency(object_->host_range());
    EXPECT_THAT(resident, IsOk());
    return static_cast<uint64_t>(std::count(resident->begin(), resident->end(), true));
  }

 private:
  std::unique_ptr<Pinner> MakePinner(PinLevel level, const HostOptions& options) {
    switch (level) {
      case PinLevel::kResident:
        return std::make_unique<MlockPinner>(host_, PopulateOptions{}, options.max_extents);
      case PinLevel::kPinned:
        return std::make_unique<UringPinner>(host_, PopulateOptions{}, options.buffers);
      case PinLevel::kGuarded:
        break;
    }
    return std::make_unique<GuardedPinner>(host_, PopulateOptions{}, options.max_extents,
                                           options.buffers);
  }

  HostMemoryLinux host_;
  const std::unique_ptr<Pinner> pinner_;
  WireBudget budget_;
  PinTable pins_;
  VmMap map_;
  const std::shared_ptr<VmObject> object_;
};

// Io_uring counts what is pinned per user: so this process becomes one that nobody else is.
void BecomeNobodyElse() {
  const uid_t user = 2'000'000'000 + static_cast<uid_t>(getpid());
  // Not root, or a namespace without that user: then it stays who it is.
  if (setgroups(0, nullptr) != 0 || setresuid(user, user, user) != 0) return;
  // Else /proc/self would be root's now.
  prctl(PR_SET_DUMPABLE, 1);
}

absl::Status TryRings() {
  const LeakCheck leaks;
  LimitedMap probe(PinLevel::kPinned, {.buffers = {.slots = 4}});
  return probe.map().Wire(Pages(0, 1)).status();
}

// Runs `body` in a child that is bound by an RLIMIT_MEMLOCK of `limit`, and which must leave
// nothing locked or pinned.
void RunLimited(uint64_t limit, const std::function<void()>& body) {
  const absl::Status ran = RunInChild([&]() -> absl::Status {
    BecomeNobodyElse();
    MemlockLimit memlock;
    if (const absl::Status set = memlock.Set(limit); !set.ok()) {
      return absl::UnavailableError(std::string(set.message()));
    }
    // Rings may be refused altogether; that is not what these tests are about.
    if (const absl::Status rings = TryRings(); absl::IsUnimplemented(rings)) {
      return AsMissing(rings);
    }
    const LeakCheck leaks;
    body();
    return absl::OkStatus();
  });
  if (absl::IsUnavailable(ran)) GTEST_SKIP() << ran.message();
  EXPECT_THAT(ran, IsOk());
}

HostOptions WithHostLimits(PinLevel level) {
  const auto host = ReadHostLimits();
  EXPECT_THAT(host, IsOk());
  return {.limits = WireLimits(*host, level, std::nullopt)};
}

class MemlockLimitTest : public testing::TestWithParam<PinLevel> {};

INSTANTIATE_TEST_SUITE_P(Levels, MemlockLimitTest, testing::ValuesIn(kPinLevels),
                         LevelName<testing::TestParamInfo<PinLevel>>);

TEST_P(MemlockLimitTest, WiringBeyondItIsRefusedBeforeTheFirstFault) {
  RunLimited(kLimit, [] {
    LimitedMap limited(GetParam(), WithHostLimits(GetParam()));
    const std::string before = limited.State();

    EXPECT_THAT(limited.map().Wire(Pages(0, PagesOf(8 * kMiB))),
                StatusIs(StatusCode::kResourceExhausted,
                         AllOf(HasSubstr(absl::StrCat("needs ", 8 * kMiB, " bytes, 0 are in use")),
                               HasSubstr("RLIMIT_MEMLOCK allows"), HasSubstr("ulimit -l"))));

    EXPECT_EQ(limited.ResidentPages(), 0u);
    EXPECT_EQ(limited.State(), before);
  });
}

TEST_P(MemlockLimitTest, SecondWiringIsToldWhatTheFirstUses) {
  RunLimited(kLimit, [] {
    LimitedMap limited(GetParam(), WithHostLimits(GetParam()));
    VMWIRE_ASSERT_OK_AND_ASSIGN(const WiredRange first,
                                limited.map().Wire(Pages(0, PagesOf(3 * kMiB))));
    const std::string before = limited.State();

    EXPECT_THAT(
        limited.map().Wire(Pages(PagesOf(4 * kMiB), PagesOf(6 * kMiB))),
        StatusIs(
            StatusCode::kResourceExhausted,
            AllOf(HasSubstr(absl::StrCat("needs ", 2 * kMiB, " bytes, ", 3 * kMiB, " are in use")),
                  HasSubstr("RLIMIT_MEMLOCK allows"))));

    EXPECT_EQ(limited.ResidentPages(), PagesOf(3 * kMiB));
    EXPECT_EQ(limited.State(), before);
  });
}

TEST_P(MemlockLimitTest, KernelsOwnRefusalUndoesAll) {
  RunLimited(kLimit, [] {
    LimitedMap limited(GetParam());
    const std::string before = limited.State();
    const std::string pins_before = LockedAndPinned();

    EXPECT_THAT(limited.map().Wire(Pages(0, PagesOf(8 * kMiB))),
                StatusIs(StatusCode::kResourceExhausted, HasSubstr("ulimit -l")));

    EXPECT_EQ(limited.State(), before);
    EXPECT_EQ(LockedAndPinned(), pins_before);
  });
}

TEST_P(MemlockLimitTest, WiringFitsAgainAfterARefusal) {
  RunLimited(kLimit, [] {
    LimitedMap limited(GetParam());
    EXPECT_FALSE(limited.map().Wire(Pages(0, PagesOf(8 * kMiB))).ok());

    EXPECT_THAT(limited.map().Wire(Pages(0, PagesOf(3 * kMiB))), IsOk());
  });
}

TEST_P(MemlockLimitTest, LimitOfZeroIsRefused) {
  RunLimited(0, [] {
    LimitedMap limited(GetParam());

    EXPECT_THAT(limited.map().Wire(Pages(0, 1)),
                AnyOf(StatusIs(StatusCode::kResourceExhausted, HasSubstr("RLIMIT_MEMLOCK")),
                      StatusIs(StatusCode::kPermissionDenied, HasSubstr("RLIMIT_MEMLOCK"))));

    // At kPinned the registration is what faults in, and it comes before its charge.
    if (GetParam() != PinLevel::kPinned) {
      EXPECT_EQ(limited.ResidentPages(), 0u);
    }
  });
}

// The kernel counts locks and registered buffers each against the whole limit.
TEST(LocksAndBuffersTest, GuardedWiringMayUseTheWholeLimitTwice) {
  RunLimited(kLimit, [] {
    LimitedMap limited(PinLevel::kGuarded, WithHostLimits(PinLevel::kGuarded));

    const auto wired = limited.map().Wire(Pages(0, PagesOf(3 * kMiB)));

    EXPECT_THAT(wired, IsOk());
    EXPECT_EQ(LockedAndPinned(), absl::StrFormat("VmLck %d, VmPin %d", 3 * kMiB, 3 * kMiB));
  });
}

// What one level uses of the limit, beside a wiring of another that would not fit under the same.
void ExpectBeside(PinLevel used, PinLevel wanted, bool fits) {
  RunLimited(kLimit, [=] {
    LimitedMap first(used);
    const auto wired = first.map().Wire(Pages(0, PagesOf(3 * kMiB)));
    ASSERT_THAT(wired, IsOk());
    LimitedMap second(wanted, WithHostLimits(wanted));
    const std::string before = LockedAndPinned() + second.State();

    const auto beside = second.map().Wire(Pages(0, PagesOf(2 * kMiB)));

    if (fits) {
      EXPECT_THAT(beside, IsOk());
    } else {
      EXPECT_THAT(beside,
                  StatusIs(StatusCode::kResourceExhausted,
                           AllOf(HasSubstr("RLIMIT_MEMLOCK allows"), HasSubstr("ulimit -l"))));
      EXPECT_EQ(second.ResidentPages(), 0u);
      EXPECT_EQ(LockedAndPinned() + second.State(), before);
    }
  });
}

TEST(LocksAndBuffersTest, LocksLeaveBuffersTheirLimit) {
  ExpectBeside(PinLevel::kResident, PinLevel::kPinned, /*fits=*/true);
}

TEST(LocksAndBuffersTest, BuffersLeaveLocksTheirLimit) {
  ExpectBeside(PinLevel::kPinned, PinLevel::kResident, /*fits=*/true);
}

TEST(LocksAndBuffersTest, LocksLeaveAGuardedWiringNoRoomForItsOwn) {
  ExpectBeside(PinLevel::kResident, PinLevel::kGuarded, /*fits=*/false);
}

TEST(LocksAndBuffersTest, BuffersLeaveAGuardedWiringNoRoomForItsOwn) {
  ExpectBeside(PinLevel::kPinned, PinLevel::kGuarded, /*fits=*/false);
}

// Wires each second page, which takes an extent of its own, until it is refused.
std::vector<WiredRange> WireAlternatePages(VmMap& map, absl::Status& refused) {
  std::vector<WiredRange> wired;
  for (uint64_t page = 0; page < kPages; page += 2) {
    auto one = map.Wire(Pages(page, page + 1));
    if (!one.ok()) {
      refused = one.status();
      break;
    }
    wired.push_back(*std::move(one));
  }
  return wired;
}

constexpr uint32_t kExtents = 8;

class ExtentLimitTest : public testing::TestWithParam<PinLevel> {
 protected:
  static HostOptions Options() {
    // At kGuarded each of the two limits is met once, by the tests below.
    if (GetParam() == PinLevel::kPinned) return {.buffers = {.slots = kExtents}};
    return {.max_extents = kExtents};
  }
};

INSTANTIATE_TEST_SUITE_P(Levels, ExtentLimitTest, testing::ValuesIn(kPinLevels),
                         LevelName<testing::TestParamInfo<PinLevel>>);

TEST_P(ExtentLimitTest, AlternatePagesMeetItBeforeTheFirstFaultOfTheNext) {
  RunLimited(kLimit, [] {
    LimitedMap limited(GetParam(), Options());
    absl::Status refused;

    const std::vector<WiredRange> wired = WireAlternatePages(limited.map(), refused);

    EXPECT_EQ(wired.size(), kExtents);
    EXPECT_THAT(refused,
                StatusIs(StatusCode::kResourceExhausted,
                         AllOf(HasSubstr("needs 1 extents, and 0 are free"),
                               HasSubstr("registered buffer"), HasSubstr("vm.max_map_count"))));
    EXPECT_EQ(limited.ResidentPages(), kExtents);
    EXPECT_THAT(limited.map().CheckInvariants(), IsOk());
  });
}

TEST_P(ExtentLimitTest, ExtentGivenBackCanBeTakenAgain) {
  RunLimited(kLimit, [] {
    LimitedMap limited(GetParam(), Options());
    absl::Status refused;
    std::vector<WiredRange> wired = WireAlternatePages(limited.map(), refused);

    wired.pop_back();

    EXPECT_THAT(limited.map().Wire(Pages(kPages - 1, kPages)), IsOk());
  });
}

TEST_P(ExtentLimitTest, WiringOfManyGapsIsRefusedAsAWhole) {
  RunLimited(kLimit, [] {
    LimitedMap limited(GetParam(), Options());
    // Between wired pages lie gaps; a wiring over all needs an extent for each.
    std::vector<WiredRange> wired;
    for (uint64_t page = 1; page < 13; page += 2) {
      wired.push_back(*limited.map().Wire(Pages(page, page + 1)));
    }
    const std::string before = limited.State() + LockedAndPinned();

    EXPECT_THAT(limited.map().Wire(Pages(0, 14)),
                StatusIs(StatusCode::kResourceExhausted, HasSubstr("and 2 are free")));

    EXPECT_EQ(limited.State() + LockedAndPinned(), before);
    EXPECT_EQ(limited.ResidentPages(), 6u);
  });
}

TEST(GuardedExtentLimitTest, BufferSlotsAreAnEqualLimit) {
  RunLimited(kLimit, [] {
    LimitedMap limited(PinLevel::kGuarded, {.buffers = {.slots = kExtents}});
    absl::Status refused;

    const std::vector<WiredRange> wired = WireAlternatePages(limited.map(), refused);

    EXPECT_EQ(wired.size(), kExtents);
    EXPECT_THAT(refused, StatusIs(StatusCode::kResourceExhausted, HasSubstr("registered buffer")));
  });
}

}  // namespace
}  // namespace vmwire
