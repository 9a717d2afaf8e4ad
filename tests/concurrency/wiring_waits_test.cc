// The concurrent conformance cases of vm_map_wire(9), H15 to H30: who waits for a wiring, who does
// not, and who gives up.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <chrono>
#include <memory>
#include <stop_token>

#include "memory/guest_memory.h"
#include "memory/read_section.h"
#include "tests/concurrency/concurrent_case.h"
#include "tests/concurrency/world.h"
#include "tests/support/map_fixture.h"
#include "tests/support/status_matchers.h"

namespace vmwire {
namespace {

using absl::StatusCode;
using testing::HasSubstr;

class WiringWaits : public ConcurrentCase {};
VMWIRE_RUN_IN_BOTH_WAYS(WiringWaits);

TEST_P(WiringWaits, H15ProtectionWaitsAndLeavesTheWiring) {
  Run([](const Setting& setting) {
    auto world = NewWorld(setting);
    const auto object = world->Add(10, 14);
    Scenario scenario;
    AddWirer(scenario, world, 10, 14, kUserWiring);
    scenario.AddThread("T2", [world] {
      world->AwaitFault();
      EXPECT_THAT(world->map().Protect(Pages(11, 13), Protection::kRead), IsOk());
      world->ExpectBlocked();
    });
    scenario.check = [world, object] {
      EXPECT_THAT(world->result[0], IsOk());
      EXPECT_EQ(world->Wires(10, 14), "uuuu");
      EXPECT_EQ(world->Pinned(*object), "1111");
      EXPECT_EQ(world->map().entry_count(), 3u);
      EXPECT_EQ(world->map().Lookup(Page(12))->protection, Protection::kRead);
      world->CheckQuiet();
      world->ExpectNothingLeft();
    };
    return scenario;
  });
}

TEST_P(WiringWaits, H15ProtectionThatTakesTheRightToReadEitherWaitsOrForbidsTheWiring) {
  Run([this](const Setting& setting) {
    auto world = NewWorld(setting);
    world->Add(10, 14);
    Scenario scenario;
    AddWirer(scenario, world, 10, 14, kSystemWiring);
    scenario.AddThread("T2", [world] {
      world->AwaitFault();
      EXPECT_THAT(world->map().Protect(Pages(12, 14), Protection::kNone), IsOk());
      world->ExpectBlocked();
    });
    scenario.check = [this, world, setting] {
      const bool wired = world->result[0].ok();
      if (!wired) {
        EXPECT_FALSE(setting.stopped);
        EXPECT_THAT(world->result[0], StatusIs(StatusCode::kPermissionDenied));
        EXPECT_FALSE(world->IsAnythingPinned());
      }
      EXPECT_EQ(world->Wires(10, 14), wired ? "1111" : "0000");
      Saw(wired ? "wired" : "forbidden");
      world->CheckQuiet();
    };
    return scenario;
  });
  ExpectSeen({"wired", "forbidden"});
}

TEST_P(WiringWaits, H18AccessDuringAWiringGoesToTheFramesThatAreWired) {
  Run([](const Setting& setting) {
    auto world = NewWorld(setting);
    const auto object = world->Add(10, 14);
    EXPECT_THAT(world->host().Advise(*object->HostSlice(2 * kPageSize, kPageSize),
                                     HostAdvice::kPopulateWrite),
                IsOk());
    const uint64_t frame = world->host().Frames(object->host_range())->at(2);
    Scenario scenario;
    AddWirer(scenario, world, 10, 14, kSystemWiring);
    scenario.AddThread("T2", [world] {
      world->AwaitFault();
      GuestMemory memory(world->map());
      EXPECT_THAT(memory.Store<uint32_t>(Page(11), 1111), IsOk());
      EXPECT_THAT(memory.Store<uint32_t>(Page(12), 1212), IsOk());
      world->ExpectNotBlocked();
    });
    scenario.check = [world, object, frame] {
      EXPECT_THAT(world->result[0], IsOk());
      GuestMemory memory(world->map());
      EXPECT_EQ(memory.Load<uint32_t>(Page(11)).value(), 1111u);
      EXPECT_EQ(memory.Load<uint32_t>(Page(12)).value(), 1212u);
      EXPECT_EQ(world->host().Frames(object->host_range())->at(2), frame);
      EXPECT_EQ(world->Pinned(*object), "1111");
      world->CheckQuiet();
    };
    return scenario;
  });
}

TEST_P(WiringWaits, H19CallbackThatUsesItsOwnEntryIsNotBlocked) {
  Run([](const Setting& setting) {
    auto world = NewWorld(setting);
    world->Add(10, 14);
    Scenario scenario;
    scenario.AddThread("T1", [world] {
      const World::FaultStop stop(*world);
      WireOptions options;
      options.progress = [world](uint64_t, uint64_t) {
        EXPECT_TRUE(world->map().Lookup(Page(12)).has_value());
        EXPECT_THAT(GuestMemory(world->map()).Load<uint32_t>(Page(12)), IsOk());
        // To wait for oneself would be for ever.
        EXPECT_THAT(world->Wire(12, 14, kSystemWiring), StatusIs(StatusCode::kFailedPrecondition));
        EXPECT_THAT(world->Unwire(12, 14, kUserWiring), StatusIs(StatusCode::kFailedPrecondition));
        EXPECT_THAT(world->Remove(12, 14), StatusIs(StatusCode::kFailedPrecondition));
        EXPECT_THAT(world->map().Protect(Pages(12, 14), Protection::kRead),
                    StatusIs(StatusCode::kFailedPrecondition));
        EXPECT_THAT(world->map().KeepMapped(Pages(12, 14)),
                    StatusIs(StatusCode::kFailedPrecondition));
        return true;
      };
      EXPECT_THAT(world->Wire(10, 14, kSystemWiring, options), IsOk());
    });
    scenario.AddThread("T2", [world] {
      world->AwaitFault();
      EXPECT_THAT(world->Wire(10, 14, kSystemWiring), IsOk());
      world->ExpectBlocked();
      EXPECT_THAT(world->Unwire(10, 14, kSystemWiring), IsOk());
    });
    scenario.check = [world] {
      EXPECT_EQ(world->Wires(10, 14), "1111");
      world->CheckQuiet();
    };
    return scenario;
  });
}

TEST_P(WiringWaits, H21ThreeWhoWaitForOneEntryAllGoOn) {
  Run(
      [](const Setting& setting) {
        auto world = NewWorld(setting);
        const auto object = world->Add(10, 12);
        Scenario scenario;
        AddWirer(scenario, world, 10, 12, kSystemWiring);
        for (const char* name : {"T2", "T3", "T4"}) {
          scenario.AddThread(name, [world] {
            world->AwaitFault();
            EXPECT_THAT(world->Wire(10, 12, kSystemWiring), IsOk());
            world->ExpectBlocked();
          });
        }
        scenario.check = [world, object] {
          EXPECT_THAT(world->result[0], IsOk());
          EXPECT_EQ(world->Wires(10, 12), "44");
          EXPECT_EQ(world->Faults(), 1u);
          world->CheckQuiet();
        };
        return scenario;
      },
      // Four threads: one preemption less, so that all schedules can be run.
      {.preemptions = 1});
}

TEST_P(WiringWaits, H22WaitThatIsStoppedChangesNothing) {
  Run([this](const Setting& setting) {
    auto world = NewWorld(setting);
    world->Add(10, 14);
    auto stop = std::make_shared<std::stop_source>();
    Scenario scenario;
    AddWirer(scenario, world, 10, 14, kUserWiring);
    scenario.AddThread("T2", [world, stop] {
      world->AwaitFault();
      WireOptions options;
      options.limits.stop = stop->get_token();
      world->result[1] = world->Wire(10, 14, kUserWiring, options);
    });
    scenario.AddThread("T3", [world, stop] {
      world->AwaitFault();
      stop->request_stop();
    });
    scenario.check = [this, world, setting] {
      EXPECT_THAT(world->result[0], IsOk());
      if (!world->result[1].ok() || (setting.stopped && GetParam() == Runner::kSchedules)) {
        EXPECT_THAT(world->result[1], StatusIs(StatusCode::kCancelled));
      }
      EXPECT_EQ(world->Wires(10, 14), "uuuu");
      EXPECT_EQ(world->map().user_wired_pages(), 4u);
      Saw(world->result[1].ok() ? "done" : "stopped");
      world->CheckQuiet();
    };
    return scenario;
  });
  ExpectSeen({"done", "stopped"});
}

TEST_P(WiringWaits, H22WaitWhoseTimeRunsOutChangesNothing) {
  Run(
      [this](const Setting& setting) {
        auto world = NewWorld(setting);
        world->Add(8, 10);
        world->Add(10, 14);
        Scenario scenario;
        AddWirer(scenario, world, 10, 14, kSystemWiring);
        scenario.AddThread("T2", [world] {
          world->AwaitFault();
          WireOptions options;
          options.limits.deadline = std::chrono::steady_clock::now() + std::chrono::hours(1);
          WireReport report;
          options.report = &report;
          world->result[1] = world->Wire(8, 14, kSystemWiring, options);
          EXPECT_EQ(report.failure,
                    world->result[1].ok() ? WireFailure::kNone : WireFailure::kTimedOut);
        });
        scenario.check = [this, world] {
          EXPECT_THAT(world->result[0], IsOk());
          const bool done = world->result[1].ok();
          if (!done) {
            EXPECT_THAT(world->result[1], StatusIs(StatusCode::kDeadlineExceeded,
                                                   HasSubstr("waiting for the wiring of entry")));
          }
          EXPECT_EQ(world->Wires(8, 14), done ? "112222" : "001111");
          Saw(done ? "done" : "timed out");
          world->CheckQuiet();
        };
        return scenario;
      },
      {.early_timeouts = 1});
  ExpectSeen({"done", "timed out"});
}

TEST_P(WiringWaits, H23OfTwoWiringsThatTogetherPassTheUserLimitOneSucceeds) {
  Run([this](const Setting& setting) {
    auto world = NewWorld(setting, {.user_limit_pages = 10});
    world->Add(10, 16);
    world->Add(20, 26);
    Scenario scenario;
    AddWirer(scenario, world, 10, 16, kUserWiring);
    scenario.AddThread("T2", [world] {
      world->AwaitFault();
      world->result[1] = world->Wire(20, 26, kUserWiring);
      world->ExpectNotBlocked();
    });
    scenario.check = [this, world, setting] {
      EXPECT_NE(world->result[0].ok(), world->result[1].ok());
      EXPECT_TRUE(world->result[0].ok() || !setting.stopped);
      const absl::Status& refused = world->result[world->result[0].ok() ? 1 : 0];
      EXPECT_THAT(refused, StatusIs(StatusCode::kResourceExhausted));
      EXPECT_EQ(world->map().user_wired_pages(), 6u);
      Saw(world->result[0].ok() ? "T1" : "T2");
      world->CheckQuiet();
    };
    return scenario;
  });
  ExpectSeen({"T1", "T2"});
}

TEST_P(WiringWaits, H23OfTwoWiringsThatTogetherPassTheBudgetAtLeastOneLeavesNothing) {
  Run([](const Setting& setting) {
    auto world = NewWorld(setting, {.budget_pages = 10});
    world->Add(10, 16);
    world->Add(20, 26);
    Scenario scenario;
    AddWirer(scenario, world, 10, 16, kSystemWiring);
    scenario.AddThread("T2", [world] {
      world->AwaitFault();
      world->result[1] = world->Wire(20, 26, kSystemWiring);
      world->ExpectNotBlocked();
    });
    scenario.check = [world] {
      EXPECT_NE(world->result[0].ok(), world->result[1].ok());
      EXPECT_EQ(world->budget().used(), 6 * kPageSize);
      world->CheckQuiet();
    };
    return scenario;
  });
}

TEST_P(WiringWaits, H24LookUpDoesNotWait) {
  Run([](const Setting& setting) {
    auto world = NewWorld(setting);
    const auto object = world->Add(10, 14);
    Scenario scenario;
    AddWirer(scenario, world, 10, 14, kSystemWiring);
    scenario.AddThread("T2", [world, object] {
      world->AwaitFault();
      EXPECT_TRUE(world->map().Lookup(Page(12)).has_value());
      EXPECT_TRUE(world->map().LookupFrom(Page(0)).has_value());
      EXPECT_THAT(world->map().CheckInvariants(), IsOk());
      {
        const ReadGuard guard;
        HostPlace place;
        EXPECT_TRUE(world->map().translations().Translate(Page(12), kPageSize, place));
        EXPECT_EQ(place.host.value(), object->host_range().start().value() + 2 * kPageSize);
      }
      world->ExpectNotBlocked();
    });
    scenario.check = [world] {
      EXPECT_THAT(world->result[0], IsOk());
      world->CheckQuiet();
    };
    return scenario;
  });
}

TEST_P(WiringWaits, H28NothingMergesWithAnEntryThatIsBeingWired) {
  Run([](const Setting& setting) {
    auto world = NewWorld(setting);
    // Three entries of one object, of which the outer two become like the middle one.
    const auto object = world->NewObject(6);
    EXPECT_THAT(world->MapPages(12, 14, object, 2), IsOk());
    Scenario scenario;
    AddWirer(scenario, world, 12, 14, kSystemWiring);
    scenario.AddThread("T2", [world, object, setting] {
      world->AwaitFault();
      EXPECT_THAT(world->MapPages(10, 12, object, 0), IsOk());
      EXPECT_THAT(world->MapPages(14, 16, object, 4), IsOk());
      world->ExpectNotBlocked();
      if (setting.stopped) {
        EXPECT_EQ(world->map().entry_count(), 3u);
      }
      world->result[1] = world->Wire(10, 12, kSystemWiring);
      EXPECT_THAT(world->Wire(14, 16, kSystemWiring), IsOk());
    });
    scenario.check = [world, object] {
      EXPECT_THAT(world->result[0], IsOk());
      EXPECT_THAT(world->result[1], IsOk());
      EXPECT_EQ(world->Wires(10, 16), "111111");
      EXPECT_EQ(world->Pinned(*object), "111111");
      // They are one now.
      EXPECT_EQ(world->map().entry_count(), 1u);
      world->CheckQuiet();
    };
    return scenario;
  });
}

TEST_P(WiringWaits, H30WiringThatWaitedForOneThatFailedWiresAlone) {
  Run([](const Setting& setting) {
    auto world = NewWorld(setting);
    const auto earlier = world->Add(10, 12);
    const auto later = world->Add(12, 14);
    world->host().BreakPage(HostAddress(later->host_range().start().value() + kPageSize));
    Scenario scenario;
    AddWirer(scenario, world, 10, 14, kSystemWiring);
    scenario.AddThread("T2", [world] {
      world->AwaitFault();
      world->result[1] = world->Wire(10, 12, kSystemWiring);
      world->ExpectBlocked();
    });
    scenario.check = [world, earlier, later] {
      EXPECT_FALSE(world->result[0].ok());
      EXPECT_THAT(world->result[1], IsOk());
      EXPECT_EQ(world->Wires(10, 14), "1100");
      EXPECT_EQ(world->Pinned(*earlier), "11");
      EXPECT_EQ(world->Pinned(*later), "00");
      world->CheckQuiet();
      EXPECT_THAT(world->Unwire(10, 12, kSystemWiring), IsOk());
      EXPECT_FALSE(world->IsAnythingPinned());
    };
    return scenario;
  });
}

}  // namespace
}  // namespace vmwire
