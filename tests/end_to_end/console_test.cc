// The virtio console: what the guest reads from stdin and writes to stdout, and what is when either
// is not there.
#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <functional>
#include <random>
#include <string>
#include <vector>

#include "absl/strings/str_format.h"
#include "tests/end_to_end/command.h"
#include "tests/end_to_end/device_run.h"
#include "tests/support/eventually.h"

namespace vmwire {
namespace {

using testing::HasSubstr;
using testing::Not;
using testing::StartsWith;

// Of the guest console.
const std::string kGreeting = "console: send lines, and quit (0 columns, 0 rows)\n";
constexpr char kEndOfTransmission = 4;
constexpr int kNoInput = 16 + 10;

std::vector<std::string> Console(const std::vector<std::string>& options = {}) {
  std::vector<std::string> command = {CommandPath(), "run", GuestPath("console"), "--console"};
  command.insert(command.end(), options.begin(), options.end());
  return command;
}

// The stdin of a child, written to while that runs.
class InputPipe {
 public:
  InputPipe() { EXPECT_EQ(pipe2(ends_.data(), O_CLOEXEC), 0); }
  InputPipe(const InputPipe&) = delete;
  InputPipe& operator=(const InputPipe&) = delete;
  ~InputPipe() {
    Close();
    close(ends_[0]);
  }

  std::function<bool()> ForChild() const {
    return [input = ends_[0]] { return dup2(input, STDIN_FILENO) == STDIN_FILENO; };
  }
  void Write(const std::string& text) const {
    EXPECT_EQ(write(ends_[1], text.data(), text.size()), static_cast<ssize_t>(text.size()));
  }
  void Close() {
    if (ends_[1] >= 0) close(ends_[1]);
    ends_[1] = -1;
  }

 private:
  std::array<int, 2> ends_ = {-1, -1};
};

// Bytes of any value but that which ends the guest's reading.
std::string Noise(size_t size) {
  std::mt19937 random(1);
  std::string noise(size, '\0');
  for (char& byte : noise) {
    do {
      byte = static_cast<char>(random() & 0xff);
    } while (byte == kEndOfTransmission);
  }
  return noise;
}

class ConsoleTest : public DeviceTest {
 protected:
  ScratchFolder scratch_;
};

TEST_F(ConsoleTest, LinesAreEchoedUntilQuit) {
  const ProcessResult result =
      Process::Run(Console(), InputFrom(scratch_.File("input", "hello\n\nworld\nquit\nmore\n")));
  EXPECT_EQ(result.exit_status, 0) << result.err;
  EXPECT_EQ(result.out, kGreeting + "hello\n\nworld\nconsole: echoed 3 lines, 13 bytes\n");
}

TEST_F(ConsoleTest, ALineIsEchoedBeforeTheNextIsWritten) {
  InputPipe input;
  Process process(Console(), input.ForChild());
  ASSERT_TRUE(process.WaitForOutput(kGreeting));
  for (const std::string line : {"first\n", "second\n", "third\n"}) {
    input.Write(line);
    ASSERT_TRUE(process.WaitForOutput(line));
  }
  input.Write("quit\n");
  EXPECT_EQ(process.Finish().exit_status, 0);
}

TEST_F(ConsoleTest, ALineMayComeInPieces) {
  InputPipe input;
  Process process(Console(), input.ForChild());
  ASSERT_TRUE(process.WaitForOutput(kGreeting));
  for (const char c : std::string("slow\nquit\n")) {
    input.Write(std::string(1, c));
    usleep(5000);
  }
  const ProcessResult result = process.Finish();
  EXPECT_EQ(result.exit_status, 0);
  EXPECT_THAT(result.out, HasSubstr("slow\nconsole: echoed 1 lines, 5 bytes\n"));
}

TEST_F(ConsoleTest, AMebibyteOfAnyBytesGoesThroughWhole) {
  const std::string noise = Noise(1 << 20) + "\n";
  const std::string input = scratch_.File("input", noise + "quit\n");
  for (const std::string policy : {"all", "dma", "on-demand"}) {
    const ProcessResult result =
        Process::Run(Console({"--json", "--wire", policy}), InputFrom(input));
    EXPECT_EQ(result.exit_status, 0) << result.err;
    ASSERT_THAT(result.out, StartsWith(kGreeting));
    // Not a matcher: its message would be the noise.
    EXPECT_TRUE(result.out.substr(kGreeting.size(), noise.size()) == noise);
    EXPECT_EQ(result.out.substr(kGreeting.size() + noise.size()),
              absl::StrFormat("console: echoed %d lines, %d bytes\n",
                              std::count(noise.begin(), noise.end(), '\n'), noise.size()));
    EXPECT_EQ(Counter(SummaryOf(result), "console", "sent_bytes"), kGreeting.size() + noise.size());
  }
}

// The guest waits ten seconds for a line: all of them at once.
TEST_F(ConsoleTest, WithoutInputTheGuestWaitsAndSaysSo) {
  InputPipe ended;
  ended.Close();
  Process nothing(Console());
  Process closed(Console(), [] { return close(STDIN_FILENO) == 0; });
  Process pipe(Console(), ended.ForChild());
  for (Process* const process : {&nothing, &closed, &pipe}) {
    const ProcessResult result = process->Finish();
    EXPECT_EQ(result.exit_status, kNoInput) << result.err;
    EXPECT_EQ(result.out, kGreeting + "console: there was no input\n");
  }
}

TEST_F(ConsoleTest, AClosedStdoutIsAnErrorAndNoOtherFileIsWrittenTo) {
  const std::string image = scratch_.File("disk.img", std::string(4096, 'x'));
  for (const bool all : {false, true}) {
    const ProcessResult result = Process::Run(Console({"--disk", "path=" + image}), [all] {
      return close(STDOUT_FILENO) == 0 && (!all || close(STDIN_FILENO) == 0);
    });
    EXPECT_EQ(result.exit_status, 1);
    EXPECT_THAT(result.err, HasSubstr("cannot write the guest's output: Bad file descriptor"));
  }
}

TEST_F(ConsoleTest, AReaderWhoWentAwayEndsTheRunAsItEndsAnyFilter) {
  InputPipe input;
  Process process(Console(), input.ForChild());
  ASSERT_TRUE(process.WaitForOutput(kGreeting));
  process.CloseOutput();
  input.Write("anybody there?\n");
  EXPECT_EQ(process.Finish().signal, SIGPIPE);
}

TEST_F(ConsoleTest, OutputThatCannotBeWrittenIsAnError) {
  const ProcessResult result = Process::Run(Console(), [] {
    const int full = open("/dev/full", O_WRONLY | O_CLOEXEC);
    return full >= 0 && dup2(full, STDOUT_FILENO) == STDOUT_FILENO;
  });
  EXPECT_EQ(result.exit_status, 1);
  EXPECT_THAT(result.err, HasSubstr("cannot write the guest's output"));
  EXPECT_THAT(result.err, Not(HasSubstr("keyboard")));
}

TEST_F(ConsoleTest, ASignalEndsARunWhoseConsoleNobodyReads) {
  const std::string noise = scratch_.File("input", Noise(1 << 20));
  Process process(Console(), [&noise] {
    // A pipe of one page is soon full.
    return fcntl(STDOUT_FILENO, F_SETPIPE_SZ, 4096) >= 0 && InputFrom(noise)();
  });
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

TEST_F(ConsoleTest, ASignalEndsARunThatWaitsForInput) {
  InputPipe input;
  Process process(Console(), input.ForChild());
  ASSERT_TRUE(process.WaitForOutput(kGreeting));
  process.Signal(SIGINT);
  EXPECT_EQ(process.Finish().signal, SIGINT);
}

TEST_F(ConsoleTest, InputThatTheGuestDoesNotTakeStaysWhereItIs) {
  InputPipe input;
  input.Write("for whoever comes next\n");
  const ProcessResult result = Process::Run(
      {CommandPath(), "run", GuestPath("rng"), "--rng", "--console"}, input.ForChild());
  EXPECT_EQ(result.exit_status, 0) << result.err;
  const ProcessResult next = Process::Run({"/bin/head", "-n", "1"}, input.ForChild());
  EXPECT_EQ(next.out, "for whoever comes next\n");
}

}  // namespace
}  // namespace vmwire
