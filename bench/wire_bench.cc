// Google Benchmark: what wiring costs, cold and warm, beside the bare system calls on the same kind
// of memory.
#include <benchmark/benchmark.h>

#include <chrono>

#include "bench/raw_floor.h"
#include "bench/wired_guest.h"

namespace vmwire::bench {
namespace {

using Clock = std::chrono::steady_clock;

double Seconds(Clock::time_point start) {
  return std::chrono::duration<double>(Clock::now() - start).count();
}

HugePages PagesOf(const benchmark::State& state) {
  return state.range(1) != 0 ? HugePages::kTransparent : HugePages::kNone;
}

void Sizes(benchmark::internal::Benchmark* bench) {
  bench->ArgNames({"bytes", "thp"});
  for (const int64_t bytes : {int64_t{4096}, int64_t{2} << 20, int64_t{256} << 20}) {
    bench->Args({bytes, 0});
    if (bytes > 4096) bench->Args({bytes, 1});
  }
  bench->UseManualTime()->Unit(benchmark::kMicrosecond);
}

// Memory that nobody touched.
void BM_WireCold(benchmark::State& state, PinLevel level) {
  for (auto unused : state) {
    WiredGuest guest(static_cast<uint64_t>(state.range(0)), MemoryBacking::kAnonymous,
                     PagesOf(state), level);
    const auto start = Clock::now();
    const auto wired = guest.map().Wire(guest.range());
    state.SetIterationTime(Seconds(start));
    if (!wired.ok()) state.SkipWithError(wired.status().ToString().c_str());
  }
  state.SetBytesProcessed(state.iterations() * state.range(0));
}
BENCHMARK_CAPTURE(BM_WireCold, resident, PinLevel::kResident)->Apply(Sizes);
BENCHMARK_CAPTURE(BM_WireCold, pinned, PinLevel::kPinned)->Apply(Sizes);

void BM_BarePopulateAndLockCold(benchmark::State& state) {
  for (auto unused : state) {
    RawMemory memory(static_cast<uint64_t>(state.range(0)), RawBacking::kAnonymous,
                     state.range(1) != 0 ? RawPages::kTransparentHuge : RawPages::kSmall);
    const auto start = Clock::now();
    RawPopulate(memory, 1);
    RawLock(memory);
    state.SetIterationTime(Seconds(start));
  }
  state.SetBytesProcessed(state.iterations() * state.range(0));
}
BENCHMARK(BM_BarePopulateAndLockCold)->Apply(Sizes);

void BM_BarePopulateAndRegisterCold(benchmark::State& state) {
  RawRing ring;
  for (auto unused : state) {
    RawMemory memory(static_cast<uint64_t>(state.range(0)), RawBacking::kAnonymous,
                     state.range(1) != 0 ? RawPages::kTransparentHuge : RawPages::kSmall);
    const auto start = Clock::now();
    RawPopulate(memory, 1);
    ring.Register(memory);
    state.SetIterationTime(Seconds(start));
    ring.Unregister(memory);
  }
  state.SetBytesProcessed(state.iterations() * state.range(0));
}
BENCHMARK(BM_BarePopulateAndRegisterCold)->Apply(Sizes);

// Memory that is wired already: the host is not asked.
void BM_WireAndUnwireWarm(benchmark::State& state) {
  WiredGuest guest(static_cast<uint64_t>(state.range(0)), MemoryBacking::kAnonymous,
                   HugePages::kTransparent, PinLevel::kResident);
  const auto held = guest.map().Wire(guest.range());
  for (auto unused : state) {
    const auto wired = guest.map().Wire(guest.range());
    benchmark::DoNotOptimize(wired.ok());
  }
}
BENCHMARK(BM_WireAndUnwireWarm)
    ->ArgName("bytes")
    ->Arg(4096)
    ->Arg(int64_t{2} << 20)
    ->Arg(int64_t{256} << 20);

// What a caller without a count of its own pays for the same.
void BM_BareLockOfLockedMemory(benchmark::State& state) {
  RawMemory memory(static_cast<uint64_t>(state.range(0)), RawBacking::kAnonymous,
                   RawPages::kTransparentHuge);
  RawPopulate(memory, 1);
  RawLock(memory);
  for (auto unused : state) RawLock(memory);
}
BENCHMARK(BM_BareLockOfLockedMemory)
    ->ArgName("bytes")
    ->Arg(4096)
    ->Arg(int64_t{2} << 20)
    ->Arg(int64_t{256} << 20);

}  // namespace
}  // namespace vmwire::bench

BENCHMARK_MAIN();
