// The rules of vm_map_wire_ex (NR): what its result tells, and how a wiring is watched, cancelled
// and timed out.
#include <algorithm>
#include <chrono>
#include <thread>
#include <vector>

#include "tests/conformance/conformance_fixture.h"

namespace vmwire::conformance {
namespace {

constexpr int64_t kMillisecond = 1'000'000;
// Long enough to be wired in several parts of 2 MiB.
constexpr uint64_t kLongPages = 4 * kPagesPer2MiB;

class WireResult : public ConformanceTest {
 protected:
  // Garbage, so that a field that is not written is seen.
  vm_wire_result result_ = {77, 77, 77, 77, 77, 77};

  void ExpectFailure(uint64_t page, int reason) const {
    EXPECT_EQ(result_.failed_at, page * kPage);
    EXPECT_EQ(result_.reason, reason);
    EXPECT_EQ(result_.pages_wired, 0u);
  }
  void ExpectWired(uint64_t wired, uint64_t skipped) const {
    EXPECT_EQ(result_.pages_wired, wired);
    EXPECT_EQ(result_.pages_skipped, skipped);
    EXPECT_EQ(result_.reason, VM_WIRE_REASON_NONE);
    EXPECT_EQ(result_.failed_at, 0u);
  }
};
class SimulatedWireResult : public WireResult {};
class LongWiring : public WireResult {
 protected:
  void SetUp() override {
    WireResult::SetUp();
    if (!IsSkipped()) {
      map_ = NewMap(0, 2 * kLongPages);
      object_ = map_->Map(0, kLongPages);
    }
  }
  vm_object_t object_ = nullptr;
};

TEST_P(WireResult, NR01AWiringTellsItsPages) {
  map_->Map(10, 20);

  EXPECT_EQ(map_->WireEx(10, 20, kS, &result_), KERN_SUCCESS) << map_->error();

  ExpectWired(10, 0);
  EXPECT_EQ(map_->Entries(), "[10,20)w1");
}

// X15: with WRITE and HOLESOK a read-only entry is passed over, and said so.
TEST_P(WireResult, NR02PagesThatAreNotWritableAreCountedAsSkipped) {
  map_->Map(10, 15);
  map_->Map(15, 22, kRead);

  EXPECT_EQ(map_->WireEx(10, 22, kSH | VM_MAP_WIRE_WRITE, &result_), KERN_SUCCESS);

  ExpectWired(5, 7);
}

TEST_P(WireResult, NR03HolesGuardsAndUnreadablePagesAreCountedAsSkipped) {
  map_->Map(10, 15);
  map_->Guard(17, 18);
  map_->Map(18, 20, kNone);

  EXPECT_EQ(map_->WireEx(10, 25, kSH, &result_), KERN_SUCCESS);

  ExpectWired(5, 10);
}

TEST_P(WireResult, NR04WhatLiesOutsideTheMapIsNotCounted) {
  map_->Map(990, 1000);

  EXPECT_EQ(map_->WireEx(990, 2000, kSH, &result_), KERN_SUCCESS);

  ExpectWired(10, 0);
}

TEST_P(WireResult, NR05AHoleIsNamed) {
  map_->Map(10, 15);

  EXPECT_EQ(map_->WireEx(10, 20, kS, &result_), KERN_INVALID_ADDRESS);
  ExpectFailure(15, VM_WIRE_REASON_HOLE);

  EXPECT_EQ(map_->WireEx(5, 20, kS, &result_), KERN_INVALID_ADDRESS);
  ExpectFailure(5, VM_WIRE_REASON_HOLE);
}

TEST_P(WireResult, NR06AnUnreadableEntryIsNamed) {
  map_->Map(10, 15);
  map_->Map(15, 20, kNone);

  EXPECT_EQ(map_->WireEx(10, 20, kS, &result_), KERN_INVALID_ADDRESS);

  ExpectFailure(15, VM_WIRE_REASON_UNREADABLE);
}

TEST_P(WireResult, NR07AReadOnlyEntryIsNamed) {
  map_->Map(10, 15);
  map_->Map(15, 20, kRead);

  EXPECT_EQ(map_->WireEx(10, 20, kS | VM_MAP_WIRE_WRITE, &result_), KERN_INVALID_ADDRESS);

  ExpectFailure(15, VM_WIRE_REASON_NOT_WRITABLE);
}

TEST_P(WireResult, NR08AGuardIsNamed) {
  map_->Map(10, 15);
  map_->Guard(15, 16);

  EXPECT_EQ(map_->WireEx(10, 16, kS, &result_), KERN_INVALID_ADDRESS);

  ExpectFailure(15, VM_WIRE_REASON_GUARD);
}

TEST_P(WireResult, NR09ALimitTellsWhatIsNeededAndWhatIsLeft) {
  map_->Map(10, 30);
  map_->LimitUserPages(12);
  ASSERT_EQ(map_->Wire(10, 15, kU), KERN_SUCCESS);

  EXPECT_EQ(map_->WireEx(15, 25, kU, &result_), KERN_RESOURCE_SHORTAGE);

  EXPECT_EQ(result_.reason, VM_WIRE_REASON_LIMIT);
  EXPECT_EQ(result_.needed, 10u);
  EXPECT_EQ(result_.available, 7u);
}

TEST_P(WireResult, NR10TheEndOfTheObjectIsNamed) {
  const vm_object_t object = objects_.New(5);
  ASSERT_EQ(map_->Insert(object, 0, 10, 20), KERN_SUCCESS);

  EXPECT_EQ(map_->WireEx(10, 20, kS, &result_), KERN_OUT_OF_BOUNDS);

  ExpectFailure(15, VM_WIRE_REASON_BACKING_END);
}

TEST_P(WireResult, NR11TheResultIsOptional) {
  map_->Map(10, 20);

  EXPECT_EQ(map_->WireEx(10, 20, kS, nullptr), KERN_SUCCESS);
  EXPECT_EQ(map_->WireEx(10, 25, kS, nullptr), KERN_INVALID_ADDRESS);
}

TEST_P(WireResult, NR12AWiringThatNeedNotWaitSucceedsWithoutTime) {
  map_->Map(10, 20);
  ASSERT_EQ(map_->Wire(10, 20, kS), KERN_SUCCESS);

  EXPECT_EQ(map_->WireEx(10, 20, kS, &result_, 60'000 * kMillisecond), KERN_SUCCESS);

  EXPECT_EQ(map_->Entries(), "[10,20)w2");
}

VMWIRE_ON_EACH_BACKING(WireResult);

TEST_P(SimulatedWireResult, NR13AFaultThatFailsIsNamed) {
  const vm_object_t object = map_->Map(10, 20);
  ASSERT_EQ(vm_object_fail_fault_at(object, 6, KERN_FAILURE), KERN_SUCCESS);

  EXPECT_EQ(map_->WireEx(10, 20, kS, &result_), KERN_FAILURE);

  EXPECT_EQ(result_.failed_at, 16 * kPage);
  EXPECT_NE(result_.reason, VM_WIRE_REASON_NONE);
}

VMWIRE_ON_SIMULATED_MEMORY(SimulatedWireResult);

TEST_P(LongWiring, NR14ProgressGoesUpToTheTotal) {
  std::vector<uint64_t> done;
  bool total_is_right = true;

  EXPECT_EQ(map_->WireEx(0, kLongPages, kS, &result_, -1,
                         [&](uint64_t pages_done, uint64_t pages_total) {
                           done.push_back(pages_done);
                           total_is_right = total_is_right && pages_total == kLongPages;
                           return true;
                         }),
            KERN_SUCCESS)
      << map_->error();

  EXPECT_GE(done.size(), 3u) << "there are four parts of 2 MiB";
  EXPECT_TRUE(std::is_sorted(done.begin(), done.end()));
  EXPECT_LE(done.back(), kLongPages);
  EXPECT_TRUE(total_is_right);
  ExpectWired(kLongPages, 0);
}

TEST_P(LongWiring, NR15ACancelledWiringIsUndone) {
  int calls = 0;

  EXPECT_EQ(map_->WireEx(0, kLongPages, kU, &result_, -1,
                         [&](uint64_t, uint64_t) { return ++calls < 2; }),
            KERN_ABORTED);

  EXPECT_EQ(calls, 2) << "it is not asked again";
  EXPECT_EQ(result_.reason, VM_WIRE_REASON_CANCELLED);
  EXPECT_EQ(map_->UserPages(), 0u);
  EXPECT_EQ(Pages(object_, kLongPages), "");
}

TEST_P(LongWiring, NR16AWiringThatRunsOutOfTimeIsUndone) {
  EXPECT_EQ(map_->WireEx(0, kLongPages, kS, &result_, 5 * kMillisecond,
                         [](uint64_t, uint64_t) {
                           std::this_thread::sleep_for(std::chrono::milliseconds(20));
                           return true;
                         }),
            KERN_ABORTED);

  EXPECT_EQ(result_.reason, VM_WIRE_REASON_TIMED_OUT);
  EXPECT_EQ(Pages(object_, kLongPages), "");
}

TEST_P(LongWiring, NR17ACancelledWiringLeavesEarlierOnes) {
  ASSERT_EQ(map_->Wire(100, 200, kS), KERN_SUCCESS);
  ASSERT_EQ(map_->Wire(150, 160, kU), KERN_SUCCESS);

  EXPECT_EQ(map_->WireEx(0, kLongPages, kS, &result_, -1,
                         [](uint64_t done, uint64_t) { return done < kPagesPer2MiB; }),
            KERN_ABORTED);

  EXPECT_EQ(map_->Entries(), "[0,100)w0 [100,150)w1 [150,160)w2U [160,200)w1 [200,2048)w0");
}

// "The map lock is never held over a fault, a pin or a callback."
TEST_P(LongWiring, NR18TheMapCanBeUsedFromTheCallback) {
  map_->Map(kLongPages + 10, kLongPages + 20);
  bool in_transition = false;
  int code = -1;

  EXPECT_EQ(map_->WireEx(0, kLongPages, kS, &result_, -1,
                         [&](uint64_t, uint64_t) {
                           vm_map_entry_info entry = {};
                           vm_map_entry_at(map_->handle(), 0, &entry);
                           in_transition = in_transition || entry.in_transition;
                           code = vm_map_wire(map_->handle(), (kLongPages + 10) * kPage,
                                              (kLongPages + 20) * kPage, kS);
                           return code == KERN_SUCCESS;
                         }),
            KERN_SUCCESS)
      << map_->error();

  EXPECT_TRUE(in_transition);
  EXPECT_EQ(code, KERN_SUCCESS);
  EXPECT_FALSE(map_->EntryAt(0).in_transition);
}

TEST_P(LongWiring, NR19TheErrorOfACancelledWiringSaysSo) {
  ASSERT_EQ(map_->WireEx(0, kLongPages, kS, &result_, -1, [](uint64_t, uint64_t) { return false; }),
            KERN_ABORTED);

  EXPECT_THAT(map_->error(), testing::ContainsRegex("[Cc]ancel|stopped|asked"));
}

TEST_P(LongWiring, NR20APromptCancelFaultsOnlyAPart) {
  ASSERT_EQ(map_->WireEx(0, kLongPages, kS, &result_, -1, [](uint64_t, uint64_t) { return false; }),
            KERN_ABORTED);

  EXPECT_LE(ResidentPages(object_, kLongPages), 2 * kPagesPer2MiB);
}

VMWIRE_ON_EACH_BACKING(LongWiring);

}  // namespace
}  // namespace vmwire::conformance
