// The bytes of an image for tests, written field by field at the offsets that a specification
// gives.
//
// Thread safety: values.
#ifndef VMWIRE_TESTS_VMM_BOOT_IMAGE_BYTES_H_
#define VMWIRE_TESTS_VMM_BOOT_IMAGE_BYTES_H_

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <initializer_list>
#include <string>
#include <vector>

namespace vmwire {

class ImageBytes {
 public:
  // So many bytes of no meaning, in which no magic number is.
  explicit ImageBytes(size_t size) : bytes_(size, std::byte{0x90}) {}

  // `words` of 32 bits from `offset` on. REQUIRES: they lie inside.
  ImageBytes& Words(size_t offset, std::initializer_list<uint32_t> words) {
    for (const uint32_t word : words) {
      std::memcpy(bytes_.data() + offset, &word, sizeof(word));
      offset += sizeof(word);
    }
    return *this;
  }

  // A multiboot header's first three words, with the right checksum.
  ImageBytes& Multiboot1(size_t offset, uint32_t flags) {
    return Words(offset, {0x1badb002, flags, 0u - 0x1badb002 - flags});
  }

  // A multiboot2 header: its four words with the right checksum, and `tags`.
  ImageBytes& Multiboot2(size_t offset, std::initializer_list<uint32_t> tags) {
    const uint32_t length = 16 + 4 * static_cast<uint32_t>(tags.size());
    Words(offset, {0xe85250d6, 0, length, 0u - 0xe85250d6 - length});
    return Words(offset + 16, tags);
  }

  ImageBytes& Truncate(size_t size) {
    bytes_.resize(size);
    return *this;
  }

  const std::vector<std::byte>& bytes() const { return bytes_; }
  std::string text() const { return {reinterpret_cast<const char*>(bytes_.data()), bytes_.size()}; }

 private:
  std::vector<std::byte> bytes_;
};

// The first word of a multiboot2 tag: its type, and the flag that a loader may pass it over.
constexpr uint32_t OptionalTag(uint32_t type) { return type | 1u << 16; }

}  // namespace vmwire

#endif  // VMWIRE_TESTS_VMM_BOOT_IMAGE_BYTES_H_
