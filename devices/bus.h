// An address space of devices: which device answers at which address. A machine has two, port I/O
// and MMIO.
//
// Invariants: windows are not empty, lie inside the address space and do not overlap. An access
// reaches a device only if all of it lies in one window; any other is absent: it reads all ones, a
// write is dropped, and it is counted. At most kMaxAbsentAccesses different ones are kept.
// Thread safety: thread-safe but for Register, which comes before the first vCPU runs. A device is
// called with the bus's mutex held: so a device model has one access at a time, whichever vCPU it
// is of, and locks of devices come after the bus's.
#ifndef VMWIRE_DEVICES_BUS_H_
#define VMWIRE_DEVICES_BUS_H_

#include <cstddef>
#include <cstdint>
#include <map>
#include <span>
#include <string>
#include <tuple>
#include <utility>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "devices/device.h"
#include "memory/mutex.h"

namespace vmwire {

// Port I/O has 16 address bits (Intel SDM volume 1, 19.3).
inline constexpr uint64_t kPortSpaceSize = 0x10000;
// Guest physical addresses have at most 52 bits (Intel SDM volume 3, 4.1.4).
inline constexpr uint64_t kMmioSpaceSize = uint64_t{1} << 52;

// A guest may touch any of 2^52 addresses; more different ones than this tell nobody anything.
inline constexpr size_t kMaxAbsentAccesses = 1024;

// Equal accesses that no device answered.
struct AbsentAccess {
  uint64_t address = 0;
  uint64_t size = 0;  // Bytes.
  bool is_write = false;
  uint64_t count = 0;
  uint64_t first_value = 0;  // Of writes: the first 8 bytes of the first of them, little-endian.

  friend bool operator==(const AbsentAccess&, const AbsentAccess&) = default;
};

class Bus {
 public:
  // `name` is for messages; addresses are below `size`.
  Bus(std::string name, uint64_t size) : name_(std::move(name)), size_(size) {}
  Bus(const Bus&) = delete;
  Bus& operator=(const Bus&) = delete;

  // Lets `device` answer at [base, base + size), for the life of the bus.
  // InvalidArgument: the window is empty or wraps. OutOfRange: it leaves the address space.
  // AlreadyExists: it overlaps another window; both are named. REQUIRES: `device` outlives the bus.
  absl::Status Register(uint64_t base, uint64_t size, Device& device);

  // Fills `data` from the device at `address`. False, and all ones, if the access is absent.
  bool Read(uint64_t address, std::span<std::byte> data);

  // Gives `data` to the device at `address`. False if the access is absent; it is dropped then.
  bool Write(uint64_t address, std::span<const std::byte> data);

  const std::string& name() const { return name_; }
  // Accesses so far that no device answered.
  uint64_t absent_reads() const;
  uint64_t absent_writes() const;
  // Which those were: by address, then size, reads before writes; the first kMaxAbsentAccesses
  // different ones.
  std::vector<AbsentAccess> AbsentAccesses() const;
  // How many accesses were of none of those.
  uint64_t absent_left_out() const;

 private:
  struct Window {
    uint64_t base;
    uint64_t size;
    Device* device;
  };

  // The window that holds all of [address, address + size); null if there is none. O(1) if it is
  // that of the last access, else O(log windows).
  const Window* Find(uint64_t address, uint64_t size) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void RecordAbsent(uint64_t address, uint64_t size, bool is_write, uint64_t value)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  std::string Describe(uint64_t base, uint64_t size, const Device& device) const;

  const std::string name_;
  const uint64_t size_;
  mutable Mutex mutex_;
  std::vector<Window> windows_ ABSL_GUARDED_BY(mutex_);  // By ascending base.
  // An index into windows_, or past its end.
  size_t last_hit_ ABSL_GUARDED_BY(mutex_) = 0;
  uint64_t absent_reads_ ABSL_GUARDED_BY(mutex_) = 0;
  uint64_t absent_writes_ ABSL_GUARDED_BY(mutex_) = 0;
  // By address, size and whether it is a write.
  std::map<std::tuple<uint64_t, uint64_t, bool>, AbsentAccess> absent_ ABSL_GUARDED_BY(mutex_);
  uint64_t absent_left_out_ ABSL_GUARDED_BY(mutex_) = 0;
};

}  // namespace vmwire

#endif  // VMWIRE_DEVICES_BUS_H_
