// Rules of handles and out-pointers, and of vm_map_last_error (NA). A handle that is destroyed is
// none; so is one of another kind.
#include <thread>

#include "tests/conformance/conformance_fixture.h"

namespace vmwire::conformance {
namespace {

using testing::AnyOf;
using testing::HasSubstr;

class Handles : public ConformanceTest {};

TEST_P(Handles, NA20NoMapIsInvalid) {
  vm_map_entry_info entry = {};
  vm_wire_result result = {};
  void* host = nullptr;
  vm_hold_t hold = nullptr;

  EXPECT_EQ(vm_map_wire(nullptr, 0, kPage, kS), KERN_INVALID_ARGUMENT);
  EXPECT_STRNE(vm_map_last_error(), "");
  EXPECT_EQ(vm_map_unwire(nullptr, 0, kPage, kS), KERN_INVALID_ARGUMENT);
  EXPECT_EQ(vm_map_destroy(nullptr), KERN_INVALID_ARGUMENT);
  EXPECT_EQ(vm_map_insert(nullptr, nullptr, 0, 0, kPage, kRead, kAll), KERN_INVALID_ARGUMENT);
  EXPECT_EQ(vm_map_insert_guard(nullptr, 0, kPage), KERN_INVALID_ARGUMENT);
  EXPECT_EQ(vm_map_remove(nullptr, 0, kPage), KERN_INVALID_ARGUMENT);
  EXPECT_EQ(vm_map_remove_wait(nullptr, 0, kPage, 0), KERN_INVALID_ARGUMENT);
  EXPECT_EQ(vm_map_protect(nullptr, 0, kPage, kRead), KERN_INVALID_ARGUMENT);
  EXPECT_EQ(vm_map_clip(nullptr, kPage), KERN_INVALID_ARGUMENT);
  EXPECT_EQ(vm_map_wire_all(nullptr), KERN_INVALID_ARGUMENT);
  EXPECT_EQ(vm_map_unwire_all(nullptr), KERN_INVALID_ARGUMENT);
  EXPECT_EQ(vm_map_set_pin_level(nullptr, VM_PIN_PINNED), KERN_INVALID_ARGUMENT);
  EXPECT_EQ(vm_map_check(nullptr), KERN_INVALID_ARGUMENT);
  EXPECT_EQ(vm_map_entry_at(nullptr, 0, &entry), KERN_INVALID_ARGUMENT);
  EXPECT_EQ(vm_map_wire_ex(nullptr, 0, kPage, kS, -1, nullptr, nullptr, &result),
            KERN_INVALID_ARGUMENT);
  EXPECT_EQ(vm_map_hold(nullptr, 0, kPage, kRead, &host, &hold), KERN_INVALID_ARGUMENT);
}

TEST_P(Handles, NA21FunctionsWithoutAStatusEndureNull) {
  vm_map_set_wire_future(nullptr, true);
  vm_map_set_user_wire_limit(nullptr, 10);
  vm_hold_release(nullptr);
  vm_object_deallocate(nullptr);

  EXPECT_EQ(vm_map_user_wired_pages(nullptr), 0u);
}

TEST_P(Handles, NA22NullOutPointersAreInvalid) {
  map_->Map(10, 20);
  ASSERT_EQ(map_->Wire(10, 20, kS), KERN_SUCCESS);
  void* host = nullptr;
  vm_hold_t hold = nullptr;

  EXPECT_EQ(map_->Run([&] { return vm_map_entry_at(map_->handle(), 0, nullptr); }),
            KERN_INVALID_ARGUMENT);
  EXPECT_EQ(map_->Hold(10 * kPage, kPage, kRead, nullptr, &hold), KERN_INVALID_ARGUMENT);
  EXPECT_EQ(map_->Hold(10 * kPage, kPage, kRead, &host, nullptr), KERN_INVALID_ARGUMENT);
}

TEST_P(Handles, NA23NoObjectIsInvalid) {
  EXPECT_EQ(vm_object_discard(nullptr, 0, 1), KERN_INVALID_ARGUMENT);
  EXPECT_EQ(vm_object_fail_fault_at(nullptr, 0, KERN_FAILURE), KERN_INVALID_ARGUMENT);
  EXPECT_EQ(vm_object_fault_calls(nullptr), 0u);
  EXPECT_EQ(vm_page_lookup(nullptr, 0), nullptr);
}

TEST_P(Handles, NA24ADestroyedMapIsNoMap) {
  const vm_map_t map = map_->handle();
  map_->Map(10, 20);
  ASSERT_EQ(map_->Destroy(), KERN_SUCCESS) << map_->error();

  EXPECT_EQ(vm_map_wire(map, 10 * kPage, 20 * kPage, kS), KERN_INVALID_ARGUMENT);
  EXPECT_EQ(vm_map_unwire(map, 10 * kPage, 20 * kPage, kU), KERN_INVALID_ARGUMENT);
  EXPECT_EQ(vm_map_remove(map, 10 * kPage, 20 * kPage), KERN_INVALID_ARGUMENT);
  EXPECT_EQ(vm_map_check(map), KERN_INVALID_ARGUMENT);
  EXPECT_EQ(vm_map_destroy(map), KERN_INVALID_ARGUMENT);
}

TEST_P(Handles, NA25AFreedObjectIsNoObject) {
  const vm_object_t object = objects_.New(10);
  objects_.Drop(object);

  EXPECT_EQ(map_->Insert(object, 0, 10, 20), KERN_INVALID_ARGUMENT);
  EXPECT_EQ(map_->Discard(object, 0, 1), KERN_INVALID_ARGUMENT);
}

TEST_P(Handles, NA26AHandleOfAnotherKindIsInvalid) {
  const vm_object_t object = objects_.New(10);
  const auto object_as_map = reinterpret_cast<vm_map_t>(object);
  const auto map_as_object = reinterpret_cast<vm_object_t>(map_->handle());

  EXPECT_EQ(vm_map_wire(object_as_map, 0, kPage, kS), KERN_INVALID_ARGUMENT);
  EXPECT_EQ(vm_map_destroy(object_as_map), KERN_INVALID_ARGUMENT);
  EXPECT_EQ(map_->Insert(map_as_object, 0, 10, 20), KERN_INVALID_ARGUMENT);
  EXPECT_EQ(map_->Discard(map_as_object, 0, 1), KERN_INVALID_ARGUMENT);
}

TEST_P(Handles, NA27AFaultCanBeInjectedOnlyOnSimulatedMemory) {
  const vm_object_t object = objects_.New(10);
  const auto fail_at = [&](uint64_t page, int code) {
    return map_->Run([&] { return vm_object_fail_fault_at(object, page, code); });
  };

  if (!simulated()) {
    EXPECT_EQ(fail_at(0, KERN_FAILURE), KERN_INVALID_ARGUMENT);
    return;
  }
  EXPECT_EQ(fail_at(10, KERN_FAILURE), KERN_OUT_OF_BOUNDS);
  EXPECT_EQ(fail_at(9, KERN_FAILURE), KERN_SUCCESS);
}

// "The whole sentence (range, limit, cause, remedy)"; ranges are in hex.
TEST_P(Handles, NA28TheErrorNamesTheRangeInHex) {
  map_->Map(10, 20);

  ASSERT_EQ(map_->Wire(10, 32, kS), KERN_INVALID_ADDRESS);

  EXPECT_THAT(map_->error(), HasSubstr("0x14000")) << "the hole begins at page 20";
}

TEST_P(Handles, NA29TheErrorOfTheUserLimitNamesTheLimit) {
  map_->Map(10, 20);
  map_->LimitUserPages(7);

  ASSERT_EQ(map_->Wire(10, 20, kU), KERN_RESOURCE_SHORTAGE);

  EXPECT_THAT(map_->error(), HasSubstr("0xa000"));
  EXPECT_THAT(map_->error(), HasSubstr("limit"));
  EXPECT_THAT(map_->error(), AnyOf(HasSubstr("7 pages"), HasSubstr("28672")));
}

TEST_P(Handles, NA30TheErrorIsEmptyAfterASuccess) {
  ASSERT_EQ(map_->Wire(10, 20, kS), KERN_INVALID_ADDRESS);
  ASSERT_NE(map_->error(), "");

  ASSERT_EQ(map_->Wire(10, 10, kS), KERN_SUCCESS);

  EXPECT_EQ(map_->error(), "");
}

TEST_P(Handles, NA31EachThreadHasItsOwnError) {
  ASSERT_EQ(vm_map_wire(map_->handle(), 0, kPage, kS), KERN_INVALID_ADDRESS);
  std::string others = "not asked";

  std::thread([&] { others = vm_map_last_error(); }).join();

  EXPECT_EQ(others, "");
  EXPECT_STRNE(vm_map_last_error(), "");
}

TEST_P(Handles, NA32TheErrorOfAnUnwireNamesTheEntryThatIsNotWired) {
  map_->Map(10, 15);
  map_->Map(15, 20);
  ASSERT_EQ(map_->Wire(10, 15, kS), KERN_SUCCESS);

  ASSERT_EQ(map_->Unwire(10, 20, kS), KERN_INVALID_ARGUMENT);

  EXPECT_THAT(map_->error(), HasSubstr("0xf000")) << "page 15";
}

TEST_P(Handles, NA33TheErrorOfARefusedRemoveNamesTheWiredEntry) {
  map_->Map(10, 20);
  ASSERT_EQ(map_->Wire(15, 20, kS), KERN_SUCCESS);

  ASSERT_EQ(map_->Remove(10, 20), KERN_FAILURE);

  EXPECT_THAT(map_->error(), HasSubstr("0xf000")) << "page 15";
  EXPECT_THAT(map_->error(), HasSubstr("wire"));
}

VMWIRE_ON_EACH_BACKING(Handles);

}  // namespace
}  // namespace vmwire::conformance
