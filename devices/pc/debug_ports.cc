#include "devices/pc/debug_ports.h"

#include <algorithm>
#include <cstring>

namespace vmwire {

void DebugConsole::Read(uint64_t /*offset*/, std::span<std::byte> data) {
  std::fill(data.begin(), data.end(), kPresent);
}

void DebugConsole::Write(uint64_t /*offset*/, std::span<const std::byte> data) {
  for (const std::byte value : data) output_.Put(value);
}

void DebugExit::Read(uint64_t /*offset*/, std::span<std::byte> data) {
  std::fill(data.begin(), data.end(), std::byte{0xff});
}

void DebugExit::Write(uint64_t offset, std::span<const std::byte> data) {
  uint32_t value = 0;
  if (offset != 0 || data.size() > sizeof(value) || data.size() == 3) return;
  std::memcpy(&value, data.data(), data.size());
  latch_.Request({ExitRequest::Kind::kExit, value << 1 | 1});
}

void PostCode::Read(uint64_t /*offset*/, std::span<std::byte> data) {
  std::fill(data.begin(), data.end(), std::byte{0xff});
}

}  // namespace vmwire
