// P4: pin and unpin a page of 4 KiB that is resident, beside the bare calls in their best order.
#include <cstdint>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "bench/bars.h"
#include "bench/parked_thread.h"
#include "bench/raw_floor.h"
#include "bench/report.h"
#include "bench/require.h"
#include "bench/timing.h"
#include "bench/wired_guest.h"

namespace vmwire::bench {
namespace {

constexpr int kCalls = 500;

// An order of the bare calls: each is a step, in and out again.
enum class Step { kLock, kLockOnFault, kRegister, kUnregister, kUnlock };
using Order = std::vector<Step>;

std::vector<Order> OrdersOf(PinLevel level) {
  if (level == PinLevel::kPinned) return {{Step::kRegister, Step::kUnregister}};
  return {{Step::kLock, Step::kRegister, Step::kUnregister, Step::kUnlock},
          {Step::kLockOnFault, Step::kRegister, Step::kUnregister, Step::kUnlock},
          {Step::kLock, Step::kRegister, Step::kUnlock, Step::kUnregister},
          {Step::kRegister, Step::kLock, Step::kUnlock, Step::kUnregister},
          {Step::kRegister, Step::kLockOnFault, Step::kUnregister, Step::kUnlock}};
}

void Do(const Order& order, const RawRange& page, RawRing& ring) {
  for (const Step step : order) {
    switch (step) {
      case Step::kLock:
        RawLock(page);
        break;
      case Step::kLockOnFault:
        RawLockOnFault(page);
        break;
      case Step::kRegister:
        ring.Register(page);
        break;
      case Step::kUnregister:
        ring.Unregister(page);
        break;
      case Step::kUnlock:
        RawUnlock(page);
        break;
    }
  }
}

// A page in memory of ours and one in bare memory, each the middle one of as many as there are.
class Pages {
 public:
  Pages(uint64_t bytes, PinLevel level)
      : guest_(Require(
            WiredGuest::Create({.bytes = bytes, .pages = HugePages::kNone, .level = level}))),
        page_(
            Require(GuestRange::Create(GuestAddress(AlignDown(bytes / 2, kPageSize)), kPageSize))),
        memory_(bytes, RawBacking::kAnonymous, RawPages::kSmall),
        bare_page_{memory_.data() + page_.start().value(), kPageSize} {
    RawPopulate(memory_, 1);
    // All of it is resident afterwards.
    Require(map().Wire(guest_->range()).status());
  }

  VmMap& map() { return guest_->map(); }
  void WireAndUnwire() {
    Use(map().WireRange(page_, WireFlags::kSystem).ok());
    Use(map().UnwireRange(page_, WireFlags::kSystem).ok());
  }
  void PinAndUnpin() {
    const auto extent = guest_->pinner().Pin(HostPage(), {});
    if (!extent.ok()) Require(extent.status());
    guest_->pinner().Unpin(*extent);
  }
  void DoBare(const Order& order) { Do(order, bare_page_, ring_); }

 private:
  HostRange HostPage() {
    return Require(guest_->object().HostSlice(page_.start().value(), kPageSize));
  }

  const std::unique_ptr<WiredGuest> guest_;
  const GuestRange page_;
  const RawMemory memory_;
  const RawRange bare_page_;
  RawRing ring_;
};

template <typename Ours>
void Measure(const Settings& settings, const Row& row, Pages& pages, PinLevel level,
             const Ours& ours) {
  const std::vector<Order> orders = OrdersOf(level);
  CallTimes our_times;
  std::vector<CallTimes> bare_times(orders.size());
  std::vector<Timed> floors;
  for (size_t i = 0; i < orders.size(); ++i) {
    floors.push_back([&, i] {
      return bare_times[i].Median(kCalls,
                                  [&, i] { return TimeCall([&, i] { pages.DoBare(orders[i]); }); });
    });
  }
  const Comparison result = Compare(
      8 * settings.rounds, [&] { return our_times.Median(kCalls, [&] { return TimeCall(ours); }); },
      floors);
  const auto best = static_cast<size_t>(&result.BestFloor() - result.floors.data());
  PrintCalls(row, result, our_times, bare_times[best]);
}

void MeasureLevel(const Settings& settings, PinLevel level) {
  const double bar = level == PinLevel::kPinned ? 1.3 : 1.2;
  const std::string peer = level == PinLevel::kPinned ? "io_uring 0.34 + 0.27 us" : "";
  const std::string what = "pin + unpin 4 KiB, " + ToString(level);
  if (const absl::Status usable = TryToWire({.bytes = kPageSize, .level = level}); !usable.ok())
    return PrintNotMeasured({"P4", what, bar, ""}, usable);
  {
    Pages alone(kPageSize, level);
    Measure(settings, {"P4", what, bar, peer}, alone, level, [&] { alone.WireAndUnwire(); });
    Measure(settings, {"P4", "  the same, by the pinner alone", bar, ""}, alone, level,
            [&] { alone.PinAndUnpin(); });
    const ParkedThread other;
    Measure(settings, {"P4", "  the same, another thread sleeps", bar, ""}, alone, level,
            [&] { alone.WireAndUnwire(); });
  }
  Pages amid(uint64_t{64} << 20, level);
  Measure(settings, {"P4", "  the same, amid 64 MiB", bar, ""}, amid, level,
          [&] { amid.WireAndUnwire(); });
}

}  // namespace

void PinPageBar(const Settings& settings) {
  for (const PinLevel level : {PinLevel::kPinned, PinLevel::kGuarded})
    MeasureLevel(settings, level);
}

}  // namespace vmwire::bench
