// The tables as ACPICA's own disassembler reads them: an implementation that shares nothing with
// ours, and is the one that Linux has.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cctype>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <string>
#include <tuple>
#include <vector>

#include "tests/support/process.h"
#include "tests/vmm/firmware/firmware_memory.h"
#include "vmm/firmware/acpi_tables.h"

namespace vmwire {
namespace {

using testing::ContainsRegex;
using testing::HasSubstr;
using testing::Not;

ProcessResult Iasl(std::vector<std::string> arguments) {
  arguments.insert(arguments.begin(), {"/usr/bin/env", "iasl"});
  return Process::Run(arguments);
}

std::string ReadText(const std::filesystem::path& path) {
  std::ifstream file(path);
  std::stringstream text;
  text << file.rdbuf();
  return text.str();
}

// One space for any run of white space, so that layout does not matter; and no backslashes, which
// iasl leaves out where the name is of the root anyway.
std::string Squeezed(const std::string& text) {
  std::string squeezed;
  for (const char c : text) {
    const bool space = std::isspace(static_cast<unsigned char>(c)) != 0;
    if (c == '\\') continue;
    if (space && !squeezed.empty() && squeezed.back() == ' ') continue;
    squeezed += space ? ' ' : c;
  }
  return squeezed;
}

class AcpiIasl : public testing::TestWithParam<std::tuple<uint32_t, uint32_t>> {
 protected:
  void SetUp() override {
    if (Iasl({"-v"}).exit_status != 0) GTEST_SKIP() << "no iasl here (package acpica-tools)";
    std::string name = testing::TempDir() + "vmwire-iasl-XXXXXX";
    ASSERT_NE(mkdtemp(name.data()), nullptr);
    directory_ = name;
  }
  void TearDown() override {
    if (!directory_.empty()) std::filesystem::remove_all(directory_);
  }

  // The source that iasl makes of `block`; its path is left in dsl_.
  std::string Disassemble(const BootBlock& block) {
    const std::filesystem::path table = directory_ / "table.aml";
    std::ofstream(table, std::ios::binary)
        .write(reinterpret_cast<const char*>(block.bytes.data()),
               static_cast<std::streamsize>(block.bytes.size()));
    dsl_ = directory_ / "table.dsl";
    std::filesystem::remove(dsl_);
    const ProcessResult result = Iasl({"-d", table.string()});
    EXPECT_EQ(result.exit_status, 0) << result.out << result.err;
    const std::string output = result.out + result.err;
    EXPECT_THAT(output, Not(HasSubstr("Invalid")));
    EXPECT_THAT(output, Not(HasSubstr("Incorrect checksum")));
    EXPECT_THAT(output, Not(HasSubstr("Warning")));
    EXPECT_THAT(output, Not(HasSubstr("Error")));
    const std::string text = ReadText(dsl_);
    EXPECT_THAT(text, Not(HasSubstr("should be"))) << "as iasl marks a wrong checksum";
    return Squeezed(text);
  }
  // `signature`'s block; the RSDP's is "RSD ".
  static BootBlock Find(const std::vector<BootBlock>& blocks, const std::string& signature) {
    for (const BootBlock& block : blocks) {
      if (std::memcmp(block.bytes.data(), signature.data(), 4) == 0) return block;
    }
    ADD_FAILURE() << "no " << signature;
    return {};
  }

  std::filesystem::path directory_;
  std::filesystem::path dsl_;
};

TEST_P(AcpiIasl, EveryTableIsReadWithoutComplaint) {
  const auto [cpus, devices] = GetParam();
  const TestFacts facts(cpus, devices);
  for (const BootBlock& block : MakeAcpiTables(facts.facts())) {
    // An RSDP is none of the tables that iasl reads, not even one that it wrote itself.
    if (block.address == kRsdpAddress) continue;
    EXPECT_FALSE(Disassemble(block).empty());
  }
}

TEST_P(AcpiIasl, DsdtHasTheDevicesAndCompilesAgain) {
  const auto [cpus, devices] = GetParam();
  const TestFacts facts(cpus, devices);
  const std::string source = Disassemble(Find(MakeAcpiTables(facts.facts()), "DSDT"));

  EXPECT_THAT(source, HasSubstr("Name (_HID, EisaId (\"PNP0501\")"));
  EXPECT_THAT(source, HasSubstr("IO (Decode16, 0x03F8, // Range Minimum 0x03F8, // Range Maximum"));
  EXPECT_THAT(source, HasSubstr("IRQNoFlags () {4}"));
  EXPECT_THAT(source, HasSubstr("EisaId (\"PNP0303\")"));
  EXPECT_THAT(source, HasSubstr("EisaId (\"PNP0B00\")"));
  EXPECT_THAT(source, ContainsRegex("Name \\(_S5, Package \\(0x04\\)[^{]*\\{ 0x05, Zero, "));
  const auto count = [&source](const std::string& what) {
    size_t found = 0;
    for (size_t at = source.find(what); at != std::string::npos; at = source.find(what, at + 1)) {
      ++found;
    }
    return found;
  };
  EXPECT_EQ(count("Name (_HID, \"ACPI0007\""), cpus);
  EXPECT_EQ(count("Name (_HID, \"LNRO0005\""), devices);
  EXPECT_EQ(count("Memory32Fixed (ReadWrite,"), devices);
  EXPECT_EQ(count("Interrupt (ResourceConsumer, Edge, ActiveHigh, Exclusive, ,, )"),
            devices - devices / 4);

  const ProcessResult compiled = Iasl({"-p", (directory_ / "again").string(), dsl_});
  EXPECT_EQ(compiled.exit_status, 0) << compiled.out << compiled.err;
  EXPECT_THAT(compiled.out, HasSubstr("0 Errors")) << compiled.err;
}

TEST_P(AcpiIasl, RecompiledDsdtHasTheSameCode) {
  const auto [cpus, devices] = GetParam();
  const TestFacts facts(cpus, devices);
  const BootBlock dsdt = Find(MakeAcpiTables(facts.facts()), "DSDT");
  const std::string once = Disassemble(dsdt);
  ASSERT_EQ(Iasl({"-p", (directory_ / "again").string(), dsl_}).exit_status, 0);
  const std::string bytes = ReadText(directory_ / "again.aml");
  BootBlock again;
  for (const char c : bytes) again.bytes.push_back(static_cast<std::byte>(c));

  const std::string twice = Disassemble(again);

  const std::string start = "DefinitionBlock";
  ASSERT_NE(once.find(start), std::string::npos);
  EXPECT_EQ(once.substr(once.find(start)), twice.substr(twice.find(start)));
}

INSTANTIATE_TEST_SUITE_P(Machines, AcpiIasl,
                         testing::Combine(testing::Values(1, 2, 255),
                                          testing::Values(0, 1, 9, 32)));

TEST_F(AcpiIasl, VirtioDevicesHaveTheirWindowsAndInterrupts) {
  const TestFacts facts(1, 2);
  const std::string source = Disassemble(Find(MakeAcpiTables(facts.facts()), "DSDT"));

  EXPECT_THAT(source, HasSubstr("Device (VR01) { Name (_HID, \"LNRO0005\")"));
  EXPECT_THAT(source, HasSubstr("Memory32Fixed (ReadWrite, 0xD0001000, // Address Base 0x00001000, "
                                "// Address Length ) Interrupt (ResourceConsumer, Edge, "
                                "ActiveHigh, Exclusive, ,, ) { 0x00000006, }"));
}

TEST_F(AcpiIasl, PinsThatOnlyTheIoApicHasAreInterruptsLikeOthers) {
  TestFacts facts(1, 1);
  facts.devices()[0].irq = 23;
  const std::string source = Disassemble(Find(MakeAcpiTables(facts.facts()), "DSDT"));

  EXPECT_THAT(source, HasSubstr("Interrupt (ResourceConsumer, Edge, ActiveHigh, Exclusive, ,, ) "
                                "{ 0x00000017, }"));
}

TEST_F(AcpiIasl, FixedTablesSayWhatTheyShould) {
  const TestFacts facts(1, 0);
  const std::vector<BootBlock> blocks = MakeAcpiTables(facts.facts());
  const std::string fadt = Disassemble(Find(blocks, "FACP"));
  EXPECT_THAT(fadt, HasSubstr("Reset Register Supported (V2) : 1"));
  EXPECT_THAT(fadt, HasSubstr("Hardware Reduced (V5) : 0"));
  EXPECT_THAT(fadt, HasSubstr("32-bit PM Timer (V1) : 1"));
  EXPECT_THAT(fadt, HasSubstr("8042 Present on ports 60/64 (V2) : 1"));
  EXPECT_THAT(fadt, HasSubstr("RTC Century Index : 32"));
  const std::string madt = Disassemble(Find(blocks, "APIC"));
  EXPECT_THAT(madt, HasSubstr("Local Apic Address : FEE00000"));
  EXPECT_THAT(madt, HasSubstr("Subtable Type : 02 [Interrupt Source Override]"));
  EXPECT_THAT(madt, HasSubstr("Interrupt Input LINT : 01"));
}

}  // namespace
}  // namespace vmwire
