#include "vmm/emulation/guest_linear_memory.h"

#include <gtest/gtest.h>

#include <cstring>

#include "tests/support/map_fixture.h"
#include "tests/support/status_matchers.h"
#include "tests/vmm/emulation/emulation_fixture.h"

namespace vmwire {
namespace {

constexpr uint64_t kUserPage = 7;  // Flags of an entry: present, writable, user.
constexpr uint64_t kSupervisorPage = 3;
constexpr uint64_t kReadOnlyPage = 1;
constexpr uint64_t kReadOnlyUserPage = 5;

// 16 pages of memory. The tables are at 0x1000 to 0x4fff; linear pages 0 to 511 are what Map says.
class GuestLinearMemoryTest : public testing::Test {
 protected:
  GuestLinearMemoryTest() {
    map_.Add(0, 16);
    cpu_.sregs.cr3 = 0x1000;
    Put(0x1000, 0x2000 | kUserPage);
    Put(0x2000, 0x3000 | kUserPage);
    Put(0x3000, 0x4000 | kUserPage);
    Map(5, 0x5000 | kSupervisorPage);
    Map(6, 0x9000 | kSupervisorPage);  // Behind it in linear addresses, not in memory.
    Map(7, 0x6000 | kReadOnlyPage);
    Map(8, 0x7000 | kUserPage);
    Map(9, 0x8000 | kReadOnlyUserPage);
    Map(10, 0x100000 | kSupervisorPage);  // No memory.
  }
  void Put(uint64_t physical, uint64_t value) {
    ASSERT_THAT(memory_.Store(GuestAddress(physical), value), IsOk());
  }
  void Map(uint64_t page, uint64_t entry) { Put(0x4000 + 8 * page, entry); }
  uint64_t At(uint64_t physical) { return memory_.Load<uint64_t>(GuestAddress(physical)).value(); }

  StepResult Write(uint64_t linear, uint64_t value) {
    GuestLinearMemory memory(memory_, cpu_);
    return memory.Write(linear, std::as_bytes(std::span(&value, 1)));
  }
  StepResult Read(uint64_t linear, uint64_t& value, Accessor accessor = Accessor::kInstruction) {
    GuestLinearMemory memory(memory_, cpu_);
    return memory.Read(linear, std::as_writable_bytes(std::span(&value, 1)), accessor);
  }
  static void ExpectFault(const StepResult& result, uint64_t address, uint32_t error_code) {
    ASSERT_THAT(result, IsOk());
    ASSERT_TRUE(result->has_value());
    EXPECT_EQ(**result,
              (GuestException{.vector = 14, .error_code = error_code, .address = address}));
  }
  static void ExpectDone(const StepResult& result) {
    ASSERT_THAT(result, IsOk());
    EXPECT_FALSE(result->has_value());
  }
  void UseRing3() { cpu_.sregs.ss.dpl = 3; }

  TestMap map_{{.end_page = 0x100000}};
  GuestMemory memory_{map_.map()};
  EmulatedCpu cpu_ = LongModeCpu();
};

TEST_F(GuestLinearMemoryTest, ReadsAndWritesGoThroughTheTables) {
  ExpectDone(Write(0x6010, 0xabcdef));
  EXPECT_EQ(At(0x9010), 0xabcdefu);
  uint64_t value = 0;
  ExpectDone(Read(0x6010, value));
  EXPECT_EQ(value, 0xabcdefu);
}

TEST_F(GuestLinearMemoryTest, AccessesAcrossPagesAreTranslatedPageByPage) {
  ExpectDone(Write(0x5ffc, 0x8877665544332211));
  EXPECT_EQ(At(0x5ff8), 0x4433221100000000u);
  EXPECT_EQ(At(0x9000), 0x88776655u);
  uint64_t value = 0;
  ExpectDone(Read(0x5ffc, value));
  EXPECT_EQ(value, 0x8877665544332211u);
}

TEST_F(GuestLinearMemoryTest, WriteThatFaultsInItsSecondPageWritesNothing) {
  ExpectFault(Write(0x6ffc, UINT64_MAX), 0x7000, 3);
  EXPECT_EQ(At(0x9ff8), 0u);
}

TEST_F(GuestLinearMemoryTest, FaultOfAMissingPageNamesTheByte) {
  uint64_t value = 0;
  ExpectFault(Read(0x20123, value), 0x20123, 0);
  ExpectFault(Write(0x20123, 1), 0x20123, 2);
  UseRing3();
  ExpectFault(Write(0x20123, 1), 0x20123, 6);
}

TEST_F(GuestLinearMemoryTest, WriteProtectionFollowsCr0) {
  ExpectFault(Write(0x7000, 1), 0x7000, 3);
  cpu_.sregs.cr0 &= ~uint64_t{0x10000};
  ExpectDone(Write(0x7000, 1));
}

TEST_F(GuestLinearMemoryTest, Ring3HasTheRightsOfUserPagesOnly) {
  UseRing3();
  uint64_t value = 0;
  ExpectFault(Read(0x5000, value), 0x5000, 5);
  ExpectDone(Read(0x8000, value));
  ExpectDone(Write(0x8000, 1));
  ExpectFault(Write(0x9000, 1), 0x9000, 7);
  cpu_.sregs.cr0 &= ~uint64_t{0x10000};
  ExpectFault(Write(0x9000, 1), 0x9000, 7);
}

TEST_F(GuestLinearMemoryTest, ProcessorHasTheRightsOfRing0) {
  UseRing3();
  uint64_t value = 0;
  ExpectDone(Read(0x5000, value, Accessor::kProcessor));
}

TEST_F(GuestLinearMemoryTest, SmapClosesUserPagesToRing0) {
  cpu_.sregs.cr4 |= 1 << 21;
  uint64_t value = 0;
  ExpectFault(Read(0x8000, value), 0x8000, 1);
  cpu_.regs.rflags |= 1 << 18;
  ExpectDone(Read(0x8000, value));
  ExpectFault(Read(0x8000, value, Accessor::kProcessor), 0x8000, 1);
}

TEST_F(GuestLinearMemoryTest, WhatIsNoMemoryIsRefused) {
  uint64_t value = 0;
  EXPECT_THAT(Read(0xa000, value), StatusIs(absl::StatusCode::kUnavailable));
  EXPECT_THAT(Write(0xa000, 1), StatusIs(absl::StatusCode::kUnavailable));
}

TEST_F(GuestLinearMemoryTest, MemoryThatCannotBeWrittenIsRefused) {
  map_.Add(16, 17, Protection::kRead);
  Map(11, 0x10000 | kSupervisorPage);
  EXPECT_THAT(Write(0xb000, 1), StatusIs(absl::StatusCode::kUnavailable));
}

TEST_F(GuestLinearMemoryTest, AddressesOf32BitsWrap) {
  cpu_ = ProtectedModeCpu();
  map_.Add(0xfffff, 0x100000);
  uint64_t value = 0;
  Put(0, 0x55);
  ExpectDone(Read(0xfffffffc, value));
  EXPECT_EQ(value, uint64_t{0x55} << 32);
}

TEST_F(GuestLinearMemoryTest, AddressesOfTheProcessorHave64BitsUnder32BitCodeOfLongMode) {
  cpu_.sregs.cs.l = 0;
  cpu_.sregs.cs.db = 1;
  // Linear page 5 above 4 GiB.
  Put(0x2000 + 8 * 4, 0xa000 | kSupervisorPage);
  Put(0xa000, 0xb000 | kSupervisorPage);
  Put(0xb000 + 8 * 5, 0xc000 | kSupervisorPage);
  Put(0xc010, 0xaa);
  Put(0x5010, 0x55);
  uint64_t value = 0;

  ExpectDone(Read(0x1'0000'5010, value, Accessor::kProcessor));
  EXPECT_EQ(value, 0xaau);
  ExpectDone(Read(0x1'0000'5010, value, Accessor::kInstruction));
  EXPECT_EQ(value, 0x55u);
}

TEST_F(GuestLinearMemoryTest, CompareExchangeStoresOnlyIfEqual) {
  Put(0x5010, 1);
  Put(0x5018, 2);
  GuestLinearMemory memory(memory_, cpu_);
  DoubleQuadword expected = {1, 3};
  ExpectDone(memory.CompareExchange(0x5010, expected, {8, 9}));
  EXPECT_EQ(expected, (DoubleQuadword{1, 2}));
  EXPECT_EQ(At(0x5010), 1u);

  ExpectDone(memory.CompareExchange(0x5010, expected, {8, 9}));

  EXPECT_EQ(expected, (DoubleQuadword{1, 2}));
  EXPECT_EQ(At(0x5010), 8u);
  EXPECT_EQ(At(0x5018), 9u);
}

TEST_F(GuestLinearMemoryTest, CompareExchangeIsAWriteEvenIfNotEqual) {
  GuestLinearMemory memory(memory_, cpu_);
  DoubleQuadword expected = {1, 1};
  ExpectFault(memory.CompareExchange(0x7000, expected, {8, 9}), 0x7000, 3);
  EXPECT_EQ(expected, (DoubleQuadword{1, 1}));
}

}  // namespace
}  // namespace vmwire
