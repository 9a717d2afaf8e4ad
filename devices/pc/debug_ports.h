// The ports that firmware and test kernels know from other monitors, and the POST code port.
//
// DebugConsole, 0x402: a written byte is text; a read gives 0xe9, by which guests find it.
// DebugExit, 0xf4: a write of 1, 2 or 4 bytes ends the guest with the code (value << 1) | 1, which
//   is the exit status of the monitor from which this port is known; never 0.
// PostCode, 0x80: writes are dropped, reads give all ones. Guests write there to pass a moment.
//
// Invariants: none.
// Thread safety: thread-safe.
#ifndef VMWIRE_DEVICES_PC_DEBUG_PORTS_H_
#define VMWIRE_DEVICES_PC_DEBUG_PORTS_H_

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <utility>

#include "devices/device.h"
#include "devices/exit_latch.h"
#include "devices/serial/held_output.h"

namespace vmwire {

class DebugConsole final : public Device {
 public:
  static constexpr std::byte kPresent{0xe9};

  // REQUIRES: `sink` as HeldOutput's.
  explicit DebugConsole(SerialSink sink) : output_(std::move(sink)) {}

  std::string Name() const override { return "debug console"; }
  void Read(uint64_t offset, std::span<std::byte> data) override;
  void Write(uint64_t offset, std::span<const std::byte> data) override;

  // What was written since the last line end. To be flushed when the guest ends.
  HeldOutput& output() { return output_; }

 private:
  HeldOutput output_;
};

class DebugExit final : public Device {
 public:
  static constexpr uint64_t kWindowSize = 4;

  // REQUIRES: `latch` outlives the object.
  explicit DebugExit(ExitLatch& latch) : latch_(latch) {}

  std::string Name() const override { return "debug exit"; }
  void Read(uint64_t offset, std::span<std::byte> data) override;
  // Any offset but 0 and size but those above is ignored. The value's highest bit is lost.
  void Write(uint64_t offset, std::span<const std::byte> data) override;

 private:
  ExitLatch& latch_;
};

class PostCode final : public Device {
 public:
  std::string Name() const override { return "POST code"; }
  void Read(uint64_t offset, std::span<std::byte> data) override;
  void Write(uint64_t /*offset*/, std::span<const std::byte> /*data*/) override {}
};

}  // namespace vmwire

#endif  // VMWIRE_DEVICES_PC_DEBUG_PORTS_H_
