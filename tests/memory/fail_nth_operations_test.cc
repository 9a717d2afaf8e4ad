// Makes every call of the host fail in turn, operation by operation: each that fails leaves the
// state as it was, does well when it is tried again, and leaks nothing. And what gives back does
// well whatever the host says.
#include <gtest/gtest.h>

#include <algorithm>
#include <cerrno>
#include <cstdint>
#include <cstring>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <tuple>
#include <utility>
#include <vector>

#include "absl/strings/str_format.h"
#include "memory/status_macros.h"
#include "memory/vm_map.h"
#include "tests/support/map_fixture.h"
#include "tests/support/status_matchers.h"

namespace vmwire {
namespace {

constexpr WireFlags kSystem = WireFlags::kSystem;
constexpr WireFlags kUser = WireFlags::kUser;
constexpr uint64_t kHuge = kHugePageSize / kPageSize;

// A map with what an operation needs.
class World {
 public:
  World(PinLevel level, bool cache)
      : test_({.level = level,
               .budget_pages = cache ? 40 : 4 * kHuge,
               .end_page = 8 * kHuge,
               .cache_pages = cache ? uint64_t{20} : 0}) {
    test_.host().SetHugetlbPool(kHugePageSize, 4);
  }
  World(const World&) = delete;
  World& operator=(const World&) = delete;
  ~World() {
    hold_.reset();
    wired_.clear();
    while (map().wired_pages() != map().user_wired_pages()) {
      EXPECT_THAT(map().UnwireRange(Pages(0, 8 * kHuge), kSystem | WireFlags::kHolesOk), IsOk());
    }
    EXPECT_THAT(map().Remove(Pages(0, 8 * kHuge)), IsOk());
    objects_.clear();
    test_.pins().DropCache();
    EXPECT_EQ(test_.HostPinnedPages(), 0u);
    EXPECT_EQ(test_.budget().used(), 0u);
    EXPECT_EQ(test_.host().mappings(), 0u);
    EXPECT_EQ(test_.host().files(), 0u);
  }

  TestMap& test() { return test_; }
  VmMap& map() { return test_.map(); }
  VmObject& object(size_t index) { return *objects_[index]; }
  const std::shared_ptr<VmObject>& shared(size_t index) { return objects_[index]; }

  void Add(uint64_t first, uint64_t end, MemoryBacking backing = MemoryBacking::kAnonymous) {
    objects_.push_back(test_.NewObject(end - first, backing));
    EXPECT_THAT(test_.MapPages(first, end, objects_.back()), IsOk());
  }
  absl::Status Wire(uint64_t first, uint64_t end, WireFlags flags = kUser) {
    return map().WireRange(Pages(first, end), flags);
  }
  void Cache(uint64_t first, uint64_t end) {
    EXPECT_THAT(Wire(first, end), IsOk());
    EXPECT_THAT(map().UnwireRange(Pages(first, end), kUser), IsOk());
  }
  absl::Status WireToken(uint64_t first, uint64_t end) {
    VMWIRE_ASSIGN_OR_RETURN(WiredRange wired, map().Wire(Pages(first, end)));
    wired_.push_back(std::move(wired));
    return absl::OkStatus();
  }
  void Hold(uint64_t page) {
    auto held = map().Hold(Page(page), 8, Protection::kRead);
    ASSERT_THAT(held, IsOk());
    hold_ = *std::move(held);
  }
  void ReleaseHold() { hold_.reset(); }

  // Entries and wire counts.
  std::string Counts() {
    std::string text = map().ToString();
    for (const auto& object : objects_) {
      for (uint64_t page = 0; page < std::min<uint64_t>(object->pages().size(), 30); ++page)
        text += absl::StrFormat(" %d", object->pages().WireCount(page));
    }
    return text;
  }
  // All of it: pins and charges, mappings and files too.
  std::string State() {
    return absl::StrFormat("%s\n%s\n%d mappings %d files", test_.State(), Counts(),
                           test_.host().mappings(), test_.host().files());
  }

 private:
  TestMap test_;
  std::vector<std::shared_ptr<VmObject>> objects_;
  std::vector<WiredRange> wired_;
  std::optional<HeldRange> hold_;
};

struct Operation {
  const char* name;
  // With a cache: what is let go of to make room may be gone, though the call fails.
  bool cache = false;
  std::function<void(World&)> prepare;
  std::function<absl::Status(World&)> run;
};

absl::Status Create(World& world, const VmObjectOptions& options) {
  return VmObject::Create(world.test().host(), options).status();
}

const std::vector<Operation>& Operations() {
  static const auto& operations = *new std::vector<Operation>{
      {"WireFresh", false,
       [](World& world) {
         world.Add(10, 20);
         world.Add(20, 30, MemoryBacking::kMemfd);
       },
       [](World& world) { return world.Wire(10, 30, kSystem); }},
      {"WirePartlyPinned", false,
       [](World& world) {
         world.Add(10, 20);
         world.Add(20, 30);
         EXPECT_THAT(world.Wire(12, 14), IsOk());
         EXPECT_THAT(world.WireToken(16, 22), IsOk());
       },
       [](World& world) { return world.Wire(11, 25); }},
      {"WireWithHoles", false,
       [](World& world) {
         world.Add(10, 14);
         EXPECT_THAT(world.map().MapGuard(Pages(14, 15)), IsOk());
         world.Add(16, 20);
         EXPECT_THAT(world.map().Protect(Pages(17, 18), Protection::kNone), IsOk());
       },
       [](World& world) { return world.Wire(5, 40, kSystem | WireFlags::kHolesOk); }},
      {"WireAliases", false,
       [](World& world) {
         world.Add(10, 20);
         EXPECT_THAT(world.test().MapPages(20, 25, world.shared(0), 5), IsOk());
         EXPECT_THAT(world.test().MapPages(25, 30, world.shared(0), 2), IsOk());
       },
       [](World& world) { return world.WireToken(12, 30); }},
      {"WireHugetlb", false, [](World& world) { world.Add(0, 2 * kHuge, MemoryBacking::kHugetlb); },
       [](World& world) { return world.Wire(kHuge, 2 * kHuge); }},
      {"MapWithWireFuture", false,
       [](World& world) {
         world.Add(10, 20);
         EXPECT_THAT(world.Wire(12, 14), IsOk());
         world.map().SetWireFuture(true);
       },
       [](World& world) { return world.test().MapPages(20, 30, world.shared(0)); }},
      {"WireThatEvicts", true,
       [](World& world) {
         for (uint64_t page = 10; page < 26; page += 4) world.Add(page, page + 4);
         for (uint64_t page = 10; page < 26; page += 4) world.Cache(page, page + 4);
         world.Add(30, 60);
       },
       [](World& world) { return world.Wire(30, 60); }},
      {"WireOfWhatIsPartlyCached", true,
       [](World& world) {
         world.Add(10, 20);
         world.Cache(12, 14);
         world.Cache(17, 18);
       },
       [](World& world) { return world.Wire(10, 20, kSystem); }},
      {"DiscardAnonymous", false,
       [](World& world) {
         world.Add(10, 20);
         world.Cache(10, 20);
       },
       [](World& world) {
         return world.object(0).Discard({2, 5});
       }},
      {"DiscardMemfd", false,
       [](World& world) {
         world.Add(10, 20, MemoryBacking::kMemfd);
         EXPECT_THAT(world.Wire(10, 12), IsOk());
       },
       [](World& world) {
         return world.object(0).Discard({2, 5});
       }},
      {"DiscardHugetlb", false,
       [](World& world) { world.Add(0, 2 * kHuge, MemoryBacking::kHugetlb); },
       [](World& world) {
         return world.object(0).Discard({0, kHuge});
       }},
      {"DiscardOfCachedPages", true,
       [](World& world) {
         world.Add(10, 20);
         world.Cache(10, 20);
       },
       [](World& world) {
         return world.object(0).Discard({2, 5});
       }},
      {"CreateAnonymous", false, [](World&) {},
       [](World& world) { return Create(world, {.size = 4 * kPageSize}); }},
      {"CreateWithoutHugePages", false, [](World&) {},
       [](World& world) {
         return Create(world, {.size = 4 * kPageSize, .huge_pages = HugePages::kNone});
       }},
      {"CreateMemfd", false, [](World&) {},
       [](World& world) {
         return Create(world, {.size = 4 * kPageSize, .backing = MemoryBacking::kMemfd});
       }},
      {"CreateSealed", false, [](World&) {},
       [](World& world) {
         return Create(world, {.size = 4 * kPageSize,
                               .backing = MemoryBacking::kMemfd,
                               .huge_pages = HugePages::kNone,
                               .sealed = true});
       }},
      {"CreateHugetlb", false, [](World&) {},
       [](World& world) {
         return Create(
             world,
             {.size = 2 * kHugePageSize, .backing = MemoryBacking::kHugetlb, .sealed = true});
       }},
  };
  return operations;
}

using Param = std::tuple<PinLevel, int, size_t>;

std::string ParamName(const testing::TestParamInfo<Param>& info) {
  const auto [level, error, operation] = info.param;
  return std::string(Operations()[operation].name) + "_" + ToString(level) + "_" +
         strerrorname_np(error);
}

class FailNthOperationTest : public testing::TestWithParam<Param> {};

INSTANTIATE_TEST_SUITE_P(, FailNthOperationTest,
                         testing::Combine(testing::Values(PinLevel::kResident, PinLevel::kPinned,
                                                          PinLevel::kGuarded),
                                          testing::Values(ENOMEM, EPERM, EAGAIN),
                                          testing::Range(size_t{0}, Operations().size())),
                         ParamName);

TEST_P(FailNthOperationTest, EachFailureLeavesTheStateAndTheNextTryDoesWell) {
  const auto [level, error, index] = GetParam();
  const Operation& operation = Operations()[index];
  uint64_t calls = 0;
  for (bool failed = true; failed; ++calls) {
    SCOPED_TRACE(calls + 1);
    World world(level, operation.cache);
    operation.prepare(world);
    const std::string counts = world.Counts();
    const std::string state = world.State();
    world.test().journal().FailNth(calls + 1, error);

    const absl::Status status = operation.run(world);

    failed = world.test().journal().failed();
    world.test().journal().FailNth(0, 0);
    EXPECT_THAT(world.map().CheckInvariants(), IsOk());
    EXPECT_EQ(world.test().pins().pinned_bytes(), world.test().budget().used());
    if (status.ok()) continue;
    EXPECT_TRUE(failed) << status;
    EXPECT_EQ(world.Counts(), counts);
    EXPECT_TRUE(operation.cache || world.State() == state) << world.State();
    EXPECT_THAT(operation.run(world), IsOk());
  }
  EXPECT_GE(calls, 2u) << "the operation calls the host";
}

// What gives back never asks the host for anything that it could refuse.
class ReleaseTest : public testing::TestWithParam<PinLevel> {
 protected:
  static void FailAll(World& world) { world.test().journal().FailNth(1, ENOMEM, UINT64_MAX); }
  static void ExpectNothingPinned(World& world) {
    EXPECT_FALSE(world.test().journal().failed());
    world.test().journal().FailNth(0, 0);
    EXPECT_EQ(world.test().HostPinnedPages(), 0u);
    EXPECT_EQ(world.test().budget().used(), 0u);
  }
};

INSTANTIATE_TEST_SUITE_P(Levels, ReleaseTest,
                         testing::Values(PinLevel::kResident, PinLevel::kPinned,
                                         PinLevel::kGuarded),
                         LevelName<testing::TestParamInfo<PinLevel>>);

TEST_P(ReleaseTest, UnwireRemoveAndTheDeathOfATokenDoWellWhenEveryCallFails) {
  World world(GetParam(), /*cache=*/false);
  for (const uint64_t first : {10u, 20u, 30u}) world.Add(first, first + 10);
  ASSERT_THAT(world.Wire(10, 20, kSystem), IsOk());
  ASSERT_THAT(world.Wire(20, 30), IsOk());
  {
    VMWIRE_ASSERT_OK_AND_ASSIGN(const WiredRange token, world.map().Wire(Pages(30, 40)));
    FailAll(world);
  }
  EXPECT_THAT(world.map().UnwireRange(Pages(10, 20), kSystem), IsOk());
  EXPECT_THAT(world.map().Remove(Pages(20, 30)), IsOk());

  ExpectNothingPinned(world);
}

TEST_P(ReleaseTest, DeferredReleaseOfAHoldDoesWellWhenEveryCallFails) {
  World world(GetParam(), /*cache=*/false);
  world.Add(10, 20);
  ASSERT_THAT(world.Wire(10, 20), IsOk());
  world.Hold(14);
  FailAll(world);
  ASSERT_THAT(world.map().UnwireRange(Pages(10, 20), kUser), IsOk());
  EXPECT_EQ(world.test().HostPinnedPages(), 10u);

  world.ReleaseHold();

  ExpectNothingPinned(world);
}

TEST_P(ReleaseTest, CacheIsDroppedWhenEveryCallFails) {
  World world(GetParam(), /*cache=*/true);
  world.Add(10, 20);
  world.Add(20, 30);
  world.Cache(10, 20);
  world.Cache(20, 24);
  FailAll(world);

  world.test().pins().Reclaim(kPageSize);
  world.test().pins().DropCache();

  ExpectNothingPinned(world);
}

TEST_P(ReleaseTest, ObjectsWithCachedPagesDieWellWhenEveryCallFails) {
  World world(GetParam(), /*cache=*/true);
  auto object = world.test().NewObject(10);
  PinRequest request;
  ASSERT_THAT(world.test().pins().Wire(*object, {0, 10}, request), IsOk());
  PinTable::Unwire(*object, {0, 10});
  FailAll(world);

  object.reset();

  ExpectNothingPinned(world);
  EXPECT_EQ(world.test().host().mappings(), 0u);
}

}  // namespace
}  // namespace vmwire
