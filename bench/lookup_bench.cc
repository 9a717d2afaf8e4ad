// Google Benchmark: from a guest address to its entry and to its bytes, with 1 to 1,024 mappings,
// beside a bare table of pointers.
#include <benchmark/benchmark.h>

#include <cstdint>
#include <memory>
#include <optional>
#include <random>
#include <vector>

#include "bench/require.h"
#include "bench/wired_guest.h"
#include "memory/guest_memory.h"
#include "memory/host_memory_linux.h"

namespace vmwire::bench {
namespace {

constexpr uint64_t kMappingBytes = uint64_t{64} << 10;

// A guest of `mappings` objects of 64 KiB each, which cannot merge; one word of each page has been
// written, so that all of it is resident and no access of a benchmark faults.
class ManyMappings {
 public:
  explicit ManyMappings(int64_t mappings)
      : bytes_(static_cast<uint64_t>(mappings) * kMappingBytes),
        guest_(Require(WiredGuest::Create({.bytes = kMappingBytes, .pages = HugePages::kNone}))) {
    for (uint64_t at = kMappingBytes; at < bytes_; at += kMappingBytes) MapOne(GuestAddress(at));
    const GuestMemory memory(map());
    for (uint64_t page = 0; page < bytes_; page += kPageSize)
      Require(memory.Store<uint64_t>(GuestAddress(page), page));
    std::mt19937_64 random(1);
    for (uint64_t& address : addresses_) address = random() % bytes_ & ~uint64_t{7};
  }

  VmMap& map() { return guest_->map(); }
  GuestAddress Next() { return GuestAddress(addresses_[next_++ % kAddresses]); }

 private:
  void MapOne(GuestAddress start) {
    Require(map().Map(
        Require(GuestRange::Create(start, kMappingBytes)),
        Require(VmObject::Create(
            host_, {.size = kMappingBytes, .congruent_to = start, .huge_pages = HugePages::kNone})),
        0, Protection::kAll));
  }

  static constexpr size_t kAddresses = 4096;
  const uint64_t bytes_;
  HostMemoryLinux host_;
  const std::unique_ptr<WiredGuest> guest_;
  uint64_t addresses_[kAddresses];
  size_t next_ = 0;
};

void Mappings(benchmark::internal::Benchmark* bench) {
  bench->ArgName("mappings")->RangeMultiplier(8)->Range(1, 1024);
}

void BM_Lookup(benchmark::State& state) {
  ManyMappings guest(state.range(0));
  for (auto unused : state) benchmark::DoNotOptimize(guest.map().Lookup(guest.Next()));
}
BENCHMARK(BM_Lookup)->Apply(Mappings);

void BM_Load8Bytes(benchmark::State& state) {
  ManyMappings guest(state.range(0));
  const GuestMemory memory(guest.map());
  for (auto unused : state)
    benchmark::DoNotOptimize(memory.Load<uint64_t>(guest.Next()).value_or(0));
}
BENCHMARK(BM_Load8Bytes)->Apply(Mappings);

// The floor: one load from a table with a pointer for each 64 KiB.
void BM_BareTable(benchmark::State& state) {
  ManyMappings guest(state.range(0));
  std::vector<std::byte*> table;
  for (int64_t i = 0; i < state.range(0); ++i) {
    const std::optional<VmMapEntry> entry =
        guest.map().Lookup(GuestAddress(static_cast<uint64_t>(i) * kMappingBytes));
    table.push_back(HostPointer(entry->object->host_range().start()));
  }
  for (auto unused : state) {
    const uint64_t address = guest.Next().value();
    benchmark::DoNotOptimize(table[address / kMappingBytes] + address % kMappingBytes);
  }
}
BENCHMARK(BM_BareTable)->Apply(Mappings);

}  // namespace
}  // namespace vmwire::bench

BENCHMARK_MAIN();
