// Accesses of several sizes to a device, as numbers.
//
// Thread safety: no state.
#ifndef VMWIRE_TESTS_DEVICES_PC_PC_DEVICE_FIXTURE_H_
#define VMWIRE_TESTS_DEVICES_PC_PC_DEVICE_FIXTURE_H_

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <array>
#include <cstdint>
#include <optional>
#include <random>
#include <span>

#include "devices/device.h"
#include "devices/exit_latch.h"
#include "tests/support/seed.h"

namespace vmwire {

template <typename T>
T ReadValue(Device& device, uint64_t offset) {
  T value = 0;
  device.Read(offset, std::as_writable_bytes(std::span<T, 1>(&value, 1)));
  return value;
}

template <typename T>
void WriteValue(Device& device, uint64_t offset, T value) {
  device.Write(offset, std::as_bytes(std::span<const T, 1>(&value, 1)));
}

inline auto Requests(ExitRequest::Kind kind, uint32_t code = 0) {
  return testing::Optional(testing::Eq(ExitRequest{kind, code}));
}

// Accesses of all sizes that lie in the window, with random bytes: the device must live.
inline void Torment(Device& device, uint64_t window_size) {
  std::mt19937 random(static_cast<uint32_t>(TestSeed()));
  for (int i = 0; i < 50'000; ++i) {
    const uint64_t offset = random() % window_size;
    std::array<std::byte, 8> bytes;
    for (std::byte& b : bytes) b = static_cast<std::byte>(random());
    const size_t size = 1 + random() % std::min<uint64_t>(bytes.size(), window_size - offset);
    if (random() % 2 == 0) {
      device.Read(offset, std::span(bytes).first(size));
    } else {
      device.Write(offset, std::span(bytes).first(size));
    }
  }
}

}  // namespace vmwire

#endif  // VMWIRE_TESTS_DEVICES_PC_PC_DEVICE_FIXTURE_H_
