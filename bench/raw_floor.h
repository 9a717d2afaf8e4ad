// The floor under every figure: the bare system calls, on memory of the same kind, with nothing
// around them.
//
// Invariants: no code of memory/ is used here.
// Thread safety: no state.
#ifndef VMWIRE_BENCH_RAW_FLOOR_H_
#define VMWIRE_BENCH_RAW_FLOOR_H_

#include <cstddef>
#include <cstdint>
#include <memory>

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
// Touches and frees so many bytes. The first touch of memory since the host booted may be the work
// of a hypervisor below it; after this, what is measured is the kernel's.
void WarmUpHostMemory(uint64_t bytes);
// mlock(2) of all of it.
void RawLock(const RawMemory& memory);
// mlock2(2) with MLOCK_ONFAULT of all of it: each page is locked when it is faulted in.
void RawLockOnFault(const RawMemory& memory);

// A ring with a sparse table of 16,384 registered buffers, as many as the kernel allows and as ours
// has. Ends the process if the host has none.
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
  std::unique_ptr<Ring> ring_;
};

}  // namespace vmwire::bench

#endif  // VMWIRE_BENCH_RAW_FLOOR_H_
