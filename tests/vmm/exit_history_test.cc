#include "vmm/exit_history.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstring>
#include <vector>

namespace vmwire {
namespace {

using testing::AllOf;
using testing::HasSubstr;
using testing::Not;
using testing::SizeIs;

class ExitHistoryTest : public testing::Test {
 protected:
  kvm_run& run() { return *reinterpret_cast<kvm_run*>(page_.data()); }
  void Port(uint8_t direction, uint16_t port, uint8_t value) {
    run().exit_reason = KVM_EXIT_IO;
    run().io.direction = direction;
    run().io.port = port;
    run().io.size = 1;
    run().io.count = 1;
    run().io.data_offset = kData;
    page_[kData] = std::byte{value};
    history_.Add(run(), page_);
  }
  void Other(uint32_t reason) {
    run().exit_reason = reason;
    history_.Add(run(), page_);
  }

  static constexpr size_t kData = 4096;
  alignas(kvm_run) std::array<std::byte, 8192> page_ = {};
  ExitHistory history_;
};

TEST_F(ExitHistoryTest, PortAccessKeepsItsDirectionPortAndValue) {
  Port(KVM_EXIT_IO_OUT, 0x3f8, 'A');
  Port(KVM_EXIT_IO_IN, 0x3fd, 0x60);

  EXPECT_EQ(history_.ToString(),
            "  last exits, of 2:\n"
            "    1  KVM_EXIT_IO  out port 0x3f8, 1 byte: 0x41\n"
            "    2  KVM_EXIT_IO  in port 0x3fd, 1 byte: 0x60\n");
}

TEST_F(ExitHistoryTest, EqualExitsInARowAreOneRecord) {
  for (int i = 0; i < 3; ++i) Port(KVM_EXIT_IO_IN, 0x3fd, 0x60);
  Port(KVM_EXIT_IO_IN, 0x3fd, 0x61);

  const std::vector<ExitRecord> records = history_.Records();

  ASSERT_THAT(records, SizeIs(2));
  EXPECT_EQ(records[0].first, 1u);
  EXPECT_EQ(records[0].count, 3u);
  EXPECT_EQ(records[1].first, 4u);
  EXPECT_EQ(history_.total(), 4u);
  EXPECT_THAT(history_.ToString(), HasSubstr("    1 x3  KVM_EXIT_IO  in port 0x3fd"));
}

TEST_F(ExitHistoryTest, OnlyTheLastAreKeptOldestFirst) {
  for (uint32_t i = 0; i < kExitHistorySize + 8; ++i) {
    Port(KVM_EXIT_IO_OUT, static_cast<uint16_t>(i), 0);
  }

  const std::vector<ExitRecord> records = history_.Records();

  ASSERT_THAT(records, SizeIs(kExitHistorySize));
  EXPECT_EQ(records.front().address, 8u);
  EXPECT_EQ(records.back().address, kExitHistorySize + 7);
  EXPECT_EQ(records.back().first, kExitHistorySize + 8);
}

TEST_F(ExitHistoryTest, MmioKeepsAddressAndValue) {
  run().exit_reason = KVM_EXIT_MMIO;
  run().mmio.phys_addr = 0xd0000050;
  run().mmio.len = 4;
  run().mmio.is_write = 1;
  run().mmio.data[0] = 2;
  run().mmio.data[4] = 0x99;  // Not part of the access.
  history_.Add(run(), page_);

  EXPECT_THAT(history_.ToString(), HasSubstr("KVM_EXIT_MMIO  write 0xd0000050, 4 bytes: 0x2\n"));
}

TEST_F(ExitHistoryTest, StringInstructionSaysHowManyAccesses) {
  run().io.count = 100;
  run().io.size = 2;
  run().io.data_offset = kData;
  Other(KVM_EXIT_IO);

  EXPECT_THAT(history_.ToString(), HasSubstr("2 bytes x 100: 0x0\n"));
}

TEST_F(ExitHistoryTest, DataBeyondTheMappingAreNotRead) {
  run().io.size = 4;
  run().io.count = 1;
  run().io.data_offset = page_.size() - 3;
  Other(KVM_EXIT_IO);
  run().io.data_offset = UINT64_MAX;
  Other(KVM_EXIT_IO);

  EXPECT_FALSE(history_.Records().front().has_value);
  EXPECT_THAT(history_.ToString(), Not(HasSubstr(": 0x")));
}

TEST_F(ExitHistoryTest, MmioThatIsLongerThanThereIsRoomIsSurvived) {
  run().mmio.len = 4000;
  Other(KVM_EXIT_MMIO);

  EXPECT_EQ(history_.Records().front().size, 4000u);
}

TEST_F(ExitHistoryTest, OtherExitsAreNamedOnly) {
  run().mmio.phys_addr = 0x1234;
  Other(KVM_EXIT_HLT);
  Other(99);

  EXPECT_THAT(history_.ToString(),
              AllOf(HasSubstr("  1  KVM_EXIT_HLT\n"), HasSubstr("  2  KVM exit reason 99\n")));
}

TEST_F(ExitHistoryTest, NoExitIsSaidToBeNone) { EXPECT_EQ(history_.ToString(), "  no exits\n"); }

}  // namespace
}  // namespace vmwire
