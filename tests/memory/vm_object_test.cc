#include "memory/vm_object.h"

#include <gtest/gtest.h>

#include <cerrno>
#include <memory>

#include "tests/fakes/fake_host_memory.h"
#include "tests/fakes/journal.h"
#include "tests/support/status_matchers.h"

namespace vmwire {
namespace {

using absl::StatusCode;
using testing::ElementsAre;
using testing::HasSubstr;

class VmObjectTest : public testing::Test {
 protected:
  Journal journal_;
  FakeHostMemory host_{journal_};
};

TEST_F(VmObjectTest, SizeThatIsNotWholePagesIsInvalidArgument) {
  EXPECT_THAT(VmObject::Create(host_, {.size = 0}), StatusIs(StatusCode::kInvalidArgument));
  EXPECT_THAT(VmObject::Create(host_, {.size = kPageSize + 1}),
              StatusIs(StatusCode::kInvalidArgument, HasSubstr("4097 bytes")));
  EXPECT_THAT(journal_.entries(), testing::IsEmpty());
}

TEST_F(VmObjectTest, AnonymousObjectIsMappedAndAdvisedButNotFaultedIn) {
  VMWIRE_ASSERT_OK_AND_ASSIGN(const auto object, VmObject::Create(host_, {.size = 2 * kPageSize}));

  EXPECT_THAT(journal_.entries(), ElementsAre("map 0x2000", "huge 0x2000", "dont-fork 0x2000"));
  EXPECT_EQ(object->size(), 2 * kPageSize);
  EXPECT_EQ(object->backing(), MemoryBacking::kAnonymous);
  EXPECT_EQ(host_.resident_bytes(), 0u);
}

TEST_F(VmObjectTest, MemfdObjectHasAFileOfItsSizeUntilItDies) {
  {
    VMWIRE_ASSERT_OK_AND_ASSIGN(
        const auto object,
        VmObject::Create(
            host_, {.size = kPageSize, .backing = MemoryBacking::kMemfd, .name = "test-memory"}));
    EXPECT_THAT(journal_.EntriesWith("memfd"), ElementsAre("memfd test-memory"));
    EXPECT_EQ(journal_.EntriesWith("resize").size(), 1u);
    EXPECT_EQ(host_.files(), 1u);
    EXPECT_EQ(object->backing(), MemoryBacking::kMemfd);
  }
  EXPECT_EQ(host_.files(), 0u);
  EXPECT_EQ(host_.mappings(), 0u);
}

TEST_F(VmObjectTest, HostAddressIsCongruentToTheGuestAddress) {
  const GuestAddress guest(3 * kHugePageSize + 5 * kPageSize);
  VMWIRE_ASSERT_OK_AND_ASSIGN(const auto object,
                              VmObject::Create(host_, {.size = kPageSize, .congruent_to = guest}));

  EXPECT_EQ(object->host_range().start().value() % kHugePageSize, 5 * kPageSize);
}

TEST_F(VmObjectTest, WithoutHugePagesTheyAreAdvisedAgainst) {
  VMWIRE_ASSERT_OK_AND_ASSIGN(
      const auto object,
      VmObject::Create(host_, {.size = kPageSize, .huge_pages = HugePages::kNone}));

  EXPECT_THAT(journal_.EntriesWith("no-huge"), ElementsAre("no-huge 0x1000"));
  EXPECT_THAT(journal_.EntriesWith("huge"), testing::IsEmpty());
}

TEST_F(VmObjectTest, RefusedAdviceAgainstHugePagesDoesNotMatter) {
  journal_.FailNth(2, EINVAL);

  EXPECT_THAT(VmObject::Create(host_, {.size = kPageSize, .huge_pages = HugePages::kNone}), IsOk());
}

TEST_F(VmObjectTest, RefusedAdviceForHugePagesNamesTheRemedy) {
  journal_.FailNth(2, EINVAL);

  EXPECT_THAT(VmObject::Create(host_, {.size = kPageSize}),
              StatusIs(StatusCode::kUnimplemented, HasSubstr("small ones")));
}

TEST_F(VmObjectTest, FailureOfAnyHostCallLeavesNothing) {
  const VmObjectOptions options = {.size = kPageSize, .backing = MemoryBacking::kMemfd};
  for (uint64_t n = 1;; ++n) {
    journal_.FailNth(n, ENOMEM);
    const auto object = VmObject::Create(host_, options);
    if (object.ok()) {
      EXPECT_EQ(n, 6u);
      break;
    }
    EXPECT_THAT(object, StatusIs(StatusCode::kResourceExhausted)) << n;
    EXPECT_EQ(host_.mappings(), 0u) << n;
    EXPECT_EQ(host_.files(), 0u) << n;
  }
  journal_.FailNth(0, 0);
}

TEST_F(VmObjectTest, HugetlbObjectTakesWholePagesOfThePool) {
  host_.SetHugetlbPool(kHugePageSize, 3);
  const VmObjectOptions two = {.size = 2 * kHugePageSize, .backing = MemoryBacking::kHugetlb};
  {
    VMWIRE_ASSERT_OK_AND_ASSIGN(const auto object, VmObject::Create(host_, two));
    EXPECT_EQ(object->page_bytes(), kHugePageSize);
    EXPECT_EQ(object->backing(), MemoryBacking::kHugetlb);
    EXPECT_THAT(journal_.EntriesWith("huge"), testing::IsEmpty());
    EXPECT_THAT(VmObject::Create(host_, two), StatusIs(StatusCode::kResourceExhausted));
  }
  EXPECT_THAT(VmObject::Create(host_, two), IsOk());
}

TEST_F(VmObjectTest, HugetlbPagesMayBeOfOneGiB) {
  host_.SetHugetlbPool(kGigaPageSize, 1);

  VMWIRE_ASSERT_OK_AND_ASSIGN(const auto object,
                              VmObject::Create(host_, {.size = kGigaPageSize,
                                                       .backing = MemoryBacking::kHugetlb,
                                                       .hugetlb_bytes = kGigaPageSize}));

  EXPECT_EQ(object->page_bytes(), kGigaPageSize);
  EXPECT_EQ(object->host_range().start().value() % kGigaPageSize, 0u);
}

TEST_F(VmObjectTest, HugetlbPagesThatTheHostLacksAreUnimplemented) {
  EXPECT_THAT(VmObject::Create(host_, {.size = 16 * kHugePageSize,
                                       .backing = MemoryBacking::kHugetlb,
                                       .hugetlb_bytes = 16 * kHugePageSize}),
              StatusIs(StatusCode::kUnimplemented));
  EXPECT_EQ(host_.files(), 0u);
}

TEST_F(VmObjectTest, PartOfAHugetlbPageIsInvalidArgument) {
  host_.SetHugetlbPool(kHugePageSize, 3);

  EXPECT_THAT(VmObject::Create(
                  host_, {.size = kHugePageSize + kPageSize, .backing = MemoryBacking::kHugetlb}),
              StatusIs(StatusCode::kInvalidArgument, HasSubstr("2097152-byte pages")));
  EXPECT_THAT(VmObject::Create(host_, {.size = kHugePageSize,
                                       .congruent_to = GuestAddress(kPageSize),
                                       .backing = MemoryBacking::kHugetlb}),
              StatusIs(StatusCode::kInvalidArgument));
  EXPECT_EQ(host_.files(), 0u);
}

TEST_F(VmObjectTest, SealedFileIsSealedOnceItIsMapped) {
  for (const MemoryBacking backing : {MemoryBacking::kMemfd, MemoryBacking::kHugetlb}) {
    host_.SetHugetlbPool(kHugePageSize, 1);
    journal_.Clear();

    VMWIRE_ASSERT_OK_AND_ASSIGN(
        const auto object,
        VmObject::Create(host_, {.size = kHugePageSize, .backing = backing, .sealed = true}));

    EXPECT_THAT(journal_.entries().back(), HasSubstr("seal"));
    EXPECT_EQ(journal_.EntriesWith("seal").size(), 1u);
  }
}

TEST_F(VmObjectTest, SealOfWhatIsNoMemoryFileIsInvalidArgument) {
  for (const MemoryBacking backing : {MemoryBacking::kAnonymous, MemoryBacking::kSimulated}) {
    EXPECT_THAT(VmObject::Create(host_, {.size = kPageSize, .backing = backing, .sealed = true}),
                StatusIs(StatusCode::kInvalidArgument, HasSubstr(ToString(backing))));
  }
  EXPECT_THAT(journal_.entries(), testing::IsEmpty());
}

TEST_F(VmObjectTest, GuestMemfdIsNotMadeHere) {
  EXPECT_THAT(VmObject::Create(host_, {.size = kPageSize, .backing = MemoryBacking::kGuestMemfd}),
              StatusIs(StatusCode::kInvalidArgument, HasSubstr("made by KVM")));
}

TEST_F(VmObjectTest, SimulatedObjectNeedsNoHost) {
  VMWIRE_ASSERT_OK_AND_ASSIGN(const auto object,
                              VmObject::Create(host_, {.size = PageArray::kMaxPages * kPageSize,
                                                       .backing = MemoryBacking::kSimulated}));

  EXPECT_THAT(journal_.entries(), testing::IsEmpty());
  EXPECT_NE(object->simulation(), nullptr);
  EXPECT_EQ(object->charge_per_page(), sizeof(VmPage));
  EXPECT_EQ(object->size(), uint64_t{1} << 52);
}

TEST_F(VmObjectTest, ObjectLargerThanAGuestCanAddressIsResourceExhausted) {
  EXPECT_THAT(VmObject::Create(host_, {.size = (PageArray::kMaxPages + 1) * kPageSize,
                                       .backing = MemoryBacking::kSimulated}),
              StatusIs(StatusCode::kResourceExhausted));
}

TEST_F(VmObjectTest, HostSliceIsThatPartOfTheMapping) {
  VMWIRE_ASSERT_OK_AND_ASSIGN(const auto object, VmObject::Create(host_, {.size = 4 * kPageSize}));
  VMWIRE_ASSERT_OK_AND_ASSIGN(const HostRange slice, object->HostSlice(kPageSize, 2 * kPageSize));

  EXPECT_EQ(slice.start().OffsetFrom(object->host_range().start()), kPageSize);
  EXPECT_EQ(slice.size(), 2 * kPageSize);
}

TEST_F(VmObjectTest, HostSlicePastTheEndIsOutOfRange) {
  VMWIRE_ASSERT_OK_AND_ASSIGN(const auto object, VmObject::Create(host_, {.size = 4 * kPageSize}));

  EXPECT_THAT(object->HostSlice(3 * kPageSize, 2 * kPageSize), StatusIs(StatusCode::kOutOfRange));
  EXPECT_THAT(object->HostSlice(kPageSize, 1), StatusIs(StatusCode::kInvalidArgument));
}

TEST(VmObjectTextTest, NamesAreThoseOfTheCommandLine) {
  EXPECT_EQ(ToString(MemoryBacking::kAnonymous), "anonymous");
  EXPECT_EQ(ToString(MemoryBacking::kMemfd), "memfd");
  EXPECT_EQ(ToString(MemoryBacking::kHugetlb), "hugetlb");
  EXPECT_EQ(ToString(MemoryBacking::kGuestMemfd), "guest_memfd");
  EXPECT_EQ(ToString(MemoryBacking::kSimulated), "simulated");
  EXPECT_EQ(ToString(HugePages::kNone), "none");
  EXPECT_EQ(ToString(HugePages::kTransparent), "thp");
}

}  // namespace
}  // namespace vmwire
