// The floor under every figure: the bare system calls, on memory of the same kind, with nothing
// around them.
//
// Invariants: no code of memory/ is used here.
// Thread safety: no state.
#ifndef VMWIRE_BENCH_RAW_FLOOR_H_
#define VMWIRE_BENCH_RAW_FLOOR_H_

#include <cstddef>
#include <cstdint>

namespace vmwire::bench {

enum class RawBacking { kAnonymous, kMemfd };
enum class RawPages { kSmall, kTransparentHuge };

// Untouched memory, 2 MiB-aligned; unmapped when it dies. Ends the process if the host has none.
class RawMemory {
 public:
  RawMemory(uint64_t bytes, RawBacking backing, RawPages pages);
  RawMemory(const RawMemory&) = delete;
  RawMemory& operator=(const RawMemory&) = delete;
  ~RawMemory();

  std::byte* data() const { return data_; }
  uint64_t size() const { return size_; }

 private:
  std::byte* reserved_;
  std::byte* data_;
  uint64_t size_;
  int file_ = -1;
};

// MADV_POPULATE_WRITE of all of it: one call on one thread, or `threads` threads with an equal part
// each.
void RawPopulate(const RawMemory& memory, unsigned threads);
// mlock(2) of all of it.
void RawLock(const RawMemory& memory);
void RawUnlock(const RawMemory& memory);

// A ring with a sparse table of registered buffers.
class RawRing {
 public:
  RawRing();
  RawRing(const RawRing&) = delete;
  RawRing& operator=(const RawRing&) = delete;
  ~RawRing();
  // Registers all of `memory`, in buffers of at most 1 GiB, from slot 0; and clears those slots.
  void Register(const RawMemory& memory);
  void Unregister(const RawMemory& memory);

 private:
  struct Ring;
  Ring* ring_;
};

}  // namespace vmwire::bench

#endif  // VMWIRE_BENCH_RAW_FLOOR_H_
