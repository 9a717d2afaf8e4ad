// Cases D: the memory behind an entry, and its faults.
#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <fstream>

#include "tests/conformance/conformance_fixture.h"
#include "tests/support/hugetlb_pool.h"

namespace vmwire::conformance {
namespace {

class BackingStore : public ConformanceTest {};
class HostBackingStore : public ConformanceTest {};
class HugePages : public ConformanceTest {
 protected:
  // Two huge pages, or null: the test is then skipped.
  vm_object_t TwoHugePages() {
    return objects_.Add(vm_object_allocate(OBJT_HUGETLB, 2 * kPagesPer2MiB), 2 * kPagesPer2MiB);
  }
  void SetUp() override {
    ConformanceTest::SetUp();
    if (!IsSkipped() && FreeHugetlbPages(2 << 20) < 2) {
      GTEST_SKIP() << "needs two free huge pages of 2 MiB (/proc/sys/vm/nr_hugepages)";
    }
    map_ = NewMap(0, 4 * kPagesPer2MiB);
  }

 private:
  const HugetlbPoolTurn turn_;
};

TEST_P(BackingStore, D01WiringMakesUntouchedPagesResident) {
  const vm_object_t object = map_->Map(10, 20);
  ASSERT_EQ(ResidentPages(object), 0u);

  EXPECT_EQ(map_->Wire(10, 20, kS), KERN_SUCCESS);

  EXPECT_EQ(ResidentPages(object), 10u);
  ExpectFaults(object, 10);
}

TEST_P(BackingStore, D06AnEntryPastTheEndOfItsObjectIsOutOfBounds) {
  const vm_object_t object = objects_.New(5);
  ASSERT_EQ(map_->Insert(object, 0, 10, 20), KERN_SUCCESS) << map_->error();

  EXPECT_EQ(map_->Wire(10, 20, kS), KERN_OUT_OF_BOUNDS);

  EXPECT_EQ(map_->Entries(), "[10,20)w0");
  EXPECT_EQ(Pages(object), "");
}

VMWIRE_ON_EACH_BACKING(BackingStore);

TEST_P(HostBackingStore, D01UntouchedPagesAreZero) {
  map_->Map(10, 20);
  ASSERT_EQ(map_->Wire(10, 20, kS), KERN_SUCCESS);

  HeldRange held(map_.get(), 10, 20);

  ASSERT_NE(held.bytes(), nullptr);
  EXPECT_TRUE(std::all_of(held.bytes(), held.bytes() + 10 * kPage,
                          [](unsigned char byte) { return byte == 0; }));
}

// The case leaves the choice: the truncation is refused by a seal, or the pages read as zero.
TEST_P(HostBackingStore, D07TruncatingTheFileOfAWiredEntryIsRefusedOrReadsAsZero) {
  const int fd = memfd_create("vmwire-conformance", MFD_CLOEXEC | MFD_ALLOW_SEALING);
  ASSERT_GE(fd, 0);
  ASSERT_EQ(ftruncate(fd, 10 * kPage), 0);
  ASSERT_EQ(pwrite(fd, "x", 1, 0), 1);
  const vm_object_t object = objects_.Add(vm_object_from_fd(fd, 10), 10);
  ASSERT_NE(object, nullptr) << vm_map_last_error();
  ASSERT_EQ(map_->Insert(object, 0, 10, 20), KERN_SUCCESS) << map_->error();
  ASSERT_EQ(map_->Wire(10, 20, kS), KERN_SUCCESS) << map_->error();

  const bool truncated = ftruncate(fd, 0) == 0;
  if (truncated) {
    ASSERT_EQ(ftruncate(fd, 10 * kPage), 0);
  }
  HeldRange held(map_.get(), 10, 11);
  ASSERT_NE(held.bytes(), nullptr);

  EXPECT_EQ(held.bytes()[0], truncated ? 0 : 'x');
  held.Release();
  EXPECT_EQ(map_->Unwire(10, 20, kS), KERN_SUCCESS) << map_->error();
  close(fd);
}

TEST_P(HostBackingStore, D14AGuardedPageKeepsItsFrameUnderCompaction) {
  if (GetParam() != Backing::kGuarded) {
    GTEST_SKIP() << "level 0 promises residency only";
  }
  map_->Map(10, 20);
  ASSERT_EQ(map_->Wire(10, 20, kS), KERN_SUCCESS);
  HeldRange held(map_.get(), 10, 20);
  const uint64_t frame = FrameOf(held.bytes());
  if (frame == 0) {
    GTEST_SKIP() << "page frame numbers need CAP_SYS_ADMIN";
  }

  std::ofstream("/proc/sys/vm/compact_memory") << "1" << std::endl;
  madvise(held.bytes(), 10 * kPage, MADV_PAGEOUT);

  EXPECT_EQ(FrameOf(held.bytes()), frame);
}

TEST_P(HostBackingStore, ND01AForeignMemfdIsTheSameMemory) {
  const int fd = memfd_create("vmwire-conformance", MFD_CLOEXEC);
  ASSERT_GE(fd, 0);
  ASSERT_EQ(ftruncate(fd, 10 * kPage), 0);
  ASSERT_EQ(pwrite(fd, "guest", 5, 3 * kPage), 5);
  const vm_object_t object = objects_.Add(vm_object_from_fd(fd, 10), 10);
  ASSERT_NE(object, nullptr) << vm_map_last_error();
  EXPECT_EQ(close(fd), 0) << "the object has a descriptor of its own";
  ASSERT_EQ(map_->Insert(object, 2, 10, 18), KERN_SUCCESS) << map_->error();

  ASSERT_EQ(map_->Wire(10, 18, kS), KERN_SUCCESS) << map_->error();
  HeldRange held(map_.get(), 11, 12);

  ASSERT_NE(held.bytes(), nullptr);
  EXPECT_EQ(std::string(reinterpret_cast<const char*>(held.bytes()), 5), "guest");
}

TEST_P(HostBackingStore, ND02AMemfdObjectIsWiredAndUnwired) {
  const vm_object_t object = objects_.Add(vm_object_allocate(OBJT_MEMFD, 10), 10);
  ASSERT_NE(object, nullptr) << vm_map_last_error();
  ASSERT_EQ(map_->Insert(object, 0, 10, 20), KERN_SUCCESS);

  EXPECT_EQ(map_->Wire(10, 20, kS), KERN_SUCCESS) << map_->error();
  EXPECT_EQ(Pages(object), "[0,10)1p");
  EXPECT_EQ(map_->Unwire(10, 20, kS), KERN_SUCCESS);

  EXPECT_EQ(Pages(object), "");
}

TEST_P(HostBackingStore, ND03AFileThatIsNoMemoryIsRefused) {
  const int fd = open("/dev/null", O_RDWR | O_CLOEXEC);
  ASSERT_GE(fd, 0);

  EXPECT_EQ(vm_object_from_fd(fd, 10), nullptr);
  EXPECT_STRNE(vm_map_last_error(), "");
  close(fd);
}

TEST_P(HostBackingStore, ND04BytesSurviveUnwiringAndWiringAgain) {
  map_->Map(10, 20);
  ASSERT_EQ(map_->Wire(10, 20, kS), KERN_SUCCESS);
  HeldRange(map_.get(), 12, 13, kReadWrite).bytes()[7] = 0x5a;
  ASSERT_EQ(map_->Unwire(10, 20, kS), KERN_SUCCESS);

  ASSERT_EQ(map_->Wire(10, 20, kS), KERN_SUCCESS);

  EXPECT_EQ(HeldRange(map_.get(), 12, 13).bytes()[7], 0x5a);
}

TEST_P(HostBackingStore, ND05ADiscardedPageReadsAsZero) {
  const vm_object_t object = map_->Map(10, 20);
  ASSERT_EQ(map_->Wire(10, 20, kS), KERN_SUCCESS);
  HeldRange(map_.get(), 12, 13, kReadWrite).bytes()[7] = 0x5a;
  ASSERT_EQ(map_->Unwire(10, 20, kS), KERN_SUCCESS);

  ASSERT_EQ(map_->Discard(object, 0, 10), KERN_SUCCESS) << map_->error();

  EXPECT_EQ(ResidentPages(object), 0u);
  ASSERT_EQ(map_->Wire(10, 20, kS), KERN_SUCCESS);
  EXPECT_EQ(HeldRange(map_.get(), 12, 13).bytes()[7], 0);
}

VMWIRE_ON_HOST_MEMORY(HostBackingStore);

TEST_P(HugePages, D10ALargePageIsNotCut) {
  const vm_object_t object = TwoHugePages();
  ASSERT_NE(object, nullptr) << vm_map_last_error();
  ASSERT_EQ(map_->Insert(object, 0, 0, 1024), KERN_SUCCESS) << map_->error();

  EXPECT_EQ(map_->Wire(0, 100, kS), KERN_INVALID_ARGUMENT);
  EXPECT_EQ(map_->Entries(), "[0,1024)w0");

  EXPECT_EQ(map_->Wire(0, 512, kS), KERN_SUCCESS) << map_->error();
  EXPECT_EQ(map_->Entries(), "[0,512)w1 [512,1024)w0");
  EXPECT_EQ(map_->Unwire(0, 100, kS), KERN_INVALID_ARGUMENT);
}

TEST_P(HugePages, D11ALargePageEntryIsWiredWholeByWireFuture) {
  const vm_object_t object = TwoHugePages();
  ASSERT_NE(object, nullptr) << vm_map_last_error();
  map_->SetWireFuture(true);

  EXPECT_EQ(map_->Insert(object, 0, 0, 1024), KERN_SUCCESS) << map_->error();

  EXPECT_EQ(map_->Entries(), "[0,1024)w1U");
  EXPECT_EQ(map_->UserPages(), 1024u);
}

TEST_P(HugePages, ND06OtherOperationsDoNotCutALargePageEither) {
  const vm_object_t object = TwoHugePages();
  ASSERT_NE(object, nullptr) << vm_map_last_error();
  ASSERT_EQ(map_->Insert(object, 0, 0, 1024), KERN_SUCCESS) << map_->error();

  EXPECT_EQ(map_->Clip(100), KERN_INVALID_ARGUMENT);
  EXPECT_EQ(map_->Protect(0, 100, kRead), KERN_INVALID_ARGUMENT);
  EXPECT_EQ(map_->Remove(0, 100), KERN_INVALID_ARGUMENT);
  EXPECT_EQ(map_->Clip(512), KERN_SUCCESS) << map_->error();

  EXPECT_EQ(map_->Entries(), "[0,512)w0 [512,1024)w0");
}

VMWIRE_ON_HOST_MEMORY(HugePages);

}  // namespace
}  // namespace vmwire::conformance
