// Runs that are watched: --expect, --timeout, --trace and --interactive, as a process.
#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <unistd.h>

#include <string>
#include <vector>

#include "tests/end_to_end/command.h"
#include "tests/support/eventually.h"
#include "tests/support/pseudo_terminal.h"

namespace vmwire {
namespace {

using testing::AllOf;
using testing::HasSubstr;
using testing::IsEmpty;

// Flat real-mode guests. This one reads port 0x84 and writes 0x5a to port 0x85, then ends well by
// the exit port: in al, 0x84; mov al, 0x5a; out 0x85, al; mov dx, 0x500; xor al, al; out dx, al;
// jmp $.
const std::string kAbsentToucher =
    std::string("\xe4\x84\xb0\x5a\xe6\x85\xba\x00\x05\x30\xc0\xee\xeb\xfe", 14);
// Echoes what comes by the serial port: mov dx, 0x3fd; in al, dx; test al, 1; jz -5; mov dx, 0x3f8;
// in al, dx; out dx, al; jmp to the start.
const std::string kEcho = "\xba\xfd\x03\xec\xa8\x01\x74\xfb\xba\xf8\x03\xec\xee\xeb\xf1";

// Prints "PASS" and ends well: mov dx, 0x3f8; for each letter mov al, letter; out dx, al; mov dx,
// 0x500; xor al, al; out dx, al; jmp $.
const std::string kPassWithoutNewline = std::string(
    "\xba\xf8\x03\xb0P\xee\xb0"
    "A\xee\xb0S\xee\xb0S\xee\xba\x00\x05\x30\xc0\xee\xeb\xfe",
    23);
// Prints without end, and no line ends: mov dx, 0x3f8; mov al, 'x'; out dx, al; jmp to the out.
const std::string kEndlessLine = "\xba\xf8\x03\xb0x\xee\xeb\xfd";

class WatchedRunTest : public LaunchTest {
 protected:
  std::vector<std::string> Command(const std::string& image,
                                   const std::vector<std::string>& options) {
    std::vector<std::string> command = {CommandPath(), "run",  scratch_.File("image", image),
                                        "--format",    "flat", "--start",
                                        "real16"};
    command.insert(command.end(), options.begin(), options.end());
    return command;
  }
  ProcessResult Run(const std::string& image, const std::vector<std::string>& options) {
    return Process::Run(Command(image, options));
  }

  ScratchFolder scratch_;
};

TEST_F(WatchedRunTest, AnExpectedTextEndsTheRunWell) {
  const ProcessResult result =
      Vmwire({"run", GuestPath("hello"), "--expect", "^Hello from .* 4096 KiB"});
  EXPECT_EQ(result.exit_status, 0);
  EXPECT_THAT(result.err, HasSubstr("vmwire: expected text seen after "));
}

TEST_F(WatchedRunTest, AnExpectedTextEndsAGuestThatWouldNotEnd) {
  const ProcessResult result = Run(kEndlessPrinter, {"--expect", "^$"});
  EXPECT_EQ(result.exit_status, 0) << result.err;
}

TEST_F(WatchedRunTest, ATextThatDoesNotComeIsAStatusOfItsOwn) {
  const ProcessResult result = Vmwire({"run", GuestPath("hello"), "--expect", "Good bye"});
  EXPECT_EQ(result.exit_status, 5);
  EXPECT_THAT(result.err, HasSubstr("the expected text did not come"));
  EXPECT_THAT(result.out, HasSubstr("Hello from"));
}

TEST_F(WatchedRunTest, ATextThatTheGuestEndsWithNeedsNoNewline) {
  const ProcessResult result = Run(kPassWithoutNewline, {"--expect", "^PASS$"});
  EXPECT_EQ(result.exit_status, 0) << result.err;
  EXPECT_EQ(result.out, "PASS");
}

TEST_F(WatchedRunTest, AGuestThatDoesNothingIsEndedWithItsState) {
  // The limit counts from the start of the command: as long as this host needs to get to the guest.
  ProcessResult result;
  for (const std::string limit : {"300ms", "3s", "30s", "120s"}) {
    result = Run(kEndlessGuest, {"--timeout", limit});
    if (!result.out.empty()) break;
  }
  EXPECT_EQ(result.exit_status, 124);
  EXPECT_THAT(result.err,
              AllOf(HasSubstr("vmwire: the time limit is over, after "),
                    HasSubstr("likely cause: it loops for ever, in a jump to itself"),
                    HasSubstr("  rip 0000000000007c06"), HasSubstr("page walk of RIP 0x7c06"),
                    HasSubstr("out port 0x3f8, 1 byte: 0xa")));
}

TEST_F(WatchedRunTest, AGuestThatEndsInTimeIsNotDisturbed) {
  const ProcessResult result = Vmwire({"run", GuestPath("hello"), "--timeout", "2m"});
  EXPECT_EQ(result.exit_status, 0);
  EXPECT_THAT(result.err, IsEmpty());
}

TEST_F(WatchedRunTest, WhatIsNotThereIsListed) {
  const ProcessResult result = Run(kAbsentToucher, {"--trace", "io"});
  EXPECT_EQ(result.exit_status, 0);
  EXPECT_THAT(result.err, AllOf(HasSubstr("port  0x84                   1  read            1\n"),
                                HasSubstr("port  0x85                   1  write           1  "
                                          "0x5a\n")));
}

TEST_F(WatchedRunTest, InputFromAPipeReachesTheSerialPort) {
  const std::string input = scratch_.File("input", "typed");
  const ProcessResult result = Process::Run(
      Command(kEcho, {"--interactive", "--expect", "^typed", "--timeout", "30s"}), [&input] {
        const int file = open(input.c_str(), O_RDONLY);
        return file >= 0 && dup2(file, STDIN_FILENO) == STDIN_FILENO;
      });
  EXPECT_EQ(result.exit_status, 0) << result.err;
  EXPECT_EQ(result.out, "typed");
}

// The terminal of a person at the guest's serial port.
class InteractiveTest : public WatchedRunTest {
 protected:
  void SetUp() override {
    WatchedRunTest::SetUp();
    if (!IsSkipped() && !terminal_.is_open()) GTEST_SKIP() << "no pseudo-terminals";
  }
  Process Start(const std::string& image = kEcho) {
    return Process(Command(image, {"--interactive"}), [far = terminal_.far_end()] {
      // A pipe of one page is soon full.
      return dup2(far, STDIN_FILENO) == STDIN_FILENO &&
             fcntl(STDOUT_FILENO, F_SETPIPE_SZ, 4096) > 0;
    });
  }
  bool BecomesRaw() {
    return Eventually([this] { return terminal_.IsRaw(); }, [](bool is) { return is; });
  }

  PseudoTerminal terminal_;
};

TEST_F(InteractiveTest, KeysReachTheGuestAndTheEscapeKeyEndsIt) {
  Process process = Start();
  ASSERT_TRUE(BecomesRaw());
  // Ctrl-C is the guest's, and so is a Ctrl-A that was typed twice.
  ASSERT_TRUE(terminal_.Type("a\x03\x01\x01z"));
  EXPECT_TRUE(process.WaitForOutput("a\x03\x01z"));

  ASSERT_TRUE(terminal_.Type("\x01x"));

  const ProcessResult result = process.Finish();
  EXPECT_EQ(result.exit_status, 0) << result.err;
  EXPECT_THAT(result.err, AllOf(HasSubstr("vmwire: Ctrl-A x ends the machine"),
                                HasSubstr("ended from the keyboard")));
  EXPECT_TRUE(terminal_.IsCooked());
}

TEST_F(InteractiveTest, TheEscapeKeyEndsAGuestWhoseOutputNobodyReads) {
  Process process = Start(kEndlessLine);
  const auto is_stuck = [&process] {
    const int before = process.UnreadOutput();
    usleep(100'000);
    return before != 0 && process.UnreadOutput() == before;
  };
  ASSERT_TRUE(Eventually(is_stuck, [](bool stuck) { return stuck; }));

  ASSERT_TRUE(terminal_.Type("\x01x"));

  // Before Finish, which reads.
  EXPECT_TRUE(
      Eventually([&process] { return process.HasEnded(); }, [](bool ended) { return ended; }));
  const ProcessResult result = process.Finish();
  EXPECT_EQ(result.exit_status, 0) << result.err;
  EXPECT_THAT(result.err, HasSubstr("ended from the keyboard"));
  EXPECT_TRUE(terminal_.IsCooked());
}

TEST_F(InteractiveTest, ASignalGivesTheTerminalBack) {
  for (const int number : {SIGTERM, SIGINT, SIGHUP, SIGQUIT, SIGABRT, SIGUSR1, SIGXCPU}) {
    Process process = Start();
    ASSERT_TRUE(BecomesRaw());
    process.Signal(number);
    EXPECT_EQ(process.Finish().signal, number);
    EXPECT_TRUE(terminal_.IsCooked()) << number;
  }
}

}  // namespace
}  // namespace vmwire
