#include "devices/exit_port/exit_port.h"

#include <algorithm>
#include <cstring>

namespace vmwire {

void ExitPort::Read(uint64_t /*offset*/, std::span<std::byte> data) {
  std::fill(data.begin(), data.end(), std::byte{0xff});
}

void ExitPort::Write(uint64_t offset, std::span<const std::byte> data) {
  uint32_t value = 0;
  if (data.size() > sizeof(value)) return;
  std::memcpy(&value, data.data(), data.size());
  if (offset == kExitOffset && data.size() != 3) {
    latch_.Request({ExitRequest::Kind::kExit, value});
  } else if (offset == kExceptionOffset && data.size() == 1) {
    latch_.Request({ExitRequest::Kind::kException, value});
  }
}

}  // namespace vmwire
