// P1: from a guest address to the host, of TranslationTable, beside a bare table of two levels.
#include <array>
#include <atomic>
#include <cstdint>
#include <memory>
#include <random>
#include <string>
#include <vector>

#include "bench/bars.h"
#include "bench/report.h"
#include "bench/timing.h"
#include "memory/read_section.h"
#include "memory/translation_table.h"

namespace vmwire::bench {
namespace {

constexpr uint64_t kMiB = uint64_t{1} << 20;
constexpr uint64_t kGiB = uint64_t{1} << 30;
constexpr uint64_t kHostStart = uint64_t{0x7000} << 32;
constexpr size_t kAddresses = 32768;
constexpr int kCalls = 32768;
// Of these, one guard serves so many.
constexpr int kCallsPerGuard = 64;

// The floor: a root with a leaf for each GiB, a leaf with a word for each MiB. Who reads it while
// it changes is not its concern, nor rights, nor a range that leaves its mapping.
class BareTable {
 public:
  explicit BareTable(uint64_t bytes) : leaves_((bytes - 1) / kGiB + 1) {
    for (auto& leaf : leaves_) leaf.store(new Leaf, std::memory_order_relaxed);
    for (uint64_t at = 0; at < bytes; at += kMiB)
      (*leaves_[at / kGiB].load())[at / kMiB % 1024].store(kHostStart, std::memory_order_relaxed);
  }
  BareTable(const BareTable&) = delete;
  BareTable& operator=(const BareTable&) = delete;
  ~BareTable() {
    for (auto& leaf : leaves_) delete leaf.load();
  }

  // 0: nothing is there.
  uint64_t Translate(uint64_t guest) const {
    if (guest / kGiB >= leaves_.size()) return 0;
    const Leaf* const leaf = leaves_[guest / kGiB].load(std::memory_order_acquire);
    if (leaf == nullptr) return 0;
    const uint64_t delta = (*leaf)[guest / kMiB % 1024].load(std::memory_order_acquire);
    return delta == 0 ? 0 : delta + guest;
  }

 private:
  using Leaf = std::array<std::atomic<uint64_t>, 1024>;
  std::vector<std::atomic<Leaf*>> leaves_;
};

struct Mappings {
  uint64_t count;
  uint64_t bytes;  // Of each; there are no gaps, but no two are one piece on the host.
  std::string Text() const {
    const std::string size =
        bytes < kMiB ? std::to_string(bytes >> 10) + " KiB" : std::to_string(bytes / kMiB) + " MiB";
    return std::to_string(count) + (count == 1 ? " mapping of " : " mappings of ") + size;
  }
};

class Translations {
 public:
  explicit Translations(const Mappings& mappings) : bare_(mappings.count * mappings.bytes) {
    std::vector<TranslationTable::Run> runs;
    for (uint64_t i = 0; i < mappings.count; ++i) {
      const GuestAddress start(i * mappings.bytes);
      runs.push_back({.range = GuestRange::Between(start, GuestAddress((i + 1) * mappings.bytes)),
                      .host = HostAddress(kHostStart + 2 * start.value()),
                      .protection = Protection::kAll});
    }
    const uint64_t end = mappings.count * mappings.bytes;
    table_.Replace(GuestRange::Between(GuestAddress(0), GuestAddress(end)), runs);
    std::mt19937_64 random(1);
    addresses_.resize(kAddresses);
    for (uint64_t& address : addresses_) address = random() % end & ~uint64_t{7};
  }

  double TimeBare(int threads) const {
    return TimeLoops(threads, kCalls,
                     [this](int thread, int i) { Use(bare_.Translate(Address(thread, i))); });
  }
  double TimeWithGuards(int threads) const {
    return TimeLoops(threads, kCalls, [this](int thread, int i) {
      const ReadGuard guard;
      Use(Translate(Address(thread, i)));
    });
  }
  double TimeWithFewGuards(int threads) const {
    const auto calls = [this](int thread, int i) {
      const ReadGuard guard;
      for (int j = 0; j < kCallsPerGuard; ++j)
        Use(Translate(Address(thread, i * kCallsPerGuard + j)));
    };
    return TimeLoops(threads, kCalls / kCallsPerGuard, calls) / kCallsPerGuard;
  }

 private:
  uint64_t Translate(uint64_t guest) const {
    HostPlace place;
    return table_.Translate(GuestAddress(guest), 8, place) ? place.host.value() : 0;
  }
  uint64_t Address(int thread, int i) const {
    return addresses_[static_cast<size_t>(i + thread * 1000) % kAddresses];
  }

  TranslationTable table_;
  const BareTable bare_;
  std::vector<uint64_t> addresses_;
};

void Measure(const Settings& settings, const Mappings& mappings) {
  const Translations tables(mappings);
  const bool many = mappings.count > 1024;
  const double bar = many ? 2 : 3;
  const std::string peer = many ? "SPDK 6.7 ns" : "SPDK 4.0 to 4.7 ns";
  const int rounds = 20 * settings.rounds;
  const auto print = [&](int threads, const std::string& guard, const Timed& ours) {
    const Row row{"P1", mappings.Text() + guard, bar, threads == 1 ? peer : "SPDK 5.4 to 6.2 ns"};
    PrintLoops(row, Compare(rounds, ours, {[&] { return tables.TimeBare(threads); }}));
  };
  print(1, ", a guard each", [&] { return tables.TimeWithGuards(1); });
  print(1, ", a guard for 64", [&] { return tables.TimeWithFewGuards(1); });
  print(2, ", a guard each, 2 threads", [&] { return tables.TimeWithGuards(2); });
}

}  // namespace

void TranslateBar(const Settings& settings) {
  for (const uint64_t count : {1u, 8u, 64u, 1024u, 65536u}) Measure(settings, {count, 2 * kMiB});
  // Smaller than the granule of either table: the floor could not tell them apart.
  Measure(settings, {1024, 64 << 10});
}

}  // namespace vmwire::bench
