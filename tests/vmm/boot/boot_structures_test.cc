#include "vmm/boot/boot_structures.h"

#include <gtest/gtest.h>

#include "tests/support/status_matchers.h"
#include "tests/vmm/boot/boot_memory.h"

namespace vmwire {
namespace {

class BootStructures : public ::testing::Test {
 protected:
  void Write(StartMode mode) {
    GuestImage image;
    image.start = mode;
    image.segments = {{.address = kImageAddress, .memory_size = kPageSize}};
    ASSERT_THAT(
        WriteBootStructures(*GuestLayout::Create(4 * kMiB, 46), image, 0, {}, memory_.memory()),
        IsOk());
  }
  bool HasAt(GuestAddress address) const { return !memory_.IsZero(address.value(), kPageSize); }

  BootMemory memory_{kMiB};
};

TEST_F(BootStructures, RealModeHasBootInfoOnly) {
  Write(StartMode::kReal16);
  EXPECT_TRUE(HasAt(kBootInfoAddress));
  EXPECT_TRUE(memory_.IsZero(0, kBootInfoAddress.value()));
  EXPECT_FALSE(HasAt(kPageTablesAddress));
}

TEST_F(BootStructures, ProtectedModeHasAGdtToo) {
  Write(StartMode::kProtected32);
  EXPECT_TRUE(HasAt(kBootInfoAddress));
  EXPECT_TRUE(HasAt(kGdtAddress));
  EXPECT_FALSE(HasAt(kIdtAddress));
  EXPECT_FALSE(HasAt(kPageTablesAddress));
}

TEST_F(BootStructures, LongModeHasEverything) {
  Write(StartMode::kLong64Ring0);
  for (GuestAddress address : {kGdtAddress, kIdtAddress, kTssAddress, kExceptionStubsAddress,
                               kBootInfoAddress, kPageTablesAddress}) {
    EXPECT_TRUE(HasAt(address)) << std::hex << address.value();
  }
}

TEST_F(BootStructures, OnlyRing3HasUserPages) {
  Write(StartMode::kLong64Ring0);
  EXPECT_EQ(memory_.At<uint64_t>(kPageTablesAddress.value()) & 4, 0u);
  Write(StartMode::kLong64Ring3);
  EXPECT_EQ(memory_.At<uint64_t>(kPageTablesAddress.value()) & 4, 4u);
}

}  // namespace
}  // namespace vmwire
