// The guests of this project, launched by the command on the real KVM.
#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <unistd.h>

#include <cerrno>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <string>
#include <tuple>
#include <vector>

#include "tests/end_to_end/command.h"
#include "tests/support/eventually.h"

namespace vmwire {
namespace {

using testing::HasSubstr;
using testing::IsEmpty;
using testing::Not;
using testing::StartsWith;

// `vmwire run` of a flat real-mode image, and whatever comes after that.
std::vector<std::string> RunReal16(const std::string& image,
                                   const std::vector<std::string>& options = {}) {
  std::vector<std::string> command = {CommandPath(), "run",     image,   "--format",
                                      "flat",        "--start", "real16"};
  command.insert(command.end(), options.begin(), options.end());
  return command;
}

TEST_F(LaunchTest, HelloPrintsItsGreetingOnStdoutAndNothingElseAnywhere) {
  const ProcessResult result = Vmwire({"run", GuestPath("hello")});
  EXPECT_EQ(result.exit_status, 0);
  EXPECT_EQ(result.out, "Hello from a vmwire guest: 64-bit code in ring 3, 4096 KiB of memory\n");
  EXPECT_THAT(result.err, IsEmpty());
}

TEST_F(LaunchTest, Hello16PrintsItsGreetingFromRealMode) {
  const ProcessResult result = Vmwire({"run", GuestPath("hello16")});
  EXPECT_EQ(result.exit_status, 0);
  EXPECT_EQ(result.out, "Hello from a vmwire guest: 16-bit real mode\n");
}

TEST_F(LaunchTest, TouchWritesAndChecksAllOfItsMemory) {
  if (const auto reason = CannotWire(64 << 20)) GTEST_SKIP() << *reason;
  const ProcessResult result = Vmwire({"run", GuestPath("touch"), "--memory", "64M"});
  EXPECT_EQ(result.exit_status, 0);
  // 64 MiB but the first and the pages of the image.
  EXPECT_THAT(result.out, StartsWith("touch: wrote and checked 66"));
  EXPECT_THAT(result.out, HasSubstr("checksum 0x"));
  EXPECT_THAT(result.out, HasSubstr("bytes per second"));
}

TEST_F(LaunchTest, TouchFindsTheSameWhateverIsWired) {
  if (const auto reason = CannotWire(16 << 20)) GTEST_SKIP() << *reason;
  const std::string all = Vmwire({"run", GuestPath("touch"), "--memory", "16M"}).out;
  const std::string none =
      Vmwire({"run", GuestPath("touch"), "--memory", "16M", "--wire", "none"}).out;
  EXPECT_THAT(all, HasSubstr("checksum"));
  EXPECT_EQ(all.substr(0, all.find('\n')), none.substr(0, none.find('\n')));
}

TEST_F(LaunchTest, MemoryAboveTheHoleIsThereToo) {
  if (const auto reason = CannotHave(uint64_t{5} << 30)) GTEST_SKIP() << *reason;
  const ProcessResult result =
      Vmwire({"run", GuestPath("hello"), "--memory", "5G", "--wire", "none"});
  EXPECT_EQ(result.exit_status, 0) << result.err;
  EXPECT_THAT(result.out, HasSubstr("5242880 KiB"));
}

TEST_F(LaunchTest, TheGuestsCodeIsTheExitStatusAbove16) {
  EXPECT_EQ(Vmwire({"run", GuestPath("exit_code")}).exit_status, 16 + 7);
}

TEST_F(LaunchTest, IrqCountsTimerInterruptsAsleep) {
  const ProcessResult result = Vmwire({"run", GuestPath("irq"), "--irqchip", "--json"});
  ASSERT_EQ(result.exit_status, 0) << result.err;
  if (result.out.find("no interrupt controller") != std::string::npos) {
    GTEST_SKIP() << "this KVM has no KVM_CAP_IRQCHIP";
  }
  EXPECT_EQ(result.out, "irq: 10 timer interrupts\n");
  // Those of the 25 bytes and the end: neither controller nor timer nor HLT costs one.
  const nlohmann::json json = nlohmann::json::parse(result.err);
  EXPECT_EQ(json["exits"]["KVM_EXIT_IO"], 26);
  EXPECT_EQ(json["exits"].size(), 1u);
}

TEST_F(LaunchTest, IrqPollsWhereThereIsNoInterruptController) {
  const ProcessResult result = Vmwire({"run", GuestPath("irq")});
  EXPECT_EQ(result.exit_status, 0) << result.err;
  EXPECT_EQ(result.out, "irq: no interrupt controller: polled 10 ticks\n");
}

TEST_F(LaunchTest, ASignalEndsAGuestThatSleepsForAnInterruptThatNeverComes) {
  const ScratchFolder scratch;
  // Prints a line, so that the test knows that it runs; then masks all lines of both interrupt
  // controllers (mov al, 0xff; out 0x21, al; out 0xa1, al) and sleeps with interrupts on: sti; hlt.
  const std::string image =
      scratch.File("sleep", "\xba\xf8\x03\xb0\x0a\xee\xb0\xff\xe6\x21\xe6\xa1\xfb\xf4");
  Process process(RunReal16(image, {"--irqchip"}));
  ASSERT_TRUE(process.WaitForOutput("\n"));
  process.Signal(SIGTERM);
  EXPECT_EQ(process.Finish().signal, SIGTERM);
}

TEST_F(LaunchTest, AGuestThatNothingCanWakeEndsWellAndIsSpokenOf) {
  const ScratchFolder scratch;
  const ProcessResult result = Process::Run(
      RunReal16(scratch.File("halt", "\xfa\xf4"), {"--irqchip", "--timeout", "60s"}));  // cli; hlt
  EXPECT_EQ(result.exit_status, 0) << result.err;
  EXPECT_EQ(result.err, "vmwire: the guest halted with interrupts off: nothing can wake it\n");
}

TEST_F(LaunchTest, AGuestThatFaultsIsReportedWithVectorAndPlace) {
  const ProcessResult result = Vmwire({"run", GuestPath("fault_page")});
  EXPECT_EQ(result.exit_status, 4);
  EXPECT_THAT(result.err, HasSubstr("#PF (vector 14"));
  EXPECT_THAT(result.err, HasSubstr("RIP 0x"));
}

TEST_F(LaunchTest, AnUndefinedInstructionIsReported) {
  const ProcessResult result = Vmwire({"run", GuestPath("fault_opcode")});
  EXPECT_EQ(result.exit_status, 4);
  EXPECT_THAT(result.err, HasSubstr("#UD (vector 6)"));
}

TEST_F(LaunchTest, AHaltedGuestEndedWell) {
  const ScratchFolder scratch;
  const std::string image = scratch.File("halt", "\xfa\xf4");  // cli; hlt
  EXPECT_EQ(Vmwire({"run", image, "--format", "flat", "--start", "real16"}).exit_status, 0);
}

TEST_F(LaunchTest, FlatProtectedModeCodeRuns) {
  const ScratchFolder scratch;
  // mov dx, 0x500; mov al, 9; out dx, al
  const std::string image =
      scratch.File("flat32", std::string("\x66\xba\x00\x05\xb0\x09\xee\xf4", 8));
  EXPECT_EQ(Vmwire({"run", image, "--format", "flat", "--start", "protected32"}).exit_status,
            16 + 9);
}

TEST_F(LaunchTest, FlatLongModeCodeRunsInBothRings) {
  const ScratchFolder scratch;
  const std::string image =
      scratch.File("flat64", std::string("\x66\xba\x00\x05\xb0\x09\xee\xeb\xfe", 9));
  for (const std::string start : {"long64-ring0", "long64-ring3"}) {
    EXPECT_EQ(Vmwire({"run", image, "--format", "flat", "--start", start}).exit_status, 16 + 9)
        << start;
  }
}

// What is wired, how, and behind what.
using Wiring = std::tuple<std::string, std::string, std::string, std::string>;
class WiringLaunchTest : public LaunchTest, public testing::WithParamInterface<Wiring> {};

TEST_P(WiringLaunchTest, HelloRunsAndTheStatisticsSayWhatWasWired) {
  const auto& [policy, level, backing, pages] = GetParam();
  if (level != "resident") {
    // More than it uses: a ring that is gone gives its share of the user's limit back later.
    if (const auto reason = CannotWire(64 << 20)) GTEST_SKIP() << *reason;
  }
  std::vector<std::string> arguments = {
      "run",         GuestPath("hello"),
      "--memory",    "size=8M,backing=" + backing + ",hugepages=" + pages,
      "--wire",      policy,
      "--pin-level", level,
      "--json"};
  if (policy == "dma")
    arguments.insert(arguments.end(), {"--dma-window", "0x200000+2M", "--dma-window", "6M+64K"});
  const ProcessResult result = Vmwire(arguments);
  ASSERT_EQ(result.exit_status, 0) << result.err;
  const nlohmann::json json = nlohmann::json::parse(result.err);
  const uint64_t wired = policy == "all" ? 8 << 20 : policy == "dma" ? (2 << 20) + (64 << 10) : 0;
  EXPECT_EQ(json["wired_bytes"], wired);
  EXPECT_EQ(json["pin_level"], level);
  EXPECT_EQ(json["host"]["locked_bytes"].get<uint64_t>() != 0,
            level != "pinned" && policy != "none");
  EXPECT_GE(json["host"]["resident_bytes"].get<uint64_t>(), wired);
  EXPECT_GT(json["exits"]["KVM_EXIT_IO"], 0);
  EXPECT_LE(json["time_ns"]["wire"], json["time_ns"]["slot"]);
}

INSTANTIATE_TEST_SUITE_P(All, WiringLaunchTest,
                         testing::Combine(testing::Values("all", "dma", "none"),
                                          testing::Values("resident", "pinned", "guarded"),
                                          testing::Values("anonymous", "memfd"),
                                          testing::Values("thp", "none")),
                         [](const testing::TestParamInfo<Wiring>& info) {
                           return std::get<0>(info.param) + "_" + std::get<1>(info.param) + "_" +
                                  std::get<2>(info.param) + "_huge_" + std::get<3>(info.param);
                         });

TEST_F(LaunchTest, StatsIsATableOnStderr) {
  const ProcessResult result = Vmwire({"run", GuestPath("hello"), "--stats"});
  EXPECT_EQ(result.exit_status, 0);
  EXPECT_THAT(result.out, Not(HasSubstr("until")));
  for (const std::string row :
       {"until open", "until map", "until wire", "until slot", "until first exit", "until exit",
        "wired, guarded", "page faults", "in huge pages", "beyond the guest", "KVM_EXIT_IO"}) {
    EXPECT_THAT(result.err, HasSubstr(row));
  }
}

TEST_F(LaunchTest, ASignalEndsARunThatWouldNotEndAndIsWhatTheProcessDiesOf) {
  const ScratchFolder scratch;
  for (const int signal : {SIGINT, SIGTERM}) {
    Process process(RunReal16(scratch.File("endless", kEndlessGuest)));
    ASSERT_TRUE(process.WaitForOutput("\n"));
    process.Signal(signal);
    EXPECT_EQ(process.Finish().signal, signal);
  }
}

TEST_F(LaunchTest, ASignalSoonAfterTheStartEndsALargeRunWhereverItIs) {
  if (const auto reason = CannotWire(1 << 30)) GTEST_SKIP() << *reason;
  const ScratchFolder scratch;
  const std::string image = scratch.File("endless", kEndlessGuest);
  Process process(RunReal16(image, {"--memory", "size=1G,hugepages=none"}));
  usleep(50'000);
  process.Signal(SIGINT);
  EXPECT_EQ(process.Finish().signal, SIGINT);
}

TEST_F(LaunchTest, ARunThatIsKilledLeavesNoFileAndNoProcess) {
  const ScratchFolder scratch;
  const ScratchFolder cwd;
  const std::string image = scratch.File("endless", kEndlessGuest);
  Process process(RunReal16(image, {"--memory", "8M,backing=memfd"}),
                  [&cwd] { return chdir(cwd.path().c_str()) == 0 && setpgid(0, 0) == 0; });
  const pid_t group = process.pid();
  ASSERT_TRUE(process.WaitForOutput("\n"));

  process.Signal(SIGKILL);

  EXPECT_EQ(process.Finish().signal, SIGKILL);
  EXPECT_TRUE(std::filesystem::is_empty(cwd.path()));
  EXPECT_EQ(kill(-group, 0), -1) << "a process of the run is left";
  EXPECT_EQ(errno, ESRCH);
}

TEST_F(LaunchTest, AGuestWhoseReaderWentAwayIsEndedAsAnyFilterIs) {
  const ScratchFolder scratch;
  Process process(RunReal16(scratch.File("printer", kEndlessPrinter)));
  ASSERT_TRUE(process.WaitForOutput("\n"));
  process.CloseOutput();
  EXPECT_EQ(process.Finish().signal, SIGPIPE);
}

TEST_F(LaunchTest, ASignalEndsARunWhoseOutputNobodyReads) {
  const ScratchFolder scratch;
  // A pipe of one page is soon full.
  Process process(RunReal16(scratch.File("printer", kEndlessPrinter)),
                  [] { return fcntl(STDOUT_FILENO, F_SETPIPE_SZ, 4096) >= 0; });
  const auto is_stuck = [&process] {
    const int before = process.UnreadOutput();
    usleep(100'000);
    return before != 0 && process.UnreadOutput() == before;
  };
  ASSERT_TRUE(Eventually(is_stuck, [](bool stuck) { return stuck; }));

  process.Signal(SIGTERM);

  // Before Finish, which reads.
  EXPECT_TRUE(
      Eventually([&process] { return process.HasEnded(); }, [](bool ended) { return ended; }));
  EXPECT_EQ(process.Finish().signal, SIGTERM);
}

TEST_F(LaunchTest, OutputThatCannotBeWrittenIsAnError) {
  const ProcessResult result = Process::Run(
      {"/bin/sh", "-c", "exec \"$0\" run \"$1\" >/dev/full", CommandPath(), GuestPath("hello")});
  EXPECT_THAT(result.err, HasSubstr("cannot write the guest's output"));
  EXPECT_THAT(result.err, Not(HasSubstr("keyboard")));
  EXPECT_EQ(result.exit_status, 1);
}

}  // namespace
}  // namespace vmwire
