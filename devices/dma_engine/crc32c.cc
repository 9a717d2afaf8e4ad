#include "devices/dma_engine/crc32c.h"

#include <nmmintrin.h>

#include <array>
#include <cstring>

namespace vmwire {
namespace {

constexpr uint32_t kReflectedPolynomial = 0x82f63b78;

constexpr std::array<uint32_t, 256> MakeTable() {
  std::array<uint32_t, 256> table = {};
  for (uint32_t value = 0; value < table.size(); ++value) {
    uint32_t rest = value;
    for (int bit = 0; bit < 8; ++bit) {
      rest = (rest & 1) != 0 ? rest >> 1 ^ kReflectedPolynomial : rest >> 1;
    }
    table[value] = rest;
  }
  return table;
}

constexpr std::array<uint32_t, 256> kTable = MakeTable();

[[gnu::target("sse4.2")]] uint32_t HardwareCrc32c(uint32_t crc, std::span<const std::byte> bytes) {
  uint64_t state = ~crc;
  while (bytes.size() >= sizeof(uint64_t)) {
    uint64_t word;
    std::memcpy(&word, bytes.data(), sizeof(word));
    state = _mm_crc32_u64(state, word);
    bytes = bytes.subspan(sizeof(word));
  }
  auto last = static_cast<uint32_t>(state);
  for (const std::byte byte : bytes) last = _mm_crc32_u8(last, std::to_integer<uint8_t>(byte));
  return ~last;
}

}  // namespace

uint32_t PortableCrc32c(uint32_t crc, std::span<const std::byte> bytes) {
  crc = ~crc;
  for (const std::byte byte : bytes) {
    crc = kTable[(crc ^ std::to_integer<uint32_t>(byte)) & 0xff] ^ crc >> 8;
  }
  return ~crc;
}

uint32_t Crc32c(uint32_t crc, std::span<const std::byte> bytes) {
  static const bool has_instruction = __builtin_cpu_supports("sse4.2") != 0;
  return has_instruction ? HardwareCrc32c(crc, bytes) : PortableCrc32c(crc, bytes);
}

}  // namespace vmwire
