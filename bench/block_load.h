// A load of random reads, kept at one depth, on whatever does them: what each costs of the
// processors, how long it takes, and how many there are a second.
//
// Invariants: no two reads that run at once share memory.
// Thread safety: none; the thread that runs the load is the program, or the driver, that reads.
#ifndef VMWIRE_BENCH_BLOCK_LOAD_H_
#define VMWIRE_BENCH_BLOCK_LOAD_H_

#include <chrono>
#include <cstdint>
#include <vector>

#include "absl/functional/function_ref.h"
#include "bench/paired.h"

namespace vmwire::bench {

struct LoadShape {
  uint32_t bytes = 0;  // Of one read; a power of two.
  uint32_t depth = 0;  // How many run at once; a power of two.
};

// Where a read goes: offsets in the file and in the memory.
struct Place {
  uint64_t file;
  uint64_t memory;
};

// Something that reads a file.
class Reader {
 public:
  virtual ~Reader() = default;

  // Begins a read; it need not start before Wait. REQUIRES: `slot` has none.
  virtual void Begin(uint32_t slot, const Place& place, uint32_t bytes) = 0;
  // Waits until a read is done, and calls `done` for each that is, with its slot, which may begin
  // another. Ends the process if one failed.
  virtual void Wait(absl::FunctionRef<void(uint32_t slot)> done) = 0;
  // Whether the processor time of the thread that calls is the reader's too; else it is that of
  // somebody who only asks, and is left out.
  virtual bool WorksInCaller() const = 0;
};

// What reads of one Reader and shape cost, of all rounds.
struct LoadFigures {
  Samples cpu;        // Nanoseconds a read, one sample a round.
  Samples latencies;  // Of each read.
  uint64_t reads = 0;
  double seconds = 0;

  double ReadsPerSecond() const { return static_cast<double>(reads) / seconds; }
};

class Load {
 public:
  // Of reads anywhere in a file of `file_bytes`, into anywhere in memory of `memory_bytes`.
  Load(const LoadShape& shape, uint64_t file_bytes, uint64_t memory_bytes);

  // Keeps `reader` busy for `time`, adds to `figures`, and gives the processor time of one read in
  // nanoseconds: that of the whole process, kernel workers included, without the caller's if that
  // only asks.
  double Run(Reader& reader, std::chrono::nanoseconds time, LoadFigures& figures);

 private:
  // Drives the reads until `end`, and then until none runs. Returns how many there were.
  uint64_t Drive(Reader& reader, std::chrono::steady_clock::time_point end, Samples& latencies);
  Place NextPlace(uint32_t slot);

  const LoadShape shape_;
  std::vector<Place> places_;  // Memory: within the part of a slot.
  size_t next_place_ = 0;
  const uint64_t slot_memory_;
};

}  // namespace vmwire::bench

#endif  // VMWIRE_BENCH_BLOCK_LOAD_H_
