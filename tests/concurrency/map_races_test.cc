// Changes of the map against wirings and tokens.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <chrono>
#include <memory>
#include <optional>
#include <utility>

#include "tests/concurrency/concurrent_case.h"
#include "tests/concurrency/world.h"
#include "tests/support/map_fixture.h"
#include "tests/support/status_matchers.h"

namespace vmwire {
namespace {

using absl::StatusCode;
using testing::AnyOf;
using testing::HasSubstr;

class MapRaces : public ConcurrentCase {};
VMWIRE_RUN_IN_BOTH_WAYS(MapRaces);

TEST_P(MapRaces, InsertThatWiresIsRemovedAfterItOrNotFoundBefore) {
  Run([this](const Setting& setting) {
    auto world = NewWorld(setting);
    const auto object = world->NewObject(4);
    world->map().SetWireFuture(true);
    Scenario scenario;
    scenario.AddThread("T1", [world, object] {
      const World::FaultStop stop(*world);
      EXPECT_THAT(world->MapPages(10, 14, object), IsOk());
    });
    scenario.AddThread("T2", [world] {
      world->AwaitFault();
      EXPECT_THAT(world->Remove(9, 15), IsOk());
      world->ExpectBlocked();
    });
    scenario.check = [this, world, setting] {
      const std::string wires = world->Wires(10, 14);
      EXPECT_THAT(wires, AnyOf("....", "uuuu"));
      EXPECT_TRUE(wires == "...." || !setting.stopped);
      EXPECT_EQ(world->map().user_wired_pages(), wires == "...." ? 0u : 4u);
      Saw(wires);
      world->CheckQuiet();
      world->ExpectNothingLeft();
    };
    return scenario;
  });
  ExpectSeen({"....", "uuuu"});
}

TEST_P(MapRaces, InsertWhoseWiringFailsLeavesNothingForWhoWaits) {
  Run([](const Setting& setting) {
    auto world = NewWorld(setting);
    const auto object = world->NewObject(4);
    world->host().BreakPage(HostAddress(object->host_range().start().value() + 3 * kPageSize));
    world->map().SetWireFuture(true);
    Scenario scenario;
    scenario.AddThread("T1", [world, object] {
      const World::FaultStop stop(*world);
      world->result[0] = world->MapPages(10, 14, object);
    });
    scenario.AddThread("T2", [world] {
      world->AwaitFault();
      world->result[1] = world->Wire(10, 12, kSystemWiring);
      world->ExpectBlocked();
    });
    scenario.check = [world] {
      EXPECT_FALSE(world->result[0].ok());
      EXPECT_THAT(world->result[1], StatusIs(StatusCode::kNotFound));
      EXPECT_EQ(world->Wires(10, 14), "....");
      EXPECT_EQ(world->map().user_wired_pages(), 0u);
      EXPECT_FALSE(world->IsAnythingPinned());
      world->CheckQuiet();
    };
    return scenario;
  });
}

TEST_P(MapRaces, TwoInsertsOfOneRangeOneOfThemWinsAndTheOtherSaysSo) {
  Run([](const Setting& setting) {
    auto world = NewWorld(setting);
    const auto first = world->NewObject(4);
    const auto second = world->NewObject(4);
    world->map().SetWireFuture(true);
    Scenario scenario;
    scenario.AddThread("T1", [world, first] {
      const World::FaultStop stop(*world);
      world->result[0] = world->MapPages(10, 14, first);
    });
    scenario.AddThread("T2", [world, second] {
      world->AwaitFault();
      world->result[1] = world->MapPages(12, 16, second);
      world->ExpectNotBlocked();
    });
    scenario.check = [world] {
      EXPECT_NE(world->result[0].ok(), world->result[1].ok());
      EXPECT_THAT(world->result[world->result[0].ok() ? 1 : 0],
                  StatusIs(StatusCode::kAlreadyExists));
      EXPECT_EQ(world->map().user_wired_pages(), 4u);
      world->CheckQuiet();
    };
    return scenario;
  });
}

TEST_P(MapRaces, RemovalThatWaitsGoesOnOnceTheTokenDies) {
  RunFree([](const Setting& setting) {
    auto world = NewWorld(setting);
    world->Add(10, 14);
    auto wired = world->map().Wire(Pages(11, 13));
    EXPECT_THAT(wired, IsOk());
    auto kept = world->map().KeepMapped(Pages(12, 14));
    EXPECT_THAT(kept, IsOk());
    auto token = std::make_shared<std::optional<WiredRange>>(*std::move(wired));
    auto mapped = std::make_shared<std::optional<MappedRange>>(*std::move(kept));
    Scenario scenario;
    scenario.AddThread("token", [token] { token->reset(); });
    scenario.AddThread("mapped", [mapped] { mapped->reset(); });
    scenario.AddThread(
        "remover", [world] { EXPECT_THAT(world->map().RemoveWait(Pages(10, 14), {}), IsOk()); });
    scenario.check = [world] {
      EXPECT_EQ(world->Wires(10, 14), "....");
      EXPECT_FALSE(world->IsAnythingPinned());
      world->CheckQuiet();
    };
    return scenario;
  });
}

TEST_P(MapRaces, RemovalThatWaitsGivesUpWhenItsTimeRunsOut) {
  RunFree(
      [this](const Setting& setting) {
        auto world = NewWorld(setting);
        world->Add(10, 14);
        EXPECT_THAT(world->Wire(11, 12, kSystemWiring), IsOk());
        Scenario scenario;
        scenario.AddThread("remover", [world] {
          const auto deadline = std::chrono::steady_clock::now() + std::chrono::hours(1);
          world->result[0] = world->map().RemoveWait(Pages(10, 14), {.deadline = deadline});
        });
        scenario.AddThread("unwirer",
                           [world] { EXPECT_THAT(world->Unwire(11, 12, kSystemWiring), IsOk()); });
        scenario.check = [this, world] {
          const bool removed = world->result[0].ok();
          if (!removed) {
            EXPECT_THAT(world->result[0], StatusIs(StatusCode::kDeadlineExceeded,
                                                   HasSubstr("system wirings or tokens")));
          }
          EXPECT_EQ(world->Wires(10, 14), removed ? "...." : "0000");
          EXPECT_EQ(world->map().entry_count(), removed ? 0u : 1u);
          Saw(removed ? "removed" : "gave up");
          world->CheckQuiet();
        };
        return scenario;
      },
      {.early_timeouts = 1});
  ExpectSeen({"removed", "gave up"});
}

TEST_P(MapRaces, ChangesBesideATokenThatDiesLeaveAllMerged) {
  RunFree([](const Setting& setting) {
    auto world = NewWorld(setting);
    world->Add(10, 16);
    auto wired = world->map().Wire(Pages(11, 15));
    EXPECT_THAT(wired, IsOk());
    auto token = std::make_shared<std::optional<WiredRange>>(*std::move(wired));
    Scenario scenario;
    scenario.AddThread("token", [token] { token->reset(); });
    scenario.AddThread("protecter", [world] {
      EXPECT_THAT(world->map().Protect(Pages(12, 14), Protection::kRead), IsOk());
      EXPECT_THAT(world->map().Protect(Pages(12, 14), Protection::kReadWrite), IsOk());
    });
    scenario.AddThread("wirer", [world] {
      EXPECT_THAT(world->Wire(13, 16, kUserWiring), IsOk());
      EXPECT_THAT(world->Unwire(13, 16, kUserWiring), IsOk());
    });
    scenario.check = [world] {
      EXPECT_EQ(world->Wires(10, 16), "000000");
      EXPECT_EQ(world->map().entry_count(), 1u);
      EXPECT_FALSE(world->IsAnythingPinned());
      world->CheckQuiet();
    };
    return scenario;
  });
}

// They go in opposite directions from each other's point of view, and wait for each other's
// entries.
TEST_P(MapRaces, WiringsThatOverlapInPartsNeverWaitInACircle) {
  RunFree([](const Setting& setting) {
    auto world = NewWorld(setting);
    world->Add(10, 12);
    world->Add(12, 14);
    world->Add(14, 16);
    Scenario scenario;
    scenario.AddThread("low", [world] { EXPECT_THAT(world->Wire(10, 14, kSystemWiring), IsOk()); });
    scenario.AddThread("high", [world] { EXPECT_THAT(world->Wire(12, 16, kUserWiring), IsOk()); });
    scenario.AddThread("unwirer",
                       [world] { EXPECT_THAT(world->Unwire(10, 16, kUserWiring), IsOk()); });
    scenario.check = [world] {
      EXPECT_THAT(world->Wires(10, 16), AnyOf("11vvuu", "111100"));
      world->CheckQuiet();
      world->ExpectNothingLeft();
    };
    return scenario;
  });
}

TEST_P(MapRaces, FailureRollsBackBesideAnUnwiringOfTheSamePages) {
  Run([](const Setting& setting) {
    auto world = NewWorld(setting);
    const auto low = world->Add(10, 12);
    const auto high = world->Add(12, 14);
    world->host().BreakPage(high->host_range().start());
    EXPECT_THAT(world->Wire(10, 12, kSystemWiring), IsOk());
    Scenario scenario;
    AddWirer(scenario, world, 10, 14, kUserWiring);
    scenario.AddThread("T2", [world] {
      world->AwaitFault();
      EXPECT_THAT(world->Unwire(10, 12, kSystemWiring), IsOk());
      world->ExpectBlocked();
    });
    scenario.check = [world] {
      EXPECT_FALSE(world->result[0].ok());
      EXPECT_EQ(world->Wires(10, 14), "0000");
      EXPECT_EQ(world->map().user_wired_pages(), 0u);
      EXPECT_FALSE(world->IsAnythingPinned());
      world->CheckQuiet();
    };
    return scenario;
  });
}

}  // namespace
}  // namespace vmwire
