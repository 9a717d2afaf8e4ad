#include "bench/block_load.h"

#include <time.h>

#include <random>

#include "bench/timing.h"

namespace vmwire::bench {
namespace {

// Made before, so that choosing them costs next to nothing while the processors are timed.
constexpr size_t kPlaces = 16384;

double CpuNanoseconds(clockid_t clock) {
  timespec now = {};
  clock_gettime(clock, &now);
  return static_cast<double>(now.tv_sec) * 1e9 + static_cast<double>(now.tv_nsec);
}

}  // namespace

Load::Load(const LoadShape& shape, uint64_t file_bytes, uint64_t memory_bytes)
    : shape_(shape), slot_memory_(memory_bytes / shape.depth) {
  std::mt19937_64 random(1);
  for (size_t i = 0; i < kPlaces; ++i) {
    places_.push_back({random() % (file_bytes / shape.bytes) * shape.bytes,
                       random() % (slot_memory_ / shape.bytes) * shape.bytes});
  }
}

double Load::Run(Reader& reader, std::chrono::nanoseconds time, LoadFigures& figures) {
  const double process_before = CpuNanoseconds(CLOCK_PROCESS_CPUTIME_ID);
  const double caller_before = CpuNanoseconds(CLOCK_THREAD_CPUTIME_ID);
  const auto start = Clock::now();
  const uint64_t reads = Drive(reader, start + time, figures.latencies);
  figures.seconds += NanosecondsSince(start) * 1e-9;
  double cpu = CpuNanoseconds(CLOCK_PROCESS_CPUTIME_ID) - process_before;
  if (!reader.WorksInCaller()) cpu -= CpuNanoseconds(CLOCK_THREAD_CPUTIME_ID) - caller_before;
  figures.reads += reads;
  const double cpu_per_read = cpu / static_cast<double>(reads);
  figures.cpu.Add(cpu_per_read);
  return cpu_per_read;
}

uint64_t Load::Drive(Reader& reader, Clock::time_point end, Samples& latencies) {
  std::vector<Clock::time_point> begun(shape_.depth, Clock::now());
  for (uint32_t slot = 0; slot < shape_.depth; ++slot)
    reader.Begin(slot, NextPlace(slot), shape_.bytes);
  uint32_t running = shape_.depth;
  uint64_t reads = 0;
  while (running > 0) {
    reader.Wait([&](uint32_t slot) {
      const auto now = Clock::now();
      latencies.Add(std::chrono::duration<double, std::nano>(now - begun[slot]).count());
      ++reads;
      if (now < end) {
        begun[slot] = now;
        reader.Begin(slot, NextPlace(slot), shape_.bytes);
      } else {
        --running;
      }
    });
  }
  return reads;
}

Place Load::NextPlace(uint32_t slot) {
  const Place& place = places_[next_place_++ % kPlaces];
  return {place.file, slot * slot_memory_ + place.memory};
}

}  // namespace vmwire::bench
