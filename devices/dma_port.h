// The only way from a device to guest memory. What a port maps is memory, never a device: DMA to
// MMIO, and so re-entrance, does not exist.
//
// Invariants: a mapping was checked for bounds and rights as a whole, before its first byte; every
// mapping dies before its port; the quarantine holds what was abandoned since the device was last
// quiet.
// Lock order: the port's mutex is a leaf of devices/; releases of holds happen outside of it.
// Thread safety: thread-safe.
#ifndef VMWIRE_DEVICES_DMA_PORT_H_
#define VMWIRE_DEVICES_DMA_PORT_H_

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "devices/dma_mapping.h"
#include "memory/mutex.h"
#include "memory/page_range.h"
#include "memory/status_macros.h"

namespace vmwire {

// What a port has done.
struct DmaPortStats {
  uint64_t mapped = 0;       // Mappings that were given.
  uint64_t refused = 0;      // Requests that were not.
  uint64_t live = 0;         // Mappings that live now.
  uint64_t quarantined = 0;  // Of those, in quarantine.
};

class DmaPort {
 public:
  // Told that the memory in `range` is wanted back: the device should end what it has mapped there
  // and let it go. Called in the thread that revokes, under no lock of memory/.
  using RevokeListener = std::function<void(const GuestRange& range)>;

  explicit DmaPort(std::string name) : name_(std::move(name)) {}
  DmaPort(const DmaPort&) = delete;
  DmaPort& operator=(const DmaPort&) = delete;
  // REQUIRES: no mapping is left, and SetQuiet was called.
  virtual ~DmaPort();

  // Of the device, for messages.
  const std::string& name() const { return name_; }

  // Lets the device reach [address, address + size). InvalidArgument: `size` is 0. OutOfRange: the
  // end wraps. NotFound: some of it is no memory. PermissionDenied: it is read-only memory and the
  // direction writes, or it is outside the windows of this port. FailedPrecondition: the wiring
  // policy does not let devices there (it is not wired). ResourceExhausted: it cannot be wired now;
  // the budget or the host is short. Unavailable: it is being revoked. On failure nothing is
  // mapped.
  absl::StatusOr<DmaMapping> Map(GuestAddress address, uint64_t size, DmaDirection direction);

  // Copy, by the CPU: a mapping that lives as long as the call. Errors as Map; no byte is copied
  // then. Zero bytes succeed.
  absl::Status Read(GuestAddress address, std::span<std::byte> out);
  absl::Status Write(GuestAddress address, std::span<const std::byte> in);
  template <typename T>
  absl::StatusOr<T> Load(GuestAddress address) {
    static_assert(std::is_trivially_copyable_v<T>);
    T value;
    VMWIRE_RETURN_IF_ERROR(Read(address, std::as_writable_bytes(std::span<T, 1>(&value, 1))));
    return value;
  }
  template <typename T>
  absl::Status Store(GuestAddress address, const T& value) {
    static_assert(std::is_trivially_copyable_v<T>);
    return Write(address, std::as_bytes(std::span<const T, 1>(&value, 1)));
  }

  // Registers the memory's pinned buffers with an io_uring of the device, so that pieces mapped
  // from now on name theirs. The pages are neither pinned nor charged again. Unimplemented: they
  // cannot be shared here (a kernel before Linux 6.12, or memory that is resident only): the
  // device does its I/O by address then. ResourceExhausted: no memory. REQUIRES: `ring_fd` has no
  // registered buffers; DetachRing before the ring is closed.
  virtual absl::Status AttachRing(int ring_fd) = 0;
  // The ring's buffers are let go of. REQUIRES: no transfer runs on it.
  virtual void DetachRing() = 0;

  // Gives the pages of `range` back to the host; they read as zeroes from now on.
  // FailedPrecondition: a page is wired or held, or the memory cannot be discarded: nothing is.
  // NotFound: some of it is no memory. PermissionDenied: outside the windows of this port, or
  // read-only memory.
  virtual absl::Status Discard(const GuestRange& range) = 0;

  // At most one; empty: none. Once this returns the old one is not called any more. REQUIRES: not
  // from a listener.
  void SetRevokeListener(RevokeListener listener) ABSL_LOCKS_EXCLUDED(listener_mutex_);

  // The device does no transfer any more: what is in quarantine is let go of.
  void SetQuiet() ABSL_LOCKS_EXCLUDED(mutex_);

  DmaPortStats stats() const ABSL_LOCKS_EXCLUDED(mutex_);

 protected:
  // As Map; `size` is not 0 and the end does not wrap.
  virtual absl::Status MapPieces(GuestAddress address, uint64_t size, DmaDirection direction,
                                 DmaMapping::Pieces& pieces, DmaMapping::Holds& holds) = 0;
  // The device may have written to a mapping, which lives still or ends now. Called before it is
  // let go of.
  virtual void OnWritten(GuestAddress address, uint64_t size) = 0;
  // For whoever revokes.
  void TellRevoked(const GuestRange& range) ABSL_LOCKS_EXCLUDED(listener_mutex_);

 private:
  friend class DmaMapping;
  // A mapping that was given up with a transfer in flight.
  struct Abandoned {
    DmaMapping::Holds holds;
    GuestAddress address;
    uint64_t size;
    DmaDirection direction;
  };
  void End(DmaMapping& mapping) ABSL_LOCKS_EXCLUDED(mutex_);

  const std::string name_;
  std::atomic<uint64_t> mapped_ = 0;
  std::atomic<uint64_t> ended_ = 0;
  std::atomic<uint64_t> refused_ = 0;
  mutable Mutex mutex_;
  std::vector<Abandoned> quarantine_ ABSL_GUARDED_BY(mutex_);
  Mutex listener_mutex_;
  RevokeListener listener_ ABSL_GUARDED_BY(listener_mutex_);
};

}  // namespace vmwire

#endif  // VMWIRE_DEVICES_DMA_PORT_H_
