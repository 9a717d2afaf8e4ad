#include "vmm/boot/descriptor_tables.h"

#include <gtest/gtest.h>

#include "tests/support/status_matchers.h"
#include "tests/vmm/boot/boot_memory.h"
#include "vmm/boot/exception_stubs.h"
#include "vmm/guest_layout.h"

namespace vmwire {
namespace {

// A segment descriptor taken apart (Intel SDM volume 3, figure 3-8).
struct Segment {
  uint64_t base;
  uint64_t limit;
  uint64_t type;
  bool code_or_data;
  uint64_t dpl;
  bool present;
  bool long_mode;
  bool default_32;
  bool pages;
};

Segment SegmentAt(const BootMemory& memory, uint16_t selector) {
  const uint64_t value = memory.At<uint64_t>(kGdtAddress.value() + (selector & 0xfff8));
  return {.base = (value >> 16 & 0xffffff) | (value >> 56 & 0xff) << 24,
          .limit = (value & 0xffff) | (value >> 48 & 0xf) << 16,
          .type = value >> 40 & 0xf,
          .code_or_data = (value >> 44 & 1) != 0,
          .dpl = value >> 45 & 3,
          .present = (value >> 47 & 1) != 0,
          .long_mode = (value >> 53 & 1) != 0,
          .default_32 = (value >> 54 & 1) != 0,
          .pages = (value >> 55 & 1) != 0};
}

class DescriptorTables : public ::testing::Test {
 protected:
  void SetUp() override {
    ASSERT_THAT(WriteGdt(memory_.memory()), IsOk());
    ASSERT_THAT(WriteTss(memory_.memory()), IsOk());
    ASSERT_THAT(WriteIdt(memory_.memory()), IsOk());
  }

  void ExpectFlat(uint16_t selector, bool code, bool long_mode) const {
    const Segment segment = SegmentAt(memory_, selector);
    EXPECT_EQ(segment.base, 0u);
    EXPECT_EQ(segment.limit, 0xfffffu);
    EXPECT_TRUE(segment.pages);
    EXPECT_TRUE(segment.present);
    EXPECT_TRUE(segment.code_or_data);
    EXPECT_EQ(segment.type, code ? 11u : 3u);
    EXPECT_EQ(segment.dpl, static_cast<uint64_t>(selector & 3));
    EXPECT_EQ(segment.long_mode, long_mode);
    EXPECT_EQ(segment.default_32, !long_mode);
  }

  BootMemory memory_{kMiB};
};

TEST_F(DescriptorTables, FirstDescriptorIsNull) {
  EXPECT_EQ(memory_.At<uint64_t>(kGdtAddress.value()), 0u);
}

TEST_F(DescriptorTables, SegmentsAreFlat) {
  ExpectFlat(kRing0Code64Selector, /*code=*/true, /*long_mode=*/true);
  ExpectFlat(kRing0DataSelector, /*code=*/false, /*long_mode=*/false);
  ExpectFlat(kRing3DataSelector, /*code=*/false, /*long_mode=*/false);
  ExpectFlat(kRing3Code64Selector, /*code=*/true, /*long_mode=*/true);
  ExpectFlat(kRing0Code32Selector, /*code=*/true, /*long_mode=*/false);
}

TEST_F(DescriptorTables, IdtHasRoomForEveryVectorAndOnlyTheCpusAreFilledIn) {
  EXPECT_EQ(kIdtLimit, 256 * 16 - 1);
  for (uint64_t vector = 0; vector < 256; ++vector) {
    EXPECT_EQ(memory_.IsZero(kIdtAddress.value() + 16 * vector, 16), vector >= kExceptionVectors)
        << vector;
  }
}

TEST_F(DescriptorTables, TssDescriptorIsThatOfABusy64BitTss) {
  const Segment tss = SegmentAt(memory_, kTssSelector);
  EXPECT_EQ(tss.base, kTssAddress.value());
  EXPECT_EQ(tss.limit, kTssLimit);
  EXPECT_EQ(tss.type, 11u);
  EXPECT_FALSE(tss.code_or_data);
  EXPECT_TRUE(tss.present);
  EXPECT_FALSE(tss.pages);
  EXPECT_EQ(memory_.At<uint64_t>(kGdtAddress.value() + kTssSelector + 8), 0u);
}

TEST_F(DescriptorTables, TssHasTheStacks) {
  EXPECT_EQ(memory_.At<uint64_t>(kTssAddress.value() + 4), kRing0StackTop.value());
  EXPECT_EQ(memory_.At<uint64_t>(kTssAddress.value() + 36), kExceptionStackTop.value());
}

TEST_F(DescriptorTables, TssGivesRing3ThePorts) {
  const uint64_t bitmap = kTssAddress.value() + memory_.At<uint16_t>(kTssAddress.value() + 102);
  EXPECT_TRUE(memory_.IsZero(bitmap, kRing3PortEnd / 8));
  EXPECT_EQ(memory_.At<uint8_t>(bitmap + kRing3PortEnd / 8), 0xff);
  EXPECT_EQ(bitmap + kRing3PortEnd / 8, kTssAddress.value() + kTssLimit);
}

TEST_F(DescriptorTables, EveryExceptionHasAGateToItsStub) {
  for (uint32_t vector = 0; vector < kExceptionVectors; ++vector) {
    const uint64_t low = memory_.At<uint64_t>(kIdtAddress.value() + vector * 16);
    const uint64_t high = memory_.At<uint64_t>(kIdtAddress.value() + vector * 16 + 8);
    const uint64_t target = (low & 0xffff) | (low >> 48) << 16 | high << 32;
    EXPECT_EQ(target, ExceptionStubAddress(vector).value());
    EXPECT_EQ(low >> 16 & 0xffff, kRing0Code64Selector);
    EXPECT_EQ(low >> 32 & 0xff, 1u) << "IST";
    EXPECT_EQ(low >> 40 & 0xff, 0x8eu) << "present interrupt gate, DPL 0";
  }
}

}  // namespace
}  // namespace vmwire
