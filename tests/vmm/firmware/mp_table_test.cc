// The table as a guest finds it, by the offsets of the MultiProcessor Specification 1.4, chapter 4.
#include "vmm/firmware/mp_table.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <optional>
#include <vector>

#include "tests/vmm/firmware/firmware_memory.h"

namespace vmwire {
namespace {

constexpr uint64_t kPointer = 0xf0000;

class MpTable : public testing::TestWithParam<uint32_t> {
 protected:
  void Make(uint32_t cpus) { Make(TestFacts(cpus, 9)); }
  void Make(const TestFacts& facts) {
    memory_.emplace(std::vector<BootBlock>{MakeMpTable(facts.facts())});
    table_ = memory_->U32(kPointer + 4);
  }
  // Addresses of the entries of a type, in order.
  std::vector<uint64_t> Entries(int type) const {
    std::vector<uint64_t> found;
    uint64_t at = table_ + 44;
    for (int i = 0; i < memory_->U16(table_ + 34); ++i) {
      if (memory_->U8(at) == type) found.push_back(at);
      at += memory_->U8(at) == 0 ? 20 : 8;
    }
    EXPECT_EQ(at, table_ + memory_->U16(table_ + 4)) << "the entries fill the table";
    return found;
  }

  std::optional<FirmwareMemory> memory_;
  uint64_t table_ = 0;
};

TEST_P(MpTable, BothChecksumsHold) {
  Make(GetParam());
  EXPECT_EQ(memory_->Text(kPointer, 4), "_MP_");
  EXPECT_EQ(memory_->U8(kPointer + 8), 1) << "length in paragraphs";
  EXPECT_EQ(memory_->U8(kPointer + 9), 4) << "specification 1.4";
  EXPECT_EQ(memory_->Sum(kPointer, 16), 0);
  EXPECT_EQ(memory_->Text(table_, 4), "PCMP");
  EXPECT_EQ(memory_->Sum(table_, memory_->U16(table_ + 4)), 0);
}

TEST_P(MpTable, EachCpuIsAProcessorAndTheFirstStarts) {
  Make(GetParam());
  const std::vector<uint64_t> processors = Entries(0);
  ASSERT_EQ(processors.size(), GetParam());
  for (size_t i = 0; i < processors.size(); ++i) {
    EXPECT_EQ(memory_->U8(processors[i] + 1), i) << "APIC id";
    EXPECT_EQ(memory_->U8(processors[i] + 3), i == 0 ? 3 : 1) << "enabled, and the first starts";
  }
}

INSTANTIATE_TEST_SUITE_P(Machines, MpTable, testing::Values(1, 2, 255));

TEST_F(MpTable, ApicsAreWhereKvmHasThem) {
  Make(1);
  EXPECT_EQ(memory_->U32(table_ + 36), 0xfee00000u);
  const std::vector<uint64_t> io_apics = Entries(2);
  ASSERT_EQ(io_apics.size(), 1u);
  EXPECT_EQ(memory_->U8(io_apics[0] + 1), 0) << "id";
  EXPECT_EQ(memory_->U8(io_apics[0] + 3), 1) << "enabled";
  EXPECT_EQ(memory_->U32(io_apics[0] + 4), 0xfec00000u);
}

TEST_F(MpTable, InterruptsOfTheIsaBusAreThePinsOfTheIoApic) {
  Make(1);
  const std::vector<uint64_t> buses = Entries(1);
  ASSERT_EQ(buses.size(), 1u);
  EXPECT_EQ(memory_->Text(buses[0] + 2, 6), "ISA   ");
  const std::vector<uint64_t> interrupts = Entries(3);
  ASSERT_EQ(interrupts.size(), 16u);
  for (size_t i = 0; i < interrupts.size(); ++i) {
    EXPECT_EQ(memory_->U8(interrupts[i] + 1), 0) << "INT";
    EXPECT_EQ(memory_->U16(interrupts[i] + 2), i == 9 ? 0xd : 0) << "the SCI is a level";
    EXPECT_EQ(memory_->U8(interrupts[i] + 4), memory_->U8(buses[0] + 1)) << "bus";
    EXPECT_EQ(memory_->U8(interrupts[i] + 5), i) << "IRQ";
    EXPECT_EQ(memory_->U8(interrupts[i] + 6), 0) << "I/O APIC";
    EXPECT_EQ(memory_->U8(interrupts[i] + 7), i) << "pin";
  }
}

TEST_F(MpTable, PicsAreAtLint0AndNmiAtLint1) {
  Make(2);
  const std::vector<uint64_t> interrupts = Entries(4);
  ASSERT_EQ(interrupts.size(), 2u);
  EXPECT_EQ(memory_->U8(interrupts[0] + 1), 3) << "ExtINT";
  EXPECT_EQ(memory_->U16(interrupts[0] + 6), 0x00ff) << "LINT0 of all";
  EXPECT_EQ(memory_->U8(interrupts[1] + 1), 1) << "NMI";
  EXPECT_EQ(memory_->U16(interrupts[1] + 6), 0x01ff) << "LINT1 of all";
}

TEST_F(MpTable, PinsFrom16OnAreThoseOfDevices) {
  TestFacts facts(1, 3);
  facts.devices()[0].irq = 15;
  facts.devices()[1].irq = 0;
  facts.devices()[2].irq = 23;
  Make(facts);
  const std::vector<uint64_t> interrupts = Entries(3);
  ASSERT_EQ(interrupts.size(), 17u);
  EXPECT_EQ(memory_->U8(interrupts[16] + 1), 0) << "INT";
  EXPECT_EQ(memory_->U16(interrupts[16] + 2), 0x5) << "edge, active high";
  EXPECT_EQ(memory_->U8(interrupts[16] + 5), 23) << "IRQ";
  EXPECT_EQ(memory_->U8(interrupts[16] + 6), 0) << "I/O APIC";
  EXPECT_EQ(memory_->U8(interrupts[16] + 7), 23) << "pin";
}

TEST_F(MpTable, MostCpusAndDevicesHaveRoom) {
  TestFacts facts(255, 32);
  for (BootInfoDevice& device : facts.devices()) device.irq = 23;
  Make(facts);
  EXPECT_EQ(Entries(0).size(), 255u);
  EXPECT_EQ(Entries(3).size(), 16u + 32u);
  EXPECT_EQ(memory_->Sum(table_, memory_->U16(table_ + 4)), 0);
}

TEST(MpTableDeathTest, NoCpusAndTooManyAreOurBug) {
  for (const uint32_t cpus : {0u, 256u}) {
    const TestFacts facts(cpus);
    EXPECT_DEATH(MakeMpTable(facts.facts()), "too many CPUs, or none");
  }
}

}  // namespace
}  // namespace vmwire
