// A serial port with its registers at hand, its output as chunks of what the sink got, and its
// interrupt line counted.
//
// Thread safety: none.
#ifndef VMWIRE_TESTS_DEVICES_SERIAL_FIXTURE_H_
#define VMWIRE_TESTS_DEVICES_SERIAL_FIXTURE_H_

#include <gtest/gtest.h>

#include <cstdint>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "devices/serial/serial_16550.h"
#include "tests/fakes/recording_line.h"

namespace vmwire {

inline uint8_t ReadPort(Device& device, uint64_t offset) {
  std::byte byte = {};
  device.Read(offset, {&byte, 1});
  return std::to_integer<uint8_t>(byte);
}

inline void WritePort(Device& device, uint64_t offset, uint8_t value) {
  const auto byte = static_cast<std::byte>(value);
  device.Write(offset, {&byte, 1});
}

inline std::span<const std::byte> BytesOf(const std::string& text) {
  return std::as_bytes(std::span(text));
}

class SerialFixture : public testing::Test {
 protected:
  void Out(uint64_t index, uint8_t value) { WritePort(serial_, index, value); }
  uint8_t In(uint64_t index) { return ReadPort(serial_, index); }
  void Send(const std::string& text) {
    for (const char c : text) Out(0, static_cast<uint8_t>(c));
  }
  size_t Receive(const std::string& text) { return serial_.Receive(BytesOf(text)); }
  // What the guest reads until the receiver is empty.
  std::string ReadAll() {
    std::string text;
    while ((In(5) & 0x01) != 0) text.push_back(static_cast<char>(In(0)));
    return text;
  }
  // How many edges since the last call.
  uint64_t NewEdges() { return line_.edges() - std::exchange(edges_seen_, line_.edges()); }

  std::vector<std::string> chunks_;
  RecordingLine line_;
  uint64_t edges_seen_ = 0;
  Serial16550 serial_{[this](std::span<const std::byte> bytes) {
                        chunks_.emplace_back(reinterpret_cast<const char*>(bytes.data()),
                                             bytes.size());
                      },
                      line_};
};

}  // namespace vmwire

#endif  // VMWIRE_TESTS_DEVICES_SERIAL_FIXTURE_H_
