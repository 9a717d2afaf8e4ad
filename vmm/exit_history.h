// The last exits of one vCPU: what a guest did just before it died.
//
// Equal exits that follow each other are one record with a count, so that a guest that polls a
// register does not push out what came before.
//
// Invariants: at most kExitHistorySize records, in the order in which they came; nothing is
// allocated after the construction.
// Thread safety: none; used by the thread that runs the vCPU, and by others once that has stopped.
#ifndef VMWIRE_VMM_EXIT_HISTORY_H_
#define VMWIRE_VMM_EXIT_HISTORY_H_

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "vmm/kvm_abi.h"

namespace vmwire {

inline constexpr size_t kExitHistorySize = 32;

struct ExitRecord {
  uint64_t first = 0;  // Number of the first of these exits, from 1 on.
  uint64_t count = 0;  // How often it came in a row.
  uint32_t reason = 0;
  // Of port I/O and MMIO only.
  bool is_write = false;
  uint32_t size = 0;      // Bytes of an access.
  uint32_t repeats = 0;   // Accesses of a string instruction; 1 of any other.
  uint64_t address = 0;   // Port or guest physical address.
  uint64_t value = 0;     // Of the first access; its first 8 bytes.
  bool has_value = true;  // KVM said where the value is.

  friend bool operator==(const ExitRecord&, const ExitRecord&) = default;
};

class ExitHistory {
 public:
  // Records the exit that `run` describes. `page` is the whole mapping of kvm_run, where the data
  // of port accesses lie. Of a read the value is there only once the access was answered.
  void Add(const kvm_run& run, std::span<const std::byte> page);

  // All exits so far, also those that are not kept.
  uint64_t total() const { return total_; }
  // The kept ones, the oldest first.
  std::vector<ExitRecord> Records() const;

  // "  last exits, of 120:\n", then a line for each record, the newest last:
  // "    117 x3  KVM_EXIT_IO    out port 0x3f8, 1 byte: 0x41\n"
  std::string ToString() const;

 private:
  std::array<ExitRecord, kExitHistorySize> ring_ = {};
  size_t newest_ = kExitHistorySize - 1;  // Index into ring_.
  uint64_t total_ = 0;
};

}  // namespace vmwire

#endif  // VMWIRE_VMM_EXIT_HISTORY_H_
