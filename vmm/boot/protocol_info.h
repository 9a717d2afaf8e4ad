// Builds what a boot protocol tells its image in memory: structures one after another from
// kProtocolInfoAddress on, which point at each other.
//
// Invariants: what was appended stays where it is.
// Thread safety: thread-compatible.
#ifndef VMWIRE_VMM_BOOT_PROTOCOL_INFO_H_
#define VMWIRE_VMM_BOOT_PROTOCOL_INFO_H_

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
#include <string>
#include <type_traits>
#include <vector>

#include "absl/status/statusor.h"
#include "memory/check.h"
#include "vmm/boot/boot_block.h"

namespace vmwire {

class ProtocolInfo {
 public:
  // Where the next byte goes: its offset, and the guest physical address.
  uint64_t size() const { return bytes_.size(); }
  uint32_t NextAddress() const;

  void AppendBytes(std::span<const std::byte> bytes) {
    bytes_.insert(bytes_.end(), bytes.begin(), bytes.end());
  }
  // Its bytes in the byte order of x86.
  template <typename T>
  void Append(T value) {
    static_assert(std::is_trivially_copyable_v<T>);
    AppendBytes(std::as_bytes(std::span<const T, 1>(&value, 1)));
  }
  // The text and a zero; returns the address of its first byte.
  uint32_t AppendString(const std::string& text);
  void AppendZeros(uint64_t count) { bytes_.resize(bytes_.size() + count); }
  // Zeros up to the next multiple of `alignment`.
  void Align(uint64_t alignment);

  // Replaces bytes that were appended. REQUIRES: they were.
  template <typename T>
  void Put(uint64_t offset, T value) {
    static_assert(std::is_trivially_copyable_v<T>);
    VMWIRE_CHECK(offset <= bytes_.size() && sizeof(T) <= bytes_.size() - offset,
                 "Put outside of what was appended");
    std::memcpy(bytes_.data() + offset, &value, sizeof(T));
  }

  // All of it as a block. InvalidArgument, naming `path`, the size and the remedy: it does not end
  // below kProtocolInfoEnd.
  absl::StatusOr<BootBlock> Finish(const std::string& path) const;

 private:
  std::vector<std::byte> bytes_;
};

}  // namespace vmwire

#endif  // VMWIRE_VMM_BOOT_PROTOCOL_INFO_H_
