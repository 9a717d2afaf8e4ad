// The loop of the DMA engine's thread: takes descriptors, carries them out, completes them, from
// RUN to reset.
//
// Invariants: once Serve has returned, nothing is mapped, the rings included, and no byte of guest
// memory is touched any more.
// Thread safety: one thread serves; Abort and Revoke from any.
#ifndef VMWIRE_DEVICES_DMA_ENGINE_DMA_WORKER_H_
#define VMWIRE_DEVICES_DMA_ENGINE_DMA_WORKER_H_

#include <atomic>
#include <cstdint>
#include <optional>
#include <utility>

#include "absl/status/status.h"
#include "devices/dma_engine/dma_operation.h"
#include "devices/dma_engine/dma_ring.h"
#include "devices/dma_port.h"
#include "devices/event_fd.h"
#include "memory/page_range.h"

namespace vmwire {

// Told by the thread that serves.
class DmaEvents {
 public:
  virtual ~DmaEvents() = default;
  // What `descriptor` asked for has ended. Its completion is not in the ring yet: what is counted
  // here is counted for whoever sees that.
  virtual void Ended(const DmaDescriptor& descriptor, const DmaOutcome& outcome) = 0;
  // The completion of `descriptor` is in its ring.
  virtual void Completed(const DmaDescriptor& descriptor, const DmaOutcome& outcome) = 0;
};

class DmaWorker {
 public:
  // REQUIRES: all outlive the worker; `config` is that of `ring`. `stop` is not readable.
  DmaWorker(DmaPort& port, const DmaRingConfig& config, DmaRing ring, DmaEvents& events,
            const EventFd& doorbell, const EventFd& stop)
      : port_(port),
        config_(config),
        events_(events),
        doorbell_(doorbell),
        stop_(stop),
        ring_(std::move(ring)) {}
  DmaWorker(const DmaWorker&) = delete;
  DmaWorker& operator=(const DmaWorker&) = delete;

  // Serves until Abort, at each doorbell; at once the first time. InvalidArgument: as DmaRing::Pop.
  // Unavailable: the memory of a ring was revoked. To be called once.
  absl::Status Serve();

  // Serves what is available now, and returns. Errors as DmaRing::Pop. REQUIRES: Serve is neither
  // running nor was it called.
  absl::Status ServeAvailable();

  // Lets Serve return before the next chunk, with what it was at left unfinished.
  void Abort();

  // Ends Serve, with an error, if a ring lies in `range`.
  void Revoke(const GuestRange& range);

 private:
  absl::Status ServeUntilAborted();
  bool Aborted() const { return abort_.load(std::memory_order_acquire); }

  DmaPort& port_;
  const DmaRingConfig config_;
  DmaEvents& events_;
  const EventFd& doorbell_;
  const EventFd& stop_;
  std::optional<DmaRing> ring_;  // Of the thread that serves.
  std::atomic<bool> abort_ = false;
  std::atomic<bool> revoked_ = false;
};

}  // namespace vmwire

#endif  // VMWIRE_DEVICES_DMA_ENGINE_DMA_WORKER_H_
