// A backing store of guest memory and its one mapping in this process.
//
// The mapping's host address is congruent to the guest address that the object was made for, modulo
// 2 MiB: only then can a huge page of the host be a huge page of the guest. Advice on huge pages is
// given before the first touch; MADV_DONTFORK keeps children from copying pinned memory.
//
// Invariants: the object alone owns the mapping and the file; both live exactly as long as it does.
// Size and address never change.
// Thread safety: immutable after Create.
#ifndef VMWIRE_MEMORY_VM_OBJECT_H_
#define VMWIRE_MEMORY_VM_OBJECT_H_

#include <cstdint>
#include <memory>
#include <optional>
#include <string>

#include "absl/status/statusor.h"
#include "memory/host_memory.h"
#include "memory/page_range.h"

namespace vmwire {

enum class MemoryBacking {
  kAnonymous,  // Private anonymous memory: the cheapest to fault in.
  kMemfd,      // A memory file, shared: what another process can map too.
};

enum class HugePages {
  kNone,         // 4 KiB pages only.
  kTransparent,  // Transparent huge pages, where the host has them to give.
};

// "anonymous", "memfd"; "none", "thp".
std::string ToString(MemoryBacking backing);
std::string ToString(HugePages huge_pages);

struct VmObjectOptions {
  uint64_t size = 0;                            // Bytes; whole pages.
  GuestAddress congruent_to = GuestAddress(0);  // Where its first page is to be mapped.
  MemoryBacking backing = MemoryBacking::kAnonymous;
  HugePages huge_pages = HugePages::kTransparent;
  std::string name = "vmwire-guest-memory";  // Of the memory file.
};

class VmObject {
 public:
  // Makes the backing and maps it; faults nothing in.
  // InvalidArgument: the size is 0 or not whole pages, or the host has no transparent huge pages
  // and they were asked for. ResourceExhausted: no memory, address space or file for it. On failure
  // nothing is left behind. REQUIRES: `host` outlives the object.
  static absl::StatusOr<std::shared_ptr<VmObject>> Create(HostMemory& host,
                                                          const VmObjectOptions& options);

  VmObject(const VmObject&) = delete;
  VmObject& operator=(const VmObject&) = delete;
  ~VmObject();

  uint64_t size() const { return host_range_.size(); }
  const HostRange& host_range() const { return host_range_; }
  MemoryBacking backing() const { return backing_; }

  // The host memory of `size` bytes at `offset`. OutOfRange: past the object's end.
  // InvalidArgument: unaligned or empty.
  absl::StatusOr<HostRange> HostSlice(uint64_t offset, uint64_t size) const;

 private:
  VmObject(HostMemory& host, MemoryBacking backing, std::optional<int> file, HostRange range)
      : host_(host), backing_(backing), file_(file), host_range_(range) {}

  HostMemory& host_;
  const MemoryBacking backing_;
  const std::optional<int> file_;
  const HostRange host_range_;
};

}  // namespace vmwire

#endif  // VMWIRE_MEMORY_VM_OBJECT_H_
