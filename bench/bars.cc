// Prints the bars: each figure beside its floor of the same run, the ratio, and whether the bar is
// met.
//
//   bars [--rounds N] [--size-mib N]
//
// A bar is judged by the ratio only. The numbers P1 ... are those of the project's list of bars;
// README.md of this folder says what each one is.
#include <sched.h>

#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>
#include <vector>

#include "bench/child_process.h"
#include "bench/paired.h"
#include "bench/raw_floor.h"
#include "bench/wired_guest.h"

namespace vmwire::bench {
namespace {

struct Settings {
  int rounds = 9;
  uint64_t bytes = uint64_t{1} << 30;
  std::string build;  // The folder that holds vmwire and bench/.
};

using Clock = std::chrono::steady_clock;

double Since(Clock::time_point start) {
  return std::chrono::duration<double, std::nano>(Clock::now() - start).count();
}

unsigned UsableCpus() {
  cpu_set_t cpus;
  if (sched_getaffinity(0, sizeof cpus, &cpus) != 0) return 1;
  return static_cast<unsigned>(CPU_COUNT(&cpus));
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

struct WireCase {
  MemoryBacking backing;
  HugePages pages;
  PinLevel level;
};

double TimeOurWire(const Settings& settings, const WireCase& wire) {
  WiredGuest guest(settings.bytes, wire.backing, wire.pages, wire.level);
  const auto start = Clock::now();
  const auto wired = guest.map().Wire(guest.range());
  const double time = Since(start);
  if (!wired.ok()) {
    std::fprintf(stderr, "%s\n", wired.status().ToString().c_str());
    std::exit(1);
  }
  return time;
}

double TimeBareWire(const Settings& settings, const WireCase& wire, unsigned threads) {
  RawMemory memory(
      settings.bytes,
      wire.backing == MemoryBacking::kMemfd ? RawBacking::kMemfd : RawBacking::kAnonymous,
      wire.pages == HugePages::kNone ? RawPages::kSmall : RawPages::kTransparentHuge);
  if (wire.level == PinLevel::kResident) {
    const auto start = Clock::now();
    RawPopulate(memory, threads);
    RawLock(memory);
    return Since(start);
  }
  RawRing ring;
  const auto start = Clock::now();
  RawPopulate(memory, threads);
  ring.Register(memory);
  const double time = Since(start);
  ring.Unregister(memory);
  return time;
}

// Wire memory that nobody touched, against the faster of one and all threads that do the bare
// populate and then the bare pin.
void ColdWire(const Settings& settings, const WireCase& wire) {
  std::vector<Timed> floors = {[&] { return TimeBareWire(settings, wire, 1); }};
  if (UsableCpus() > 1)
    floors.push_back([&] { return TimeBareWire(settings, wire, UsableCpus()); });
  const Comparison result = Compare(
      settings.rounds, [&] { return TimeOurWire(settings, wire); }, floors);
  PrintRow("P5",
           std::to_string(settings.bytes >> 20) + " MiB cold, " + ToString(wire.backing) +
               ", huge pages " + ToString(wire.pages) + ", " + ToString(wire.level),
           result, 1.05);
}

void Launch(const Settings& settings, const std::string& policy) {
  const std::string hello = settings.build + "/guests/hello";
  const std::vector<std::string> ours = {
      settings.build + "/vmwire", "run", hello, "--memory", "size=128M", "--wire", policy};
  const std::vector<std::string> bare = {settings.build + "/bench/bare_launch", hello, "0x8000000"};
  const Comparison result = Compare(4 * settings.rounds, [&] { return TimeChild(ours); },
                                    {[&] { return TimeChild(bare); }});
  PrintRow("P7", "hello, 128 MiB, policy " + policy + ": exec to exit, bare program", result, 2.0);
  if (policy != "none") return;
  const std::string idle = settings.build + "/bench/bare_process";
  const Comparison beyond = Compare(4 * settings.rounds, [&] { return TimeChild(ours); },
                                    {[&] { return TimeChild({idle}); }});
  const double extra = beyond.ours.Percentile(0.5) - beyond.BestFloor().Percentile(0.5);
  std::printf("%-4s %-52s %10s %10s %7s %7s  %s\n", "P7a",
              "  the same, time beyond a bare process, at most 10 ms",
              FormatNanoseconds(extra).c_str(),
              FormatNanoseconds(beyond.BestFloor().Percentile(0.5)).c_str(), "", "10 ms",
              extra <= 10e6 ? "met" : "missed");
}

// The first touch of memory since the host booted is the host's own work; after this, what is
// measured is the kernel's.
void WarmUpHostMemory(const Settings& settings) {
  RawMemory memory(settings.bytes + (uint64_t{256} << 20), RawBacking::kAnonymous,
                   RawPages::kTransparentHuge);
  RawPopulate(memory, 1);
}

int Main(const Settings& settings) {
  WarmUpHostMemory(settings);
  PrintHeader();
  for (const PinLevel level : {PinLevel::kResident, PinLevel::kPinned}) {
    for (const MemoryBacking backing : {MemoryBacking::kAnonymous, MemoryBacking::kMemfd}) {
      for (const HugePages pages : {HugePages::kTransparent, HugePages::kNone}) {
        ColdWire(settings, {backing, pages, level});
      }
    }
  }
  Launch(settings, "none");
  Launch(settings, "dma");
  return 0;
}

}  // namespace
}  // namespace vmwire::bench

int main(int argc, char** argv) {
  vmwire::bench::Settings settings;
  const std::string self = argv[0];
  const size_t bench = self.rfind("/bench/");
  settings.build = bench == std::string::npos ? ".." : self.substr(0, bench);
  for (int i = 1; i + 1 < argc; i += 2) {
    if (std::strcmp(argv[i], "--rounds") == 0)
      settings.rounds = std::max(1, std::atoi(argv[i + 1]));
    if (std::strcmp(argv[i], "--size-mib") == 0)
      settings.bytes = std::strtoull(argv[i + 1], nullptr, 0) << 20;
  }
  return vmwire::bench::Main(settings);
}
