// Pages that several reach at once: through two maps, by themselves (vm_page_wire), from the cache,
// and while they are given back to the host.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <memory>
#include <optional>
#include <string>
#include <utility>

#include "memory/page_wiring.h"
#include "tests/concurrency/concurrent_case.h"
#include "tests/concurrency/world.h"
#include "tests/support/map_fixture.h"
#include "tests/support/status_matchers.h"

namespace vmwire {
namespace {

using absl::StatusCode;
using testing::AnyOf;

class PageRaces : public ConcurrentCase {};
VMWIRE_RUN_IN_BOTH_WAYS(PageRaces);

TEST_P(PageRaces, WirersOfSharedPagesThroughTwoMapsPinThemOnce) {
  Run([](const Setting& setting) {
    auto world = NewWorld(setting, {.budget_pages = 6, .maps = 2});
    const auto object = world->NewObject(6);
    EXPECT_THAT(world->MapPages(10, 14, object, 0, 0), IsOk());
    EXPECT_THAT(world->MapPages(20, 24, object, 2, 1), IsOk());
    Scenario scenario;
    AddWirer(scenario, world, 10, 14, kSystemWiring);
    scenario.AddThread("T2", [world] {
      world->AwaitFault();
      world->result[1] = world->Wire(20, 24, kSystemWiring, {}, 1);
      // T1 pins the first two of its pages.
      world->ExpectBlocked();
    });
    scenario.check = [world, object] {
      EXPECT_THAT(world->result[0], IsOk());
      EXPECT_THAT(world->result[1], IsOk());
      EXPECT_EQ(world->Pinned(*object), "111111");
      EXPECT_EQ(object->pages().WireCount(2), 2u);
      world->CheckQuiet();
      EXPECT_THAT(world->Unwire(10, 14, kSystemWiring), IsOk());
      world->CheckQuiet();
      EXPECT_EQ(world->Pinned(*object).substr(2), "1111");
      EXPECT_THAT(world->Unwire(20, 24, kSystemWiring, 1), IsOk());
      EXPECT_FALSE(world->IsAnythingPinned());
    };
    return scenario;
  });
}

TEST_P(PageRaces, WirerThatWaitsForPagesOfAPinThatFailsPinsThemItself) {
  Run([](const Setting& setting) {
    auto world = NewWorld(setting, {.maps = 2});
    const auto object = world->NewObject(4);
    EXPECT_THAT(world->MapPages(10, 14, object, 0, 0), IsOk());
    EXPECT_THAT(world->MapPages(20, 22, object, 0, 1), IsOk());
    world->host().BreakPage(HostAddress(object->host_range().start().value() + 3 * kPageSize));
    Scenario scenario;
    AddWirer(scenario, world, 10, 14, kSystemWiring);
    scenario.AddThread("T2", [world] {
      world->AwaitFault();
      world->result[1] = world->Wire(20, 22, kSystemWiring, {}, 1);
      world->ExpectBlocked();
    });
    scenario.check = [world, object] {
      EXPECT_FALSE(world->result[0].ok());
      EXPECT_THAT(world->result[1], IsOk());
      EXPECT_EQ(world->Pinned(*object), "1100");
      world->CheckQuiet();
    };
    return scenario;
  });
}

TEST_P(PageRaces, WiringAndUnwiringThroughTwoMapsNeverUnpinsWhatIsWired) {
  RunFree([](const Setting& setting) {
    auto world = NewWorld(setting, {.maps = 2});
    const auto object = world->Add(10, 12);
    EXPECT_THAT(world->MapPages(20, 22, object, 0, 1), IsOk());
    EXPECT_THAT(world->Wire(10, 12, kSystemWiring), IsOk());
    Scenario scenario;
    scenario.AddThread("unwirer",
                       [world] { EXPECT_THAT(world->Unwire(10, 12, kSystemWiring), IsOk()); });
    scenario.AddThread("wirer", [world, object] {
      EXPECT_THAT(world->Wire(20, 22, kSystemWiring, {}, 1), IsOk());
      EXPECT_EQ(world->Pinned(*object), "11");
    });
    scenario.check = [world, object] {
      EXPECT_EQ(world->Pinned(*object), "11");
      world->CheckQuiet();
    };
    return scenario;
  });
}

TEST_P(PageRaces, DiscardIsRefusedOrComesBeforeTheWiring) {
  Run([this](const Setting& setting) {
    auto world = NewWorld(setting);
    const auto object = world->Add(10, 14);
    Scenario scenario;
    AddWirer(scenario, world, 10, 14, kSystemWiring);
    scenario.AddThread("T2", [world, object] {
      world->AwaitFault();
      world->result[1] = object->Discard({1, 3});
      world->ExpectBlocked();
    });
    scenario.check = [this, world, object, setting] {
      EXPECT_THAT(world->result[0], IsOk());
      if (!world->result[1].ok() || setting.stopped) {
        EXPECT_THAT(world->result[1], StatusIs(StatusCode::kFailedPrecondition));
      }
      EXPECT_EQ(world->Pinned(*object), "1111");
      // The fake host gives a page a frame when it is faulted in.
      EXPECT_THAT(world->host().Frames(object->host_range()).value(),
                  testing::Each(testing::Ne(0u)));
      Saw(world->result[1].ok() ? "discarded" : "refused");
      world->CheckQuiet();
    };
    return scenario;
  });
  ExpectSeen({"discarded", "refused"});
}

TEST_P(PageRaces, TwoDiscardsOfOneCachedRunBothEnd) {
  RunFree([](const Setting& setting) {
    auto world = NewWorld(setting, {.cache_pages = 8});
    const auto object = world->Add(10, 14);
    EXPECT_THAT(world->Wire(10, 14, kSystemWiring), IsOk());
    EXPECT_THAT(world->Unwire(10, 14, kSystemWiring), IsOk());
    Scenario scenario;
    scenario.AddThread("low", [world, object] { EXPECT_THAT(object->Discard({0, 3}), IsOk()); });
    scenario.AddThread("high", [world, object] { EXPECT_THAT(object->Discard({1, 4}), IsOk()); });
    scenario.check = [world] {
      EXPECT_FALSE(world->IsAnythingPinned());
      EXPECT_EQ(world->pins().cache_stats().cached_extents, 0u);
      world->CheckQuiet();
    };
    return scenario;
  });
}

TEST_P(PageRaces, WiringThatNeedsRoomEvictsWhatAnotherDoesNotWireAgain) {
  RunFree([this](const Setting& setting) {
    auto world = NewWorld(setting, {.budget_pages = 4, .cache_pages = 4});
    world->Add(10, 12);
    world->Add(20, 22);
    const auto wanted = world->Add(30, 32);
    for (const uint64_t first : {10u, 20u}) {
      EXPECT_THAT(world->Wire(first, first + 2, kSystemWiring), IsOk());
      EXPECT_THAT(world->Unwire(first, first + 2, kSystemWiring), IsOk());
    }
    Scenario scenario;
    scenario.AddThread("T1", [world] {
      // There is room for both, whichever of the two cached ranges goes.
      EXPECT_THAT(world->Wire(30, 32, kSystemWiring), IsOk());
    });
    scenario.AddThread("T2", [world] { EXPECT_THAT(world->Wire(10, 12, kSystemWiring), IsOk()); });
    scenario.check = [this, world, wanted] {
      EXPECT_EQ(world->Wires(10, 12), "11");
      EXPECT_EQ(world->Pinned(*wanted), "11");
      Saw(world->pins().cache_stats().hits != 0 ? "hit" : "evicted");
      world->CheckQuiet();
      world->ExpectNothingLeft();
    };
    return scenario;
  });
  ExpectSeen({"hit", "evicted"});
}

TEST_P(PageRaces, CacheKeepsToItsCapacityWhateverComesAtOnce) {
  RunFree([](const Setting& setting) {
    auto world = NewWorld(setting, {.cache_pages = 2});
    world->Add(10, 12);
    world->Add(20, 22);
    EXPECT_THAT(world->Wire(10, 12, kSystemWiring), IsOk());
    EXPECT_THAT(world->Wire(20, 22, kSystemWiring), IsOk());
    Scenario scenario;
    for (const uint64_t first : {10u, 20u}) {
      scenario.AddThread("unwirer", [world, first] {
        EXPECT_THAT(world->Unwire(first, first + 2, kSystemWiring), IsOk());
      });
    }
    scenario.check = [world] {
      EXPECT_EQ(world->pins().cache_stats().cached_bytes, 2 * kPageSize);
      world->CheckQuiet();
      world->ExpectNothingLeft();
    };
    return scenario;
  });
}

TEST_P(PageRaces, PageWiringAgainstTheLastUnwiringOfItsEntry) {
  RunFree([](const Setting& setting) {
    auto world = NewWorld(setting);
    const auto object = world->Add(10, 12);
    EXPECT_THAT(world->Wire(10, 12, kSystemWiring), IsOk());
    Scenario scenario;
    scenario.AddThread("unwirer",
                       [world] { EXPECT_THAT(world->Unwire(10, 12, kSystemWiring), IsOk()); });
    scenario.AddThread("page wirer", [world, object] {
      EXPECT_THAT(WirePage(*object->pages().Find(1), world->pins()), IsOk());
      EXPECT_EQ(world->Pinned(*object)[1], '1');
    });
    scenario.check = [world, object] {
      EXPECT_EQ(world->Wires(10, 12), "00");
      world->NotePageWires(*object, 1, 1);
      world->CheckQuiet();
      UnwirePage(*object->pages().Find(1), PageQueue::kInactive);
      EXPECT_EQ(object->pages().Find(1)->queue(), PageQueue::kInactive);
      EXPECT_FALSE(world->IsAnythingPinned());
    };
    return scenario;
  });
}

TEST_P(PageRaces, PageWiringThroughAMappingAgainstADiscard) {
  RunFree([this](const Setting& setting) {
    auto world = NewWorld(setting);
    const auto object = world->Add(10, 12);
    EXPECT_THAT(world->Wire(10, 12, kSystemWiring), IsOk());
    EXPECT_THAT(world->Unwire(10, 12, kSystemWiring), IsOk());
    Scenario scenario;
    scenario.AddThread("page wirer", [world, object] {
      world->result[0] = WirePageMapped(*object->pages().Find(0), world->pins());
    });
    scenario.AddThread("discarder", [world, object] {
      world->result[1] = object->Discard({0, 2});
    });
    scenario.check = [this, world, object] {
      const bool wired = world->result[0].ok();
      if (!wired) {
        EXPECT_THAT(world->result[0], StatusIs(StatusCode::kAborted));
        EXPECT_THAT(world->result[1], IsOk());
      }
      EXPECT_EQ(world->Pinned(*object), wired ? "10" : "00");
      Saw(!wired ? "aborted" : world->result[1].ok() ? "wired anew" : "refused");
      world->NotePageWires(*object, 0, wired ? 1 : 0);
      world->CheckQuiet();
      if (wired) UnwirePage(*object->pages().Find(0), PageQueue::kActive);
    };
    return scenario;
  });
  ExpectSeen({"aborted", "refused"});
}

// An object whose last reference is gone dies with its last page wiring, and once.
TEST_P(PageRaces, OrphanDiesOnceWhoeverTakesItsLastWiring) {
  RunFree([](const Setting& setting) {
    auto world = NewWorld(setting);
    auto object = world->Add(10, 12);
    VmPage* pages[2];
    EXPECT_THAT(world->Wire(10, 12, kSystemWiring), IsOk());
    EXPECT_THAT(world->Unwire(10, 12, kSystemWiring), IsOk());
    for (int i = 0; i < 2; ++i) {
      pages[i] = object->pages().Find(static_cast<uint64_t>(i));
      EXPECT_THAT(WirePage(*pages[i], world->pins()), IsOk());
    }
    EXPECT_THAT(world->Remove(10, 12), IsOk());
    world->Forget(object);
    Scenario scenario;
    scenario.AddThread("last reference", [world, last = std::make_shared<std::shared_ptr<VmObject>>(
                                                     std::move(object))] { last->reset(); });
    scenario.AddThread("first page", [page = pages[0]] { UnwirePage(*page, PageQueue::kActive); });
    scenario.AddThread("second page", [page = pages[1]] { UnwirePage(*page, PageQueue::kActive); });
    scenario.check = [world] {
      EXPECT_EQ(world->host().mappings(), 0u);
      EXPECT_FALSE(world->IsAnythingPinned());
      world->CheckQuiet();
    };
    return scenario;
  });
}

TEST_P(PageRaces, CachedExtentOfAnObjectThatDiesIsLetGoOnce) {
  RunFree([](const Setting& setting) {
    auto world = NewWorld(setting, {.cache_pages = 8});
    auto object = world->Add(10, 12);
    EXPECT_THAT(world->Wire(10, 12, kSystemWiring), IsOk());
    EXPECT_THAT(world->Unwire(10, 12, kSystemWiring), IsOk());
    EXPECT_THAT(world->Remove(10, 12), IsOk());
    world->Forget(object);
    Scenario scenario;
    scenario.AddThread("last reference", [world, last = std::make_shared<std::shared_ptr<VmObject>>(
                                                     std::move(object))] { last->reset(); });
    scenario.AddThread("evicter", [world] { world->pins().DropCache(); });
    scenario.check = [world] {
      EXPECT_EQ(world->host().mappings(), 0u);
      EXPECT_FALSE(world->IsAnythingPinned());
      EXPECT_EQ(world->pins().cache_stats().cached_bytes, 0u);
      world->CheckQuiet();
    };
    return scenario;
  });
}

}  // namespace
}  // namespace vmwire
