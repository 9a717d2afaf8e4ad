// Walks the buffers of a chain from their first byte to their last, as if they were one: for
// devices that copy through a buffer of their own.
//
// A buffer is checked as a whole when its first byte is reached, so that none is served in part and
// then found to leave memory. Nothing stays mapped between two calls: whoever waits for memory to
// be let go of does not wait for what the device does with the bytes.
//
// Invariants: no length that the guest gives is ever the size of an allocation.
// Thread safety: one thread uses a cursor.
#ifndef VMWIRE_DEVICES_VIRTIO_CHAIN_CURSOR_H_
#define VMWIRE_DEVICES_VIRTIO_CHAIN_CURSOR_H_

#include <cstddef>
#include <cstdint>
#include <span>

#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "devices/dma_port.h"
#include "devices/virtio/virtqueue.h"

namespace vmwire {

class ChainCursor {
 public:
  // Over the readable or the writable buffers of a chain. REQUIRES: all of them outlive the cursor.
  ChainCursor(DmaPort& port, absl::Span<const VirtqueueBuffer> buffers)
      : port_(port), buffers_(buffers) {}

  // Copies the next bytes of the buffers to the front of `out`; how many: fewer than out.size()
  // only at the end. Errors as DmaPort::Map.
  absl::StatusOr<size_t> Read(std::span<std::byte> out);

  // Copies the front of `in` to the next bytes of the buffers; how many: fewer than in.size() only
  // at the end. Errors as DmaPort::Map.
  absl::StatusOr<size_t> Write(std::span<const std::byte> in);

 private:
  using Copy = absl::FunctionRef<void(DmaMapping& mapping, size_t done, size_t bytes)>;
  absl::StatusOr<size_t> Advance(size_t size, DmaDirection direction, Copy copy);

  DmaPort& port_;
  const absl::Span<const VirtqueueBuffer> buffers_;
  size_t index_ = 0;     // Of the buffer that comes next.
  uint64_t offset_ = 0;  // Of the next byte in it.
};

}  // namespace vmwire

#endif  // VMWIRE_DEVICES_VIRTIO_CHAIN_CURSOR_H_
