// Those of the cases I that are memory/'s and need no KVM: limits, holds, forks, errors at each
// step, cancelled starts. The others are the machine's: see README.md.
#include <sys/wait.h>
#include <unistd.h>

#include "tests/conformance/conformance_fixture.h"
#include "tests/support/memlock_limit.h"

namespace vmwire::conformance {
namespace {

using testing::HasSubstr;

class Machine : public ConformanceTest {};
class SimulatedMachine : public ConformanceTest {};
class HostMachine : public ConformanceTest {};

// vm_map_insert knows no upgrade, but a wiring of what is mapped unwired is one.
TEST_P(Machine, I29WhatIsMappedUnwiredIsWiredInPlace) {
  const vm_object_t object = map_->Map(0, 256);

  EXPECT_EQ(map_->Insert(object, 0, 0, 256), KERN_NO_SPACE);
  EXPECT_EQ(map_->Wire(0, 256, kU), KERN_SUCCESS) << map_->error();

  EXPECT_EQ(map_->Entries(), "[0,256)w1U");
}

// I02 without its slot: a mapping that cannot be wired is taken back whole.
TEST_P(Machine, I02AMappingThatCannotBeWiredLeavesNothing) {
  map_->LimitUserPages(255);
  const std::string before = map_->State();
  map_->Map(0, 256);

  EXPECT_EQ(map_->Wire(0, 256, kU), KERN_RESOURCE_SHORTAGE);
  EXPECT_EQ(map_->Remove(0, 256), KERN_SUCCESS) << map_->error();

  EXPECT_EQ(map_->State(), before);
}

VMWIRE_ON_EACH_BACKING(Machine);

TEST_P(SimulatedMachine, I27AnErrorAtEachPageOfAMappingLeavesTheSameState) {
  const vm_object_t object = objects_.New(10);
  for (uint64_t page = 0; page < 10; ++page) {
    const std::string before = map_->State();
    ASSERT_EQ(vm_object_fail_fault_at(object, page, KERN_FAILURE), KERN_SUCCESS);
    ASSERT_EQ(vm_object_discard(object, 0, 10), KERN_SUCCESS);
    ASSERT_EQ(map_->Insert(object, 0, 10, 20), KERN_SUCCESS);

    EXPECT_EQ(map_->Wire(10, 20, kU), KERN_FAILURE) << "page " << page;
    ASSERT_EQ(map_->Remove(10, 20), KERN_SUCCESS);

    EXPECT_EQ(map_->State(), before) << "page " << page;
    ASSERT_EQ(vm_object_fail_fault_at(object, page, KERN_SUCCESS), KERN_SUCCESS);
  }
  ASSERT_EQ(map_->Insert(object, 0, 10, 20), KERN_SUCCESS);
  EXPECT_EQ(map_->Wire(10, 20, kU), KERN_SUCCESS) << map_->error();
}

TEST_P(SimulatedMachine, I28AStartOf64GiBThatIsCancelledIsUndone) {
  constexpr uint64_t kPages = (uint64_t{64} << 30) / kPage;
  map_ = NewMap(0, kPages);
  const vm_object_t object = map_->Map(0, kPages);
  vm_wire_result result = {};

  EXPECT_EQ(map_->WireEx(0, kPages, kU, &result, -1,
                         [](uint64_t done, uint64_t) { return done < 16 * kPagesPer2MiB; }),
            KERN_ABORTED);

  EXPECT_EQ(result.reason, VM_WIRE_REASON_CANCELLED);
  EXPECT_EQ(map_->UserPages(), 0u);
  EXPECT_EQ(map_->Entries(), "[0,16777216)w0");
  EXPECT_EQ(Pages(object, 20 * kPagesPer2MiB), "");
  EXPECT_LE(vm_object_fault_calls(object), 18 * kPagesPer2MiB) << "it stopped promptly";
}

VMWIRE_ON_SIMULATED_MEMORY(SimulatedMachine);

TEST_P(HostMachine, I21TheErrorOfRlimitMemlockSaysWhatIsNeeded) {
  MemlockLimit limit;
  ASSERT_TRUE(limit.Set(16 * kPage).ok());
  map_ = NewMap(0, 1000);
  map_->Map(10, 110);

  EXPECT_EQ(map_->Wire(10, 110, kS), KERN_RESOURCE_SHORTAGE);

  EXPECT_THAT(map_->error(), HasSubstr("RLIMIT_MEMLOCK"));
  EXPECT_THAT(map_->error(), HasSubstr("409600")) << "100 pages are needed";
  EXPECT_THAT(map_->error(), HasSubstr("65536")) << "16 pages are allowed";
}

TEST_P(HostMachine, I22AForkLeavesTheGuestsFramesAlone) {
  if (GetParam() != Backing::kGuarded) {
    GTEST_SKIP() << "level 0 promises residency only";
  }
  map_->Map(10, 20);
  ASSERT_EQ(map_->Wire(10, 20, kS), KERN_SUCCESS);
  HeldRange held(map_.get(), 10, 20, kReadWrite);
  held.bytes()[0] = 1;
  const uint64_t frame = FrameOf(held.bytes());
  if (frame == 0) {
    GTEST_SKIP() << "page frame numbers need CAP_SYS_ADMIN";
  }
  int pipe_ends[2];
  ASSERT_EQ(pipe(pipe_ends), 0);

  const pid_t child = fork();
  if (child == 0) {
    char byte;
    _exit(read(pipe_ends[0], &byte, 1) == 1 ? 0 : 1);  // Lives while the parent writes.
  }
  held.bytes()[0] = 2;

  EXPECT_EQ(FrameOf(held.bytes()), frame);
  EXPECT_EQ(write(pipe_ends[1], "x", 1), 1);
  EXPECT_EQ(waitpid(child, nullptr, 0), child);
  close(pipe_ends[0]);
  close(pipe_ends[1]);
}

TEST_P(HostMachine, I24AHeldPageIsLetGoAtItsRelease) {
  const vm_object_t object = map_->Map(10, 20);
  ASSERT_EQ(map_->Wire(10, 20, kU), KERN_SUCCESS);
  HeldRange held(map_.get(), 10, 11);

  ASSERT_EQ(map_->Unwire(10, 20, kU), KERN_SUCCESS) << map_->error();
  EXPECT_TRUE(vm_page_is_pinned(PageOf(object, 0)));
  EXPECT_EQ(vm_page_wire_count(PageOf(object, 0)), 0u);
  held.Release();

  EXPECT_FALSE(vm_page_is_pinned(PageOf(object, 0)));
}

TEST_P(HostMachine, I26AMapWithAHoldIsNotDestroyed) {
  const vm_object_t object = map_->Map(10, 20);
  ASSERT_EQ(map_->Wire(10, 20, kU), KERN_SUCCESS);
  HeldRange held(map_.get(), 10, 11);

  EXPECT_EQ(map_->Destroy(), KERN_FAILURE);
  EXPECT_EQ(map_->Entries(), "[10,20)w1U");
  EXPECT_EQ(Pages(object), "[0,10)1p");
  held.Release();

  EXPECT_EQ(map_->Destroy(), KERN_SUCCESS) << map_->error();
}

VMWIRE_ON_HOST_MEMORY(HostMachine);

}  // namespace
}  // namespace vmwire::conformance
