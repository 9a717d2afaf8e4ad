// Google Benchmark: from a guest address to its entry and to its bytes, with 1 to 1,024 mappings,
// beside a bare table of pointers.
#include <benchmark/benchmark.h>

#include <cstdint>
#include <cstdlib>
#include <memory>
#include <random>
#include <vector>

#include "bench/raw_floor.h"
#include "bench/wired_guest.h"
#include "memory/guest_memory.h"
#include "memory/host_memory_linux.h"

namespace vmwire::bench {
namespace {

constexpr uint64_t kMappingBytes = uint64_t{2} << 20;

// A guest of `mappings` objects of 2 MiB each, which cannot merge, all resident.
class ManyMappings {
 public:
  explicit ManyMappings(int64_t mappings)
      : guest_(kMappingBytes, MemoryBacking::kAnonymous, HugePages::kTransparent,
               PinLevel::kResident) {
    for (int64_t i = 1; i < mappings; ++i) {
      const GuestAddress start(static_cast<uint64_t>(i) * kMappingBytes);
      auto object = VmObject::Create(host_, {.size = kMappingBytes, .congruent_to = start});
      auto range = GuestRange::Create(start, kMappingBytes);
      if (!object.ok() || !range.ok() ||
          !guest_.map().Map(*range, *object, 0, Protection::kAll).ok())
        std::abort();
    }
    std::mt19937_64 random(1);
    for (uint64_t& address : addresses_)
      address = random() % (static_cast<uint64_t>(mappings) * kMappingBytes);
  }

  VmMap& map() { return guest_.map(); }
  GuestAddress Next() { return GuestAddress(addresses_[next_++ % kAddresses] & ~uint64_t{7}); }

 private:
  static constexpr size_t kAddresses = 4096;
  HostMemoryLinux host_;
  WiredGuest guest_;
  uint64_t addresses_[kAddresses];
  size_t next_ = 0;
};

void BM_Lookup(benchmark::State& state) {
  ManyMappings guest(state.range(0));
  for (auto unused : state) benchmark::DoNotOptimize(guest.map().Lookup(guest.Next()));
}
BENCHMARK(BM_Lookup)->ArgName("mappings")->RangeMultiplier(8)->Range(1, 1024)->Arg(1024);

void BM_Load8Bytes(benchmark::State& state) {
  ManyMappings guest(state.range(0));
  const GuestMemory memory(guest.map());
  for (auto unused : state)
    benchmark::DoNotOptimize(memory.Load<uint64_t>(guest.Next()).value_or(0));
}
BENCHMARK(BM_Load8Bytes)->ArgName("mappings")->RangeMultiplier(8)->Range(1, 1024)->Arg(1024);

// The floor: one load from a table with a pointer for each 2 MiB.
void BM_BareTable(benchmark::State& state) {
  ManyMappings guest(state.range(0));
  std::vector<std::byte*> table;
  for (int64_t i = 0; i < state.range(0); ++i) {
    const VmMapEntry* entry =
        guest.map().Lookup(GuestAddress(static_cast<uint64_t>(i) * kMappingBytes));
    table.push_back(HostPointer(entry->object->host_range().start()));
  }
  for (auto unused : state) {
    const uint64_t address = guest.Next().value();
    benchmark::DoNotOptimize(table[address / kMappingBytes] + address % kMappingBytes);
  }
}
BENCHMARK(BM_BareTable)->ArgName("mappings")->RangeMultiplier(8)->Range(1, 1024)->Arg(1024);

}  // namespace
}  // namespace vmwire::bench

BENCHMARK_MAIN();
