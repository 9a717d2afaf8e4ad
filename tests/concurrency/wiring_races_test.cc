// The concurrent conformance cases of vm_map_wire(9), H01 to H13: two or three calls on ranges that
// meet. T1 stopped in a fault is the barrier "@page" of the cases.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <memory>

#include "tests/concurrency/concurrent_case.h"
#include "tests/concurrency/world.h"
#include "tests/support/map_fixture.h"
#include "tests/support/status_matchers.h"

namespace vmwire {
namespace {

using absl::StatusCode;
using testing::AnyOf;

class WiringRaces : public ConcurrentCase {};
VMWIRE_RUN_IN_BOTH_WAYS(WiringRaces);

TEST_P(WiringRaces, H01TwoSystemWiringsNestAndFaultEachPageOnce) {
  Run([](const Setting& setting) {
    auto world = NewWorld(setting);
    const auto object = world->Add(10, 14);
    Scenario scenario;
    AddWirer(scenario, world, 10, 14, kSystemWiring);
    scenario.AddThread("T2", [world] {
      world->AwaitFault();
      world->result[1] = world->Wire(10, 14, kSystemWiring);
      world->ExpectBlocked();
    });
    scenario.check = [world, object] {
      EXPECT_THAT(world->result[0], IsOk());
      EXPECT_THAT(world->result[1], IsOk());
      EXPECT_EQ(world->Wires(10, 14), "2222");
      EXPECT_EQ(world->Pinned(*object), "1111");
      EXPECT_EQ(world->Faults(), 1u);
      world->CheckQuiet();
    };
    return scenario;
  });
}

TEST_P(WiringRaces, H02TwoUserWiringsAreOneAndChargedOnce) {
  Run([](const Setting& setting) {
    auto world = NewWorld(setting, {.user_limit_pages = 4});
    world->Add(10, 14);
    Scenario scenario;
    AddWirer(scenario, world, 10, 14, kUserWiring);
    scenario.AddThread("T2", [world] {
      world->AwaitFault();
      world->result[1] = world->Wire(10, 14, kUserWiring);
      world->ExpectBlocked();
    });
    scenario.check = [world] {
      EXPECT_THAT(world->result[0], IsOk());
      EXPECT_THAT(world->result[1], IsOk());
      EXPECT_EQ(world->Wires(10, 14), "uuuu");
      EXPECT_EQ(world->map().user_wired_pages(), 4u);
      EXPECT_EQ(world->Faults(), 1u);
      world->CheckQuiet();
      world->ExpectNothingLeft();
    };
    return scenario;
  });
}

TEST_P(WiringRaces, H03UnwiringWaitsForTheWiring) {
  Run([this](const Setting& setting) {
    auto world = NewWorld(setting);
    world->Add(10, 14);
    Scenario scenario;
    AddWirer(scenario, world, 10, 14, kSystemWiring);
    scenario.AddThread("T2", [world] {
      world->AwaitFault();
      world->result[1] = world->Unwire(10, 14, kSystemWiring);
      world->ExpectBlocked();
    });
    scenario.check = [this, world, setting] {
      EXPECT_THAT(world->result[0], IsOk());
      const bool unwired = world->result[1].ok();
      if (!unwired) {
        EXPECT_FALSE(setting.stopped);
        EXPECT_THAT(world->result[1], StatusIs(StatusCode::kFailedPrecondition));
      }
      EXPECT_EQ(world->Wires(10, 14), unwired ? "0000" : "1111");
      Saw(unwired ? "unwired" : "came before the wiring");
      world->CheckQuiet();
    };
    return scenario;
  });
  ExpectSeen({"unwired", "came before the wiring"});
}

TEST_P(WiringRaces, H05RemovalWaitsForAUserWiringAndDropsIt) {
  Run([this](const Setting& setting) {
    auto world = NewWorld(setting);
    world->Add(10, 14);
    Scenario scenario;
    AddWirer(scenario, world, 10, 14, kUserWiring);
    scenario.AddThread("T2", [world] {
      world->AwaitFault();
      world->result[1] = world->Remove(10, 14);
      world->ExpectBlocked();
    });
    scenario.check = [this, world, setting] {
      const bool wired = world->result[0].ok();
      if (!wired) {
        EXPECT_FALSE(setting.stopped);
        EXPECT_THAT(world->result[0], StatusIs(StatusCode::kNotFound));
      }
      EXPECT_THAT(world->result[1], IsOk());
      EXPECT_EQ(world->Wires(10, 14), "....");
      EXPECT_EQ(world->map().user_wired_pages(), 0u);
      EXPECT_FALSE(world->IsAnythingPinned());
      Saw(wired ? "wired first" : "removed first");
      world->CheckQuiet();
    };
    return scenario;
  });
  ExpectSeen({"wired first", "removed first"});
}

TEST_P(WiringRaces, H06RemovalIsRefusedOnceASystemWiringIsThere) {
  Run([](const Setting& setting) {
    auto world = NewWorld(setting);
    world->Add(10, 14);
    Scenario scenario;
    AddWirer(scenario, world, 10, 14, kSystemWiring);
    scenario.AddThread("T2", [world] {
      world->AwaitFault();
      world->result[1] = world->Remove(10, 14);
      world->ExpectBlocked();
    });
    scenario.check = [world, setting] {
      const bool wired = world->result[0].ok();
      if (wired) {
        EXPECT_THAT(world->result[1], StatusIs(StatusCode::kFailedPrecondition));
      } else {
        EXPECT_FALSE(setting.stopped);
        EXPECT_THAT(world->result[0], StatusIs(StatusCode::kNotFound));
        EXPECT_THAT(world->result[1], IsOk());
      }
      EXPECT_EQ(world->Wires(10, 14), wired ? "1111" : "....");
      world->CheckQuiet();
    };
    return scenario;
  });
}

TEST_P(WiringRaces, H06RemovalThatWaitsGoesOnOnceAThirdThreadUnwires) {
  Run([this](const Setting& setting) {
    auto world = NewWorld(setting);
    auto wired = std::make_shared<Event>();
    world->Add(10, 12);
    Scenario scenario;
    scenario.AddThread("T1", [=] {
      const World::FaultStop stop(*world);
      world->result[0] = world->Wire(10, 12, kSystemWiring);
      wired->Set();
    });
    scenario.AddThread("T2", [world] {
      world->AwaitFault();
      world->result[1] = world->map().RemoveWait(Pages(10, 12), {});
      world->ExpectBlocked();
    });
    scenario.AddThread("T3", [=] {
      wired->Await();
      if (world->result[0].ok()) {
        EXPECT_THAT(world->Unwire(10, 12, kSystemWiring), IsOk());
      }
    });
    scenario.check = [this, world, setting] {
      EXPECT_TRUE(world->result[0].ok() || !setting.stopped);
      EXPECT_THAT(world->result[1], IsOk());
      EXPECT_EQ(world->Wires(10, 12), "..");
      EXPECT_FALSE(world->IsAnythingPinned());
      Saw(world->result[0].ok() ? "waited" : "removed first");
      world->CheckQuiet();
    };
    return scenario;
  });
  ExpectSeen({"waited", "removed first"});
}

// T1 wires E, T2 waits for E, T3 removes E once T1 is done, perhaps before T2 looks again.
Scenario RemovedWhileAwaited(const std::shared_ptr<World>& world, uint64_t first_of_second,
                             const std::function<void()>& after_removal) {
  auto wired = std::make_shared<Event>();
  Scenario scenario;
  scenario.AddThread("T1", [=] {
    const World::FaultStop stop(*world);
    EXPECT_THAT(world->Wire(12, 14, kUserWiring), IsOk());
    wired->Set();
  });
  scenario.AddThread("T2", [=] {
    world->AwaitFault();
    world->result[1] = world->Wire(first_of_second, 14, kSystemWiring);
    world->ExpectBlocked();
  });
  scenario.AddThread("T3", [=] {
    wired->Await();
    world->result[2] = world->Remove(12, 14);
    if (world->result[2].ok()) after_removal();
  });
  return scenario;
}

TEST_P(WiringRaces, H07EntryThatVanishesWhileItIsAwaitedIsAHole) {
  Run([this](const Setting& setting) {
    auto world = NewWorld(setting);
    world->Add(12, 14);
    Scenario scenario = RemovedWhileAwaited(world, 12, [] {});
    scenario.check = [this, world] {
      const bool removed = world->result[2].ok();
      EXPECT_THAT(world->result[1],
                  removed ? StatusIs(StatusCode::kNotFound) : StatusIs(StatusCode::kOk));
      EXPECT_EQ(world->Wires(12, 14), removed ? ".." : "vv");
      Saw(removed ? "vanished" : "wired in time");
      world->CheckQuiet();
    };
    return scenario;
  });
  ExpectSeen({"vanished", "wired in time"});
}

TEST_P(WiringRaces, H08EarlierEntryIsRolledBackIfALaterOneVanishes) {
  Run([this](const Setting& setting) {
    auto world = NewWorld(setting);
    const auto earlier = world->Add(10, 12);
    world->Add(12, 14);
    Scenario scenario = RemovedWhileAwaited(world, 10, [] {});
    scenario.check = [this, world, earlier] {
      const bool removed = world->result[2].ok();
      EXPECT_THAT(world->result[1],
                  removed ? StatusIs(StatusCode::kNotFound) : StatusIs(StatusCode::kOk));
      EXPECT_EQ(world->Wires(10, 14), removed ? "00.." : "11vv");
      EXPECT_EQ(world->Pinned(*earlier), removed ? "00" : "11");
      Saw(removed ? "vanished" : "wired in time");
      world->CheckQuiet();
    };
    return scenario;
  });
  ExpectSeen({"vanished", "wired in time"});
}

TEST_P(WiringRaces, H10MappingThatTakesThePlaceOfTheAwaitedOneIsWired) {
  Run([this](const Setting& setting) {
    auto world = NewWorld(setting);
    world->Add(12, 14);
    const auto other = world->NewObject(2);
    Scenario scenario = RemovedWhileAwaited(
        world, 12, [=] { EXPECT_THAT(world->MapPages(12, 14, other), IsOk()); });
    scenario.check = [this, world, other] {
      const bool removed = world->result[2].ok();
      if (!removed) {
        EXPECT_THAT(world->result[1], IsOk());
        EXPECT_EQ(world->Wires(12, 14), "vv");
      } else if (world->result[1].ok()) {
        EXPECT_EQ(world->Wires(12, 14), "11");
        EXPECT_EQ(world->Pinned(*other), "11");
      } else {
        EXPECT_THAT(world->result[1], StatusIs(StatusCode::kNotFound));
        EXPECT_EQ(world->Wires(12, 14), "00");
      }
      Saw(!removed                ? "wired in time"
          : world->result[1].ok() ? "wired the new one"
                                  : "between the two");
      world->CheckQuiet();
    };
    return scenario;
  });
  ExpectSeen({"wired in time", "wired the new one", "between the two"});
}

// T1 wires [10, 16), T2 cuts it at 12 and 14 meanwhile.
Scenario ClippedWhileWired(const std::shared_ptr<World>& world, WireFlags flags) {
  Scenario scenario;
  AddWirer(scenario, world, 10, 16, flags);
  scenario.AddThread("T2", [world] {
    world->AwaitFault();
    EXPECT_THAT(world->map().Clip(Page(12)), IsOk());
    EXPECT_THAT(world->map().Clip(Page(14)), IsOk());
    world->ExpectNotBlocked();
  });
  return scenario;
}

TEST_P(WiringRaces, H11CutsOfAnEntryThatIsBeingWiredWireAllPieces) {
  Run([this](const Setting& setting) {
    auto world = NewWorld(setting);
    const auto object = world->Add(10, 16);
    Scenario scenario = ClippedWhileWired(world, kSystemWiring);
    scenario.check = [this, world, object] {
      EXPECT_THAT(world->result[0], IsOk());
      EXPECT_EQ(world->Wires(10, 16), "111111");
      EXPECT_EQ(world->Pinned(*object), "111111");
      // A cut lasts until the end of a wiring there.
      EXPECT_THAT(world->map().entry_count(), AnyOf(1u, 2u, 3u));
      Saw(std::to_string(world->map().entry_count()));
      world->CheckQuiet();
      EXPECT_THAT(world->Unwire(10, 16, kSystemWiring), IsOk());
      EXPECT_EQ(world->map().entry_count(), 1u);
      world->CheckQuiet();
    };
    return scenario;
  });
  ExpectSeen({"1", "2", "3"});
}

TEST_P(WiringRaces, H12CutsOfAnEntryWhoseFaultFailsLeaveNoChargeBehind) {
  Run([](const Setting& setting) {
    auto world = NewWorld(setting, {.user_limit_pages = 6});
    const auto object = world->Add(10, 16);
    world->host().BreakPage(HostAddress(object->host_range().start().value() + 5 * kPageSize));
    Scenario scenario = ClippedWhileWired(world, kUserWiring);
    scenario.check = [world] {
      EXPECT_FALSE(world->result[0].ok());
      EXPECT_EQ(world->Wires(10, 16), "000000");
      EXPECT_EQ(world->map().user_wired_pages(), 0u);
      EXPECT_FALSE(world->IsAnythingPinned());
      world->CheckQuiet();
    };
    return scenario;
  });
}

TEST_P(WiringRaces, H13WiringOfTheOtherPartOfAnEntryDoesNotWait) {
  Run([](const Setting& setting) {
    auto world = NewWorld(setting);
    const auto object = world->Add(10, 14);
    Scenario scenario;
    AddWirer(scenario, world, 10, 12, kSystemWiring);
    scenario.AddThread("T2", [world] {
      world->AwaitFault();
      world->result[1] = world->Wire(12, 14, kSystemWiring);
      world->ExpectNotBlocked();
    });
    scenario.check = [world, object] {
      EXPECT_THAT(world->result[0], IsOk());
      EXPECT_THAT(world->result[1], IsOk());
      EXPECT_EQ(world->Wires(10, 14), "1111");
      EXPECT_EQ(world->Pinned(*object), "1111");
      EXPECT_EQ(world->map().entry_count(), 1u);
      world->CheckQuiet();
    };
    return scenario;
  });
}

}  // namespace
}  // namespace vmwire
