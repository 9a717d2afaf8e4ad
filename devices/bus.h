// An address space of devices: which device answers at which address. A machine has two, port I/O
// and MMIO.
//
// Invariants: windows are not empty, lie inside the address space and do not overlap. An access
// reaches a device only if all of it lies in one window; any other is absent: it reads all ones, a
// write is dropped, and it is counted.
// Thread safety: none; used by the thread of one vCPU, and set up before that runs.
#ifndef VMWIRE_DEVICES_BUS_H_
#define VMWIRE_DEVICES_BUS_H_

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "devices/device.h"

namespace vmwire {

// Port I/O has 16 address bits (Intel SDM volume 1, 19.3).
inline constexpr uint64_t kPortSpaceSize = 0x10000;
// Guest physical addresses have at most 52 bits (Intel SDM volume 3, 4.1.4).
inline constexpr uint64_t kMmioSpaceSize = uint64_t{1} << 52;

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
  uint64_t absent_reads() const { return absent_reads_; }
  uint64_t absent_writes() const { return absent_writes_; }

 private:
  struct Window {
    uint64_t base;
    uint64_t size;
    Device* device;
  };

  // The window that holds all of [address, address + size); null if there is none. O(1) if it is
  // that of the last access, else O(log windows).
  const Window* Find(uint64_t address, uint64_t size);
  std::string Describe(uint64_t base, uint64_t size, const Device& device) const;

  const std::string name_;
  const uint64_t size_;
  std::vector<Window> windows_;  // By ascending base.
  size_t last_hit_ = 0;          // An index into windows_, or past its end.
  uint64_t absent_reads_ = 0;
  uint64_t absent_writes_ = 0;
};

}  // namespace vmwire

#endif  // VMWIRE_DEVICES_BUS_H_
