#include "devices/serial/serial_pump.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/resource.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <chrono>
#include <random>
#include <string>
#include <thread>
#include <vector>

#include "memory/mutex.h"
#include "tests/devices/serial_fixture.h"
#include "tests/support/eventually.h"
#include "tests/support/seed.h"
#include "tests/support/status_matchers.h"

namespace vmwire {
namespace {

using std::chrono::milliseconds;

class SerialPumpTest : public testing::Test {
 protected:
  void SetUp() override { ASSERT_EQ(pipe2(pipe_.data(), O_CLOEXEC), 0); }
  void TearDown() override {
    pump_.reset();
    CloseWriter();
    close(pipe_[0]);
  }

  void Start(SerialPump::Options options) {
    VMWIRE_ASSERT_OK_AND_ASSIGN(pump_, SerialPump::Start(serial_, std::move(options)));
  }
  void CloseWriter() {
    if (pipe_[1] >= 0) close(pipe_[1]);
    pipe_[1] = -1;
  }
  void Type(const std::string& text) {
    ASSERT_EQ(write(pipe_[1], text.data(), text.size()), static_cast<ssize_t>(text.size()));
  }
  // As an interrupt-driven guest.
  void Listen() {
    WritePort(serial_, 2, 0x07);
    WritePort(serial_, 4, 0x0b);
    WritePort(serial_, 1, 0x01);
  }
  // What the guest reads until it has `size` bytes, or for ten seconds.
  std::string ReadBytes(size_t size) {
    std::string text;
    const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(10);
    while (text.size() < size && std::chrono::steady_clock::now() < deadline) {
      if ((ReadPort(serial_, 5) & 0x01) != 0) {
        text.push_back(static_cast<char>(ReadPort(serial_, 0)));
      } else {
        std::this_thread::yield();
      }
    }
    return text;
  }
  void Print(const std::string& text) {
    for (const char c : text) WritePort(serial_, 0, static_cast<uint8_t>(c));
  }
  std::string Printed() {
    const MutexLock lock(mutex_);
    return printed_;
  }

  std::array<int, 2> pipe_ = {-1, -1};
  Mutex mutex_;
  std::string printed_ ABSL_GUARDED_BY(mutex_);
  RecordingLine line_;
  Serial16550 serial_{[this](std::span<const std::byte> bytes) {
                        const MutexLock lock(mutex_);
                        printed_.append(reinterpret_cast<const char*>(bytes.data()), bytes.size());
                      },
                      line_};
  std::unique_ptr<SerialPump> pump_;
};

TEST_F(SerialPumpTest, InputReachesTheGuestAndRaisesItsLine) {
  Listen();
  Start({.input = pipe_[0]});

  Type("hello");

  EXPECT_EQ(ReadBytes(5), "hello");
  EXPECT_GT(line_.edges(), 0u);
}

TEST_F(SerialPumpTest, InputBeforeTheGuestListensIsKept) {
  Type("early ");
  Start({.input = pipe_[0]});
  Type("bird");
  std::this_thread::sleep_for(milliseconds(5));

  Listen();

  EXPECT_EQ(ReadBytes(10), "early bird");
}

TEST_F(SerialPumpTest, MoreThanFitsAnywhereComesInOrder) {
  std::mt19937 random(static_cast<uint32_t>(TestSeed()));
  std::string text(SerialPump::kMostWaiting * 3 / 2, '\0');
  for (char& c : text) c = static_cast<char>(random());
  Listen();
  Start({.input = pipe_[0]});

  std::thread typist([&] {
    for (size_t at = 0; at < text.size();) {
      const ssize_t wrote = write(pipe_[1], text.data() + at, text.size() - at);
      if (wrote <= 0) return;
      at += static_cast<size_t>(wrote);
    }
  });
  const std::string received = ReadBytes(text.size());
  pump_.reset();
  close(pipe_[0]);
  pipe_[0] = open("/dev/null", O_RDONLY | O_CLOEXEC);
  typist.join();

  EXPECT_EQ(received.size(), text.size());
  EXPECT_TRUE(received == text);
}

TEST_F(SerialPumpTest, WriterFeelsAGuestThatTakesNothing) {
  ASSERT_EQ(fcntl(pipe_[1], F_SETFL, O_NONBLOCK), 0);
  Start({.input = pipe_[0]});
  const std::string chunk(4096, 'x');
  size_t written = 0;
  int refusals = 0;

  while (refusals < 20 && written < 64 * SerialPump::kMostWaiting) {
    const ssize_t wrote = write(pipe_[1], chunk.data(), chunk.size());
    if (wrote > 0) {
      written += static_cast<size_t>(wrote);
      refusals = 0;
    } else {
      ++refusals;
      std::this_thread::sleep_for(milliseconds(1));
    }
  }

  EXPECT_GE(written, SerialPump::kMostWaiting);
  EXPECT_LT(written, 8 * SerialPump::kMostWaiting);
}

TEST_F(SerialPumpTest, PromptComesOutWithoutALineEnd) {
  Start({});

  Print("login: ");

  EXPECT_EQ(Eventually([&] { return Printed(); }, [](const auto& text) { return !text.empty(); }),
            "login: ");
}

TEST_F(SerialPumpTest, EveryPromptComesOutAlsoAfterAPause) {
  Start({});
  std::string expected;
  for (int i = 0; i < 5; ++i) {
    Print("$ ");
    expected += "$ ";
    EXPECT_EQ(
        Eventually([&] { return Printed(); }, [&](const auto& text) { return text == expected; }),
        expected);
    std::this_thread::sleep_for(milliseconds(i * 7));
  }
}

TEST_F(SerialPumpTest, OtherOutputsComeOutToo) {
  std::atomic<size_t> bytes = 0;
  HeldOutput other([&](std::span<const std::byte> chunk) { bytes += chunk.size(); });
  Start({.others = {&other}});

  other.Put(std::byte{'x'});

  EXPECT_EQ(Eventually([&] { return bytes.load(); }, [](size_t now) { return now == 1; }), 1u);
  pump_.reset();
}

// How often the calling process's threads have gone to sleep so far.
int64_t VoluntarySwitches() {
  rusage usage = {};
  getrusage(RUSAGE_SELF, &usage);
  return usage.ru_nvcsw;
}

TEST_F(SerialPumpTest, IdlePumpSleeps) {
  Listen();
  Start({.input = pipe_[0]});
  Print("$ ");
  Eventually([&] { return Printed(); }, [](const auto& text) { return !text.empty(); });
  std::this_thread::sleep_for(milliseconds(30));
  const int64_t before = VoluntarySwitches();

  std::this_thread::sleep_for(milliseconds(300));

  // This thread's own sleep, and what a sanitizer's background thread may do.
  EXPECT_LE(VoluntarySwitches() - before, 12);
}

TEST_F(SerialPumpTest, EndOfInputIsSeenOnce) {
  Listen();
  Start({.input = pipe_[0]});
  Type("bye");
  CloseWriter();
  EXPECT_EQ(ReadBytes(3), "bye");
  std::this_thread::sleep_for(milliseconds(30));
  const int64_t before = VoluntarySwitches();

  std::this_thread::sleep_for(milliseconds(200));

  EXPECT_LE(VoluntarySwitches() - before, 12) << "a closed pipe keeps the pump awake";
  Print("still prints");
  EXPECT_EQ(Eventually([&] { return Printed(); }, [](const auto& text) { return !text.empty(); }),
            "still prints");
}

TEST_F(SerialPumpTest, BadDescriptorIsNoInput) {
  Start({.input = 1'000'000});
  std::this_thread::sleep_for(milliseconds(10));

  Print("x");

  EXPECT_EQ(Eventually([&] { return Printed(); }, [](const auto& text) { return !text.empty(); }),
            "x");
}

TEST_F(SerialPumpTest, StopsWithInputThatNobodyTakesAndKeepsWhatIsHeld) {
  Type(std::string(1000, 'x'));
  Start({.input = pipe_[0]});
  std::this_thread::sleep_for(milliseconds(5));

  pump_.reset();
  Print("held");
  std::this_thread::sleep_for(milliseconds(50));

  EXPECT_EQ(Printed(), "");
  serial_.Flush();
  EXPECT_EQ(Printed(), "held");
}

}  // namespace
}  // namespace vmwire
