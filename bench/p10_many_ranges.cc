// P10: wire memory that nobody touched as 1,000 ranges in random order, and then make one slot of
// it, beside one range.
#include <algorithm>
#include <atomic>
#include <cstdint>
#include <random>
#include <string>
#include <thread>
#include <vector>

#include "bench/bars.h"
#include "bench/raw_floor.h"
#include "bench/report.h"
#include "bench/require.h"
#include "bench/timing.h"
#include "bench/wired_guest.h"
#include "memory/host_limits.h"

namespace vmwire::bench {
namespace {

constexpr double kBar = 1.1;
constexpr uint64_t kRanges = 1000;

// Disjoint ranges that make up `whole`, in random order.
std::vector<GuestRange> Pieces(const GuestRange& whole) {
  std::vector<GuestRange> pieces;
  const auto cut = [&](uint64_t i) {
    return GuestAddress(whole.pages() * i / kRanges * kPageSize);
  };
  for (uint64_t i = 0; i < kRanges; ++i) pieces.push_back(GuestRange::Between(cut(i), cut(i + 1)));
  std::shuffle(pieces.begin(), pieces.end(), std::mt19937_64(1));
  return pieces;
}

void MakeSlot(VmMap& map, const GuestRange& range) {
  const WiredRange token = Require(map.Wire(range));
  Use(Require(token.Backing()).host.size());
}

double TimeOneRange(const GuestOptions& options) {
  WarmUpHostMemory(options.bytes);
  const auto guest = Require(WiredGuest::Create(options));
  const auto start = Clock::now();
  MakeSlot(guest->map(), guest->range());
  return NanosecondsSince(start);
}

// `callers` threads take the next piece each, until none is left.
double TimePieces(const GuestOptions& options, uint32_t callers) {
  WarmUpHostMemory(options.bytes);
  const auto guest = Require(WiredGuest::Create(options));
  VmMap& map = guest->map();
  const std::vector<GuestRange> pieces = Pieces(guest->range());
  std::atomic<size_t> next = 0;
  const auto work = [&] {
    for (size_t i = next++; i < pieces.size(); i = next++)
      Require(map.WireRange(pieces[i], WireFlags::kSystem));
  };
  const auto start = Clock::now();
  std::vector<std::thread> others;
  for (uint32_t i = 1; i < callers; ++i) others.emplace_back(work);
  work();
  for (std::thread& other : others) other.join();
  MakeSlot(map, guest->range());
  const double time = NanosecondsSince(start);
  Require(map.UnwireRange(guest->range(), WireFlags::kSystem));
  return time;
}

// `threads` wire the ranges, or fault in the one range.
void Measure(const Settings& settings, HugePages pages, PinLevel level, uint32_t threads) {
  const GuestOptions options{.bytes = std::max(settings.bytes, kRanges * kPageSize),
                             .pages = pages,
                             .level = level,
                             .threads = threads};
  const Row row{"P10",
                std::to_string(options.bytes >> 20) + " MiB cold in 1,000 ranges, huge pages " +
                    ToString(pages) + ", " + ToString(level),
                kBar,
                "floor: one range; " + std::to_string(threads) +
                    (threads == 1 ? " thread each" : " threads each")};
  if (const absl::Status usable = TryToWire(options); !usable.ok())
    return PrintNotMeasured(row, usable);
  PrintCalls(row, Compare(settings.rounds, [&] { return TimePieces(options, threads); },
                          {[&] { return TimeOneRange(options); }}));
}

}  // namespace

void ManyRangesBar(const Settings& settings) {
  const auto all = static_cast<uint32_t>(CountUsableCpus());
  for (const PinLevel level : {PinLevel::kResident, PinLevel::kPinned, PinLevel::kGuarded}) {
    Measure(settings, HugePages::kTransparent, level, 1);
    if (all > 1) Measure(settings, HugePages::kTransparent, level, all);
    Measure(settings, HugePages::kNone, level, all);
  }
}

}  // namespace vmwire::bench
