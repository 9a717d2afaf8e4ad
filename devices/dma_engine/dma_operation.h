// What the DMA engine does for one descriptor.
//
// Invariants: nothing is written unless all that the descriptor names was found good and is mapped.
// When ExecuteDma returns nothing of it is mapped any more.
// Thread safety: one thread executes; `abort` may be set by any.
#ifndef VMWIRE_DEVICES_DMA_ENGINE_DMA_OPERATION_H_
#define VMWIRE_DEVICES_DMA_ENGINE_DMA_OPERATION_H_

#include <atomic>
#include <cstdint>
#include <optional>

#include "absl/status/status.h"
#include "devices/dma_engine/dma_descriptor.h"
#include "devices/dma_port.h"

namespace vmwire {

// `abort` is looked at each time that so much was done.
inline constexpr uint64_t kDmaChunk = uint64_t{1} << 20;

struct DmaOutcome {
  DmaStatus status = DmaStatus::kOk;
  uint64_t result = 0;
  absl::Status cause;  // Of an error, for a person.
};

// Carries `descriptor` out, up to its end or, if `abort` becomes true, up to the end of a chunk;
// nullopt then.
//
// Copy gives the destination what the source held before, also where the two overlap, unless one of
// them is a list: then the copy goes in the order of the list, and what overlaps ends as any mix of
// old and new bytes.
std::optional<DmaOutcome> ExecuteDma(DmaPort& port, const DmaDescriptor& descriptor,
                                     const std::atomic<bool>& abort);

}  // namespace vmwire

#endif  // VMWIRE_DEVICES_DMA_ENGINE_DMA_OPERATION_H_
