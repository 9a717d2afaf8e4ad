// Prints the bars: each figure beside its floor of the same run, the ratio, and whether the bar is
// met. A bar is judged by the ratio only. README.md of this folder says what P5 and the others are.
//
//   bars [--rounds N] [--size-mib N]
//
// Exit status: 0 the figures were taken, whether their bars are met or missed; 1 something failed;
// 2 an option is wrong.
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <optional>
#include <string>
#include <vector>

#include "bench/child_process.h"
#include "bench/paired.h"
#include "bench/raw_floor.h"
#include "bench/wired_guest.h"
#include "memory/host_limits.h"

namespace vmwire::bench {
namespace {

struct Settings {
  int rounds = 9;
  uint64_t bytes = uint64_t{1} << 30;
};

using Clock = std::chrono::steady_clock;

double Since(Clock::time_point start) {
  return std::chrono::duration<double, std::nano>(Clock::now() - start).count();
}

[[noreturn]] void Fail(const absl::Status& status) {
  std::fprintf(stderr, "%s\n", status.ToString().c_str());
  std::exit(1);
}

void PrintHeader() {
  std::printf("%-4s %-52s %10s %10s %7s %7s  %s\n", "bar", "what", "vmwire", "floor", "ratio",
              "bar", "");
}

void PrintRow(const char* number, const std::string& what, const Comparison& result, double bar) {
  const double ratio = result.Ratio();
  std::printf("%-4s %-52s %10s %10s %7.3f %7.2f  %s\n", number, what.c_str(),
              FormatNanoseconds(result.ours.Percentile(0.5)).c_str(),
              FormatNanoseconds(result.BestFloor().Percentile(0.5)).c_str(), ratio, bar,
              ratio <= bar ? "met" : "missed");
  std::fflush(stdout);
}

void PrintNotMeasured(const char* number, const std::string& what, const absl::Status& why) {
  std::printf("%-4s %-52s not measured: %s\n", number, what.c_str(), why.ToString().c_str());
  std::fflush(stdout);
}

double TimeOurWire(const GuestOptions& options) {
  const auto guest = WiredGuest::Create(options);
  if (!guest.ok()) Fail(guest.status());
  const auto start = Clock::now();
  const auto wired = (*guest)->map().Wire((*guest)->range());
  const double time = Since(start);
  if (!wired.ok()) Fail(wired.status());
  return time;
}

RawMemory BareMemory(const GuestOptions& options) {
  return RawMemory(
      options.bytes,
      options.backing == MemoryBacking::kMemfd ? RawBacking::kMemfd : RawBacking::kAnonymous,
      options.pages == HugePages::kNone ? RawPages::kSmall : RawPages::kTransparentHuge);
}

double TimePopulateThenLock(const GuestOptions& options, unsigned threads) {
  const RawMemory memory = BareMemory(options);
  const auto start = Clock::now();
  RawPopulate(memory, threads);
  RawLock(memory);
  return Since(start);
}

double TimeLockOnFaultThenPopulate(const GuestOptions& options, unsigned threads) {
  const RawMemory memory = BareMemory(options);
  const auto start = Clock::now();
  RawLockOnFault(memory);
  RawPopulate(memory, threads);
  return Since(start);
}

double TimePopulateThenRegister(const GuestOptions& options, unsigned threads) {
  const RawMemory memory = BareMemory(options);
  RawRing ring;
  const auto start = Clock::now();
  RawPopulate(memory, threads);
  ring.Register(memory);
  const double time = Since(start);
  ring.Unregister(memory);
  return time;
}

// Each order of bare calls that gives the level, with one thread and with all processors.
std::vector<Timed> FloorsOf(const GuestOptions& options) {
  std::vector<unsigned> thread_counts = {1};
  if (CountUsableCpus() > 1) thread_counts.push_back(static_cast<unsigned>(CountUsableCpus()));
  std::vector<Timed> floors;
  for (const unsigned threads : thread_counts) {
    if (options.level == PinLevel::kPinned) {
      floors.push_back([=] { return TimePopulateThenRegister(options, threads); });
    } else {
      floors.push_back([=] { return TimePopulateThenLock(options, threads); });
      floors.push_back([=] { return TimeLockOnFaultThenPopulate(options, threads); });
    }
  }
  return floors;
}

// Wire memory that nobody touched, against the fastest order of bare calls.
void ColdWire(int rounds, const GuestOptions& options) {
  const std::string what = std::to_string(options.bytes >> 20) + " MiB cold, " +
                           ToString(options.backing) + ", huge pages " + ToString(options.pages) +
                           ", " + ToString(options.level);
  // What the host lacks must not keep the other rows from being measured.
  if (const absl::Status usable = TryToWire(options); !usable.ok())
    return PrintNotMeasured("P5", what, usable);
  PrintRow("P5", what,
           Compare(
               rounds, [&] { return TimeOurWire(options); }, FloorsOf(options)),
           1.05);
}

std::vector<std::string> OurLaunch(const std::string& policy) {
  return {BuildFolder() + "/vmwire",
          "run",
          BuildFolder() + "/guests/hello",
          "--memory",
          "size=128M",
          "--wire",
          policy};
}

std::vector<std::string> BareLaunch() {
  return {BuildFolder() + "/bench/bare_launch", BuildFolder() + "/guests/hello", "0x8000000"};
}

void Launch(int rounds, const std::string& policy, const std::vector<std::string>& ours,
            const std::vector<std::string>& bare) {
  const Comparison result =
      Compare(4 * rounds, [&] { return TimeChild(ours); }, {[&] { return TimeChild(bare); }});
  PrintRow("P7", "hello, 128 MiB, policy " + policy + ", exec to exit", result, 2.0);
}

void LaunchBeyondProcess(int rounds) {
  const std::vector<std::string> ours = OurLaunch("none");
  const std::vector<std::string> idle = {BuildFolder() + "/bench/bare_process"};
  const Comparison result =
      Compare(4 * rounds, [&] { return TimeChild(ours); }, {[&] { return TimeChild(idle); }});
  const double extra = result.ours.Percentile(0.5) - result.BestFloor().Percentile(0.5);
  std::printf("%-4s %-52s %10s %10s %7s %7s  %s\n", "P7a",
              "  policy none, time beyond a bare process", FormatNanoseconds(extra).c_str(),
              FormatNanoseconds(result.BestFloor().Percentile(0.5)).c_str(), "", "10 ms",
              extra <= 10e6 ? "met" : "missed");
}

void Launches(int rounds) {
  const std::string window = "0x4000000+0x400000";
  Launch(rounds, "none", OurLaunch("none"), BareLaunch());
  LaunchBeyondProcess(rounds);
  std::vector<std::string> ours = OurLaunch("dma");
  ours.insert(ours.end(), {"--dma-window", window});
  std::vector<std::string> bare = BareLaunch();
  bare.push_back(window);
  Launch(rounds, "dma (4 MiB)", ours, bare);
}

int Main(const Settings& settings) {
  WarmUpHostMemory(settings.bytes + (uint64_t{256} << 20));
  PrintHeader();
  for (const PinLevel level : {PinLevel::kResident, PinLevel::kPinned}) {
    for (const MemoryBacking backing : {MemoryBacking::kAnonymous, MemoryBacking::kMemfd}) {
      for (const HugePages pages : {HugePages::kTransparent, HugePages::kNone}) {
        ColdWire(settings.rounds, {settings.bytes, backing, pages, level});
      }
    }
  }
  Launches(settings.rounds);
  return 0;
}

// A whole number from 1 to a million, which is what both options take.
std::optional<int> ParseNumber(const std::string& text) {
  if (text.empty() || text.size() > 7) return std::nullopt;
  if (text.find_first_not_of("0123456789") != std::string::npos) return std::nullopt;
  const int number = std::stoi(text);
  if (number < 1 || number > 1'000'000) return std::nullopt;
  return number;
}

// Nullopt: an option is unknown, or lacks its number.
std::optional<Settings> ParseArguments(const std::vector<std::string>& arguments) {
  Settings settings;
  for (size_t i = 1; i < arguments.size(); i += 2) {
    if (i + 1 == arguments.size()) return std::nullopt;
    const std::optional<int> number = ParseNumber(arguments[i + 1]);
    if (!number.has_value()) return std::nullopt;
    if (arguments[i] == "--rounds") {
      settings.rounds = *number;
    } else if (arguments[i] == "--size-mib") {
      settings.bytes = static_cast<uint64_t>(*number) << 20;
    } else {
      return std::nullopt;
    }
  }
  return settings;
}

}  // namespace
}  // namespace vmwire::bench

int main(int argc, char** argv) {
  const auto settings = vmwire::bench::ParseArguments({argv, argv + argc});
  if (!settings.has_value()) {
    std::fprintf(stderr, "usage: bars [--rounds N] [--size-mib N], each N from 1 to 1000000\n");
    return 2;
  }
  return vmwire::bench::Main(*settings);
}
