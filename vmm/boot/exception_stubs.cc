#include "vmm/boot/exception_stubs.h"

#include <algorithm>
#include <array>
#include <cstddef>
#include <span>
#include <vector>

namespace vmwire {
namespace {

constexpr uint8_t kHlt = 0xf4;

std::vector<uint8_t> StubCode(uint32_t vector) {
  std::vector<uint8_t> code;
  if (!HasErrorCode(vector)) code = {0x6a, 0x00};  // push $0
  // clang-format off
  const std::array<uint8_t, 12> rest = {
      0x50,                                                    // push %rax
      0x52,                                                    // push %rdx
      0xb0, static_cast<uint8_t>(vector),                      // mov $vector, %al
      0x66, 0xba, kExceptionPort & 0xff, kExceptionPort >> 8,  // mov $port, %dx
      0xee,                                                    // out %al, (%dx)
      kHlt, 0xeb, 0xfd,                                        // 1: hlt; jmp 1b
  };
  // clang-format on
  code.insert(code.end(), rest.begin(), rest.end());
  return code;
}

}  // namespace

absl::Status WriteExceptionStubs(const GuestMemory& memory) {
  std::array<uint8_t, kExceptionStubsSize> stubs;
  stubs.fill(kHlt);
  for (uint32_t vector = 0; vector < 32; ++vector) {
    const std::vector<uint8_t> code = StubCode(vector);
    std::copy(code.begin(), code.end(), stubs.begin() + vector * kExceptionStubSize);
  }
  return memory.Write(kExceptionStubsAddress, std::as_bytes(std::span(stubs)));
}

}  // namespace vmwire
