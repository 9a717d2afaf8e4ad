// DmaPort without a map: guest memory is a few pieces of ordinary memory. It knows the real port's
// rules (tests/devices/dma_port_contract_test.cc holds both to them), can fail the n-th Map, and
// remembers what was discarded.
//
// Regions that touch are one memory for a mapping, but two pieces of it.
//
// Invariants: at its death nothing is mapped.
// Thread safety: Map and what follows from it thread-safe; the rest of the test's main thread,
// while nothing is mapped.
#ifndef VMWIRE_TESTS_FAKES_FAKE_DMA_PORT_H_
#define VMWIRE_TESTS_FAKES_FAKE_DMA_PORT_H_

#include <atomic>
#include <cstdint>
#include <memory>
#include <optional>
#include <set>
#include <span>
#include <utility>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "devices/dma_port.h"
#include "memory/mutex.h"
#include "memory/protection.h"

namespace vmwire {

class FakeDmaPort final : public DmaPort {
 public:
  FakeDmaPort() : DmaPort("fake device") {}

  // Memory of `size` bytes, page-aligned and zeroed, at `start`. REQUIRES: it overlaps none that is
  // there; whole pages.
  void AddMemory(GuestAddress start, uint64_t size, Protection protection = Protection::kAll);
  // The test's own way to the bytes. REQUIRES: inside one region.
  std::span<std::byte> Bytes(GuestAddress address, uint64_t size);
  template <typename T>
  T& At(GuestAddress address) {
    return *reinterpret_cast<T*>(Bytes(address, sizeof(T)).data());
  }

  // The n-th Map from now on, counted from 1, fails with `error`; 0: none.
  void FailMap(uint64_t n, const absl::Status& error = absl::ResourceExhaustedError("injected"));
  // Pages of `range` are wired now: Discard refuses them.
  void SetWired(const GuestRange& range);
  // What was discarded, page by page.
  std::set<uint64_t> discarded_pages() const;
  // AttachRing is Unimplemented from now on, as on an old kernel.
  void ForbidRings() { rings_forbidden_ = true; }
  // Calls the listener.
  void Revoke(const GuestRange& range) { TellRevoked(range); }
  // Bytes below `end` that mappings may have written, for the dirty log.
  uint64_t written_bytes(GuestAddress end = GuestAddress(UINT64_MAX)) const;

  absl::Status AttachRing(int ring_fd) override;
  void DetachRing() override;
  absl::Status Discard(const GuestRange& range) override;

 private:
  struct FreeAligned {
    void operator()(std::byte* memory) const;
  };
  struct Region {
    GuestAddress start;
    uint64_t size;
    Protection protection;
    std::unique_ptr<std::byte[], FreeAligned> memory;
  };

  absl::Status MapPieces(GuestAddress address, uint64_t size, DmaDirection direction,
                         DmaMapping::Pieces& pieces, DmaMapping::Holds& holds) override;
  void OnWritten(GuestAddress address, uint64_t size) override;
  // The region with `address`; regions_.size() if there is none.
  size_t FindRegion(GuestAddress address) const;

  std::vector<Region> regions_;
  std::atomic<int> ring_ = -1;
  bool rings_forbidden_ = false;
  mutable Mutex mutex_;
  std::vector<std::pair<GuestAddress, uint64_t>> written_ ABSL_GUARDED_BY(mutex_);
  uint64_t fail_in_ ABSL_GUARDED_BY(mutex_) = 0;
  absl::Status failure_ ABSL_GUARDED_BY(mutex_);
  std::set<uint64_t> wired_pages_ ABSL_GUARDED_BY(mutex_);
  std::set<uint64_t> discarded_pages_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace vmwire

#endif  // VMWIRE_TESTS_FAKES_FAKE_DMA_PORT_H_
