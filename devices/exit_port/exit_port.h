// The ports by which a guest ends its run: with a code of its own, or because the monitor's
// exception stubs caught a fault.
//
//   offset 0, a write of 1, 2 or 4 bytes: the guest ends with that code (0: all is well)
//   offset 1, a write of 1 byte: the vector of an exception that nothing in the guest handles
//
// The device only leaves the request in the latch; the run loop looks there after each access and
// ends the run.
//
// Invariants: none but the latch's.
// Thread safety: as Device.
#ifndef VMWIRE_DEVICES_EXIT_PORT_EXIT_PORT_H_
#define VMWIRE_DEVICES_EXIT_PORT_EXIT_PORT_H_

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>

#include "devices/device.h"
#include "devices/exit_latch.h"

namespace vmwire {

class ExitPort : public Device {
 public:
  static constexpr uint64_t kWindowSize = 4;
  static constexpr uint64_t kExitOffset = 0;
  static constexpr uint64_t kExceptionOffset = 1;

  // REQUIRES: `latch` outlives the object.
  explicit ExitPort(ExitLatch& latch) : latch_(latch) {}

  std::string Name() const override { return "exit port"; }
  // All ones: there is nothing to read.
  void Read(uint64_t offset, std::span<std::byte> data) override;
  // Any offset and size but those above is ignored.
  void Write(uint64_t offset, std::span<const std::byte> data) override;

 private:
  ExitLatch& latch_;
};

}  // namespace vmwire

#endif  // VMWIRE_DEVICES_EXIT_PORT_EXIT_PORT_H_
