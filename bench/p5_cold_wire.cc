// P5: wire memory that nobody touched, of each backing and at each level, beside the bare calls in
// their best order.
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "bench/bars.h"
#include "bench/hugetlb_pool.h"
#include "bench/raw_floor.h"
#include "bench/report.h"
#include "bench/require.h"
#include "bench/timing.h"
#include "bench/wired_guest.h"
#include "memory/host_limits.h"

namespace vmwire::bench {
namespace {

constexpr double kBar = 1.05;
constexpr PinLevel kLevels[] = {PinLevel::kResident, PinLevel::kPinned, PinLevel::kGuarded};

// An order of the bare calls: a lock before or after the populate, and then the registration.
enum class Lock { kNone, kOnFaultBefore, kAfter };
struct Order {
  Lock lock;
  unsigned threads;
  bool registers;
};

std::vector<Order> OrdersOf(PinLevel level) {
  const auto all = static_cast<unsigned>(CountUsableCpus());
  const bool registers = level != PinLevel::kResident;
  const Lock first_lock = level == PinLevel::kPinned ? Lock::kNone : Lock::kOnFaultBefore;
  std::vector<Order> orders = {{first_lock, 1, registers}};
  if (all > 1) orders.push_back({first_lock, all, registers});
  if (level != PinLevel::kPinned) orders.push_back({Lock::kAfter, all, registers});
  return orders;
}

// What was free for some seconds may be the hypervisor's again (free page reporting): so memory is
// touched once just before each time that it is wired cold.
void WarmUp(const GuestOptions& options) {
  if (options.backing != MemoryBacking::kHugetlb) WarmUpHostMemory(options.bytes);
}

double TimeOrder(const GuestOptions& options, const Order& order) {
  const RawBacking backing = options.backing == MemoryBacking::kMemfd     ? RawBacking::kMemfd
                             : options.backing == MemoryBacking::kHugetlb ? RawBacking::kHugetlb
                                                                          : RawBacking::kAnonymous;
  WarmUp(options);
  const RawMemory memory(
      options.bytes, backing,
      options.pages == HugePages::kNone ? RawPages::kSmall : RawPages::kTransparentHuge);
  std::optional<RawRing> ring;
  if (order.registers) ring.emplace();
  const auto start = Clock::now();
  if (order.lock == Lock::kOnFaultBefore) RawLockOnFault(memory);
  RawPopulate(memory, order.threads);
  if (order.lock == Lock::kAfter) RawLock(memory);
  if (order.registers) ring->Register(memory);
  const double time = NanosecondsSince(start);
  if (order.registers) ring->Unregister(memory);
  return time;
}

double TimeOurs(const GuestOptions& options) {
  WarmUp(options);
  const auto guest = Require(WiredGuest::Create(options));
  const auto start = Clock::now();
  const auto wired = guest->map().Wire(guest->range());
  const double time = NanosecondsSince(start);
  Require(wired.status());
  return time;
}

Row RowOf(const GuestOptions& options) {
  const std::string pages = options.backing == MemoryBacking::kHugetlb
                                ? " of 2 MiB"
                                : ", huge pages " + ToString(options.pages);
  return {"P5",
          std::to_string(options.bytes >> 20) + " MiB cold, " + ToString(options.backing) + pages +
              ", " + ToString(options.level),
          kBar, ""};
}

void Measure(const Settings& settings, const GuestOptions& options) {
  if (const absl::Status usable = TryToWire(options); !usable.ok())
    return PrintNotMeasured(RowOf(options), usable);
  std::vector<Timed> floors;
  for (const Order& order : OrdersOf(options.level))
    floors.push_back([=] { return TimeOrder(options, order); });
  PrintCalls(RowOf(options), Compare(
                                 settings.rounds, [&] { return TimeOurs(options); }, floors));
}

void MeasureHugetlb(const Settings& settings) {
  const uint64_t bytes = AlignDown(settings.bytes + kHugePageSize - 1, kHugePageSize);
  const auto measure = [&] {
    for (const PinLevel level : kLevels)
      Measure(settings, {.bytes = bytes, .backing = MemoryBacking::kHugetlb, .level = level});
  };
  const absl::Status pool = RunWithHugetlbPool(bytes / kHugePageSize, measure);
  if (pool.ok()) return;
  for (const PinLevel level : kLevels) {
    const GuestOptions options{.bytes = bytes, .backing = MemoryBacking::kHugetlb, .level = level};
    PrintNotMeasured(RowOf(options), pool);
  }
}

}  // namespace

void ColdWireBar(const Settings& settings) {
  for (const PinLevel level : kLevels) {
    for (const MemoryBacking backing : {MemoryBacking::kAnonymous, MemoryBacking::kMemfd}) {
      for (const HugePages pages : {HugePages::kTransparent, HugePages::kNone}) {
        Measure(settings,
                {.bytes = settings.bytes, .backing = backing, .pages = pages, .level = level});
      }
    }
  }
  MeasureHugetlb(settings);
}

}  // namespace vmwire::bench
