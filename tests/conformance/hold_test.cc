// The rules of holds (NI): the pages behind a hold stay where they are until it is released, and
// what would take them away is refused.
#include <chrono>
#include <cstring>
#include <thread>

#include "tests/conformance/conformance_fixture.h"

namespace vmwire::conformance {
namespace {

using testing::HasSubstr;

class Holds : public ConformanceTest {
 protected:
  void SetUp() override {
    ConformanceTest::SetUp();
    if (!IsSkipped()) {
      object_ = map_->Map(10, 20);
      ASSERT_EQ(map_->Wire(10, 20, kS), KERN_SUCCESS) << map_->error();
    }
  }
  int Hold(uint64_t addr, uint64_t len, vm_prot_t protection = kRead) {
    void* host = nullptr;
    vm_hold_t hold = nullptr;
    const int code = map_->Hold(addr, len, protection, &host, &hold);
    if (code == KERN_SUCCESS) {
      EXPECT_NE(hold, nullptr);
      EXPECT_NE(host, nullptr);
      vm_hold_release(hold);
    }
    return code;
  }
  vm_object_t object_ = nullptr;
};

TEST_P(Holds, NI01AHoldOverAHoleIsAnInvalidAddress) {
  EXPECT_EQ(Hold(5 * kPage, kPage), KERN_INVALID_ADDRESS);
  EXPECT_EQ(Hold(19 * kPage, 2 * kPage), KERN_INVALID_ADDRESS);
  EXPECT_EQ(Hold(5000 * kPage, kPage), KERN_INVALID_ADDRESS) << "outside the map";
}

TEST_P(Holds, NI02AHoldWithoutTheRightsIsAProtectionFailure) {
  ASSERT_EQ(map_->Protect(10, 20, kRead), KERN_SUCCESS);

  EXPECT_EQ(Hold(10 * kPage, kPage, VM_PROT_WRITE), KERN_PROTECTION_FAILURE);
  EXPECT_EQ(Hold(10 * kPage, kPage, kReadWrite), KERN_PROTECTION_FAILURE);
  EXPECT_EQ(Hold(10 * kPage, kPage, kRead), KERN_SUCCESS) << map_->error();
}

TEST_P(Holds, NI03AHoldOfWhatIsNotWiredIsAFailure) {
  ASSERT_EQ(map_->Unwire(15, 20, kS), KERN_SUCCESS);
  map_->Map(30, 40);

  EXPECT_EQ(Hold(14 * kPage, 2 * kPage), KERN_FAILURE);
  EXPECT_EQ(Hold(30 * kPage, kPage), KERN_FAILURE);
  EXPECT_EQ(Hold(14 * kPage, kPage), KERN_SUCCESS) << map_->error();
}

TEST_P(Holds, NI04AHoldOfTwoPiecesOfHostMemoryIsNoSpace) {
  const vm_object_t object = objects_.New(2);
  ASSERT_EQ(map_->Insert(object, 1, 30, 31), KERN_SUCCESS);
  ASSERT_EQ(map_->Insert(object, 0, 31, 32), KERN_SUCCESS);
  ASSERT_EQ(map_->Wire(30, 32, kS), KERN_SUCCESS);

  EXPECT_EQ(Hold(30 * kPage, 2 * kPage), KERN_NO_SPACE);
  EXPECT_EQ(Hold(30 * kPage, kPage), KERN_SUCCESS) << map_->error();
}

TEST_P(Holds, NI05AHoldSpansEntriesOfOnePieceOfHostMemory) {
  ASSERT_EQ(map_->Wire(13, 16, kS), KERN_SUCCESS);
  ASSERT_EQ(map_->Entries(), "[10,13)w1 [13,16)w2 [16,20)w1");

  EXPECT_EQ(Hold(10 * kPage, 10 * kPage, kReadWrite), KERN_SUCCESS) << map_->error();
}

TEST_P(Holds, NI06AUserWiringCanBeHeldToo) {
  ASSERT_EQ(map_->Wire(10, 20, kU), KERN_SUCCESS);
  ASSERT_EQ(map_->Unwire(10, 20, kS), KERN_SUCCESS);

  EXPECT_EQ(Hold(10 * kPage, kPage), KERN_SUCCESS) << map_->error();
}

TEST_P(Holds, NI07EmptyWrappingAndUnknownArgumentsAreInvalid) {
  EXPECT_EQ(Hold(10 * kPage, 0), KERN_INVALID_ARGUMENT);
  EXPECT_EQ(Hold(10 * kPage, UINT64_MAX), KERN_INVALID_ARGUMENT);
  EXPECT_EQ(Hold(10 * kPage, kPage, 0x10), KERN_INVALID_ARGUMENT);
}

TEST_P(Holds, NI08AHoldOfBytesPointsAtThem) {
  HeldRange whole(map_.get(), 10, 20, kReadWrite);
  ASSERT_NE(whole.bytes(), nullptr);
  std::memcpy(whole.bytes() + kPage - 2, "abcd", 4);
  void* host = nullptr;
  vm_hold_t hold = nullptr;

  ASSERT_EQ(map_->Hold(11 * kPage - 2, 4, kRead, &host, &hold), KERN_SUCCESS) << map_->error();

  EXPECT_EQ(host, whole.bytes() + kPage - 2);
  vm_hold_release(hold);
}

TEST_P(Holds, NI09AHoldIsNoWiring) {
  HeldRange held(map_.get(), 12, 14);

  EXPECT_EQ(Pages(object_), "[0,10)1p");
}

TEST_P(Holds, NI10UnwiredPagesStayPinnedUntilTheRelease) {
  HeldRange held(map_.get(), 12, 14, kReadWrite);
  ASSERT_EQ(map_->Unwire(10, 20, kS), KERN_SUCCESS) << map_->error();

  EXPECT_EQ(Counts(object_), "");
  EXPECT_TRUE(vm_page_is_pinned(PageOf(object_, 2)));
  EXPECT_TRUE(vm_page_is_pinned(PageOf(object_, 3)));
  held.bytes()[0] = 1;
  held.Release();

  EXPECT_EQ(Pages(object_), "");
}

TEST_P(Holds, NI11RemovingAHeldPageIsRefused) {
  HeldRange held(map_.get(), 12, 14);
  ASSERT_EQ(map_->Unwire(10, 20, kS), KERN_SUCCESS);

  EXPECT_EQ(map_->Remove(10, 20), KERN_FAILURE);
  EXPECT_EQ(map_->Remove(13, 14), KERN_FAILURE);
  EXPECT_EQ(map_->RemoveWait(10, 20, 1'000'000), KERN_FAILURE);
  EXPECT_EQ(map_->Remove(15, 20), KERN_SUCCESS) << "beside the hold; " << map_->error();
  held.Release();

  EXPECT_EQ(map_->Remove(10, 15), KERN_SUCCESS) << map_->error();
}

TEST_P(Holds, NI12RemovingAHeldUserWiringIsRefusedAndKeepsIt) {
  ASSERT_EQ(map_->Wire(10, 20, kU), KERN_SUCCESS);
  ASSERT_EQ(map_->Unwire(10, 20, kS), KERN_SUCCESS);
  HeldRange held(map_.get(), 12, 14);

  EXPECT_EQ(map_->Remove(10, 20), KERN_FAILURE);

  EXPECT_EQ(map_->Entries(), "[10,20)w1U");
}

TEST_P(Holds, NI13RemoveWaitCompletesAfterTheRelease) {
  HeldRange held(map_.get(), 12, 14);
  ASSERT_EQ(map_->Unwire(10, 20, kS), KERN_SUCCESS);
  int code = -1;
  std::thread remover(
      [&] { code = vm_map_remove_wait(map_->handle(), 10 * kPage, 20 * kPage, -1); });

  std::this_thread::sleep_for(std::chrono::milliseconds(50));
  vm_map_entry_info entry = {};
  EXPECT_EQ(vm_map_entry_at(map_->handle(), 10 * kPage, &entry), KERN_SUCCESS);
  held.Release();
  remover.join();

  EXPECT_EQ(code, KERN_SUCCESS);
  EXPECT_EQ(map_->Entries(), "");
}

TEST_P(Holds, NI14DiscardingAHeldPageIsRefused) {
  HeldRange held(map_.get(), 12, 14);
  ASSERT_EQ(map_->Unwire(10, 20, kS), KERN_SUCCESS);

  EXPECT_EQ(map_->Discard(object_, 0, 10), KERN_FAILURE);
  EXPECT_EQ(ResidentPages(object_), 10u);
  held.Release();

  EXPECT_EQ(map_->Discard(object_, 0, 10), KERN_SUCCESS) << map_->error();
}

TEST_P(Holds, NI15TwoHoldsOfOnePageAreTwo) {
  HeldRange first(map_.get(), 12, 14);
  HeldRange second(map_.get(), 13, 15);
  EXPECT_EQ(first.bytes() + kPage, second.bytes());
  ASSERT_EQ(map_->Unwire(10, 20, kS), KERN_SUCCESS);

  first.Release();
  EXPECT_TRUE(vm_page_is_pinned(PageOf(object_, 3)));
  EXPECT_EQ(map_->Remove(10, 20), KERN_FAILURE);
  second.Release();

  EXPECT_EQ(Pages(object_), "");
}

TEST_P(Holds, NI16AHeldPageCanBeWiredAgain) {
  HeldRange held(map_.get(), 12, 14);
  ASSERT_EQ(map_->Unwire(10, 20, kS), KERN_SUCCESS);
  EXPECT_EQ(Hold(12 * kPage, kPage), KERN_FAILURE) << "held, but not wired";

  ASSERT_EQ(map_->Wire(10, 20, kS), KERN_SUCCESS) << map_->error();
  held.Release();

  EXPECT_EQ(Pages(object_), "[0,10)1p");
}

TEST_P(Holds, NI17AHoldCanBeReleasedByAnotherThread) {
  HeldRange held(map_.get(), 12, 14);
  ASSERT_EQ(map_->Unwire(10, 20, kS), KERN_SUCCESS);

  std::thread([&] { held.Release(); }).join();

  EXPECT_EQ(Pages(object_), "");
  EXPECT_EQ(map_->Remove(10, 20), KERN_SUCCESS) << map_->error();
}

TEST_P(Holds, NI18AliasesAreTheSameMemory) {
  ASSERT_EQ(map_->Insert(object_, 0, 30, 40), KERN_SUCCESS);
  ASSERT_EQ(map_->Wire(30, 40, kS), KERN_SUCCESS);
  HeldRange writer(map_.get(), 12, 13, kReadWrite);
  HeldRange reader(map_.get(), 32, 33);

  writer.bytes()[9] = 0x77;

  EXPECT_EQ(reader.bytes()[9], 0x77);
}

TEST_P(Holds, NI19TheErrorOfARefusedDestroyNamesTheHeldRange) {
  HeldRange held(map_.get(), 12, 14);
  ASSERT_EQ(map_->Unwire(10, 20, kS), KERN_SUCCESS);

  EXPECT_EQ(map_->Destroy(), KERN_FAILURE);

  EXPECT_THAT(map_->error(), HasSubstr("0xc000"));
  held.Release();
  EXPECT_EQ(map_->Destroy(), KERN_SUCCESS) << map_->error();
}

VMWIRE_ON_HOST_MEMORY(Holds);

}  // namespace
}  // namespace vmwire::conformance
