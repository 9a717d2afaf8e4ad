// P2: hold and release of 4 KiB that are wired, beside a pair of locked adds.
#include <atomic>
#include <cstdint>
#include <memory>
#include <random>
#include <string>
#include <vector>

#include "bench/bars.h"
#include "bench/report.h"
#include "bench/require.h"
#include "bench/timing.h"
#include "bench/wired_guest.h"

namespace vmwire::bench {
namespace {

constexpr uint64_t kBytes = uint64_t{64} << 20;
constexpr size_t kAddresses = 1024;
constexpr int kCalls = 8192;

// A count that is taken and given back: what keeping a page costs where there is one.
class Counts {
 public:
  explicit Counts(uint64_t pages) : words_(pages) {}
  void TakeAndGiveBack(uint64_t page) {
    words_[page].fetch_add(1, std::memory_order_acq_rel);
    words_[page].fetch_add(-1, std::memory_order_acq_rel);
  }

 private:
  std::vector<std::atomic<int64_t>> words_;
};

void HoldAndRelease(VmMap& map, GuestAddress address) {
  const auto held = map.Hold(address, kPageSize, Protection::kWrite);
  if (!held.ok()) Require(held.status());
  Use(held->bytes().data());
}

}  // namespace

void HoldBar(const Settings& settings) {
  const int rounds = 20 * settings.rounds;
  const auto guest = Require(WiredGuest::Create({.bytes = kBytes}));
  const auto wired = Require(guest->map().Wire(guest->range()));
  VmMap& map = guest->map();
  Counts counts(kBytes / kPageSize);
  std::mt19937_64 random(1);
  std::vector<uint64_t> pages(kAddresses);
  for (uint64_t& page : pages) page = random() % (kBytes / kPageSize);

  // Each thread holds one page again and again, those of two threads so far apart.
  const auto hold = [&map](int threads, uint64_t apart) -> Timed {
    return [&map, threads, apart] {
      return TimeLoops(threads, kCalls, [&map, apart](int thread, int) {
        HoldAndRelease(map, GuestAddress(static_cast<uint64_t>(thread) * apart * kPageSize));
      });
    };
  };
  const auto page_of = [&pages](int i) { return pages[static_cast<size_t>(i) % kAddresses]; };
  PrintLoops({"P2", "hold + release of a wired 4 KiB", 1.5, "UCX rcache 43 to 49 ns"},
             Compare(rounds, hold(1, 0), {[&] {
                       return TimeLoops(1, kCalls, [&](int, int) { counts.TakeAndGiveBack(0); });
                     }}));
  const Timed random_hold = [&] {
    return TimeLoops(
        1, kCalls, [&](int, int i) { HoldAndRelease(map, GuestAddress(page_of(i) * kPageSize)); });
  };
  PrintLoops({"P2", "  the same, random pages of 64 MiB", 1.5, "floor: a count for each page"},
             Compare(rounds, random_hold, {[&] {
                       return TimeLoops(1, kCalls,
                                        [&](int, int i) { counts.TakeAndGiveBack(page_of(i)); });
                     }}));
  PrintLoops({"P2", "2 threads, pages 64 apart; floor: 1 thread", 1.3, "UCX 121 to 139 ns"},
             Compare(rounds, hold(2, 64), {hold(1, 0)}));
  PrintLoops({"P2", "2 threads, adjacent pages; floor: 1 thread", 1.3, ""},
             Compare(rounds, hold(2, 1), {hold(1, 0)}));
  PrintLoops({"P2", "2 threads, the same page; floor: 1 thread", 1.3, ""},
             Compare(rounds, hold(2, 0), {hold(1, 0)}));
}

}  // namespace vmwire::bench
