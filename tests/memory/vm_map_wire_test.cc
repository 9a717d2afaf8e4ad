// The C API's own rules: handles, sentences, codes and files. What its functions do to maps and
// pages is in tests/conformance.
#include "memory/vm_map_wire.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cerrno>
#include <cstdint>
#include <cstdlib>
#include <string>
#include <vector>

namespace vmwire {
namespace {

using testing::HasSubstr;

constexpr uint64_t kPage = 4096;
constexpr vm_prot_t kReadWrite = VM_PROT_READ | VM_PROT_WRITE;

class VmMapWireTest : public testing::Test {
 protected:
  ~VmMapWireTest() override { EXPECT_EQ(vm_map_destroy(map_), KERN_SUCCESS); }

  // Maps a new object at its first page, and keeps no reference to it.
  vm_object_t Map(uint64_t start, uint64_t end, int type = OBJT_SIMULATED) {
    const vm_object_t object = vm_object_allocate(type, end - start);
    EXPECT_NE(object, nullptr) << vm_map_last_error();
    EXPECT_EQ(Insert(object, start, end), KERN_SUCCESS) << vm_map_last_error();
    vm_object_deallocate(object);
    return object;
  }
  int Insert(vm_object_t object, uint64_t start, uint64_t end, vm_ooffset_t offset = 0) {
    return vm_map_insert(map_, object, offset, start * kPage, end * kPage, kReadWrite, VM_PROT_ALL);
  }
  int Wire(uint64_t start, uint64_t end, int flags = VM_MAP_WIRE_USER) {
    return vm_map_wire(map_, start * kPage, end * kPage, flags);
  }
  vm_map_entry_info EntryAt(uint64_t page) {
    vm_map_entry_info entry = {};
    EXPECT_EQ(vm_map_entry_at(map_, page * kPage, &entry), KERN_SUCCESS) << vm_map_last_error();
    return entry;
  }

  const vm_map_t map_ = vm_map_create(0, 1000 * kPage);
};

TEST_F(VmMapWireTest, AMapsHandleIsNotUsedAgain) {
  const vm_map_t first = vm_map_create(0, kPage);
  ASSERT_EQ(vm_map_destroy(first), KERN_SUCCESS);

  const vm_map_t second = vm_map_create(0, kPage);

  EXPECT_NE(first, second);
  EXPECT_EQ(vm_map_check(first), KERN_INVALID_ARGUMENT);
  EXPECT_EQ(vm_map_destroy(first), KERN_INVALID_ARGUMENT);
  EXPECT_EQ(vm_map_destroy(second), KERN_SUCCESS);
}

TEST_F(VmMapWireTest, AnObjectsHandleIsNotUsedAgain) {
  const vm_object_t first = vm_object_allocate(OBJT_SIMULATED, 1);
  vm_object_deallocate(first);

  const vm_object_t second = vm_object_allocate(OBJT_SIMULATED, 1);

  EXPECT_NE(first, second);
  EXPECT_EQ(Insert(first, 0, 1), KERN_INVALID_ARGUMENT);
  EXPECT_THAT(vm_map_last_error(), HasSubstr("is no object"));
  vm_object_deallocate(second);
}

TEST_F(VmMapWireTest, ManyHandlesAreAllDifferent) {
  std::vector<vm_object_t> objects;
  for (int i = 0; i < 5000; ++i) objects.push_back(vm_object_allocate(OBJT_SIMULATED, 1));

  EXPECT_EQ(Insert(objects[4999], 10, 11), KERN_SUCCESS);

  EXPECT_EQ(EntryAt(10).object, objects[4999]);
  for (const vm_object_t object : objects) vm_object_deallocate(object);
}

TEST_F(VmMapWireTest, AddressesAreNoHandles) {
  int local = 0;

  EXPECT_EQ(vm_map_check(reinterpret_cast<vm_map_t>(&local)), KERN_INVALID_ARGUMENT);
  EXPECT_EQ(vm_object_discard(reinterpret_cast<vm_object_t>(&local), 0, 1), KERN_INVALID_ARGUMENT);
}

TEST_F(VmMapWireTest, AHandleOfAnotherKindIsNoPageAndNoHold) {
  const auto page = reinterpret_cast<vm_page_t>(map_);

  EXPECT_EQ(vm_page_wire_count(page), 0u);
  EXPECT_EQ(vm_page_queue(page), PQ_NONE);
  EXPECT_FALSE(vm_page_is_pinned(page));
  EXPECT_FALSE(vm_page_wire_mapped(page));
  EXPECT_THAT(vm_map_last_error(), HasSubstr("is no page"));
  vm_hold_release(reinterpret_cast<vm_hold_t>(map_));
  EXPECT_THAT(vm_map_last_error(), HasSubstr("is no hold"));
}

TEST_F(VmMapWireTest, AnObjectIsKnownAsLongAsAMapHasIt) {
  const vm_object_t object = Map(10, 20);

  EXPECT_EQ(EntryAt(10).object, object);
  vm_object_reference(object);
  ASSERT_EQ(vm_map_remove(map_, 10 * kPage, 20 * kPage), KERN_SUCCESS);
  EXPECT_EQ(vm_object_discard(object, 0, 10), KERN_SUCCESS);
  vm_object_deallocate(object);

  EXPECT_EQ(vm_object_discard(object, 0, 10), KERN_INVALID_ARGUMENT);
}

TEST_F(VmMapWireTest, AReferenceThatTheProgramDoesNotHaveCannotBeDropped) {
  const vm_object_t object = Map(10, 20);

  vm_object_deallocate(object);

  EXPECT_THAT(vm_map_last_error(), HasSubstr("reference"));
  EXPECT_EQ(EntryAt(10).object, object);
}

TEST_F(VmMapWireTest, AnEntryWithoutAnObjectGetsOneOfItsOwn) {
  ASSERT_EQ(Insert(nullptr, 10, 20), KERN_SUCCESS) << vm_map_last_error();

  const vm_object_t object = EntryAt(10).object;

  ASSERT_NE(object, nullptr);
  EXPECT_EQ(vm_object_discard(object, 0, 10), KERN_SUCCESS);
  EXPECT_EQ(vm_object_discard(object, 0, 11), KERN_OUT_OF_BOUNDS);
  EXPECT_EQ(Insert(nullptr, 30, 40, kPage), KERN_INVALID_ARGUMENT) << "an offset into nothing";
}

TEST_F(VmMapWireTest, AnOffsetWhoseEndWrapsIsInvalid) {
  const vm_object_t object = vm_object_allocate(OBJT_SIMULATED, 1);

  EXPECT_EQ(Insert(object, 10, 12, UINT64_MAX - kPage + 1), KERN_INVALID_ARGUMENT);

  vm_object_deallocate(object);
}

TEST_F(VmMapWireTest, TheSentenceStaysUntilTheNextCall) {
  ASSERT_EQ(Wire(10, 20), KERN_INVALID_ADDRESS);
  const std::string sentence = vm_map_last_error();

  EXPECT_EQ(vm_map_last_error(), sentence);
  EXPECT_EQ(vm_map_user_wired_pages(map_), 0u);

  EXPECT_STREQ(vm_map_last_error(), "");
}

TEST_F(VmMapWireTest, ACallInsideACallbackHasItsOwnSentence) {
  Map(0, 8);
  const auto keep_going = [](void* map, uint64_t, uint64_t) {
    EXPECT_EQ(vm_map_check(nullptr), KERN_INVALID_ARGUMENT);
    return map != nullptr;
  };

  EXPECT_EQ(vm_map_wire_ex(map_, 0, 8 * kPage, VM_MAP_WIRE_USER, -1, keep_going, map_, nullptr),
            KERN_SUCCESS);

  EXPECT_STREQ(vm_map_last_error(), "");
}

TEST_F(VmMapWireTest, ACallbackThatUnwiresWhatIsBeingWiredIsAFailure) {
  Map(0, 8);
  const auto unwire = [](void* map, uint64_t, uint64_t) {
    const auto handle = static_cast<vm_map_t>(map);
    EXPECT_EQ(vm_map_unwire(handle, 0, kPage, VM_MAP_WIRE_USER), KERN_FAILURE);
    EXPECT_EQ(vm_map_wire(handle, 0, kPage, VM_MAP_WIRE_USER), KERN_FAILURE);
    return true;
  };

  EXPECT_EQ(vm_map_wire_ex(map_, 0, 8 * kPage, VM_MAP_WIRE_USER, -1, unwire, map_, nullptr),
            KERN_SUCCESS);
}

TEST_F(VmMapWireTest, EveryCodeOfAFaultComesBackUnchanged) {
  const vm_object_t object = Map(0, 4);
  for (const int code : {KERN_INVALID_ADDRESS, KERN_PROTECTION_FAILURE, KERN_NO_SPACE,
                         KERN_INVALID_ARGUMENT, KERN_FAILURE, KERN_RESOURCE_SHORTAGE,
                         KERN_NOT_RECEIVER, KERN_NO_ACCESS, KERN_OUT_OF_BOUNDS, KERN_ABORTED}) {
    ASSERT_EQ(vm_object_fail_fault_at(object, 2, code), KERN_SUCCESS);
    vm_wire_result result = {};

    EXPECT_EQ(vm_map_wire_ex(map_, 0, 4 * kPage, VM_MAP_WIRE_SYSTEM, -1, nullptr, nullptr, &result),
              code);

    EXPECT_EQ(result.reason, VM_WIRE_REASON_FAULT);
    EXPECT_EQ(result.failed_at, 2 * kPage);
  }
}

TEST_F(VmMapWireTest, OnlyCodesOfTheHeaderCanBeInjected) {
  const vm_object_t object = Map(0, 4);

  EXPECT_EQ(vm_object_fail_fault_at(object, 2, 10), KERN_INVALID_ARGUMENT);
  EXPECT_EQ(vm_object_fail_fault_at(object, 2, -1), KERN_INVALID_ARGUMENT);
}

TEST_F(VmMapWireTest, ArgumentsThatAreWrongAreTheReasonInTheResult) {
  vm_wire_result result = {1, 2, 3, 4, 5, 6};

  EXPECT_EQ(vm_map_wire_ex(map_, 1, kPage, VM_MAP_WIRE_USER, -1, nullptr, nullptr, &result),
            KERN_INVALID_ARGUMENT);

  EXPECT_EQ(result.reason, VM_WIRE_REASON_ARGUMENT);
  EXPECT_EQ(result.pages_wired, 0u);
  EXPECT_EQ(result.failed_at, 0u);
  result = {1, 2, 3, 4, 5, 6};
  EXPECT_EQ(vm_map_wire_ex(nullptr, 0, kPage, VM_MAP_WIRE_USER, -1, nullptr, nullptr, &result),
            KERN_INVALID_ARGUMENT);
  EXPECT_EQ(result.reason, VM_WIRE_REASON_ARGUMENT);
}

TEST_F(VmMapWireTest, TheLongestTimesAreNone) {
  Map(0, 4);

  EXPECT_EQ(
      vm_map_wire_ex(map_, 0, 4 * kPage, VM_MAP_WIRE_USER, INT64_MAX, nullptr, nullptr, nullptr),
      KERN_SUCCESS);
  EXPECT_EQ(vm_map_remove_wait(map_, 0, 4 * kPage, INT64_MAX), KERN_SUCCESS);
}

TEST_F(VmMapWireTest, ThePinLevelCanBeSetUntilTheFirstWiring) {
  Map(0, 4);
  EXPECT_EQ(vm_map_set_pin_level(map_, VM_PIN_RESIDENT), KERN_SUCCESS) << vm_map_last_error();
  EXPECT_EQ(vm_map_set_pin_level(map_, VM_PIN_PINNED), KERN_SUCCESS) << vm_map_last_error();
  ASSERT_EQ(Wire(0, 4), KERN_SUCCESS);
  ASSERT_EQ(vm_map_unwire_all(map_), KERN_SUCCESS);

  EXPECT_EQ(vm_map_set_pin_level(map_, VM_PIN_GUARDED), KERN_FAILURE);

  EXPECT_THAT(vm_map_last_error(), HasSubstr("'pinned'"));
}

TEST_F(VmMapWireTest, AWiringThatFailedDoesNotFixThePinLevel) {
  const vm_object_t object = Map(0, 4);
  ASSERT_EQ(vm_object_fail_fault_at(object, 2, KERN_FAILURE), KERN_SUCCESS);
  ASSERT_EQ(Wire(0, 4), KERN_FAILURE);

  EXPECT_EQ(vm_map_set_pin_level(map_, VM_PIN_RESIDENT), KERN_SUCCESS) << vm_map_last_error();
}

TEST_F(VmMapWireTest, AnObjectOf2To40PagesCostsNothing) {
  constexpr vm_pindex_t kPages = vm_pindex_t{1} << 40;
  const vm_object_t object = vm_object_allocate(OBJT_SIMULATED, kPages);
  ASSERT_NE(object, nullptr) << vm_map_last_error();

  ASSERT_EQ(Insert(object, 0, 1, (kPages - 1) * kPage), KERN_SUCCESS);
  EXPECT_EQ(Wire(0, 1), KERN_SUCCESS) << vm_map_last_error();

  EXPECT_EQ(vm_object_fault_calls(object), 1u);
  EXPECT_EQ(vm_page_wire_count(vm_page_lookup(object, kPages - 1)), 1u);
  EXPECT_EQ(vm_page_lookup(object, kPages), nullptr);
  vm_object_deallocate(object);
}

TEST_F(VmMapWireTest, AGuestMemfdIsNotAllocated) {
  errno = 0;

  EXPECT_EQ(vm_object_allocate(OBJT_GUEST_MEMFD, 1), nullptr);

  EXPECT_EQ(errno, EOPNOTSUPP);
  EXPECT_THAT(vm_map_last_error(), HasSubstr("vm_object_from_fd"));
}

TEST_F(VmMapWireTest, AHugetlbObjectIsWholeHugePages) {
  errno = 0;

  EXPECT_EQ(vm_object_allocate(OBJT_HUGETLB, 511), nullptr);

  EXPECT_EQ(errno, EINVAL);
}

TEST_F(VmMapWireTest, AMemfdIsAnObject) {
  const int fd = memfd_create("test", MFD_CLOEXEC);
  ASSERT_EQ(ftruncate(fd, 4 * kPage), 0);

  const vm_object_t object = vm_object_from_fd(fd, 4);

  EXPECT_NE(object, nullptr) << vm_map_last_error();
  vm_object_deallocate(object);
  close(fd);
}

TEST_F(VmMapWireTest, M44AMemfdThatIsTooShortIsInvalid) {
  const int fd = memfd_create("test", MFD_CLOEXEC);
  ASSERT_EQ(ftruncate(fd, 3 * kPage), 0);
  errno = 0;

  EXPECT_EQ(vm_object_from_fd(fd, 4), nullptr);

  EXPECT_EQ(errno, EINVAL);
  close(fd);
}

TEST_F(VmMapWireTest, AFileWithANameIsNoMemfd) {
  std::string name = testing::TempDir() + "vm_map_wire_testXXXXXX";
  const int fd = mkstemp(name.data());
  ASSERT_GE(fd, 0);
  ASSERT_EQ(ftruncate(fd, 4 * kPage), 0);
  errno = 0;

  EXPECT_EQ(vm_object_from_fd(fd, 4), nullptr);

  EXPECT_EQ(errno, EINVAL);
  EXPECT_THAT(vm_map_last_error(), HasSubstr(name));
  unlink(name.c_str());
  close(fd);
}

TEST_F(VmMapWireTest, ASimulatedObjectCanBeHeldToo) {
  const vm_object_t object = Map(0, 4);
  ASSERT_EQ(Wire(0, 4), KERN_SUCCESS);
  void* host = nullptr;
  vm_hold_t hold = nullptr;

  ASSERT_EQ(vm_map_hold(map_, kPage, kPage, VM_PROT_READ, &host, &hold), KERN_SUCCESS)
      << vm_map_last_error();
  ASSERT_EQ(vm_map_unwire_all(map_), KERN_SUCCESS);

  EXPECT_TRUE(vm_page_is_pinned(vm_page_lookup(object, 1)));
  EXPECT_EQ(vm_map_destroy(map_), KERN_FAILURE);
  vm_hold_release(hold);
  EXPECT_FALSE(vm_page_is_pinned(vm_page_lookup(object, 1)));
}

}  // namespace
}  // namespace vmwire
