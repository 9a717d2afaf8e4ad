// Google Benchmark: what wiring costs, cold and warm, beside the bare system calls on the same kind
// of memory.
#include <benchmark/benchmark.h>

#include <chrono>
#include <memory>

#include "bench/raw_floor.h"
#include "bench/wired_guest.h"
#include "memory/host_limits.h"

namespace vmwire::bench {
namespace {

using Clock = std::chrono::steady_clock;

constexpr int64_t kSmall = 4096;
constexpr int64_t kMiddle = int64_t{2} << 20;
constexpr int64_t kLarge = int64_t{256} << 20;

double Seconds(Clock::time_point start) {
  return std::chrono::duration<double>(Clock::now() - start).count();
}

void OurSizes(benchmark::internal::Benchmark* bench) {
  bench->ArgNames({"bytes", "thp"});
  bench->Args({kSmall, 0});
  for (const int64_t bytes : {kMiddle, kLarge}) bench->Args({bytes, 0})->Args({bytes, 1});
  bench->UseManualTime()->Unit(benchmark::kMicrosecond);
}

// The same sizes with one thread, and the largest, where ours takes all processors, with all.
void BareSizes(benchmark::internal::Benchmark* bench) {
  bench->ArgNames({"bytes", "thp", "threads"});
  bench->Args({kSmall, 0, 1});
  for (const int64_t bytes : {kMiddle, kLarge}) bench->Args({bytes, 0, 1})->Args({bytes, 1, 1});
  const int64_t cpus = static_cast<int64_t>(CountUsableCpus());
  if (cpus > 1) bench->Args({kLarge, 0, cpus})->Args({kLarge, 1, cpus});
  bench->UseManualTime()->Unit(benchmark::kMicrosecond);
}

void WarmSizes(benchmark::internal::Benchmark* bench) {
  bench->ArgName("bytes")->Arg(kSmall)->Arg(kMiddle)->Arg(kLarge);
}

void Skip(benchmark::State& state, const absl::Status& status) {
  state.SkipWithError(status.ToString().c_str());
}

GuestOptions OptionsOf(const benchmark::State& state, PinLevel level) {
  return {.bytes = static_cast<uint64_t>(state.range(0)),
          .pages = state.range(1) != 0 ? HugePages::kTransparent : HugePages::kNone,
          .level = level};
}

// Memory that nobody touched.
void BM_WireCold(benchmark::State& state, PinLevel level) {
  const GuestOptions options = OptionsOf(state, level);
  for (auto unused : state) {
    const auto guest = WiredGuest::Create(options);
    if (!guest.ok()) {
      Skip(state, guest.status());
      break;
    }
    const auto start = Clock::now();
    const auto wired = (*guest)->map().Wire((*guest)->range());
    state.SetIterationTime(Seconds(start));
    if (!wired.ok()) {
      Skip(state, wired.status());
      break;
    }
  }
  state.SetBytesProcessed(state.iterations() * state.range(0));
}
BENCHMARK_CAPTURE(BM_WireCold, resident, PinLevel::kResident)->Apply(OurSizes);
BENCHMARK_CAPTURE(BM_WireCold, pinned, PinLevel::kPinned)->Apply(OurSizes);

RawMemory ColdMemory(const benchmark::State& state) {
  return RawMemory(static_cast<uint64_t>(state.range(0)), RawBacking::kAnonymous,
                   state.range(1) != 0 ? RawPages::kTransparentHuge : RawPages::kSmall);
}

unsigned Threads(const benchmark::State& state) { return static_cast<unsigned>(state.range(2)); }

// The bare rows ask first whether ours can wire the same: a bare call that fails ends this program.
void BM_BarePopulateThenLockCold(benchmark::State& state) {
  const absl::Status usable = TryToWire(OptionsOf(state, PinLevel::kResident));
  if (!usable.ok()) return Skip(state, usable);
  for (auto unused : state) {
    const RawMemory memory = ColdMemory(state);
    const auto start = Clock::now();
    RawPopulate(memory, Threads(state));
    RawLock(memory);
    state.SetIterationTime(Seconds(start));
  }
  state.SetBytesProcessed(state.iterations() * state.range(0));
}
BENCHMARK(BM_BarePopulateThenLockCold)->Apply(BareSizes);

void BM_BareLockOnFaultThenPopulateCold(benchmark::State& state) {
  const absl::Status usable = TryToWire(OptionsOf(state, PinLevel::kResident));
  if (!usable.ok()) return Skip(state, usable);
  for (auto unused : state) {
    const RawMemory memory = ColdMemory(state);
    const auto start = Clock::now();
    RawLockOnFault(memory);
    RawPopulate(memory, Threads(state));
    state.SetIterationTime(Seconds(start));
  }
  state.SetBytesProcessed(state.iterations() * state.range(0));
}
BENCHMARK(BM_BareLockOnFaultThenPopulateCold)->Apply(BareSizes);

void BM_BarePopulateThenRegisterCold(benchmark::State& state) {
  const absl::Status usable = TryToWire(OptionsOf(state, PinLevel::kPinned));
  if (!usable.ok()) return Skip(state, usable);
  RawRing ring;
  for (auto unused : state) {
    const RawMemory memory = ColdMemory(state);
    const auto start = Clock::now();
    RawPopulate(memory, Threads(state));
    ring.Register(memory);
    state.SetIterationTime(Seconds(start));
    ring.Unregister(memory);
  }
  state.SetBytesProcessed(state.iterations() * state.range(0));
}
BENCHMARK(BM_BarePopulateThenRegisterCold)->Apply(BareSizes);

// Memory that is wired already: the host is not asked.
void BM_WireAndUnwireWarm(benchmark::State& state) {
  const auto guest = WiredGuest::Create({.bytes = static_cast<uint64_t>(state.range(0))});
  if (!guest.ok()) return Skip(state, guest.status());
  const auto held = (*guest)->map().Wire((*guest)->range());
  if (!held.ok()) return Skip(state, held.status());
  for (auto unused : state) {
    const auto wired = (*guest)->map().Wire((*guest)->range());
    if (!wired.ok()) {
      Skip(state, wired.status());
      break;
    }
  }
}
BENCHMARK(BM_WireAndUnwireWarm)->Apply(WarmSizes);

// What a caller without a count of its own pays for the same.
void BM_BareLockOfLockedMemory(benchmark::State& state) {
  const absl::Status usable = TryToWire({.bytes = static_cast<uint64_t>(state.range(0))});
  if (!usable.ok()) return Skip(state, usable);
  RawMemory memory(static_cast<uint64_t>(state.range(0)), RawBacking::kAnonymous,
                   RawPages::kTransparentHuge);
  RawPopulate(memory, 1);
  RawLock(memory);
  for (auto unused : state) RawLock(memory);
}
BENCHMARK(BM_BareLockOfLockedMemory)->Apply(WarmSizes);

}  // namespace
}  // namespace vmwire::bench

int main(int argc, char** argv) {
  benchmark::Initialize(&argc, argv);
  if (benchmark::ReportUnrecognizedArguments(argc, argv)) return 2;
  vmwire::bench::WarmUpHostMemory(uint64_t{512} << 20);
  benchmark::RunSpecifiedBenchmarks();
  return 0;
}
