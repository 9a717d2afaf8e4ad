// Cases A: arguments and ranges, and the rules of all functions' arguments (NA).
#include <cerrno>

#include "tests/conformance/conformance_fixture.h"

namespace vmwire::conformance {
namespace {

class Arguments : public ConformanceTest {
 protected:
  int WireBytes(uint64_t start, uint64_t end, int flags) {
    return map_->Run([&] { return vm_map_wire(map_->handle(), start, end, flags); });
  }
  int UnwireBytes(uint64_t start, uint64_t end, int flags) {
    return map_->Run([&] { return vm_map_unwire(map_->handle(), start, end, flags); });
  }
};

TEST_P(Arguments, A01EmptyRangeInAnEmptyMapSucceeds) {
  const std::string before = map_->State();

  EXPECT_EQ(map_->Wire(10, 10, kS), KERN_SUCCESS);

  EXPECT_EQ(map_->State(), before);
}

// Section 1.4 rule 1: before anything else, even for addresses outside the map.
TEST_P(Arguments, A02EmptyRangeOutsideTheMapSucceeds) {
  EXPECT_EQ(map_->Wire(5000, 5000, kS), KERN_SUCCESS);
  EXPECT_EQ(map_->Unwire(5000, 5000, kS), KERN_SUCCESS);
}

TEST_P(Arguments, A03WiringAnEmptyMapIsAHole) {
  EXPECT_EQ(map_->Wire(10, 20, kS), KERN_INVALID_ADDRESS);
}

TEST_P(Arguments, A05StartBelowTheMapIsCutOff) {
  map_ = NewMap(100, 1000);
  const vm_object_t object = map_->Map(100, 110);

  EXPECT_EQ(map_->Wire(90, 105, kS), KERN_SUCCESS) << map_->error();

  EXPECT_EQ(map_->Entries(), "[100,105)w1 [105,110)w0");
  EXPECT_EQ(Pages(object), "[0,5)1p");
}

TEST_P(Arguments, A06EndAboveTheMapIsCutOff) {
  const vm_object_t object = map_->Map(990, 1000);

  EXPECT_EQ(map_->Wire(995, 2000, kS), KERN_SUCCESS) << map_->error();

  EXPECT_EQ(map_->Entries(), "[990,995)w0 [995,1000)w1");
  EXPECT_EQ(Pages(object), "[5,10)1p");
}

TEST_P(Arguments, A08RangeOutsideTheMapIsAHole) {
  map_ = NewMap(100, 1000);
  map_->Map(100, 110);
  const std::string before = map_->State();

  EXPECT_EQ(map_->Wire(10, 20, kS), KERN_INVALID_ADDRESS);
  EXPECT_EQ(map_->Wire(10, 20, kSH), KERN_SUCCESS);

  EXPECT_EQ(map_->State(), before);
}

TEST_P(Arguments, A09InvertedRangeIsInvalid) {
  map_->Map(10, 20);

  EXPECT_EQ(map_->Wire(18, 12, kS), KERN_INVALID_ARGUMENT);
  EXPECT_EQ(map_->Unwire(18, 12, kS), KERN_INVALID_ARGUMENT);
}

TEST_P(Arguments, A10UnalignedAddressIsInvalid) {
  map_->Map(10, 20);

  EXPECT_EQ(WireBytes(10 * kPage + 1, 12 * kPage, kS), KERN_INVALID_ARGUMENT);
  EXPECT_EQ(WireBytes(10 * kPage, 12 * kPage - 1, kS), KERN_INVALID_ARGUMENT);
}

TEST_P(Arguments, NA01UnalignedUnwireIsInvalid) {
  map_->Map(10, 20);
  ASSERT_EQ(map_->Wire(10, 20, kS), KERN_SUCCESS);

  EXPECT_EQ(UnwireBytes(10 * kPage + 1, 12 * kPage, kS), KERN_INVALID_ARGUMENT);
  EXPECT_EQ(UnwireBytes(10 * kPage, 12 * kPage + 8, kU), KERN_INVALID_ARGUMENT);
}

TEST_P(Arguments, NA02UnknownFlagsAreInvalid) {
  map_->Map(10, 20);

  EXPECT_EQ(map_->Wire(10, 20, 8), KERN_INVALID_ARGUMENT);
  EXPECT_EQ(map_->Wire(10, 20, kU | 0x100), KERN_INVALID_ARGUMENT);
  EXPECT_EQ(map_->Wire(10, 20, -1), KERN_INVALID_ARGUMENT);
  EXPECT_EQ(map_->Unwire(10, 20, 8), KERN_INVALID_ARGUMENT);
  EXPECT_EQ(map_->Unwire(10, 20, INT32_MIN), KERN_INVALID_ARGUMENT);
}

// "start == end: KERN_SUCCESS, first of all."
TEST_P(Arguments, NA03EmptyRangeComesBeforeFlagsAndAlignment) {
  EXPECT_EQ(map_->Wire(10, 10, 8), KERN_SUCCESS);
  EXPECT_EQ(WireBytes(123, 123, kS), KERN_SUCCESS);
  EXPECT_EQ(UnwireBytes(UINT64_MAX, UINT64_MAX, kS), KERN_SUCCESS);
}

TEST_P(Arguments, NA04ArgumentsAreCheckedBeforeTheEntries) {
  EXPECT_EQ(map_->Wire(10, 20, 8), KERN_INVALID_ARGUMENT) << "and not the hole";
  EXPECT_EQ(WireBytes(10 * kPage + 1, 20 * kPage, kSH), KERN_INVALID_ARGUMENT);
  EXPECT_EQ(UnwireBytes(10 * kPage + 1, 20 * kPage, kSH), KERN_INVALID_ARGUMENT);
}

TEST_P(Arguments, NA05UnwireIgnoresTheWriteFlag) {
  map_->Map(10, 20, kRead);
  ASSERT_EQ(map_->Wire(10, 20, kS), KERN_SUCCESS);

  EXPECT_EQ(map_->Unwire(10, 20, kS | VM_MAP_WIRE_WRITE), KERN_SUCCESS);

  EXPECT_EQ(map_->Entries(), "[10,20)w0");
}

TEST_P(Arguments, NA06UnwireOutsideTheMapIsCutOffToo) {
  map_ = NewMap(100, 200);
  map_->Map(100, 110);
  map_->Map(190, 200);
  ASSERT_EQ(map_->Wire(100, 110, kS), KERN_SUCCESS);
  ASSERT_EQ(map_->Wire(190, 200, kS), KERN_SUCCESS);

  EXPECT_EQ(map_->Unwire(0, 105, kS), KERN_SUCCESS);
  EXPECT_EQ(map_->Unwire(195, 1u << 20, kS), KERN_SUCCESS);
  EXPECT_EQ(map_->Unwire(0, 50, kS), KERN_INVALID_ADDRESS);
  EXPECT_EQ(map_->Unwire(0, 50, kSH), KERN_SUCCESS);

  EXPECT_EQ(map_->Entries(), "[100,105)w0 [105,110)w1 [190,195)w1 [195,200)w0");
}

TEST_P(Arguments, NA07InsertRefusesWhatIsUnalignedOrUnknown) {
  const vm_object_t object = objects_.New(10);
  const auto insert = [&](uint64_t offset, uint64_t start, uint64_t end, vm_prot_t protection,
                          vm_prot_t max) {
    return map_->Run(
        [&] { return vm_map_insert(map_->handle(), object, offset, start, end, protection, max); });
  };

  EXPECT_EQ(insert(0, 1, kPage, kRead, kAll), KERN_INVALID_ARGUMENT);
  EXPECT_EQ(insert(0, 0, kPage + 1, kRead, kAll), KERN_INVALID_ARGUMENT);
  EXPECT_EQ(insert(8, 0, kPage, kRead, kAll), KERN_INVALID_ARGUMENT);
  EXPECT_EQ(insert(0, 0, kPage, 8, 15), KERN_INVALID_ARGUMENT);
  EXPECT_EQ(insert(0, 0, kPage, kRead, 0x87), KERN_INVALID_ARGUMENT);
}

TEST_P(Arguments, NA08InsertRefusesARangeThatTheMapDoesNotHold) {
  map_ = NewMap(100, 200);
  const vm_object_t object = objects_.New(10);

  EXPECT_EQ(map_->Insert(object, 0, 110, 110), KERN_INVALID_ADDRESS) << "empty";
  EXPECT_EQ(map_->Insert(object, 0, 120, 110), KERN_INVALID_ADDRESS) << "inverted";
  EXPECT_EQ(map_->Insert(object, 0, 99, 110), KERN_INVALID_ADDRESS);
  EXPECT_EQ(map_->Insert(object, 0, 195, 201), KERN_INVALID_ADDRESS);
  EXPECT_EQ(map_->Insert(object, 0, 300, 310), KERN_INVALID_ADDRESS);
  EXPECT_EQ(map_->InsertGuard(110, 110), KERN_INVALID_ADDRESS);
  EXPECT_EQ(map_->InsertGuard(195, 201), KERN_INVALID_ADDRESS);
  EXPECT_EQ(map_->Insert(object, 0, 100, 200), KERN_SUCCESS) << "the whole map is inside";
}

TEST_P(Arguments, NA09InsertRefusesRightsAboveTheMaximum) {
  const vm_object_t object = objects_.New(10);

  EXPECT_EQ(map_->Insert(object, 0, 10, 20, kReadWrite, kRead), KERN_PROTECTION_FAILURE);
  EXPECT_EQ(map_->Insert(object, 0, 10, 20, kExecute, kReadWrite), KERN_PROTECTION_FAILURE);
  EXPECT_EQ(map_->Insert(object, 0, 10, 20, kNone, kNone), KERN_SUCCESS);
}

TEST_P(Arguments, NA10RemoveProtectAndClipRefuseUnalignedAndInverted) {
  map_->Map(10, 20);
  const vm_map_t map = map_->handle();

  EXPECT_EQ(map_->Remove(18, 12), KERN_INVALID_ARGUMENT);
  EXPECT_EQ(map_->RemoveWait(18, 12, 0), KERN_INVALID_ARGUMENT);
  EXPECT_EQ(map_->Protect(18, 12, kRead), KERN_INVALID_ARGUMENT);
  EXPECT_EQ(map_->Protect(12, 18, 0x10), KERN_INVALID_ARGUMENT);
  EXPECT_EQ(map_->Run([&] { return vm_map_remove(map, 10 * kPage + 1, 20 * kPage); }),
            KERN_INVALID_ARGUMENT);
  EXPECT_EQ(map_->Run([&] { return vm_map_remove_wait(map, 10 * kPage, 20 * kPage - 1, 0); }),
            KERN_INVALID_ARGUMENT);
  EXPECT_EQ(map_->Run([&] { return vm_map_protect(map, 10 * kPage, 20 * kPage - 1, kRead); }),
            KERN_INVALID_ARGUMENT);
  EXPECT_EQ(map_->Run([&] { return vm_map_clip(map, 15 * kPage + 8); }), KERN_INVALID_ARGUMENT);
  EXPECT_EQ(map_->Run([&] { return vm_map_insert_guard(map, 30 * kPage + 8, 31 * kPage); }),
            KERN_INVALID_ARGUMENT);
}

TEST_P(Arguments, NA11WireExChecksItsArgumentsAsWireDoes) {
  map_->Map(10, 20);
  vm_wire_result result = {};

  EXPECT_EQ(map_->WireEx(18, 12, kS, &result), KERN_INVALID_ARGUMENT);
  EXPECT_EQ(map_->WireEx(10, 20, 16, &result), KERN_INVALID_ARGUMENT);
  EXPECT_EQ(map_->WireEx(12, 12, kS, &result), KERN_SUCCESS);
  EXPECT_EQ(result.pages_wired, 0u);
  EXPECT_EQ(result.reason, VM_WIRE_REASON_NONE);
}

TEST_P(Arguments, NA12DiscardChecksItsRange) {
  const vm_object_t object = map_->Map(10, 20);

  EXPECT_EQ(map_->Discard(object, 6, 4), KERN_INVALID_ARGUMENT);
  EXPECT_EQ(map_->Discard(object, 5, 11), KERN_OUT_OF_BOUNDS);
  EXPECT_EQ(map_->Discard(object, UINT64_MAX - 1, UINT64_MAX), KERN_OUT_OF_BOUNDS);
  EXPECT_EQ(map_->Discard(object, 0, 10), KERN_SUCCESS) << map_->error();
}

TEST_P(Arguments, NA13MapCreateRefusesBadBounds) {
  errno = 0;
  EXPECT_EQ(vm_map_create(kPage, kPage), nullptr);
  EXPECT_EQ(errno, EINVAL);
  EXPECT_STRNE(vm_map_last_error(), "");
  EXPECT_EQ(vm_map_create(2 * kPage, kPage), nullptr);
  EXPECT_EQ(vm_map_create(1, kPage), nullptr);
  EXPECT_EQ(vm_map_create(0, kPage + 1), nullptr);
}

TEST_P(Arguments, NA14ObjectsOfNoKindAndNoPagesAreRefused) {
  errno = 0;
  EXPECT_EQ(vm_object_allocate(99, 10), nullptr);
  EXPECT_EQ(errno, EINVAL);
  EXPECT_STRNE(vm_map_last_error(), "");
  EXPECT_EQ(vm_object_allocate(-1, 10), nullptr);
  EXPECT_EQ(vm_object_allocate(OBJT_DEFAULT, 0), nullptr);
  EXPECT_EQ(vm_object_allocate(OBJT_SIMULATED, UINT64_MAX), nullptr) << "its bytes wrap";
  EXPECT_EQ(vm_object_allocate(OBJT_DEFAULT, UINT64_MAX / kPage), nullptr);
  errno = 0;
  EXPECT_EQ(vm_object_from_fd(-1, 10), nullptr);
  EXPECT_EQ(errno, EBADF);
}

TEST_P(Arguments, NA15AGuestMemfdNeedsAMachine) {
  EXPECT_EQ(vm_object_allocate(OBJT_GUEST_MEMFD, 10), nullptr);
  EXPECT_STRNE(vm_map_last_error(), "");
}

TEST_P(Arguments, NA16PinLevelsAreCheckedAndFixedByTheFirstWiring) {
  const vm_map_t map = map_->handle();
  map_->Map(10, 20);

  EXPECT_EQ(map_->Run([&] { return vm_map_set_pin_level(map, 3); }), KERN_INVALID_ARGUMENT);
  EXPECT_EQ(map_->Run([&] { return vm_map_set_pin_level(map, -1); }), KERN_INVALID_ARGUMENT);
  ASSERT_EQ(map_->Wire(10, 20, kS), KERN_SUCCESS);
  EXPECT_EQ(map_->Run([&] { return vm_map_set_pin_level(map, VM_PIN_PINNED); }), KERN_FAILURE);
}

VMWIRE_ON_EACH_BACKING(Arguments);

}  // namespace
}  // namespace vmwire::conformance
