// D1: a mapping of what the on-demand policy has wired before, beside one under the policy all.
// D2: how often that is so, and what a mapping costs on the whole, by the pattern of the buffers.
#include <cstdint>
#include <memory>
#include <optional>
#include <random>
#include <string>
#include <vector>

#include "absl/strings/str_format.h"
#include "bench/bars.h"
#include "bench/report.h"
#include "bench/require.h"
#include "bench/timing.h"
#include "bench/wired_guest.h"
#include "devices/dma_space.h"

namespace vmwire::bench {
namespace {

constexpr uint64_t kMiB = uint64_t{1} << 20;
constexpr uint64_t kBytes = 64 * kMiB;
constexpr uint64_t kKeptBytes = 32 * kMiB;
constexpr uint64_t kBufferBytes = uint64_t{64} << 10;
constexpr double kMostBeyond = 100;  // Nanoseconds.
constexpr int kCalls = 8192;
constexpr int kPatternCalls = 2304;  // Whole loops.

// Memory at level guarded, and a device's port to it: all of it wired; or on demand, with so many
// bytes kept.
class Reach {
 public:
  Reach(const GuestOptions& options, std::optional<uint64_t> on_demand_bytes)
      : guest_(Require(WiredGuest::Create(options))),
        space_(guest_->host(), guest_->map(), guest_->range(),
               {.on_demand_bytes = on_demand_bytes}),
        port_(space_.CreatePort("bench")) {
    if (!on_demand_bytes.has_value())
      wired_.push_back(Require(guest_->map().Wire(guest_->range())));
  }

  void MapAndRelease(uint64_t address, uint64_t size) {
    const auto mapped = port_->Map(GuestAddress(address), size, DmaDirection::kFromDevice);
    if (!mapped.ok()) Require(mapped.status());
    Use(mapped->pieces().data());
  }

  DmaLeaseStats lease_stats() const { return space_.lease_stats(); }
  PinCacheStats cache_stats() const { return guest_->pins().cache_stats(); }

 private:
  const std::unique_ptr<WiredGuest> guest_;
  std::vector<WiredRange> wired_;
  DmaSpace space_;
  const std::unique_ptr<DmaPort> port_;
};

GuestOptions Guarded(uint64_t pin_cache_bytes = 0) {
  return {.bytes = kBytes,
          .pages = HugePages::kNone,
          .level = PinLevel::kGuarded,
          .pin_cache_bytes = pin_cache_bytes};
}

std::vector<uint64_t> RandomAddresses(uint64_t bytes, uint64_t buffer, int calls) {
  std::mt19937_64 random(1);
  std::vector<uint64_t> addresses(static_cast<size_t>(calls));
  for (uint64_t& address : addresses) address = random() % (bytes / buffer) * buffer;
  return addresses;
}

std::vector<uint64_t> LoopingAddresses(uint64_t bytes) {
  std::vector<uint64_t> addresses(kPatternCalls);
  for (size_t i = 0; i < addresses.size(); ++i)
    addresses[i] = i % (bytes / kBufferBytes) * kBufferBytes;
  return addresses;
}

double TimeMappings(Reach& reach, const std::vector<uint64_t>& addresses, uint64_t size) {
  return TimeLoop(static_cast<int>(addresses.size()),
                  [&](int i) { reach.MapAndRelease(addresses[static_cast<size_t>(i)], size); });
}

// The same in a loop for the median, and call by call, each between two readings of the clock, for
// the tail.
double TimeBothWays(Reach& reach, const std::vector<uint64_t>& addresses, CallTimes& calls) {
  constexpr int kSingleCalls = 256;
  int i = 0;
  calls.Median(kSingleCalls, [&] {
    const uint64_t address = addresses[static_cast<size_t>(i++)];
    return TimeCall([&] { reach.MapAndRelease(address, kPageSize); });
  });
  return TimeMappings(reach, addresses, kPageSize);
}

void MeasureHits(const Settings& settings, Reach& all, Reach& on_demand, const std::string& what,
                 const std::vector<uint64_t>& addresses) {
  TimeMappings(on_demand, addresses, kPageSize);  // From now on each is a hit.
  const uint64_t misses = on_demand.lease_stats().misses;
  CallTimes our_calls, floor_calls;
  const Comparison result =
      Compare(20 * settings.rounds, [&] { return TimeBothWays(on_demand, addresses, our_calls); },
              {[&] { return TimeBothWays(all, addresses, floor_calls); }});
  if (on_demand.lease_stats().misses != misses)
    return PrintNotMeasured({"D1", what, kNoBar, ""}, absl::InternalError("not all were hits"));
  PrintCalls({"D1", "map + release, on-demand hit, " + what, kNoBar, "floor: policy all"}, result,
             our_calls, floor_calls);
  Samples difference;
  for (size_t round = 0; round < result.ours.size(); ++round)
    difference.Add(result.ours.values()[round] - result.floors[0].values()[round]);
  PrintTime({"D1", "  what it costs beyond policy all", kNoBar, ""}, difference.Percentile(0.5),
            result.floors[0].Percentile(0.5), kMostBeyond);
}

struct Pattern {
  const char* name;
  std::vector<uint64_t> addresses;
  uint64_t pin_cache_bytes;
};

std::string Percent(uint64_t part, uint64_t whole) {
  const double share = whole == 0 ? 0 : static_cast<double>(part) / static_cast<double>(whole);
  return absl::StrFormat("%.2f %%", 100 * share);
}

void MeasurePattern(const Settings& settings, Reach& all, const Pattern& pattern) {
  Reach reach(Guarded(pattern.pin_cache_bytes), kKeptBytes);
  TimeMappings(reach, pattern.addresses, kBufferBytes);  // Touches all of it a first time.
  const DmaLeaseStats before = reach.lease_stats();
  const PinCacheStats cached_before = reach.cache_stats();
  uint64_t mappings = 0;
  const Comparison result =
      Compare(settings.rounds,
              [&] {
                mappings += pattern.addresses.size();
                return TimeMappings(reach, pattern.addresses, kBufferBytes);
              },
              {[&] { return TimeMappings(all, pattern.addresses, kBufferBytes); }});
  const DmaLeaseStats after = reach.lease_stats();
  const PinCacheStats cached_after = reach.cache_stats();
  const uint64_t misses = after.misses - before.misses;
  const uint64_t cache_hits = cached_after.hits - cached_before.hits;
  const uint64_t cache_misses = cached_after.misses - cached_before.misses;
  std::string note = "hits " + Percent(mappings - misses, mappings);
  if (misses != 0) {
    note += ", a miss " +
            FormatNanoseconds((result.ours.Percentile(0.5) - result.floors[0].Percentile(0.5)) *
                              static_cast<double>(mappings) / static_cast<double>(misses));
  }
  if (pattern.pin_cache_bytes != 0)
    note += ", of those in the pin cache " + Percent(cache_hits, cache_hits + cache_misses);
  const Row row{"D2", pattern.name, kNoBar, note};
  PrintLoops(row, result);
}

}  // namespace

void OnDemandBar(const Settings& settings) {
  if (const absl::Status usable = TryToWire(Guarded()); !usable.ok())
    return PrintNotMeasured({"D1", "map + release 4 KiB, on-demand", kNoBar, ""}, usable);
  Reach all(Guarded(), std::nullopt);
  {
    Reach on_demand(Guarded(), kBytes);
    MeasureHits(settings, all, on_demand, "one page", std::vector<uint64_t>(kCalls, 0));
    MeasureHits(settings, all, on_demand, "random pages",
                RandomAddresses(kBytes, kPageSize, kCalls));
  }
  const std::vector<uint64_t> random_in = RandomAddresses(24 * kMiB, kBufferBytes, kPatternCalls);
  const std::vector<uint64_t> looping_in = LoopingAddresses(24 * kMiB);
  const std::vector<uint64_t> random_out = RandomAddresses(48 * kMiB, kBufferBytes, kPatternCalls);
  const std::vector<uint64_t> looping_out = LoopingAddresses(48 * kMiB);
  for (const Pattern& pattern : {Pattern{"random buffers of 24 MiB, 32 MiB kept", random_in, 0},
                                 Pattern{"a loop over 24 MiB, 32 MiB kept", looping_in, 0},
                                 Pattern{"random buffers of 48 MiB, 32 MiB kept", random_out, 0},
                                 Pattern{"  and a pin cache of 24 MiB", random_out, 24 * kMiB},
                                 Pattern{"a loop over 48 MiB, 32 MiB kept", looping_out, 0},
                                 Pattern{"  and a pin cache of 24 MiB", looping_out, 24 * kMiB}}) {
    MeasurePattern(settings, all, pattern);
  }
}

}  // namespace vmwire::bench
