// The engine's side of the descriptor ring and the completion ring (dma_descriptor.h).
//
// What the guest has in the rings is hostile and may change at any time: a descriptor is copied
// once and used as the copy that was read. Of its own counters the engine reads nothing back.
//
// Invariants: both rings stay mapped while this lives; every access is atomic by words.
// Thread safety: one thread, the engine's, uses a ring.
#ifndef VMWIRE_DEVICES_DMA_ENGINE_DMA_RING_H_
#define VMWIRE_DEVICES_DMA_ENGINE_DMA_RING_H_

#include <cstdint>
#include <optional>
#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "devices/dma_engine/dma_descriptor.h"
#include "devices/dma_mapping.h"
#include "devices/dma_port.h"
#include "memory/address.h"

namespace vmwire {

// What the guest set.
struct DmaRingConfig {
  uint32_t size = 0;
  GuestAddress descriptors = GuestAddress(0);
  GuestAddress completions = GuestAddress(0);

  uint64_t descriptor_bytes() const {
    return kDmaRingHeaderSize + uint64_t{size} * sizeof(DmaDescriptor);
  }
  uint64_t completion_bytes() const {
    return kDmaRingHeaderSize + uint64_t{size} * sizeof(DmaCompletion);
  }
};

class DmaRing {
 public:
  // Maps both rings and stores 0 as `head`. InvalidArgument: the size is 0, not a power of two or
  // above kMaxDmaRingSize; or a ring is not aligned to kDmaRingAlignment. Otherwise as
  // DmaPort::Map, naming the ring. REQUIRES: `port` outlives the ring.
  static absl::StatusOr<DmaRing> Create(DmaPort& port, const DmaRingConfig& config);

  DmaRing(DmaRing&&) noexcept = default;
  DmaRing& operator=(DmaRing&&) noexcept = default;
  DmaRing(const DmaRing&) = delete;
  DmaRing& operator=(const DmaRing&) = delete;
  ~DmaRing() = default;

  // The next descriptor; nullopt: there is none. InvalidArgument: `tail` is behind, or ahead by
  // more than the size; the engine needs a reset.
  absl::StatusOr<std::optional<DmaDescriptor>> Pop();

  // The completion of the oldest descriptor that has none. REQUIRES: one was popped for it.
  void Push(const DmaCompletion& completion);

 private:
  DmaRing(const DmaRingConfig& config, DmaMapping descriptors, DmaMapping completions)
      : config_(config),
        descriptors_(std::move(descriptors)),
        completions_(std::move(completions)) {}

  DmaRingConfig config_;
  DmaMapping descriptors_;
  DmaMapping completions_;
  uint32_t popped_ = 0;
  uint32_t pushed_ = 0;
};

}  // namespace vmwire

#endif  // VMWIRE_DEVICES_DMA_ENGINE_DMA_RING_H_
