// P9: copies of the DMA engine, beside memcpy between the same pages.
//
// The engine's worker is run in the thread that measures: it takes descriptors off a ring in guest
// memory, maps, copies and completes them, and both sides have the same processor. What the
// hand-over to the engine's own thread and back costs is a row by itself.
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <memory>
#include <span>
#include <string>

#include "bench/bars.h"
#include "bench/report.h"
#include "bench/require.h"
#include "bench/timing.h"
#include "bench/wired_guest.h"
#include "devices/device_log.h"
#include "devices/dma_engine/dma_descriptor.h"
#include "devices/dma_engine/dma_engine.h"
#include "devices/dma_engine/dma_ring.h"
#include "devices/dma_engine/dma_worker.h"
#include "devices/dma_space.h"
#include "devices/event_fd.h"

namespace vmwire::bench {
namespace {

// A bandwidth of 0.95 of memcpy's.
constexpr double kBar = 1 / 0.95;
constexpr uint64_t kKiB = 1024;
constexpr uint64_t kMiB = 1024 * kKiB;
constexpr uint64_t kBatchBytes = 64 * kMiB;
constexpr uint32_t kRingSize = kMaxDmaRingSize;

// Guest memory: rings in the first 2 MiB, then the sources, then the destinations.
constexpr GuestAddress kWorkerRings(0);
constexpr GuestAddress kEngineRings(kMiB);
constexpr uint64_t kCompletionsFromRings = 512 * kKiB;
constexpr uint64_t kSource = 2 * kMiB;
constexpr uint64_t kDestination = kSource + kBatchBytes;
constexpr uint64_t kGuestBytes = kDestination + kBatchBytes;

// Registers of the engine (devices/dma_engine/README.md).
constexpr uint64_t kControl = 0x14;
constexpr uint64_t kRingSizeRegister = 0x1c;
constexpr uint64_t kRingBaseLow = 0x20;
constexpr uint64_t kCompletionBaseLow = 0x28;
constexpr uint64_t kInterruptAck = 0x38;
constexpr uint32_t kRunWithInterrupt = 3;

struct Copies {
  uint64_t bytes;   // Of each.
  uint64_t stride;  // From one to the next; 0: the same pages again.
  uint64_t count;
};
constexpr Copies AllOver(uint64_t bytes) { return {bytes, bytes, kBatchBytes / bytes}; }
constexpr Copies SamePages(uint64_t bytes) { return {bytes, 0, kBatchBytes / bytes}; }

// The guest's side of a descriptor ring and its completion ring.
class GuestRings {
 public:
  // `memory`: guest address 0 on the host.
  GuestRings(std::byte* memory, GuestAddress base) : memory_(memory), base_(base) {}

  DmaRingConfig config() const {
    return {.size = kRingSize, .descriptors = base_, .completions = Completions()};
  }

  // Fills the descriptors of one batch, of which only the last one interrupts.
  void Fill(const Copies& copies) {
    for (uint64_t i = 0; i < copies.count; ++i) {
      DmaDescriptor descriptor;
      descriptor.opcode = static_cast<uint16_t>(DmaOpcode::kCopy);
      descriptor.flags = i + 1 < copies.count ? kDmaNoInterrupt : uint16_t{0};
      descriptor.length = static_cast<uint32_t>(copies.bytes);
      descriptor.source = kSource + i * copies.stride;
      descriptor.destination = kDestination + i * copies.stride;
      const uint64_t slot = tail_++ % kRingSize;
      std::memcpy(At(base_) + kDmaRingHeaderSize + slot * sizeof(descriptor), &descriptor,
                  sizeof(descriptor));
    }
  }
  void Publish() { __atomic_store_n(Word(base_), tail_, __ATOMIC_RELEASE); }
  bool AllCompleted() const {
    return __atomic_load_n(Word(Completions()), __ATOMIC_ACQUIRE) == tail_;
  }

 private:
  GuestAddress Completions() const { return GuestAddress(base_.value() + kCompletionsFromRings); }
  std::byte* At(GuestAddress address) const { return memory_ + address.value(); }
  uint32_t* Word(GuestAddress address) const { return reinterpret_cast<uint32_t*>(At(address)); }

  std::byte* const memory_;
  const GuestAddress base_;
  uint32_t tail_ = 0;
};

// The engine's worker, without its thread.
class Worker final : private DmaEvents {
 public:
  Worker(DmaPort& port, std::byte* memory)
      : rings_(memory, kWorkerRings),
        worker_(port, rings_.config(), Require(DmaRing::Create(port, rings_.config())), *this,
                doorbell_, stop_) {}

  // Nanoseconds of one batch.
  double Time(const Copies& copies) {
    rings_.Fill(copies);
    rings_.Publish();
    const double time = TimeCall([&] { Require(worker_.ServeAvailable()); });
    if (!rings_.AllCompleted()) Require(absl::InternalError("a copy was not completed"));
    return time;
  }

 private:
  void Ended(const DmaDescriptor&, const DmaOutcome& outcome) override { Require(outcome.cause); }
  void Completed(const DmaDescriptor&, const DmaOutcome&) override {}

  GuestRings rings_;
  const EventFd doorbell_ = Require(EventFd::Create());
  const EventFd stop_ = Require(EventFd::Create());
  DmaWorker worker_;
};

class EventLine final : public InterruptLine {
 public:
  void Raise() override { event_.Signal(); }
  void Wait() {
    WaitReadable({event_.fd()});
    event_.Drain();
  }

 private:
  const EventFd event_ = Require(EventFd::Create());
};

// The whole engine, which a thread of its own serves.
class Engine {
 public:
  Engine(DmaPort& port, std::byte* memory)
      : rings_(memory, kEngineRings),
        log_([](const std::string& line) { Require(absl::InternalError(line)); }),
        engine_(Require(DmaEngine::Create(port, line_, log_))) {
    const DmaRingConfig config = rings_.config();
    Set(kRingSizeRegister, config.size);
    Set(kRingBaseLow, config.descriptors.value());
    Set(kCompletionBaseLow, config.completions.value());
    Set(kControl, kRunWithInterrupt);
  }

  // Nanoseconds of one batch, from the doorbell to the interrupt.
  double Time(const Copies& copies) {
    rings_.Fill(copies);
    return TimeCall([&] {
      rings_.Publish();
      Set(DmaEngine::kDoorbellOffset, 1);
      while (!rings_.AllCompleted()) {
        line_.Wait();
        Set(kInterruptAck, 1);
      }
    });
  }

 private:
  void Set(uint64_t offset, uint64_t value) {
    const auto word = static_cast<uint32_t>(value);
    engine_->Write(offset, std::as_bytes(std::span<const uint32_t, 1>(&word, 1)));
  }

  GuestRings rings_;
  EventLine line_;
  DeviceLog log_;
  const std::unique_ptr<DmaEngine> engine_;  // Stops before the rest goes.
};

double TimeMemcpy(std::byte* memory, const Copies& copies) {
  return TimeCall([&] {
    for (uint64_t i = 0; i < copies.count; ++i) {
      std::memcpy(memory + kDestination + i * copies.stride, memory + kSource + i * copies.stride,
                  copies.bytes);
      Use(memory);
    }
  });
}

// `Ours`: a Worker or an Engine.
template <typename Ours>
void Measure(const Settings& settings, const Row& row, Ours& ours, std::byte* memory,
             const Copies& copies) {
  const auto count = static_cast<double>(copies.count);
  PrintLoops(row, Compare(8 * settings.rounds, [&] { return ours.Time(copies) / count; },
                          {[&] { return TimeMemcpy(memory, copies) / count; }}));
}

void MeasureWorker(const Settings& settings, DmaPort& port, std::byte* memory,
                   const std::string& kind) {
  Worker worker(port, memory);
  const auto measure = [&](const std::string& what, const Copies& copies) {
    Measure(settings, {"P9", what + ", " + kind, kBar, ""}, worker, memory, copies);
  };
  measure("copy of 64 KiB, the same pages again", SamePages(64 * kKiB));
  measure("  all over 64 MiB", AllOver(64 * kKiB));
  measure("copy of 1 MiB, the same pages again", SamePages(kMiB));
  measure("  all over 64 MiB", AllOver(kMiB));
  measure("copy of 16 MiB, all over 64 MiB", AllOver(16 * kMiB));
}

void MeasureEngine(const Settings& settings, DmaPort& port, std::byte* memory) {
  Engine engine(port, memory);
  Measure(settings, {"P9", "doorbell to interrupt, one copy of 64 KiB", kNoBar, ""}, engine, memory,
          {64 * kKiB, 0, 1});
  Measure(settings, {"P9", "  a copy of 64 KiB of 1,024, all over 64 MiB", kNoBar, ""}, engine,
          memory, AllOver(64 * kKiB));
}

void MeasureAll(const Settings& settings, HugePages pages, const std::string& kind) {
  const GuestOptions options{.bytes = kGuestBytes, .pages = pages, .level = PinLevel::kGuarded};
  if (const absl::Status usable = TryToWire(options); !usable.ok())
    return PrintNotMeasured({"P9", "copies, " + kind, kBar, ""}, usable);
  const auto guest = Require(WiredGuest::Create(options));
  const auto wired = Require(guest->map().Wire(guest->range()));
  std::byte* const memory =
      Require(guest->map().Hold(GuestAddress(0), kGuestBytes, Protection::kWrite)).bytes().data();
  DmaSpace space(guest->host(), guest->map(), guest->range(), {});
  const auto worker_port = space.CreatePort("worker");
  MeasureWorker(settings, *worker_port, memory, kind);
  if (pages != HugePages::kTransparent) return;
  const auto engine_port = space.CreatePort("engine");
  MeasureEngine(settings, *engine_port, memory);
}

}  // namespace

void DmaCopyBar(const Settings& settings) {
  MeasureAll(settings, HugePages::kTransparent, "thp");
  MeasureAll(settings, HugePages::kNone, "4 KiB pages");
}

}  // namespace vmwire::bench
