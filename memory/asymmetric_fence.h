// The two halves of a fence whose price is paid by one side only: many cheap readers against a rare
// writer.
//
//   reader: store A (kPublish); LightFence(); load B (kObserve)
//   writer: store B (kPublish); HeavyFence(); load A (kObserve)
//
// Not both loads can miss the other side's store. The heavy half is membarrier(2)
// PRIVATE_EXPEDITED, which runs a full fence on every CPU that runs a thread of this process; so
// the light half need only stop the compiler. A kernel that does not give membarrier makes both
// halves full fences.
//
// GCC's ThreadSanitizer knows no fences. Under it the order is carried by the accesses themselves:
// kPublish and kObserve are seq_cst there, and what they guard is seen as synchronized.
//
// Invariants: once a light half was free of cost, no heavy half is less than a membarrier.
// Thread safety: thread-safe. A child of fork() must not use them beside threads it does not have.
#ifndef VMWIRE_MEMORY_ASYMMETRIC_FENCE_H_
#define VMWIRE_MEMORY_ASYMMETRIC_FENCE_H_

#include <atomic>

#if defined(__SANITIZE_THREAD__)
#define VMWIRE_FENCES_BY_ACCESS 1
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define VMWIRE_FENCES_BY_ACCESS 1
#endif
#endif
#ifndef VMWIRE_FENCES_BY_ACCESS
#define VMWIRE_FENCES_BY_ACCESS 0
#endif

namespace vmwire {

// The orders of a store before either half and of a load behind it. An atomic read-modify-write
// that is the store or the load of a pair takes seq_cst.
#if VMWIRE_FENCES_BY_ACCESS
inline constexpr std::memory_order kPublish = std::memory_order_seq_cst;
inline constexpr std::memory_order kObserve = std::memory_order_seq_cst;
#else
inline constexpr std::memory_order kPublish = std::memory_order_release;
inline constexpr std::memory_order kObserve = std::memory_order_acquire;
#endif

namespace fence_internal {
// True once this process is registered for membarrier; false makes light halves full fences.
inline constinit std::atomic<bool> light_is_free = false;
}  // namespace fence_internal

// Registers this process for membarrier; later calls only read the answer. True: the light half is
// free of cost from now on. The first call takes about 1 us in a process of one thread, and
// milliseconds in one of several.
bool PrepareFences();

inline void LightFence() {
#if !VMWIRE_FENCES_BY_ACCESS
  if (!fence_internal::light_is_free.load(std::memory_order_relaxed)) [[unlikely]] {
    std::atomic_thread_fence(std::memory_order_seq_cst);
    return;
  }
#endif
  std::atomic_signal_fence(std::memory_order_seq_cst);
}

// A microsecond or more.
void HeavyFence();

}  // namespace vmwire

#endif  // VMWIRE_MEMORY_ASYMMETRIC_FENCE_H_
