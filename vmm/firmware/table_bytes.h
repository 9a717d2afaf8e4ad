// Small tools for tables that are bytes: appending, and the checksums of ACPI and of the MP
// specification, which make the sum of a table's bytes 0 modulo 256.
//
// Invariants: none.
// Thread safety: no state.
#ifndef VMWIRE_VMM_FIRMWARE_TABLE_BYTES_H_
#define VMWIRE_VMM_FIRMWARE_TABLE_BYTES_H_

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
#include <type_traits>
#include <vector>

namespace vmwire {

using TableBytes = std::vector<std::byte>;

// Appends the bytes of `object`, in the byte order of x86.
template <typename T>
void AppendObject(TableBytes& table, const T& object) {
  static_assert(std::is_trivially_copyable_v<T>);
  const size_t offset = table.size();
  table.resize(offset + sizeof(T));
  std::memcpy(table.data() + offset, &object, sizeof(T));
}

inline void AppendBytes(TableBytes& table, std::span<const std::byte> bytes) {
  table.insert(table.end(), bytes.begin(), bytes.end());
}

// The byte that makes the sum of `bytes` and it 0.
inline uint8_t ChecksumOf(std::span<const std::byte> bytes) {
  uint32_t sum = 0;
  for (const std::byte byte : bytes) sum += std::to_integer<uint32_t>(byte);
  return static_cast<uint8_t>(0u - sum);
}

}  // namespace vmwire

#endif  // VMWIRE_VMM_FIRMWARE_TABLE_BYTES_H_
