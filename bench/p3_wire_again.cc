// P3: wire and unwire of a range that is wired as one entry, beside a mutex.
#include <cstdint>
#include <mutex>
#include <string>

#include "absl/strings/str_format.h"
#include "bench/bars.h"
#include "bench/parked_thread.h"
#include "bench/report.h"
#include "bench/require.h"
#include "bench/timing.h"
#include "bench/wired_guest.h"
#include "memory/host_limits.h"

namespace vmwire::bench {
namespace {

constexpr int kCalls = 2048;

std::string SizeText(uint64_t bytes) {
  if (bytes >= uint64_t{1} << 30) return std::to_string(bytes >> 30) + " GiB";
  if (bytes >= uint64_t{1} << 20) return std::to_string(bytes >> 20) + " MiB";
  return std::to_string(bytes >> 10) + " KiB";
}

double TimeMutexPair() {
  std::mutex mutex;
  return TimeLoop(kCalls, [&](int) {
    mutex.lock();
    Use(&mutex);
    mutex.unlock();
  });
}

double TimeCalls(VmMap& map, const GuestRange& range) {
  return TimeLoop(kCalls, [&](int) {
    Use(map.WireRange(range, WireFlags::kSystem).ok());
    Use(map.UnwireRange(range, WireFlags::kSystem).ok());
  });
}

double TimeToken(VmMap& map, const GuestRange& range) {
  return TimeLoop(kCalls, [&](int) { Use(map.Wire(range).ok()); });
}

absl::Status CheckMemory(uint64_t bytes) {
  HostLimits limits;
  const absl::Status read = ReadMemoryTotals("", limits);
  if (!read.ok() || bytes + bytes / 4 <= limits.memory_available) return read;
  return absl::UnavailableError(
      absl::StrFormat("it needs more of the host's memory than the %d MiB that are free",
                      limits.memory_available >> 20));
}

void Measure(const Settings& settings, uint64_t bytes) {
  const int rounds = 20 * settings.rounds;
  const Row calls{"P3", "wire + unwire, wired already, " + SizeText(bytes), 3,
                  bytes == uint64_t{1} << 30 ? "mlock of a locked 1 GiB 32 ms" : ""};
  if (const absl::Status fits = CheckMemory(bytes); !fits.ok())
    return PrintNotMeasured(calls, fits);
  const auto guest = Require(WiredGuest::Create({.bytes = bytes}));
  VmMap& map = guest->map();
  const auto wired = map.Wire(guest->range());
  if (!wired.ok()) return PrintNotMeasured(calls, wired.status());
  PrintLoops(calls,
             Compare(rounds, [&] { return TimeCalls(map, guest->range()); }, {TimeMutexPair}));
  PrintLoops({"P3", "  the same with a token", 3, ""},
             Compare(rounds, [&] { return TimeToken(map, guest->range()); }, {TimeMutexPair}));
}

}  // namespace

void WireAgainBar(const Settings& settings) {
  // A process of one thread takes and leaves a mutex without a locked instruction (glibc 2.34); no
  // monitor is one.
  const ParkedThread other;
  for (const uint64_t bytes :
       {uint64_t{4} << 10, uint64_t{2} << 20, uint64_t{1} << 30, uint64_t{4} << 30}) {
    Measure(settings, bytes);
  }
}

}  // namespace vmwire::bench
