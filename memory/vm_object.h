// A backing store of guest memory, its one mapping in this process, and what is known of its pages.
//
// The mapping's host address is congruent to the guest address that the object was made for, modulo
// the size of a huge page: only then can a huge page of the host be a huge page of the guest.
// Advice on huge pages is given before the first touch; MADV_DONTFORK keeps children from copying
// pinned memory.
//
// The object alone has the mapping and the file, and hands out neither: so nobody but Discard can
// take a page from its address, and Discard refuses what is wired or held.
//
// Lock order: pins().mutex is taken after a map's mutex, before those of the pin cache and the hold
// table; no host call is made under it.
// Invariants: size and address never change. While a page is wired, the object lives, even if the
// last reference to it is gone (an orphan, which dies with its last wiring).
// Thread safety: thread-safe.
#ifndef VMWIRE_MEMORY_VM_OBJECT_H_
#define VMWIRE_MEMORY_VM_OBJECT_H_

#include <atomic>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <utility>

#include "absl/status/statusor.h"
#include "memory/host_memory.h"
#include "memory/object_pins.h"
#include "memory/page_array.h"
#include "memory/page_range.h"
#include "memory/range_counts.h"
#include "memory/simulated_pinner.h"

namespace vmwire {

enum class MemoryBacking {
  kAnonymous,   // Private anonymous memory: the cheapest to fault in.
  kMemfd,       // A memory file, shared: what another process can map too.
  kHugetlb,     // A memory file of reserved huge pages.
  kGuestMemfd,  // A file of KVM's, made for a VM; mapped shared.
  kSimulated,   // No memory at all: see simulated_pinner.h.
};

enum class HugePages {
  kNone,         // 4 KiB pages only.
  kTransparent,  // Transparent huge pages, where the host has them to give.
};

// "anonymous", "memfd", "hugetlb", "guest_memfd", "simulated"; "none", "thp".
std::string ToString(MemoryBacking backing);
std::string ToString(HugePages huge_pages);

struct VmObjectOptions {
  uint64_t size = 0;                            // Bytes; whole pages of the backing.
  GuestAddress congruent_to = GuestAddress(0);  // Where its first page is to be mapped.
  MemoryBacking backing = MemoryBacking::kAnonymous;
  HugePages huge_pages = HugePages::kTransparent;  // Of kAnonymous and kMemfd.
  uint64_t hugetlb_bytes = kHugePageSize;          // Of kHugetlb: the size of its pages.
  // Of kMemfd and kHugetlb: the file can neither be resized nor lose pages from now on, not even by
  // Discard; and nobody can map it writable again. Cannot be undone.
  bool sealed = false;
  std::string name = "vmwire-guest-memory";  // Of the memory file.
};

class VmObject : public std::enable_shared_from_this<VmObject> {
 public:
  // Makes the backing and maps it; faults nothing in.
  // InvalidArgument: the size is 0 or not whole pages, or the backing cannot be made with these
  // options (kGuestMemfd: see FromFile). ResourceExhausted: no memory, address space, file or huge
  // page for it. Unimplemented: the host lacks the kind of page. On failure nothing is left behind.
  // REQUIRES: `host` outlives the object.
  static absl::StatusOr<std::shared_ptr<VmObject>> Create(HostMemory& host,
                                                          const VmObjectOptions& options);

  // Maps `size` bytes of a file that was made elsewhere, which stays the caller's: the descriptor
  // is duplicated. `backing` says which kind it is (not kAnonymous, not kSimulated), and
  // `hugetlb_bytes` what pages a kHugetlb one has. InvalidArgument: the file is smaller, `size` is
  // not whole pages, or it cannot be mapped. ResourceExhausted, PermissionDenied: as Create.
  static absl::StatusOr<std::shared_ptr<VmObject>> FromFile(HostMemory& host, int file,
                                                            MemoryBacking backing, uint64_t size,
                                                            GuestAddress congruent_to,
                                                            uint64_t hugetlb_bytes = kHugePageSize);

  VmObject(const VmObject&) = delete;
  VmObject& operator=(const VmObject&) = delete;

  uint64_t size() const { return host_range_.size(); }
  // Of a kSimulated object: addresses at which nothing lies.
  const HostRange& host_range() const { return host_range_; }
  MemoryBacking backing() const { return backing_; }
  // Map entries of the object can be cut at multiples of this only.
  uint64_t page_bytes() const { return page_bytes_; }

  // What a budget is charged for each page that is pinned: a page, or of a kSimulated object what
  // is kept of it here.
  uint64_t charge_per_page() const {
    return simulation_ == nullptr ? kPageSize : uint64_t{sizeof(VmPage)};
  }

  // The host memory of `size` bytes at `offset`. OutOfRange: past the object's end.
  // InvalidArgument: unaligned or empty.
  absl::StatusOr<HostRange> HostSlice(uint64_t offset, uint64_t size) const;

  // Gives the pages of `run` back to the host: they read as zeroes from now on. Cached pins of them
  // go first. OutOfRange: past the end. FailedPrecondition, naming the page: it is wired, held, or
  // pinned as a part of a longer extent; or the object is sealed. InvalidArgument: the run does not
  // begin and end with a huge page of a kHugetlb object. On failure nothing is discarded, unless
  // the host itself fails.
  absl::Status Discard(const PageRun& run);

  // The page, if it is in memory; null if it is not. OutOfRange: past the end.
  absl::StatusOr<VmPage*> FindResident(uint64_t page);

  PageArray& pages() { return pages_; }
  const PageArray& pages() const { return pages_; }
  ObjectPins& pins() { return pins_; }

  // Of a kSimulated object; else null.
  SimulatedPinner* simulation() const { return simulation_.get(); }

  // A map has begun, or ceased, to map `run`. What lies past the object's end is passed over.
  void AddMapping(const PageRun& run);
  void RemoveMapping(const PageRun& run);
  // True if a page may be wired though an entry that maps it is not: some page is mapped twice, or
  // was wired by itself. A hold then has to ask the map.
  bool MayBeWiredElsewhere() const { return wired_elsewhere_.load(std::memory_order_acquire); }
  void SetWiredByPage();

  // Of PinTable: the table that last pinned a page of the object, for wirings of a page by itself.
  PinTable* last_table() const { return last_table_.load(std::memory_order_acquire); }
  void set_last_table(PinTable* table) { last_table_.store(table, std::memory_order_release); }

  // Of PinTable: the end of an orphan, which has no extent left.
  static void Delete(VmObject* orphan) { delete orphan; }

 private:
  struct Backing {
    MemoryBacking kind;
    std::optional<int> file;
    HostRange host;
    uint64_t page_bytes;
    bool sealed;
  };

  VmObject(HostMemory& host, const Backing& backing);
  ~VmObject();

  static absl::StatusOr<std::shared_ptr<VmObject>> MapFile(HostMemory& host, int file,
                                                           const VmObjectOptions& options);
  static absl::StatusOr<std::shared_ptr<VmObject>> MapAnonymous(HostMemory& host,
                                                                const VmObjectOptions& options);
  static absl::StatusOr<std::shared_ptr<VmObject>> Simulate(HostMemory& host,
                                                            const VmObjectOptions& options);
  static std::shared_ptr<VmObject> Share(HostMemory& host, const Backing& backing);
  static absl::Status Advise(HostMemory& host, const HostRange& range,
                             const VmObjectOptions& options);
  // What becomes of the object when its last reference goes.
  static void Terminate(VmObject* object);

  // Steps of Discard.
  absl::Status BeginDiscard(const PageRun& run);
  absl::Status CheckDiscardable(const PageRun& run) ABSL_EXCLUSIVE_LOCKS_REQUIRED(pins_.mutex);
  absl::Status DiscardOnHost(const PageRun& run);
  void EndDiscard(const PageRun& run, bool discarded);

  HostMemory& host_;
  const MemoryBacking backing_;
  const std::optional<int> file_;
  const HostRange host_range_;
  const uint64_t page_bytes_;
  const bool sealed_;
  const std::unique_ptr<SimulatedPinner> simulation_;
  PageArray pages_;
  ObjectPins pins_;
  std::atomic<PinTable*> last_table_ = nullptr;
  Mutex mappings_mutex_;  // A leaf.
  RangeCounts mappings_ ABSL_GUARDED_BY(mappings_mutex_);
  std::atomic<bool> wired_by_page_ = false;  // Written under mappings_mutex_ only.
  std::atomic<bool> wired_elsewhere_ = false;
};

}  // namespace vmwire

#endif  // VMWIRE_MEMORY_VM_OBJECT_H_
