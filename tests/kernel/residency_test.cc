// What a wiring is on the real kernel: resident, locked or pinned pages, and none of it once the
// token is gone.
#include <gtest/gtest.h>
#include <sys/mman.h>

#include <algorithm>
#include <cerrno>
#include <cstdint>
#include <cstdlib>
#include <fstream>
#include <memory>
#include <optional>
#include <string>
#include <tuple>
#include <vector>

#include "memory/guest_memory.h"
#include "memory/host_limits.h"
#include "memory/host_memory_linux.h"
#include "memory/pin_table.h"
#include "memory/vm_map.h"
#include "memory/vm_object.h"
#include "memory/wire_limits.h"
#include "tests/support/eventually.h"
#include "tests/support/map_fixture.h"
#include "tests/support/memlock_limit.h"
#include "tests/support/status_matchers.h"

namespace vmwire {
namespace {

using absl::StatusCode;
using testing::HasSubstr;

constexpr uint64_t kSize = 64 << 20;
constexpr uint64_t kPages = kSize / kPageSize;
// Below what a process without privileges commonly has, so that it can be set.
constexpr uint64_t kLimit = 4 << 20;

// A field of /proc/self/status that counts KiB ("VmLck", "VmPin"), in bytes.
uint64_t StatusBytes(const std::string& name) {
  std::ifstream status("/proc/self/status");
  for (std::string line; std::getline(status, line);) {
    if (line.rfind(name + ":", 0) == 0) return std::stoull(line.substr(name.size() + 1)) * 1024;
  }
  ADD_FAILURE() << "no " << name;
  return 0;
}

// The same, once the kernel has caught up: some versions unpin buffers a moment after they are
// cleared.
uint64_t SettledStatusBytes(const std::string& name, uint64_t wanted) {
  return Eventually([&] { return StatusBytes(name); },
                    [wanted](uint64_t bytes) { return bytes == wanted; });
}

uint64_t ResidentPages(const HostRange& range) {
  std::vector<unsigned char> pages(range.pages());
  EXPECT_EQ(mincore(HostPointer(range.start()), range.size(), pages.data()), 0);
  return static_cast<uint64_t>(std::count_if(pages.begin(), pages.end(),
                                             [](unsigned char page) { return (page & 1) != 0; }));
}

// A VmMap on the real host.
class RealMap {
 public:
  explicit RealMap(PinLevel level, std::vector<WireBudget::Limit> limits = {})
      : pinner_(MakePinner(level, host_)),
        budget_(std::move(limits)),
        pins_(*pinner_, budget_),
        map_(pins_, {}) {}

  HostMemoryLinux& host() { return host_; }
  VmMap& map() { return map_; }
  WireBudget& budget() { return budget_; }

  // An object of kSize bytes, mapped at guest address 0.
  std::shared_ptr<VmObject> Add(MemoryBacking backing) {
    auto object = VmObject::Create(
        host_, {.size = kSize, .backing = backing, .huge_pages = HugePages::kNone});
    EXPECT_THAT(object, IsOk());
    EXPECT_THAT(map_.Map(Pages(0, kPages), *object, 0, Protection::kReadWrite), IsOk());
    return *std::move(object);
  }

 private:
  HostMemoryLinux host_;
  const std::unique_ptr<Pinner> pinner_;
  WireBudget budget_;
  PinTable pins_;
  VmMap map_;
};

using Param = std::tuple<PinLevel, MemoryBacking>;

class ResidencyTest : public testing::TestWithParam<Param> {
 protected:
  ResidencyTest() : real_(level()) {}

  void SetUp() override {
    // What this host does not give at all is not what these tests are about.
    object_ = real_.Add(std::get<1>(GetParam()));
    const auto tried = real_.map().Wire(Pages(0, kPages));
    if (!tried.ok()) GTEST_SKIP() << "64 MiB cannot be wired here: " << tried.status();
  }

  PinLevel level() const { return std::get<0>(GetParam()); }
  // Where this level's bytes are counted, and where they are not.
  std::string Counter() const { return level() == PinLevel::kResident ? "VmLck" : "VmPin"; }
  std::string OtherCounter() const { return level() == PinLevel::kResident ? "VmPin" : "VmLck"; }
  // The counter before the test, after what SetUp tried is gone.
  uint64_t Idle() { return SettledStatusBytes(Counter(), 0); }

  RealMap real_;
  std::shared_ptr<VmObject> object_;
};

std::string ParamName(const testing::TestParamInfo<Param>& info) {
  return ToString(std::get<0>(info.param)) + "_" + ToString(std::get<1>(info.param));
}

INSTANTIATE_TEST_SUITE_P(Kinds, ResidencyTest,
                         testing::Combine(testing::Values(PinLevel::kResident, PinLevel::kPinned),
                                          testing::Values(MemoryBacking::kAnonymous,
                                                          MemoryBacking::kMemfd)),
                         ParamName);

TEST_P(ResidencyTest, WiredPagesAreResidentAndCountedExactly) {
  const uint64_t before = Idle();
  const uint64_t other_before = StatusBytes(OtherCounter());
  {
    VMWIRE_ASSERT_OK_AND_ASSIGN(const WiredRange wired, real_.map().Wire(Pages(0, kPages)));
    EXPECT_EQ(ResidentPages(object_->host_range()), kPages);
    EXPECT_EQ(StatusBytes(Counter()), before + kSize);
    EXPECT_EQ(StatusBytes(OtherCounter()), other_before);
  }
  EXPECT_EQ(SettledStatusBytes(Counter(), before), before);
  EXPECT_EQ(StatusBytes(OtherCounter()), other_before);
}

TEST_P(ResidencyTest, NestedWiringsAreCountedOnceByTheKernel) {
  const uint64_t before = Idle();
  {
    VMWIRE_ASSERT_OK_AND_ASSIGN(const WiredRange wired, real_.map().Wire(Pages(0, kPages)));
    {
      VMWIRE_ASSERT_OK_AND_ASSIGN(const WiredRange again, real_.map().Wire(Pages(0, kPages / 2)));
      EXPECT_EQ(StatusBytes(Counter()), before + kSize);
    }
    // The kernel's locks do not nest; the pin table must not have undone this one.
    EXPECT_EQ(StatusBytes(Counter()), before + kSize);
  }
  EXPECT_EQ(SettledStatusBytes(Counter(), before), before);
}

TEST_P(ResidencyTest, AliasesAreCountedOnceByTheKernel) {
  const uint64_t before = Idle();
  ASSERT_THAT(real_.map().Map(Pages(kPages, 2 * kPages), object_, 0, Protection::kRead), IsOk());
  {
    VMWIRE_ASSERT_OK_AND_ASSIGN(const WiredRange wired, real_.map().Wire(Pages(0, 2 * kPages)));
    EXPECT_EQ(StatusBytes(Counter()), before + kSize);
  }
  EXPECT_EQ(SettledStatusBytes(Counter(), before), before);
}

TEST_P(ResidencyTest, PartialWiringIsCountedByItsPages) {
  const uint64_t before = Idle();
  {
    VMWIRE_ASSERT_OK_AND_ASSIGN(const WiredRange wired, real_.map().Wire(Pages(100, 200)));
    EXPECT_EQ(StatusBytes(Counter()), before + 100 * kPageSize);
  }
  EXPECT_EQ(SettledStatusBytes(Counter(), before), before);
}

TEST_P(ResidencyTest, StoppedWiringLeavesNothingLockedOrPinned) {
  const uint64_t before = Idle();

  EXPECT_THAT(real_.map().Wire(
                  Pages(0, kPages), WireFlags::kSystem,
                  {.progress = [](uint64_t done, uint64_t total) { return done < total / 2; }}),
              StatusIs(StatusCode::kCancelled));

  EXPECT_EQ(SettledStatusBytes(Counter(), before), before);
}

TEST_P(ResidencyTest, BytesStayThroughWiringAndUnwiring) {
  const GuestMemory memory(real_.map());
  const GuestAddress address(kSize - 8);
  ASSERT_THAT(memory.Store<uint64_t>(address, 0x1234), IsOk());
  {
    VMWIRE_ASSERT_OK_AND_ASSIGN(const WiredRange wired, real_.map().Wire(Pages(0, kPages)));
    EXPECT_EQ(*memory.Load<uint64_t>(address), 0x1234u);
    EXPECT_EQ(*memory.Load<uint64_t>(GuestAddress(0)), 0u);
  }
  EXPECT_EQ(*memory.Load<uint64_t>(address), 0x1234u);
}

// Only a lock refuses discards: a pin keeps its frames, and the mapping may lose them.
class ResidentDiscardTest : public testing::TestWithParam<MemoryBacking> {};

INSTANTIATE_TEST_SUITE_P(Backings, ResidentDiscardTest,
                         testing::Values(MemoryBacking::kAnonymous, MemoryBacking::kMemfd),
                         [](const auto& info) { return ToString(info.param); });

TEST_P(ResidentDiscardTest, DiscardOfALockedRangeIsRefusedByTheKernel) {
  RealMap real(PinLevel::kResident);
  const auto object = real.Add(GetParam());
  const auto wired = real.map().Wire(Pages(0, kPages));
  if (!wired.ok()) GTEST_SKIP() << "64 MiB cannot be locked here: " << wired.status();

  EXPECT_EQ(madvise(HostPointer(object->host_range().start()), kSize, MADV_DONTNEED), -1);
  EXPECT_EQ(errno, EINVAL);

  EXPECT_EQ(ResidentPages(object->host_range()), kPages);
}

// The limits, met as a process without privileges meets them.
class MemlockTest : public testing::TestWithParam<PinLevel> {
 protected:
  void SetUp() override {
    const absl::Status set = limit_.Set(kLimit);
    if (!set.ok()) GTEST_SKIP() << set;
    // Rings may be refused altogether; that is not what these tests are about.
    RealMap real(GetParam());
    const auto object = real.Add(MemoryBacking::kAnonymous);
    const auto tried = real.map().Wire(Pages(0, 1));
    if (!tried.ok()) GTEST_SKIP() << "not even a page can be wired: " << tried.status();
  }

  MemlockLimit limit_;
};

INSTANTIATE_TEST_SUITE_P(Levels, MemlockTest,
                         testing::Values(PinLevel::kResident, PinLevel::kPinned),
                         LevelName<testing::TestParamInfo<PinLevel>>);

TEST_P(MemlockTest, KernelsRefusalUndoesAll) {
  RealMap real(GetParam());
  const auto object = real.Add(MemoryBacking::kAnonymous);
  const std::string before = real.map().ToString();
  const std::string counter = GetParam() == PinLevel::kResident ? "VmLck" : "VmPin";
  const uint64_t bytes_before = SettledStatusBytes(counter, 0);

  EXPECT_THAT(real.map().Wire(Pages(0, kPages)),
              StatusIs(StatusCode::kResourceExhausted, HasSubstr("ulimit -l")));

  EXPECT_EQ(real.map().ToString(), before);
  EXPECT_EQ(real.budget().used(), 0u);
  EXPECT_EQ(SettledStatusBytes(counter, bytes_before), bytes_before);
}

TEST_P(MemlockTest, SmallerWiringFitsTheLimit) {
  RealMap real(GetParam());
  const auto object = real.Add(MemoryBacking::kMemfd);

  EXPECT_THAT(Eventually([&] { return real.map().Wire(Pages(0, kPages / 32)).status(); },
                         [](const absl::Status& status) { return status.ok(); }),
              IsOk());
}

TEST_P(MemlockTest, PreflightFromTheHostsLimitsRefusesBeforeTheFirstFault) {
  VMWIRE_ASSERT_OK_AND_ASSIGN(const HostLimits limits, ReadHostLimits());
  RealMap real(GetParam(), WireLimits(limits, GetParam(), std::nullopt));
  const auto object = real.Add(MemoryBacking::kAnonymous);

  EXPECT_THAT(real.map().Wire(Pages(0, kPages)),
              StatusIs(StatusCode::kResourceExhausted, HasSubstr("RLIMIT_MEMLOCK allows")));

  EXPECT_EQ(ResidentPages(object->host_range()), 0u);
}

TEST(MemlockZeroTest, LimitOfZeroIsPermissionDenied) {
  MemlockLimit limit;
  ASSERT_THAT(limit.Set(0), IsOk());
  RealMap real(PinLevel::kResident);
  const auto object = real.Add(MemoryBacking::kAnonymous);

  EXPECT_THAT(real.map().Wire(Pages(0, 1)),
              StatusIs(StatusCode::kPermissionDenied, HasSubstr("ulimit -l")));
}

// What only the real host can show of HostMemory.
TEST(MemfdTest, TwoMappingsOfAFileAreTheSameBytes) {
  HostMemoryLinux host;
  VMWIRE_ASSERT_OK_AND_ASSIGN(const int file, host.CreateMemfd({.name = "shared"}));
  ASSERT_THAT(host.ResizeFile(file, kPageSize), IsOk());
  const HostMapRequest request = {.size = kPageSize, .congruent_to = 0, .file = file};
  VMWIRE_ASSERT_OK_AND_ASSIGN(const HostRange first, host.Map(request));
  VMWIRE_ASSERT_OK_AND_ASSIGN(const HostRange second, host.Map(request));
  host.CloseFile(file);

  HostPointer(first.start())[17] = std::byte{5};

  EXPECT_EQ(HostPointer(second.start())[17], std::byte{5});
  host.Unmap(first);
  host.Unmap(second);
}

}  // namespace
}  // namespace vmwire
