// What a guest and the DMA engine have in memory between them: two rings and their entries, all
// little-endian. guests/dma/dma_driver.h is the guests' side; a test holds the two together.
//
//   RING_BASE        header of 64 bytes: u32 tail; then RING_SIZE descriptors of 64 bytes
//   COMPLETION_BASE  header of 64 bytes: u32 head; then RING_SIZE completions of 32 bytes
//
// `tail` counts the descriptors that the guest made available, `head` those that the engine
// completed, both from 0 at RUN and modulo 2^32. The n-th descriptor, and its completion, is in
// slot n modulo RING_SIZE. The guest fills the slot, then stores `tail`, then writes DOORBELL; the
// engine fills the slot of the completion, then stores `head`. A slot may be used again once its
// completion was read.
//
// Invariants: the engine reads a descriptor once. Completions come in the order of the descriptors.
// Thread safety: values.
#ifndef VMWIRE_DEVICES_DMA_ENGINE_DMA_DESCRIPTOR_H_
#define VMWIRE_DEVICES_DMA_ENGINE_DMA_DESCRIPTOR_H_

#include <cstddef>
#include <cstdint>

namespace vmwire {

inline constexpr uint32_t kMaxDmaRingSize = 1024;
inline constexpr uint32_t kMaxDmaSegments = 256;
// What one descriptor may move. It also bounds what one keeps mapped.
inline constexpr uint32_t kMaxDmaLength = uint32_t{64} << 20;

inline constexpr uint64_t kDmaRingAlignment = 64;
inline constexpr uint64_t kDmaRingHeaderSize = 64;

enum class DmaOpcode : uint16_t {
  kNone = 0,      // Completes.
  kCopy = 1,      // Source to destination.
  kFill = 2,      // `operand`, a pattern of 8 bytes, over and over to the destination.
  kCompare = 3,   // Source with destination; writes neither.
  kChecksum = 4,  // CRC32C of the source, continued from the low 32 bits of `operand`.
};

// Bits of DmaDescriptor::flags.
inline constexpr uint16_t kDmaSourceList = 1 << 0;  // `source` is the address of a DmaSegment list.
inline constexpr uint16_t kDmaDestinationList = 1 << 1;
inline constexpr uint16_t kDmaNoInterrupt = 1 << 2;  // None for the success of this one.
inline constexpr uint16_t kDmaKnownFlags = kDmaSourceList | kDmaDestinationList | kDmaNoInterrupt;

struct DmaDescriptor {
  uint16_t opcode = 0;
  uint16_t flags = 0;
  uint32_t length = 0;       // Bytes; 0 moves none.
  uint64_t id = 0;           // The guest's; the completion repeats it.
  uint64_t source = 0;       // Of memory, or of a list.
  uint64_t destination = 0;  // Likewise.
  uint64_t operand = 0;
  uint32_t source_segments = 0;  // The entries of the list, if there is one.
  uint32_t destination_segments = 0;
  uint64_t reserved[2] = {};  // 0.
};
static_assert(sizeof(DmaDescriptor) == 64 && offsetof(DmaDescriptor, source_segments) == 40);

// An entry of a scatter-gather list; the lengths of a list add up to that of the descriptor.
struct DmaSegment {
  uint64_t address = 0;
  uint32_t length = 0;    // 0 is passed over.
  uint32_t reserved = 0;  // 0.
};
static_assert(sizeof(DmaSegment) == 16);

enum class DmaStatus : uint32_t {
  kOk = 0,
  kMismatch = 1,        // Compare: the two differ; `result` is the offset of the first difference.
  kBadOpcode = 2,       // Unknown.
  kBadFlags = 3,        // An unknown flag, or a reserved field that is not 0.
  kBadLength = 4,       // Beyond kMaxDmaLength or kMaxDmaSegments, or a list does not add up.
  kBadSource = 5,       // Some of it, or of its list, is no memory that the engine may read.
  kBadDestination = 6,  // Some of it is no memory that the engine may write.
  kBusy = 7,            // The memory cannot be wired now: too much is, or it is being taken away.
};

// Whether the descriptor was not carried out.
constexpr bool IsDmaError(DmaStatus status) {
  return status != DmaStatus::kOk && status != DmaStatus::kMismatch;
}

struct DmaCompletion {
  uint64_t id = 0;
  uint64_t result = 0;  // Of checksum and compare; else 0.
  DmaStatus status = DmaStatus::kOk;
  uint32_t reserved0 = 0;
  uint64_t reserved1 = 0;
};
static_assert(sizeof(DmaCompletion) == 32 && offsetof(DmaCompletion, status) == 16);

}  // namespace vmwire

#endif  // VMWIRE_DEVICES_DMA_ENGINE_DMA_DESCRIPTOR_H_
