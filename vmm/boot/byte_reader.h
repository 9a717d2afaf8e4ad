// Reads objects out of untrusted bytes: every access is checked for bounds, and is a copy, so that
// neither size nor alignment of what a file claims can lead outside.
//
// Invariants: no arithmetic on offsets wraps.
// Thread safety: values.
#ifndef VMWIRE_VMM_BOOT_BYTE_READER_H_
#define VMWIRE_VMM_BOOT_BYTE_READER_H_

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <optional>
#include <span>
#include <type_traits>

namespace vmwire {

class ByteReader {
 public:
  // REQUIRES: `bytes` stay valid and unchanged as long as the reader is used.
  explicit ByteReader(std::span<const std::byte> bytes) : bytes_(bytes) {}

  uint64_t size() const { return bytes_.size(); }

  // True if [offset, offset + size) lies inside.
  bool Contains(uint64_t offset, uint64_t size) const {
    return offset <= bytes_.size() && size <= bytes_.size() - offset;
  }

  // The bytes [offset, offset + size); nullopt if they do not lie inside.
  std::optional<std::span<const std::byte>> Bytes(uint64_t offset, uint64_t size) const {
    if (!Contains(offset, size)) return std::nullopt;
    return bytes_.subspan(offset, size);
  }

  // The object at `offset`, little-endian and of any alignment; nullopt if it does not lie inside.
  template <typename T>
  std::optional<T> Load(uint64_t offset) const {
    static_assert(std::is_trivially_copyable_v<T>);
    if (!Contains(offset, sizeof(T))) return std::nullopt;
    T value;
    std::memcpy(&value, bytes_.data() + offset, sizeof(T));
    return value;
  }

 private:
  std::span<const std::byte> bytes_;
};

}  // namespace vmwire

#endif  // VMWIRE_VMM_BOOT_BYTE_READER_H_
