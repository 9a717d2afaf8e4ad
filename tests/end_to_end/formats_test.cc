// Guests of ELF32 and of the boot protocols of others, launched by the command on the real KVM, and
// what inspect says of them.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstddef>
#include <cstdio>
#include <string>
#include <vector>

#include "tests/end_to_end/command.h"
#include "tests/vmm/boot/elf_builder.h"

namespace vmwire {
namespace {

using std::string_literals::operator""s;
using testing::EndsWith;
using testing::HasSubstr;
using testing::MatchesRegex;

// Of a hang: each of these guests ends within a second, also where its code is emulated.
const std::vector<std::string> kTimeLimit = {"--timeout", "60s"};

// `vmwire run` of a guest with `options`, and with a time limit.
ProcessResult Launch(const std::string& guest, std::vector<std::string> options = {}) {
  std::vector<std::string> command = {"run", GuestPath(guest)};
  command.insert(command.end(), options.begin(), options.end());
  command.insert(command.end(), kTimeLimit.begin(), kTimeLimit.end());
  return Vmwire(command);
}

// What the guests print of a module: 'module "TEXT", N bytes, sum 0xS: FIRST LINE'.
std::string ModuleLine(const std::string& text, const std::string& content) {
  unsigned sum = 0;
  for (const char c : content) sum += static_cast<unsigned char>(c);
  char digits[16];
  snprintf(digits, sizeof(digits), "%x", sum);
  return "module \"" + text + "\", " + std::to_string(content.size()) + " bytes, sum 0x" + digits +
         ": " + content.substr(0, content.find('\n')) + "\n";
}

// The guests that print what they were told, by their names; each prints "NAME: all well" last.
class FormatsTest : public LaunchTest, public testing::WithParamInterface<std::string> {};

INSTANTIATE_TEST_SUITE_P(All, FormatsTest, testing::Values("multiboot", "multiboot2", "pvh"),
                         [](const testing::TestParamInfo<std::string>& info) {
                           return info.param;
                         });

TEST_P(FormatsTest, TheGuestRunsToItsLastLine) {
  const ProcessResult result = Launch(GetParam());
  EXPECT_EQ(result.exit_status, 0) << result.err;
  EXPECT_THAT(result.out, EndsWith(GetParam() + ": all well\n"));
}

TEST_P(FormatsTest, TheCommandLineIsPassedOn) {
  const ProcessResult result = Launch(GetParam(), {"--cmdline", "alpha beta=2"});
  EXPECT_EQ(result.exit_status, 0) << result.err;
  EXPECT_THAT(result.out, HasSubstr(": command line \""));
  EXPECT_THAT(result.out, HasSubstr("alpha beta=2\"\n"));
}

TEST_P(FormatsTest, AModuleIsPassedOnWithItsText) {
  const ScratchFolder scratch;
  const std::string content = "the first line\n" + std::string(70000, '\xa5');
  const ProcessResult result =
      Launch(GetParam(), {"--module", scratch.File("module", content) + ",one two"});
  EXPECT_EQ(result.exit_status, 0) << result.err;
  EXPECT_THAT(result.out, HasSubstr(ModuleLine("one two", content)));
}

TEST_P(FormatsTest, TheMemoryMapHasAllOfMemoryOnBothSidesOfTheHole) {
  if (const auto reason = CannotHave(uint64_t{5} << 30)) GTEST_SKIP() << *reason;
  const ProcessResult result = Launch(GetParam(), {"--memory", "5G", "--wire", "none"});
  EXPECT_EQ(result.exit_status, 0) << result.err;
  EXPECT_THAT(result.out, HasSubstr("memory 0x100000 to 0xc0000000, usable\n"));
  EXPECT_THAT(result.out, HasSubstr("memory 0x100000000 to 0x180000000, usable\n"));
}

TEST_P(FormatsTest, ExpectEndsTheRunAtTheLine) {
  const ProcessResult result = Launch(GetParam(), {"--expect", "memory 0x0 to .*usable"});
  EXPECT_EQ(result.exit_status, 0) << result.err;
}

TEST_P(FormatsTest, InspectSaysWhatItIs) {
  const ProcessResult result = Vmwire({"inspect", GuestPath(GetParam())});
  EXPECT_EQ(result.exit_status, 0) << result.err;
  const std::string format = GetParam() == "pvh" ? "PVH" : GetParam();
  EXPECT_THAT(result.out, HasSubstr("format        " + format + ", "));
}

class ModulesTest : public LaunchTest, public testing::WithParamInterface<std::string> {};

INSTANTIATE_TEST_SUITE_P(All, ModulesTest, testing::Values("multiboot", "multiboot2"),
                         [](const testing::TestParamInfo<std::string>& info) {
                           return info.param;
                         });

TEST_P(ModulesTest, ModulesComeInTheirOrderEachOnAPageOfItsOwn) {
  const ScratchFolder scratch;
  const ProcessResult result = Launch(GetParam(), {"--module", scratch.File("a", "first") + ",A",
                                                   "--module", scratch.File("b", "second") + ",B"});
  // The guest ends with 3 if a module does not begin a page, as its header asks.
  EXPECT_EQ(result.exit_status, 0) << result.err;
  EXPECT_THAT(result.out,
              HasSubstr(ModuleLine("A", "first") + GetParam() + ": " + ModuleLine("B", "second")));
}

TEST_F(LaunchTest, AMultibootLoaderGivesItsName) {
  for (const std::string guest : {"multiboot", "multiboot2"})
    EXPECT_THAT(Launch(guest).out, HasSubstr(guest + ": started by vmwire\n"));
}

TEST_F(LaunchTest, APvhKernelFindsAcpi) {
  EXPECT_THAT(Launch("pvh").out, HasSubstr("pvh: started, version 1, with ACPI\n"));
}

TEST_F(LaunchTest, APvhKernelTakesOneModuleOnly) {
  const ScratchFolder scratch;
  const std::string module = scratch.File("module", "x");
  const ProcessResult result = Launch("pvh", {"--module", module, "--module", module});
  EXPECT_EQ(result.exit_status, 2);
  EXPECT_THAT(result.err, HasSubstr("takes one module"));
  EXPECT_EQ(result.out, "");
}

// By the number of CPUs.
class SmpTest : public LaunchTest, public testing::WithParamInterface<int> {};

INSTANTIATE_TEST_SUITE_P(All, SmpTest, testing::Values(1, 2, 4));

TEST_P(SmpTest, EveryCpuStartsAndWorksOnAPartOfMemory) {
  if (const auto reason = CannotWire(32 << 20)) GTEST_SKIP() << *reason;
  const std::string cpus = std::to_string(GetParam());
  const ProcessResult result = Launch("smp", {"--cpus", cpus, "--memory", "32M"});
  EXPECT_EQ(result.exit_status, 0) << result.err;
  EXPECT_THAT(result.out, MatchesRegex("smp: " + cpus + " cpus?, [0-9]+ MiB each, all well\n"));
}

TEST_P(SmpTest, EveryCpuStartsInMemoryThatIsNotWired) {
  const std::string cpus = std::to_string(GetParam());
  const ProcessResult result = Launch("smp", {"--cpus", cpus, "--memory", "32M", "--wire", "none"});
  EXPECT_EQ(result.exit_status, 0) << result.err;
  EXPECT_THAT(result.out, HasSubstr("all well"));
}

TEST_F(LaunchTest, AMultibootKernelIsRefusedAsAnotherFormatThanItIs) {
  const ProcessResult result = Launch("multiboot", {"--format", "pvh"});
  EXPECT_EQ(result.exit_status, 2);
  EXPECT_THAT(result.err, HasSubstr("no PVH entry"));
}

// An ELF32 image of our own protocol, which prints the first four bytes of the boot info that EBX
// points to and ends with the code 7.
std::string Elf32Guest() {
  Elf32Builder elf;
  elf.AddCode(
      "\xba\xf8\x03\x00\x00"                              // mov edx, 0x3f8
      "\x8b\x03"                                          // mov eax, [ebx]
      "\xee\xc1\xe8\x08\xee\xc1\xe8\x08\xee\xc1\xe8\x08"  // out dx, al; shr eax, 8: three times
      "\xee\xb0\x0a\xee"                                  // out dx, al; mov al, 10; out dx, al
      "\x66\xba\x00\x05\xb0\x07\xee\xf4"s  // mov dx, 0x500; mov al, 7; out dx, al; hlt
  );
  const std::vector<std::byte> bytes = elf.Build();
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

TEST_F(LaunchTest, AnElf32ImageStartsInProtected32WithBootInfo) {
  const ScratchFolder scratch;
  const std::string image = scratch.File("image", Elf32Guest());
  const ProcessResult result = Vmwire({"run", image, "--timeout", "60s"});
  EXPECT_EQ(result.exit_status, 16 + 7) << result.err;
  EXPECT_EQ(result.out, "VMWI\n");
}

TEST(InspectTest, AnElf32ImageIsToldWithItsStart) {
  const ScratchFolder scratch;
  const ProcessResult result = Vmwire({"inspect", scratch.File("image", Elf32Guest())});
  EXPECT_EQ(result.exit_status, 0) << result.err;
  EXPECT_THAT(result.out, HasSubstr("ELF32 i386, static"));
  EXPECT_THAT(result.out, HasSubstr("protected32"));
}

TEST(InspectTest, AStartModeThatAnElf32ImageDoesNotHaveIsRefused) {
  const ScratchFolder scratch;
  const ProcessResult result =
      Vmwire({"inspect", scratch.File("image", Elf32Guest()), "--start", "long64-ring3"});
  EXPECT_EQ(result.exit_status, 2);
  EXPECT_THAT(result.err, HasSubstr("--start"));
}

// What only the plan of a start finds, and `run` refuses.
TEST(InspectTest, ACommandLineThatIsTooLongIsRefused) {
  for (const std::string guest : {"multiboot", "multiboot2", "pvh"}) {
    const ProcessResult result =
        Vmwire({"inspect", GuestPath(guest), "--cmdline", std::string(5000, 'x')});
    EXPECT_EQ(result.exit_status, 2) << guest;
    EXPECT_THAT(result.err, HasSubstr("refused: ")) << guest;
    EXPECT_THAT(result.err, HasSubstr("command line")) << guest;
  }
}

TEST(InspectTest, ACommandLineThatFitsIsTaken) {
  for (const std::string guest : {"multiboot", "multiboot2", "pvh"}) {
    const ProcessResult result =
        Vmwire({"inspect", GuestPath(guest), "--cmdline", std::string(1000, 'x')});
    EXPECT_EQ(result.exit_status, 0) << guest << ": " << result.err;
  }
}

}  // namespace
}  // namespace vmwire
