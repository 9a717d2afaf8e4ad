#include "vmm/slot_table.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cerrno>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "memory/wire_policy.h"
#include "tests/fakes/fake_kvm.h"
#include "tests/support/map_fixture.h"
#include "tests/support/status_matchers.h"
#include "vmm/system.h"
#include "vmm/vm.h"

namespace vmwire {
namespace {

using testing::AllOf;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::SizeIs;

// A map on fakes, and a VM on another fake with the same journal.
class SlotTableTest : public testing::Test {
 protected:
  void SetUp() override { Start({}); }

  void Start(const FakeKvm::Options& options) {
    table_.reset();
    vm_.reset();
    system_.reset();
    kvm_ = std::make_unique<FakeKvm>(memory_.journal(), options);
    system_ = System::Open(*kvm_).value();
    vm_ = Vm::Create(*system_).value();
    table_.emplace(*vm_);
  }

  SlotBacking Wired(uint64_t first, uint64_t end) {
    return WirePolicy::All().Apply(memory_.map(), Pages(first, end)).value();
  }
  SlotBacking Unwired(uint64_t first, uint64_t end) {
    return WirePolicy::None().Apply(memory_.map(), Pages(first, end)).value();
  }

  // Observers stay in the journal of memory_ when the test's own variables are gone.
  bool watching_ = false;
  TestMap memory_;
  std::unique_ptr<FakeKvm> kvm_;
  std::unique_ptr<System> system_;
  std::unique_ptr<Vm> vm_;
  std::optional<SlotTable> table_;
};

TEST_F(SlotTableTest, InstallTellsKvmWhatTheBackingSays) {
  const std::shared_ptr<VmObject> object = memory_.Add(16, 32);

  VMWIRE_ASSERT_OK_AND_ASSIGN(MemorySlot slot, table_->Install(Wired(16, 32)));

  ASSERT_THAT(kvm_->slots(), SizeIs(1));
  const kvm_userspace_memory_region region = kvm_->slots()[0];
  EXPECT_EQ(region.slot, slot.id());
  EXPECT_EQ(region.guest_phys_addr, 16 * kPageSize);
  EXPECT_EQ(region.memory_size, 16 * kPageSize);
  EXPECT_EQ(region.userspace_addr, object->host_range().start().value());
  EXPECT_EQ(region.flags, 0u);
  EXPECT_FALSE(slot.read_only());
  EXPECT_EQ(slot.range(), Pages(16, 32));
}

TEST_F(SlotTableTest, UnwiredBackingOfThePolicyIsInstalledUnwired) {
  memory_.Add(0, 4);

  VMWIRE_ASSERT_OK_AND_ASSIGN(MemorySlot slot, table_->Install(Unwired(0, 4)));

  EXPECT_EQ(slot.wired_bytes(), 0u);
  EXPECT_EQ(memory_.HostPinnedPages(), 0u);
}

TEST_F(SlotTableTest, PartOfAnObjectIsInstalledAtItsHostOffset) {
  const std::shared_ptr<VmObject> object = memory_.Add(0, 8);

  VMWIRE_ASSERT_OK_AND_ASSIGN(MemorySlot slot, table_->Install(Wired(4, 6)));

  EXPECT_EQ(kvm_->slots()[0].userspace_addr, object->host_range().start().value() + 4 * kPageSize);
}

TEST_F(SlotTableTest, MemoryIsWiredBeforeItsSlotAndUnwiredAfter) {
  memory_.Add(0, 4);
  memory_.journal().Clear();

  { VMWIRE_ASSERT_OK_AND_ASSIGN(MemorySlot slot, table_->Install(Wired(0, 4))); }

  std::vector<std::string> order;
  for (const std::string& entry : memory_.journal().entries()) {
    order.push_back(entry.substr(0, entry.find(' ', entry.find(' ') == 3 ? 4 : 0)));
  }
  const auto at = [&](const std::string& word) {
    return std::find(order.begin(), order.end(), word) - order.begin();
  };
  const auto end = static_cast<std::ptrdiff_t>(order.size());
  EXPECT_LT(at("lock"), at("kvm set")) << testing::PrintToString(order);
  EXPECT_LT(at("kvm set"), at("kvm delete"));
  EXPECT_LT(at("kvm delete"), at("unlock"));
  EXPECT_LT(at("unlock"), end);
}

TEST_F(SlotTableTest, NoLiveSlotEverCoversUnpinnedMemory) {
  const std::shared_ptr<VmObject> object = memory_.Add(0, 4);
  int checked = 0;
  watching_ = true;
  memory_.journal().AddObserver([&] {
    if (!watching_ || kvm_->live_slots() == 0) return;
    EXPECT_EQ(memory_.Pinned(*object), "1111");
    ++checked;
  });

  {
    VMWIRE_ASSERT_OK_AND_ASSIGN(MemorySlot slot, table_->Install(Wired(0, 4)));
    MemorySlot moved = std::move(slot);
    VMWIRE_ASSERT_OK_AND_ASSIGN(WiredRange again, memory_.map().Wire(Pages(1, 2)));
  }

  watching_ = false;
  EXPECT_GT(checked, 0);
  EXPECT_EQ(memory_.Pinned(*object), "0000");
}

TEST_F(SlotTableTest, M39OverlapIsRefusedBeforeKvmIsAskedAndNamesBothRanges) {
  memory_.Add(0, 16);
  VMWIRE_ASSERT_OK_AND_ASSIGN(MemorySlot slot, table_->Install(Wired(4, 8)));
  memory_.journal().Clear();

  for (const auto& [first, end] :
       std::vector<std::pair<uint64_t, uint64_t>>{{4, 8}, {0, 5}, {7, 9}, {5, 6}, {0, 16}}) {
    EXPECT_THAT(
        table_->Install(Unwired(first, end)),
        StatusIs(absl::StatusCode::kAlreadyExists, AllOf(HasSubstr(Pages(first, end).ToString()),
                                                         HasSubstr(Pages(4, 8).ToString()))));
  }

  EXPECT_THAT(memory_.journal().EntriesWith("kvm"), IsEmpty());
  EXPECT_EQ(table_->live_slots(), 1u);
}

TEST_F(SlotTableTest, OverlapWithTheLastOfSeveralSlotsIsFound) {
  memory_.Add(0, 16);
  VMWIRE_ASSERT_OK_AND_ASSIGN(MemorySlot low, table_->Install(Wired(0, 2)));
  VMWIRE_ASSERT_OK_AND_ASSIGN(MemorySlot high, table_->Install(Wired(8, 10)));

  EXPECT_THAT(table_->Install(Unwired(1, 9)), StatusIs(absl::StatusCode::kAlreadyExists));
  EXPECT_THAT(table_->Install(Unwired(1, 8)), StatusIs(absl::StatusCode::kAlreadyExists));
  EXPECT_THAT(table_->Install(Unwired(2, 8)), IsOk());
}

TEST_F(SlotTableTest, LowestFreeIdIsTaken) {
  memory_.Add(0, 8);
  std::vector<MemorySlot> slots;
  for (uint64_t page = 0; page < 4; ++page) {
    slots.push_back(table_->Install(Unwired(page, page + 1)).value());
  }
  slots.erase(slots.begin() + 1, slots.begin() + 3);

  VMWIRE_ASSERT_OK_AND_ASSIGN(MemorySlot first, table_->Install(Unwired(5, 6)));
  VMWIRE_ASSERT_OK_AND_ASSIGN(MemorySlot second, table_->Install(Unwired(6, 7)));
  VMWIRE_ASSERT_OK_AND_ASSIGN(MemorySlot third, table_->Install(Unwired(7, 8)));

  EXPECT_EQ(first.id(), 1u);
  EXPECT_EQ(second.id(), 2u);
  EXPECT_EQ(third.id(), 4u);
}

TEST_F(SlotTableTest, M43SlotBeyondTheLimitIsResourceExhausted) {
  Start({.slot_limit = 2});
  memory_.Add(0, 4);
  VMWIRE_ASSERT_OK_AND_ASSIGN(MemorySlot a, table_->Install(Unwired(0, 1)));
  VMWIRE_ASSERT_OK_AND_ASSIGN(MemorySlot b, table_->Install(Unwired(1, 2)));

  EXPECT_THAT(table_->Install(Unwired(2, 3)),
              StatusIs(absl::StatusCode::kResourceExhausted, HasSubstr("2 of 2 memory slots")));
}

TEST_F(SlotTableTest, ReadOnlyMemoryIsAReadOnlySlot) {
  memory_.Add(0, 1, Protection::kRead);

  VMWIRE_ASSERT_OK_AND_ASSIGN(MemorySlot slot, table_->Install(Unwired(0, 1)));

  EXPECT_TRUE(slot.read_only());
  EXPECT_EQ(kvm_->slots()[0].flags, uint32_t{KVM_MEM_READONLY});
}

TEST_F(SlotTableTest, ReadOnlyMemoryWithoutTheCapabilityIsUnimplemented) {
  Start({.read_only_slots = false});
  memory_.Add(0, 1, Protection::kRead);

  EXPECT_THAT(table_->Install(Unwired(0, 1)),
              StatusIs(absl::StatusCode::kUnimplemented, HasSubstr("KVM_CAP_READONLY_MEM")));
}

TEST_F(SlotTableTest, UnreadableMemoryIsRefused) {
  memory_.Add(0, 1, Protection::kWrite);

  EXPECT_THAT(table_->Install(Unwired(0, 1)), StatusIs(absl::StatusCode::kPermissionDenied));
}

TEST_F(SlotTableTest, MemoryOfTwoObjectsIsRefused) {
  memory_.Add(0, 1);
  memory_.Add(1, 2);

  EXPECT_THAT(table_->Install(Wired(0, 2)), StatusIs(absl::StatusCode::kFailedPrecondition));
  EXPECT_EQ(memory_.HostPinnedPages(), 0u) << "the backing did not die with the call";
}

TEST_F(SlotTableTest, FailureOfKvmGivesBackIdAndMemory) {
  memory_.Add(0, 2);
  SlotBacking backing = Wired(0, 2);
  memory_.journal().FailNth(1, ENOMEM);

  EXPECT_THAT(table_->Install(std::move(backing)),
              StatusIs(absl::StatusCode::kResourceExhausted, HasSubstr(Pages(0, 2).ToString())));

  EXPECT_EQ(table_->live_slots(), 0u);
  EXPECT_EQ(memory_.HostPinnedPages(), 0u);
  EXPECT_THAT(memory_.map().Remove(Pages(0, 1)), IsOk());
  VMWIRE_ASSERT_OK_AND_ASSIGN(MemorySlot slot, table_->Install(Wired(1, 2)));
  EXPECT_EQ(slot.id(), 0u);
}

TEST_F(SlotTableTest, EveryFailingCallOfWireAndInstallLeavesNothing) {
  memory_.Add(0, 4);
  const std::string before = memory_.State();
  for (uint64_t n = 1;; ++n) {
    memory_.journal().FailNth(n, ENOMEM);
    {
      absl::StatusOr<SlotBacking> backing = WirePolicy::All().Apply(memory_.map(), Pages(0, 4));
      absl::StatusOr<MemorySlot> slot = absl::UnknownError("not tried");
      if (backing.ok()) slot = table_->Install(*std::move(backing));
      ASSERT_NE(slot.ok(), memory_.journal().failed()) << "at call " << n;
    }
    EXPECT_EQ(memory_.State(), before) << "at call " << n;
    EXPECT_EQ(kvm_->live_slots(), 0u) << "at call " << n;
    if (!memory_.journal().failed()) break;
    ASSERT_LT(n, 100u);
  }
  memory_.journal().FailNth(0, 0);
}

TEST_F(SlotTableTest, LiveSlotKeepsItsMemoryMapped) {
  memory_.Add(0, 2);
  VMWIRE_ASSERT_OK_AND_ASSIGN(MemorySlot slot, table_->Install(Unwired(0, 2)));

  EXPECT_THAT(memory_.map().Remove(Pages(0, 2)), StatusIs(absl::StatusCode::kFailedPrecondition));
}

TEST_F(SlotTableTest, MoveAssignmentDeletesTheOldSlotBeforeItsMemoryIsReleased) {
  memory_.Add(0, 4);
  VMWIRE_ASSERT_OK_AND_ASSIGN(MemorySlot a, table_->Install(Wired(0, 2)));
  VMWIRE_ASSERT_OK_AND_ASSIGN(MemorySlot b, table_->Install(Wired(2, 4)));
  memory_.journal().Clear();

  a = std::move(b);

  EXPECT_THAT(memory_.journal().entries(),
              ElementsAre("kvm delete slot 0", testing::StartsWith("unlock")));
  EXPECT_EQ(a.range(), Pages(2, 4));
  EXPECT_EQ(table_->live_slots(), 1u);
}

TEST_F(SlotTableTest, SelfMoveChangesNothing) {
  memory_.Add(0, 2);
  VMWIRE_ASSERT_OK_AND_ASSIGN(MemorySlot slot, table_->Install(Wired(0, 2)));
  MemorySlot& same = slot;

  slot = std::move(same);

  EXPECT_EQ(table_->live_slots(), 1u);
  EXPECT_EQ(memory_.HostPinnedPages(), 2u);
}

TEST_F(SlotTableTest, TableThatDiesBeforeItsSlotEndsTheProcess) {
  memory_.Add(0, 1);
  EXPECT_DEATH(
      {
        auto table = std::make_unique<SlotTable>(*vm_);
        auto slot = table->Install(Unwired(0, 1));
        table.reset();
      },
      "1 memory slots outlive their table");
}

}  // namespace
}  // namespace vmwire
