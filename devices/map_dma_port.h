// The DmaPort of a DmaSpace.
//
// Invariants and thread safety: as DmaPort.
#ifndef VMWIRE_DEVICES_MAP_DMA_PORT_H_
#define VMWIRE_DEVICES_MAP_DMA_PORT_H_

#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "devices/dma_port.h"
#include "devices/dma_space.h"
#include "devices/shared_buffers.h"

namespace vmwire {

class MapDmaPort final : public DmaPort {
 public:
  // REQUIRES: `space` outlives the port.
  MapDmaPort(DmaSpace& space, std::string name, std::optional<std::vector<GuestRange>> windows)
      : DmaPort(std::move(name)), space_(space), windows_(std::move(windows)) {}
  ~MapDmaPort() override { space_.Forget(this); }

  absl::Status AttachRing(int ring_fd) override;
  void DetachRing() override { buffers_.reset(); }
  absl::Status Discard(const GuestRange& range) override;

  // For DmaSpace::Revoke.
  void Tell(const GuestRange& range) { TellRevoked(range); }

 private:
  absl::Status MapPieces(GuestAddress address, uint64_t size, DmaDirection direction,
                         DmaMapping::Pieces& pieces, DmaMapping::Holds& holds) override;
  void OnWritten(GuestAddress address, uint64_t size) override;
  // Holds what is not one piece on the host, entry by entry.
  absl::Status MapEntries(GuestAddress address, uint64_t size, Protection access,
                          DmaMapping::Pieces& pieces, DmaMapping::Holds& holds);
  // `why`, naming the device and what it asked for.
  absl::Status Refused(GuestAddress address, uint64_t size, const absl::Status& why) const;
  void Add(HeldRange held, DmaMapping::Pieces& pieces, DmaMapping::Holds& holds);
  absl::Status CheckWindows(GuestAddress address, uint64_t size) const;

  DmaSpace& space_;
  const std::optional<std::vector<GuestRange>> windows_;
  // Set and reset while the device maps nothing.
  std::unique_ptr<SharedBuffers> buffers_;
};

}  // namespace vmwire

#endif  // VMWIRE_DEVICES_MAP_DMA_PORT_H_
