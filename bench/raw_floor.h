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

enum class RawBacking { kAnonymous, kMemfd, kHugetlb };
enum class RawPages { kSmall, kTransparentHuge };  // Not of kHugetlb, which has its own.

struct RawRange {
  std::byte* data;
  uint64_t size;
};

// Untouched memory, 2 MiB-aligned; unmapped when it dies. Ends the process if the host has none.
class RawMemory {
 public:
  RawMemory(uint64_t bytes, RawBacking backing, RawPages pages);
  RawMemory(const RawMemory&) = delete;
  RawMemory& operator=(const RawMemory&) = delete;
  ~RawMemory();

  operator RawRange() const { return {data_, size_}; }
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
void RawPopulate(const RawRange& range, unsigned threads);
// Touches and frees so many bytes. The first touch of memory since the host booted, or since the
// host told a hypervisor below it that it is free (free page reporting, which begins two seconds
// after), is the hypervisor's work; just after this, what is measured is the kernel's.
void WarmUpHostMemory(uint64_t bytes);
// mlock(2) of all of it.
void RawLock(const RawRange& range);
// mlock2(2) with MLOCK_ONFAULT of all of it: each page is locked when it is faulted in.
void RawLockOnFault(const RawRange& range);
void RawUnlock(const RawRange& range);

// A ring with a sparse table of registered buffers; 16,384 are as many as the kernel allows and as
// ours has. Ends the process if the host has none.
class RawRing {
 public:
  static constexpr unsigned kSlots = 16384;

  explicit RawRing(unsigned slots = kSlots);
  RawRing(const RawRing&) = delete;
  RawRing& operator=(const RawRing&) = delete;
  ~RawRing();
  // Registers all of `range`, in buffers of at most 1 GiB, from slot 0; and clears those slots.
  void Register(const RawRange& range);
  void Unregister(const RawRange& range);

  // IORING_REGISTER_CLONE_BUFFERS of slot 0 of `other` into slot 0 of this one (Linux 6.13); false:
  // the kernel refuses.
  bool ShareFirst(const RawRing& other);
  void ClearFirst();
  // The nanoseconds in which a new ring is made that has all buffers of this one (Linux 6.12).
  double TimeClone() const;

 private:
  struct Ring;
  std::unique_ptr<Ring> ring_;
};

}  // namespace vmwire::bench

#endif  // VMWIRE_BENCH_RAW_FLOOR_H_
