// P6: give a device's ring what is pinned already, beside the bare clone of a registered buffer.
#include <algorithm>
#include <cstdint>
#include <string>

#include "absl/strings/str_format.h"
#include "bench/bars.h"
#include "bench/raw_floor.h"
#include "bench/report.h"
#include "bench/require.h"
#include "bench/timing.h"
#include "bench/wired_guest.h"

namespace vmwire::bench {
namespace {

constexpr double kBar = 3;
constexpr uint32_t kDeviceSlots = 64;
constexpr int kCalls = 50;

uint64_t PinnedMiB(HostMemory& host) { return Require(host.Pins()).pinned_bytes >> 20; }

// A table of a device's, which dies with this.
class DeviceTable {
 public:
  explicit DeviceTable(HostMemory& host)
      : host_(host), table_(Require(host.CreateBufferTable(kDeviceSlots))) {}
  DeviceTable(const DeviceTable&) = delete;
  DeviceTable& operator=(const DeviceTable&) = delete;
  ~DeviceTable() { host_.DestroyBufferTable(table_); }
  BufferTable get() const { return table_; }

 private:
  HostMemory& host_;
  const BufferTable table_;
};

// Bare memory that is pinned by a bare ring.
class BarePins {
 public:
  explicit BarePins(uint64_t bytes)
      : memory_(bytes, RawBacking::kAnonymous, RawPages::kTransparentHuge) {
    ring_.Register(memory_);
  }
  const RawRing& ring() const { return ring_; }

 private:
  const RawMemory memory_;
  RawRing ring_;  // Lets go of its buffers when it dies.
};

// Finds the buffer that holds the object's first page, and shares it with slot 0 of the device.
absl::Status ShareFirst(WiredGuest& guest, const DeviceTable& device) {
  const auto buffer = PinTable::BufferOf(guest.object(), 0);
  if (!buffer.has_value()) return absl::NotFoundError("no registered buffer holds the first page");
  return guest.host().ShareBuffer(buffer->table, buffer->slot, device.get(), 0);
}

// Ours and the floor, each timed call by call; what a call has shared is taken back before the
// next.
void MeasureShare(const Settings& settings, Row row, WiredGuest& guest) {
  const DeviceTable device(guest.host());
  const uint64_t pinned_before = PinnedMiB(guest.host());
  if (const absl::Status shared = ShareFirst(guest, device); !shared.ok())
    return PrintNotMeasured(row, shared);
  const uint64_t pinned_after = PinnedMiB(guest.host());
  guest.host().ClearBuffer(device.get(), 0);
  row.note = absl::StrFormat("VmPin %d MiB before and %d MiB after; a second registration 54 ms",
                             pinned_before, pinned_after);
  const BarePins bare(guest.range().size());
  RawRing bare_device(kDeviceSlots);
  const auto ours = [&] {
    const double time = TimeCall([&] { Require(ShareFirst(guest, device)); });
    guest.host().ClearBuffer(device.get(), 0);
    return time;
  };
  const auto floor = [&] {
    const double time = TimeCall([&] { bare_device.ShareFirst(bare.ring()); });
    bare_device.ClearFirst();
    return time;
  };
  CallTimes our_times, bare_times;
  const Comparison result =
      Compare(8 * settings.rounds, [&] { return our_times.Median(kCalls, ours); },
              {[&] { return bare_times.Median(kCalls, floor); }});
  PrintCalls(row, result, our_times, bare_times);
}

// A new ring with all that is pinned: what a kernel before Linux 6.13 can do.
void MeasureClone(const Settings& settings, const Row& row, WiredGuest& guest) {
  const BufferTable pins = PinTable::BufferOf(guest.object(), 0)->table;
  const auto clone = guest.host().CloneBufferTable(pins);
  if (!clone.ok()) return PrintNotMeasured(row, clone.status());
  guest.host().DestroyBufferTable(*clone);
  const BarePins bare(guest.range().size());
  const auto ours = [&] {
    const auto start = Clock::now();
    const BufferTable table = Require(guest.host().CloneBufferTable(pins));
    const double time = NanosecondsSince(start);
    guest.host().DestroyBufferTable(table);
    return time;
  };
  CallTimes our_times, bare_times;
  const Comparison result =
      Compare(8 * settings.rounds, [&] { return our_times.Median(kCalls, ours); },
              {[&] { return bare_times.Median(kCalls, [&] { return bare.ring().TimeClone(); }); }});
  PrintCalls(row, result, our_times, bare_times);
}

}  // namespace

void ShareBar(const Settings& settings) {
  // Of as much as one buffer can hold.
  const GuestOptions options{.bytes = std::min(settings.bytes, kMaxBufferBytes),
                             .level = PinLevel::kPinned};
  const std::string size = std::to_string(options.bytes >> 20) + " MiB";
  const Row share{"P6", "share pinned " + size + " with a device's ring", kBar, ""};
  const Row clone{"P6", "  the same, by a new ring with all 16,384 slots", kBar, ""};
  if (const absl::Status usable = TryToWire(options); !usable.ok()) {
    PrintNotMeasured(share, usable);
    return PrintNotMeasured(clone, usable);
  }
  const auto guest = Require(WiredGuest::Create(options));
  const auto wired = Require(guest->map().Wire(guest->range()));
  MeasureShare(settings, share, *guest);
  MeasureClone(settings, clone, *guest);
}

}  // namespace vmwire::bench
