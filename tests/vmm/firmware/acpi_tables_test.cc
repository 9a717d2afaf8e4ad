// The tables as a guest finds them: from the RSDP, by the offsets of the specification (ACPI 6.4,
// 5.2), none of them taken from the code under test.
#include "vmm/firmware/acpi_tables.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <optional>
#include <string>
#include <tuple>
#include <utility>
#include <vector>

#include "tests/vmm/firmware/firmware_memory.h"

namespace vmwire {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::Not;

constexpr uint64_t kRsdp = 0xe0000;

class AcpiTables : public testing::Test {
 protected:
  void Make(uint32_t cpus = 1, uint32_t devices = 0) {
    const TestFacts facts(cpus, devices);
    memory_.emplace(MakeAcpiTables(facts.facts()));
  }
  // The addresses that the XSDT has.
  std::vector<uint64_t> Roots() const {
    const uint64_t xsdt = memory_->U64(kRsdp + 24);
    std::vector<uint64_t> tables;
    for (uint64_t at = 36; at < memory_->U32(xsdt + 4); at += 8) {
      tables.push_back(memory_->U64(xsdt + at));
    }
    return tables;
  }
  uint64_t Find(const std::string& signature) const {
    for (const uint64_t table : Roots()) {
      if (memory_->Text(table, 4) == signature) return table;
    }
    ADD_FAILURE() << "no " << signature;
    return 0;
  }
  // The entries of the MADT, by their offset, in order: type and address.
  std::vector<std::pair<int, uint64_t>> MadtEntries() const {
    const uint64_t madt = Find("APIC");
    std::vector<std::pair<int, uint64_t>> entries;
    uint64_t at = madt + 44;
    while (at < madt + memory_->U32(madt + 4)) {
      entries.emplace_back(memory_->U8(at), at);
      at += memory_->U8(at + 1);
    }
    EXPECT_EQ(at, madt + memory_->U32(madt + 4)) << "the entries fill the table";
    return entries;
  }
  std::vector<uint64_t> MadtEntriesOf(int type) const {
    std::vector<uint64_t> found;
    for (const auto& [entry_type, address] : MadtEntries()) {
      if (entry_type == type) found.push_back(address);
    }
    return found;
  }
  std::string Dsdt() const {
    const uint64_t dsdt = memory_->U32(Find("FACP") + 40);
    return memory_->Text(dsdt, memory_->U32(dsdt + 4));
  }

  std::optional<FirmwareMemory> memory_;
};

TEST_F(AcpiTables, RsdpIsRevisionTwoWithBothChecksums) {
  Make();
  EXPECT_EQ(memory_->Text(kRsdp, 8), "RSD PTR ");
  EXPECT_EQ(memory_->U8(kRsdp + 15), 2);
  EXPECT_EQ(memory_->U32(kRsdp + 20), 36u);
  EXPECT_EQ(memory_->Sum(kRsdp, 20), 0);
  EXPECT_EQ(memory_->Sum(kRsdp, 36), 0);
}

TEST_F(AcpiTables, RsdpIsTheFirstBlock) {
  const TestFacts facts;
  const std::vector<BootBlock> blocks = MakeAcpiTables(facts.facts());
  EXPECT_EQ(blocks.front().address, kRsdpAddress);
  EXPECT_EQ(blocks.front().bytes.size(), 36u);
}

TEST_F(AcpiTables, BothRootsNameTheSameTables) {
  Make();
  const uint64_t rsdt = memory_->U32(kRsdp + 16);
  EXPECT_EQ(memory_->Text(rsdt, 4), "RSDT");
  EXPECT_EQ(memory_->Text(memory_->U64(kRsdp + 24), 4), "XSDT");
  std::vector<uint64_t> tables;
  for (uint64_t at = 36; at < memory_->U32(rsdt + 4); at += 4) {
    tables.push_back(memory_->U32(rsdt + at));
  }
  EXPECT_EQ(tables, Roots());
  EXPECT_THAT(tables, ElementsAre(Find("FACP"), Find("APIC")));
}

TEST_F(AcpiTables, FadtTellsOfThePowerManagementPorts) {
  Make();
  const uint64_t fadt = Find("FACP");
  EXPECT_EQ(memory_->U32(fadt + 4), 276u);
  EXPECT_EQ(memory_->U8(fadt + 8), 6);
  EXPECT_EQ(memory_->U16(fadt + 46), 9) << "SCI_INT";
  EXPECT_EQ(memory_->U32(fadt + 48), 0u) << "SMI_CMD: ACPI is always on";
  EXPECT_EQ(memory_->U32(fadt + 56), 0x600u) << "PM1a_EVT_BLK";
  EXPECT_EQ(memory_->U32(fadt + 64), 0x604u) << "PM1a_CNT_BLK";
  EXPECT_EQ(memory_->U32(fadt + 76), 0x608u) << "PM_TMR_BLK";
  EXPECT_EQ(memory_->U8(fadt + 88), 4) << "PM1_EVT_LEN";
  EXPECT_EQ(memory_->U8(fadt + 89), 2) << "PM1_CNT_LEN";
  EXPECT_EQ(memory_->U8(fadt + 91), 4) << "PM_TMR_LEN";
  EXPECT_EQ(memory_->U8(fadt + 108), 0x32) << "CENTURY";
}

TEST_F(AcpiTables, ExtendedAddressesAgreeWithTheOldOnes) {
  Make();
  const uint64_t fadt = Find("FACP");
  const std::vector<std::tuple<int, int, int>> blocks = {
      {148, 56, 32}, {172, 64, 16}, {208, 76, 32}};  // X_ block, block, bits.
  for (const auto& [extended, old, bits] : blocks) {
    const uint64_t at = fadt + static_cast<uint64_t>(extended);
    EXPECT_EQ(memory_->U8(at), 1) << "I/O space, at " << extended;
    EXPECT_EQ(memory_->U8(at + 1), bits) << extended;
    EXPECT_EQ(memory_->U64(at + 4), memory_->U32(fadt + static_cast<uint64_t>(old))) << extended;
  }
  EXPECT_EQ(memory_->U64(fadt + 140), memory_->U32(fadt + 40)) << "X_DSDT";
}

TEST_F(AcpiTables, FadtHasTheResetRegister) {
  Make();
  const uint64_t fadt = Find("FACP");
  EXPECT_EQ(memory_->U32(fadt + 112) >> 10 & 1, 1u) << "RESET_REG_SUP";
  EXPECT_EQ(memory_->U32(fadt + 116), 0x01000801u) << "I/O, 8 bits, byte access";
  EXPECT_EQ(memory_->U64(fadt + 120), 0xcf9u);
  EXPECT_EQ(memory_->U8(fadt + 128), 0x06);
}

TEST_F(AcpiTables, FadtFlagsAreOfFullHardwareWithoutButtons) {
  Make();
  const uint64_t fadt = Find("FACP");
  EXPECT_EQ(memory_->U32(fadt + 112), 0x575u)
      << "WBINVD, PROC_C1, PWR_BUTTON, SLP_BUTTON, FIX_RTC, TMR_VAL_EXT, RESET_REG_SUP";
  EXPECT_EQ(memory_->U16(fadt + 109), 0x7) << "legacy devices, 8042, no VGA";
}

TEST_F(AcpiTables, FacsIsAlignedAndOpen) {
  Make();
  const uint64_t facs = memory_->U32(Find("FACP") + 36);
  EXPECT_EQ(facs % 64, 0u);
  EXPECT_EQ(memory_->Text(facs, 4), "FACS");
  EXPECT_EQ(memory_->U32(facs + 4), 64u);
  EXPECT_EQ(memory_->U32(facs + 16), 0u) << "the global lock is free";
}

TEST_F(AcpiTables, MadtHasTheIoApicAndThePics) {
  Make();
  const uint64_t madt = Find("APIC");
  EXPECT_EQ(memory_->U32(madt + 36), 0xfee00000u);
  EXPECT_EQ(memory_->U32(madt + 40), 1u) << "PCAT_COMPAT";
  const std::vector<uint64_t> io_apics = MadtEntriesOf(1);
  ASSERT_EQ(io_apics.size(), 1u);
  EXPECT_EQ(memory_->U8(io_apics[0] + 2), 0) << "id";
  EXPECT_EQ(memory_->U32(io_apics[0] + 4), 0xfec00000u);
  EXPECT_EQ(memory_->U32(io_apics[0] + 8), 0u);
}

TEST_F(AcpiTables, OnlyTheSciIsOverridden) {
  Make();
  const std::vector<uint64_t> overrides = MadtEntriesOf(2);
  ASSERT_EQ(overrides.size(), 1u) << "IRQ 0 is pin 0, as KVM routes it";
  EXPECT_EQ(memory_->U8(overrides[0] + 3), 9);
  EXPECT_EQ(memory_->U32(overrides[0] + 4), 9u);
  EXPECT_EQ(memory_->U16(overrides[0] + 8), 0xd) << "level, active high";
}

TEST_F(AcpiTables, NmiIsAtLint1OfAll) {
  Make();
  const std::vector<uint64_t> nmis = MadtEntriesOf(4);
  ASSERT_EQ(nmis.size(), 1u);
  EXPECT_EQ(memory_->U8(nmis[0] + 2), 0xff);
  EXPECT_EQ(memory_->U8(nmis[0] + 5), 1);
}

TEST_F(AcpiTables, DevicesOfAnotherKindAreLeftOut) {
  TestFacts facts(1, 2);
  facts.devices()[0].kind = DeviceKind::kDmaEngine;
  memory_.emplace(MakeAcpiTables(facts.facts()));
  EXPECT_THAT(Dsdt(), Not(HasSubstr("VR00")));
  EXPECT_THAT(Dsdt(), HasSubstr("VR01"));
}

TEST_F(AcpiTables, MostCpusAndDevicesHaveRoom) {
  Make(255, kMaxBootInfoDevices);
  EXPECT_THAT(Dsdt(), HasSubstr("C0FE"));
}

TEST_F(AcpiTables, MemoryOfAnySizeMakesTheSameTables) {
  const TestFacts small(2, 3);
  const std::vector<BootBlock> expected = MakeAcpiTables(small.facts());
  for (const uint64_t size : {3 * kGiB, 3 * kGiB + 4096, 8 * kGiB}) {
    const TestFacts facts(2, 3, size);
    const std::vector<BootBlock> blocks = MakeAcpiTables(facts.facts());
    ASSERT_EQ(blocks.size(), expected.size());
    for (size_t i = 0; i < blocks.size(); ++i) EXPECT_EQ(blocks[i].bytes, expected[i].bytes);
  }
}

class AcpiTablesOfSizes : public AcpiTables,
                          public testing::WithParamInterface<std::tuple<uint32_t, uint32_t>> {};

TEST_P(AcpiTablesOfSizes, EveryTableHasItsChecksumAndPlace) {
  const auto [cpus, devices] = GetParam();
  Make(cpus, devices);
  std::vector<uint64_t> tables = Roots();
  tables.push_back(memory_->U32(kRsdp + 16));
  tables.push_back(memory_->U64(kRsdp + 24));
  tables.push_back(memory_->U32(Find("FACP") + 40));
  for (const uint64_t table : tables) {
    const uint32_t length = memory_->U32(table + 4);
    EXPECT_EQ(memory_->Sum(table, length), 0) << memory_->Text(table, 4);
    EXPECT_EQ(table % 16, 0u);
    EXPECT_LE(table + length, 0xf0000u);
  }
}

TEST_P(AcpiTablesOfSizes, EachCpuHasALocalApicAndAProcessor) {
  const auto [cpus, devices] = GetParam();
  Make(cpus, devices);
  const std::vector<uint64_t> apics = MadtEntriesOf(0);
  ASSERT_EQ(apics.size(), cpus);
  for (uint32_t i = 0; i < cpus; ++i) {
    EXPECT_EQ(memory_->U8(apics[i] + 2), i) << "_UID";
    EXPECT_EQ(memory_->U8(apics[i] + 3), i) << "APIC id";
    EXPECT_EQ(memory_->U32(apics[i] + 4), 1u) << "enabled";
  }
  const std::string last = {'C', '0', "0123456789ABCDEF"[(cpus - 1) / 16],
                            "0123456789ABCDEF"[(cpus - 1) % 16]};
  EXPECT_THAT(Dsdt(), HasSubstr(last));
}

INSTANTIATE_TEST_SUITE_P(Machines, AcpiTablesOfSizes,
                         testing::Combine(testing::Values(1, 2, 255),
                                          testing::Values(0, 1, 9, 32)));

TEST(AcpiTablesDeathTest, NoCpusAndTooManyAreOurBug) {
  for (const uint32_t cpus : {0u, 256u}) {
    const TestFacts facts(cpus);
    EXPECT_DEATH(MakeAcpiTables(facts.facts()), "too many CPUs, or none");
  }
}

}  // namespace
}  // namespace vmwire
