// The pinned buffers of guest memory, given to the io_uring of a device: which of them holds a
// piece of host memory. They are the same pins, and are charged once.
//
// Invariants: the ring has the buffers as long as the object lives.
// Thread safety: immutable; Find from any thread.
#ifndef VMWIRE_DEVICES_SHARED_BUFFERS_H_
#define VMWIRE_DEVICES_SHARED_BUFFERS_H_

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "memory/host_memory.h"
#include "memory/pinner.h"
#include "memory/vm_map.h"

namespace vmwire {

class SharedBuffers {
 public:
  // Gives `ring` the buffers that hold what is wired in `map` now. Unimplemented: none does, or the
  // kernel cannot share them. Else as HostMemory::CloneIntoRing. REQUIRES: `host` outlives the
  // object; the ring stays open while it lives.
  static absl::StatusOr<std::unique_ptr<SharedBuffers>> Create(HostMemory& host, VmMap& map,
                                                               int ring);
  SharedBuffers(const SharedBuffers&) = delete;
  SharedBuffers& operator=(const SharedBuffers&) = delete;
  // REQUIRES: no transfer of the ring runs.
  ~SharedBuffers();

  // The number of the ring's buffer that holds all of `bytes`; DmaPiece::kNoBuffer: none does.
  int32_t Find(std::span<const std::byte> bytes) const;

  size_t count() const { return buffers_.size(); }

 private:
  SharedBuffers(HostMemory& host, int ring, std::vector<PinnedBuffer> buffers)
      : host_(host), ring_(ring), buffers_(std::move(buffers)) {}

  HostMemory& host_;
  const int ring_;
  const std::vector<PinnedBuffer> buffers_;  // Ascending, disjoint.
};

}  // namespace vmwire

#endif  // VMWIRE_DEVICES_SHARED_BUFFERS_H_
