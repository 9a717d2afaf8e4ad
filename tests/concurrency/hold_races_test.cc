// Holds against whatever could take away what they hold. A hold that succeeds keeps its pages
// pinned and its entries mapped until it is released, whatever comes; one that comes too late
// fails.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <chrono>
#include <memory>
#include <optional>
#include <string>
#include <utility>

#include "memory/page_wiring.h"
#include "tests/concurrency/concurrent_case.h"
#include "tests/concurrency/world.h"
#include "tests/support/map_fixture.h"
#include "tests/support/scheduler.h"
#include "tests/support/status_matchers.h"

namespace vmwire {
namespace {

using absl::StatusCode;
using testing::AnyOf;
using testing::HasSubstr;

class HoldRaces : public ConcurrentCase {};
VMWIRE_RUN_IN_BOTH_WAYS(HoldRaces);

absl::StatusOr<HeldRange> HoldPages(World& world, uint64_t first, uint64_t end) {
  return world.map().Hold(Page(first), (end - first) * kPageSize, Protection::kRead);
}

// A thread that holds pages [first, end), looks now and then whether they stay pinned, and lets go.
// result[0] says whether it could.
void AddHolder(Scenario& scenario, const std::shared_ptr<World>& world,
               const std::shared_ptr<VmObject>& object, uint64_t first, uint64_t end,
               const std::string& pinned) {
  scenario.AddThread("holder", [=] {
    auto held = HoldPages(*world, first, end);
    world->result[0] = held.status();
    if (!held.ok()) return;
    for (int looks = 0; looks < 2; ++looks) {
      SchedulePoint("the transfer");
      EXPECT_EQ(world->Pinned(*object), pinned);
    }
    HeldRange ends_here = *std::move(held);
  });
}

TEST_P(HoldRaces, PagesThatAreUnwiredStayPinnedUntilTheHoldEnds) {
  RunFree([this](const Setting& setting) {
    auto world = NewWorld(setting, {.level = PinLevel::kGuarded});
    const auto object = world->Add(10, 14);
    EXPECT_THAT(world->Wire(10, 14, kSystemWiring), IsOk());
    Scenario scenario;
    AddHolder(scenario, world, object, 11, 13, "1111");
    scenario.AddThread("unwirer", [world] {
      EXPECT_THAT(world->Unwire(10, 14, kSystemWiring), IsOk());
      EXPECT_EQ(world->Wires(10, 14), "0000");
    });
    scenario.check = [this, world] {
      const bool held = world->result[0].ok();
      if (!held) {
        EXPECT_THAT(world->result[0], StatusIs(StatusCode::kFailedPrecondition));
      }
      Saw(held ? "held" : "too late");
      EXPECT_FALSE(world->IsAnythingPinned());
      world->CheckQuiet();
    };
    return scenario;
  });
  ExpectSeen({"held", "too late"});
}

TEST_P(HoldRaces, PagesOfSeveralExtentsAreKeptByTwoHoldsUntilBothEnd) {
  RunFree([](const Setting& setting) {
    auto world = NewWorld(setting);
    const auto object = world->Add(10, 14);
    EXPECT_THAT(world->Wire(10, 12, kUserWiring), IsOk());
    EXPECT_THAT(world->Wire(12, 14, kUserWiring), IsOk());
    auto first = std::make_shared<std::optional<HeldRange>>(*HoldPages(*world, 11, 13));
    auto second = std::make_shared<std::optional<HeldRange>>(*HoldPages(*world, 13, 14));
    Scenario scenario;
    scenario.AddThread("first", [first] { first->reset(); });
    scenario.AddThread("second", [second] { second->reset(); });
    scenario.AddThread("unwirer",
                       [world] { EXPECT_THAT(world->Unwire(10, 14, kUserWiring), IsOk()); });
    scenario.check = [world] {
      EXPECT_FALSE(world->IsAnythingPinned());
      world->CheckQuiet();
    };
    return scenario;
  });
}

TEST_P(HoldRaces, PagesThatAreWiredAgainWhileTheyAreHeldStayPinned) {
  RunFree([](const Setting& setting) {
    auto world = NewWorld(setting);
    const auto object = world->Add(10, 12);
    EXPECT_THAT(world->Wire(10, 12, kSystemWiring), IsOk());
    auto held = std::make_shared<std::optional<HeldRange>>(*HoldPages(*world, 10, 11));
    EXPECT_THAT(world->Unwire(10, 12, kSystemWiring), IsOk());
    Scenario scenario;
    scenario.AddThread("holder", [held] { held->reset(); });
    scenario.AddThread("wirer",
                       [world] { EXPECT_THAT(world->Wire(10, 12, kSystemWiring), IsOk()); });
    scenario.check = [world, object] {
      EXPECT_EQ(world->Wires(10, 12), "11");
      EXPECT_EQ(world->Pinned(*object), "11");
      world->CheckQuiet();
    };
    return scenario;
  });
}

TEST_P(HoldRaces, RemovalIsRefusedOrTheHoldComesTooLate) {
  RunFree([this](const Setting& setting) {
    auto world = NewWorld(setting);
    const auto object = world->Add(10, 14);
    EXPECT_THAT(world->Wire(10, 14, kUserWiring), IsOk());
    Scenario scenario;
    AddHolder(scenario, world, object, 11, 13, "1111");
    scenario.AddThread("remover", [world] { world->result[1] = world->Remove(10, 14); });
    scenario.check = [this, world] {
      const bool removed = world->result[1].ok();
      if (!removed) {
        EXPECT_THAT(world->result[0], IsOk());
        EXPECT_THAT(world->result[1],
                    StatusIs(StatusCode::kFailedPrecondition, HasSubstr("holds guest memory")));
      } else if (!world->result[0].ok()) {
        EXPECT_THAT(world->result[0], StatusIs(StatusCode::kNotFound));
      }
      EXPECT_EQ(world->Wires(10, 14), removed ? "...." : "uuuu");
      Saw(!removed ? "refused" : world->result[0].ok() ? "removed after the hold" : "too late");
      world->CheckQuiet();
    };
    return scenario;
  });
  ExpectSeen({"refused", "removed after the hold", "too late"});
}

TEST_P(HoldRaces, RemovalThatWaitsComesAfterTheHold) {
  RunFree([this](const Setting& setting) {
    auto world = NewWorld(setting);
    const auto object = world->Add(10, 14);
    EXPECT_THAT(world->Wire(10, 14, kUserWiring), IsOk());
    Scenario scenario;
    scenario.AddThread("holder", [=] {
      auto held = HoldPages(*world, 11, 13);
      world->result[0] = held.status();
      if (!held.ok()) return;
      EXPECT_EQ(world->Pinned(*object), "1111");
      EXPECT_EQ(world->Wires(10, 14), "uuuu");
      HeldRange ends_here = *std::move(held);
    });
    scenario.AddThread("remover",
                       [world] { world->result[1] = world->map().RemoveWait(Pages(10, 14), {}); });
    scenario.check = [this, world] {
      EXPECT_THAT(world->result[1], IsOk());
      EXPECT_EQ(world->Wires(10, 14), "....");
      EXPECT_FALSE(world->IsAnythingPinned());
      Saw(world->result[0].ok() ? "held" : "too late");
      world->CheckQuiet();
    };
    return scenario;
  });
  ExpectSeen({"held", "too late"});
}

TEST_P(HoldRaces, RemovalThatWaitsInVainNamesTheHolder) {
  RunFree([](const Setting& setting) {
    auto world = NewWorld(setting);
    world->Add(10, 14);
    EXPECT_THAT(world->Wire(10, 14, kUserWiring), IsOk());
    auto held = std::make_shared<Event>();
    auto given_up = std::make_shared<Event>();
    auto holder = std::make_shared<std::string>();
    Scenario scenario;
    scenario.AddThread("holder", [=] {
      const auto hold = HoldPages(*world, 11, 13);
      EXPECT_THAT(hold, IsOk());
      *holder = "thread " + std::to_string(gettid()) + " holds guest memory";
      held->Set();
      given_up->Await();
    });
    scenario.AddThread("remover", [=] {
      held->Await();
      // Under the scheduler time passes only when nobody can go on.
      const auto patience = GetParam() == Runner::kSchedules ? std::chrono::milliseconds(3'600'000)
                                                             : std::chrono::milliseconds(2);
      EXPECT_THAT(world->map().RemoveWait(
                      Pages(10, 14), {.deadline = std::chrono::steady_clock::now() + patience}),
                  StatusIs(StatusCode::kDeadlineExceeded, HasSubstr(*holder)));
      EXPECT_EQ(world->Wires(10, 14), "uuuu");
      given_up->Set();
    });
    scenario.check = [world] {
      world->CheckQuiet();
      EXPECT_THAT(world->Remove(10, 14), IsOk());
    };
    return scenario;
  });
}

TEST_P(HoldRaces, DiscardOfWhatIsHeldIsRefused) {
  RunFree([this](const Setting& setting) {
    auto world = NewWorld(setting);
    const auto object = world->Add(10, 14);
    EXPECT_THAT(world->Wire(10, 14, kSystemWiring), IsOk());
    Scenario scenario;
    AddHolder(scenario, world, object, 11, 13, "1111");
    scenario.AddThread("discarder", [world, object] {
      EXPECT_THAT(world->Unwire(10, 14, kSystemWiring), IsOk());
      world->result[1] = object->Discard({0, 4});
    });
    scenario.check = [this, world] {
      if (!world->result[1].ok()) {
        EXPECT_THAT(world->result[1], StatusIs(StatusCode::kFailedPrecondition));
        EXPECT_THAT(world->result[0], IsOk());
      }
      Saw(!world->result[1].ok()  ? "refused"
          : world->result[0].ok() ? "discarded after the hold"
                                  : "too late");
      EXPECT_FALSE(world->IsAnythingPinned());
      world->CheckQuiet();
    };
    return scenario;
  });
  ExpectSeen({"refused", "discarded after the hold", "too late"});
}

TEST_P(HoldRaces, DiscardBesideAHoldLeavesTheCachedPinThatTheHoldNeeds) {
  RunFree([](const Setting& setting) {
    auto world = NewWorld(setting, {.cache_pages = 8});
    const auto object = world->Add(10, 14);
    EXPECT_THAT(world->Wire(10, 14, kSystemWiring), IsOk());
    Scenario scenario;
    AddHolder(scenario, world, object, 12, 14, "1111");
    scenario.AddThread("discarder", [world, object] {
      EXPECT_THAT(world->Unwire(10, 14, kSystemWiring), IsOk());
      EXPECT_THAT(object->Discard({0, 1}).code(),
                  AnyOf(StatusCode::kOk, StatusCode::kFailedPrecondition));
    });
    scenario.check = [world] {
      world->CheckQuiet();
      world->ExpectNothingLeft();
    };
    return scenario;
  });
}

TEST_P(HoldRaces, EvictionFromTheCacheLeavesThePinThatAHoldNeeds) {
  RunFree([](const Setting& setting) {
    auto world = NewWorld(setting, {.cache_pages = 8});
    const auto object = world->Add(10, 14);
    EXPECT_THAT(world->Wire(10, 14, kSystemWiring), IsOk());
    Scenario scenario;
    AddHolder(scenario, world, object, 12, 14, "1111");
    scenario.AddThread("evicter", [world] {
      EXPECT_THAT(world->Unwire(10, 14, kSystemWiring), IsOk());
      world->pins().DropCache();
    });
    scenario.check = [world] {
      EXPECT_FALSE(world->IsAnythingPinned());
      world->CheckQuiet();
    };
    return scenario;
  });
}

TEST_P(HoldRaces, HoldOfAPageThatIsWiredThroughAnotherMapOnlyAsksItsOwnMap) {
  RunFree([this](const Setting& setting) {
    auto world = NewWorld(setting, {.maps = 2});
    const auto object = world->Add(10, 14);
    EXPECT_THAT(world->MapPages(20, 24, object, 0, /*map=*/1), IsOk());
    EXPECT_THAT(world->Wire(20, 24, kSystemWiring, {}, 1), IsOk());
    EXPECT_THAT(HoldPages(*world, 10, 12), StatusIs(StatusCode::kFailedPrecondition));
    Scenario scenario;
    AddHolder(scenario, world, object, 11, 13, "1111");
    scenario.AddThread("wirer", [world] {
      EXPECT_THAT(world->Wire(10, 14, kUserWiring), IsOk());
      EXPECT_THAT(world->Unwire(20, 24, kSystemWiring, 1), IsOk());
      EXPECT_THAT(world->Remove(10, 14).code(),
                  AnyOf(StatusCode::kOk, StatusCode::kFailedPrecondition));
    });
    scenario.check = [this, world] {
      Saw(world->result[0].ok() ? "held" : "not held");
      world->CheckQuiet();
      world->ExpectNothingLeft();
    };
    return scenario;
  });
  ExpectSeen({"held", "not held"});
}

// A release in one machine may run what a release in another put off: the table must not die under
// it.
TEST_P(HoldRaces, TableDiesOnlyAfterReleasesThatStrangersFinishForIt) {
  RunFree([](const Setting& setting) {
    auto stranger = NewWorld(setting);
    stranger->Add(30, 31);
    EXPECT_THAT(stranger->Wire(30, 31, kSystemWiring), IsOk());
    auto strange = std::make_shared<std::optional<HeldRange>>(*HoldPages(*stranger, 30, 31));
    auto world = std::make_shared<std::shared_ptr<World>>(NewWorld(setting));
    (*world)->Add(10, 12);
    EXPECT_THAT((*world)->Wire(10, 12, kSystemWiring), IsOk());
    auto held = std::make_shared<std::optional<HeldRange>>(*HoldPages(**world, 10, 12));
    EXPECT_THAT((*world)->Unwire(10, 12, kSystemWiring), IsOk());
    Scenario scenario;
    scenario.AddThread("owner", [held, world] {
      held->reset();
      // Nothing of it is in use any more.
      world->reset();
    });
    scenario.AddThread("stranger", [strange] { strange->reset(); });
    scenario.check = [stranger] { stranger->CheckQuiet(); };
    return scenario;
  });
}

}  // namespace
}  // namespace vmwire
