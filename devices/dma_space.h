// The guest memory that the devices of one machine reach: one map, seen through a port for each
// device, with the policy that says what they may reach, and with the way to take memory back.
//
//   DmaPort::Map -> windows of the port? -> VmMap::Hold -> on-demand and not wired: DmaLeases::Wire
//                -> is it being revoked? -> DmaMapping
//   Revoke       -> no new mappings -> devices told -> leases given up -> wait for holds
//
// Why no mapping escapes a revocation: a mapping publishes its hold, then looks whether its range
// is being revoked; a revocation says so, fences, then looks for holds. One sees the other.
//
// Invariants: while a DmaRevocation lives there is no mapping of its range.
// Lock order: ports_mutex_, then what a revoke listener takes; revoked_mutex_ is a leaf.
// Thread safety: thread-safe.
#ifndef VMWIRE_DEVICES_DMA_SPACE_H_
#define VMWIRE_DEVICES_DMA_SPACE_H_

#include <atomic>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "devices/dirty_log.h"
#include "devices/dma_leases.h"
#include "devices/dma_port.h"
#include "memory/host_memory.h"
#include "memory/mutex.h"
#include "memory/page_range.h"
#include "memory/vm_map.h"
#include "memory/wait_queue.h"

namespace vmwire {

class DmaSpace;
class MapDmaPort;

// The token of a revocation: while it lives no device maps anything of the range.
class [[nodiscard]] DmaRevocation {
 public:
  DmaRevocation(DmaRevocation&& other) noexcept
      : space_(std::exchange(other.space_, nullptr)), range_(other.range_) {}
  DmaRevocation& operator=(DmaRevocation&& other) noexcept;
  DmaRevocation(const DmaRevocation&) = delete;
  DmaRevocation& operator=(const DmaRevocation&) = delete;
  ~DmaRevocation() { Lift(); }

  const GuestRange& range() const { return range_; }

 private:
  friend class DmaSpace;
  DmaRevocation(DmaSpace* space, const GuestRange& range) : space_(space), range_(range) {}
  void Lift();

  DmaSpace* space_;  // Null once moved from.
  GuestRange range_;
};

class DmaSpace {
 public:
  struct Options {
    // What a device maps is wired when it does, and up to so many bytes are kept wired; nullopt:
    // devices reach only what is wired already.
    std::optional<uint64_t> on_demand_bytes = std::nullopt;
  };

  // Of all memory that `map` has inside `memory`. REQUIRES: `host` and `map` outlive the space.
  DmaSpace(HostMemory& host, VmMap& map, const GuestRange& memory, const Options& options);
  DmaSpace(const DmaSpace&) = delete;
  DmaSpace& operator=(const DmaSpace&) = delete;
  // REQUIRES: no port is left.
  ~DmaSpace();

  // A port for the device `name`. With `windows` it reaches what lies inside one of them, and
  // nothing else. REQUIRES: the space outlives the port.
  std::unique_ptr<DmaPort> CreatePort(std::string name,
                                      std::optional<std::vector<GuestRange>> windows = std::nullopt)
      ABSL_LOCKS_EXCLUDED(ports_mutex_);

  // Takes `range` back from the devices: they are told, and their mappings waited for.
  // DeadlineExceeded, Cancelled: `limits` said so; the message names who holds what, and devices
  // may map the range again.
  absl::StatusOr<DmaRevocation> Revoke(const GuestRange& range, const WaitLimits& limits)
      ABSL_LOCKS_EXCLUDED(ports_mutex_, revoked_mutex_);

  // Revokes `range` and removes it from the map. Errors as Revoke and VmMap::RemoveWait.
  absl::Status Remove(const GuestRange& range, const WaitLimits& limits);

  // Gives the pages of `range` back to the host: they read as zeroes. NotFound: some of it is not
  // mapped. PermissionDenied: some of it is read-only. FailedPrecondition: some of it is wired or
  // held, or its object cannot be discarded. Nothing is discarded then; but a range of several
  // entries may be in part, if it is wired or held meanwhile.
  absl::Status Discard(const GuestRange& range);

  // From now on what devices write is marked in `log`; null: no more. What is mapped for a
  // transfer is marked when the mapping ends; a virtqueue at each write. REQUIRES: it outlives its
  // use.
  void SetDirtyLog(DirtyLog* log) { dirty_log_.store(log, std::memory_order_release); }

  // All zero unless on-demand.
  DmaLeaseStats lease_stats() const;
  uint64_t revocations() const { return revocations_.load(std::memory_order_relaxed); }

 private:
  friend class DmaRevocation;
  friend class MapDmaPort;

  // As DmaPort::Map, for memory that is one piece on the host.
  absl::StatusOr<HeldRange> Hold(GuestAddress address, uint64_t size, Protection access);
  // Unavailable if a part of it is being revoked.
  absl::Status CheckNotRevoked(GuestAddress address, uint64_t size) const
      ABSL_LOCKS_EXCLUDED(revoked_mutex_);
  bool AnyRevoked() const;
  absl::Status WaitForHolds(const GuestRange& range, const WaitLimits& limits)
      ABSL_LOCKS_EXCLUDED(ports_mutex_);
  std::string DescribeLivePorts() const ABSL_LOCKS_EXCLUDED(ports_mutex_);
  void Forget(const MapDmaPort* port) ABSL_LOCKS_EXCLUDED(ports_mutex_);
  // The entries of `range`. NotFound, PermissionDenied: as Discard.
  absl::StatusOr<std::vector<VmMapEntry>> DiscardableEntries(const GuestRange& range) const;
  void Lift(const GuestRange& range) ABSL_LOCKS_EXCLUDED(revoked_mutex_);

  HostMemory& host_;
  VmMap& map_;
  const std::unique_ptr<DmaLeases> leases_;  // Null unless on-demand.
  std::atomic<DirtyLog*> dirty_log_ = nullptr;
  std::atomic<uint64_t> revocations_ = 0;
  std::atomic<uint32_t> revoked_count_ = 0;  // Of revoked_; changed under its mutex.
  mutable Mutex revoked_mutex_;
  std::vector<GuestRange> revoked_ ABSL_GUARDED_BY(revoked_mutex_);
  mutable Mutex ports_mutex_;
  std::vector<MapDmaPort*> ports_ ABSL_GUARDED_BY(ports_mutex_);
};

}  // namespace vmwire

#endif  // VMWIRE_DEVICES_DMA_SPACE_H_
