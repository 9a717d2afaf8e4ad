#include "vmm/firmware/aml.h"

#include <cstddef>
#include <span>

#include "memory/check.h"

namespace vmwire::aml {
namespace {

// ACPI 6.4, table 20.2 and 20.2.5.
constexpr uint8_t kZeroOp = 0x00;
constexpr uint8_t kOneOp = 0x01;
constexpr uint8_t kNameOp = 0x08;
constexpr uint8_t kBytePrefix = 0x0a;
constexpr uint8_t kWordPrefix = 0x0b;
constexpr uint8_t kDwordPrefix = 0x0c;
constexpr uint8_t kStringPrefix = 0x0d;
constexpr uint8_t kQwordPrefix = 0x0e;
constexpr uint8_t kScopeOp = 0x10;
constexpr uint8_t kBufferOp = 0x11;
constexpr uint8_t kPackageOp = 0x12;
constexpr uint8_t kExtendedPrefix = 0x5b;
constexpr uint8_t kExtendedDeviceOp = 0x82;

constexpr size_t kNameSegmentSize = 4;

TableBytes Join(const Terms& terms) {
  TableBytes all;
  for (const TableBytes& term : terms) AppendBytes(all, term);
  return all;
}

// A segment is filled up to four characters with underscores (20.2.2).
TableBytes NameString(const std::string& name) {
  const bool root = !name.empty() && name[0] == '\\';
  std::string segment = name.substr(root ? 1 : 0);
  VMWIRE_CHECK(!segment.empty() && segment.size() <= kNameSegmentSize, name);
  segment.resize(kNameSegmentSize, '_');
  const std::string whole = (root ? "\\" : "") + segment;
  TableBytes bytes;
  AppendBytes(bytes, std::as_bytes(std::span(whole)));
  return bytes;
}

// The length of what follows and of itself: up to 63 in one byte; else the lower four bits in the
// first, beside the number of bytes that hold the rest (20.2.4).
TableBytes WithLength(const TableBytes& content) {
  constexpr size_t kMostOfOneByte = 63;
  TableBytes bytes;
  if (content.size() + 1 <= kMostOfOneByte) {
    AppendObject(bytes, static_cast<uint8_t>(content.size() + 1));
    AppendBytes(bytes, content);
    return bytes;
  }
  size_t more = 1;
  while ((content.size() + 1 + more) >> (4 + 8 * more) != 0) ++more;
  VMWIRE_CHECK(more <= 3, "a package of AML is too long");
  const size_t length = content.size() + 1 + more;
  AppendObject(bytes, static_cast<uint8_t>(more << 6 | (length & 0xf)));
  for (size_t i = 0; i < more; ++i) {
    AppendObject(bytes, static_cast<uint8_t>(length >> (4 + 8 * i)));
  }
  AppendBytes(bytes, content);
  return bytes;
}

TableBytes Opcode(uint8_t opcode) { return {std::byte{opcode}}; }

template <typename T>
TableBytes Prefixed(uint8_t prefix, T value) {
  TableBytes bytes = Opcode(prefix);
  AppendObject(bytes, value);
  return bytes;
}

uint8_t HexDigit(char digit) {
  return static_cast<uint8_t>(digit <= '9' ? digit - '0' : digit - 'A' + 10);
}

}  // namespace

TableBytes Integer(uint64_t value) {
  if (value == 0) return Opcode(kZeroOp);
  if (value == 1) return Opcode(kOneOp);
  if (value <= UINT8_MAX) return Prefixed(kBytePrefix, static_cast<uint8_t>(value));
  if (value <= UINT16_MAX) return Prefixed(kWordPrefix, static_cast<uint16_t>(value));
  if (value <= UINT32_MAX) return Prefixed(kDwordPrefix, static_cast<uint32_t>(value));
  return Prefixed(kQwordPrefix, value);
}

TableBytes String(const std::string& text) {
  TableBytes bytes = Opcode(kStringPrefix);
  AppendBytes(bytes, std::as_bytes(std::span(text.c_str(), text.size() + 1)));
  return bytes;
}

TableBytes EisaId(const std::string& id) {
  VMWIRE_CHECK(id.size() == 7, id);
  // Five bits a letter, four a digit; the bytes are in the order of the text.
  uint32_t value = 0;
  for (size_t i = 0; i < 3; ++i) value = value << 5 | (static_cast<uint32_t>(id[i]) & 0x1f);
  for (size_t i = 3; i < 7; ++i) value = value << 4 | HexDigit(id[i]);
  return Prefixed(kDwordPrefix, __builtin_bswap32(value));
}

TableBytes Package(const Terms& elements) {
  VMWIRE_CHECK(elements.size() <= UINT8_MAX, "a package has at most 255 elements");
  TableBytes content;
  AppendObject(content, static_cast<uint8_t>(elements.size()));
  AppendBytes(content, Join(elements));
  return Join({Opcode(kPackageOp), WithLength(content)});
}

TableBytes Name(const std::string& name, const TableBytes& value) {
  return Join({Opcode(kNameOp), NameString(name), value});
}

TableBytes Scope(const std::string& name, const Terms& terms) {
  return Join({Opcode(kScopeOp), WithLength(Join({NameString(name), Join(terms)}))});
}

TableBytes Device(const std::string& name, const Terms& terms) {
  return Join({Opcode(kExtendedPrefix), Opcode(kExtendedDeviceOp),
               WithLength(Join({NameString(name), Join(terms)}))});
}

TableBytes Resources(const Terms& descriptors) {
  TableBytes content = Join(descriptors);
  AppendObject(content, uint8_t{0x79});        // End tag (6.4.2.9) ...
  AppendObject(content, ChecksumOf(content));  // ... and the sum of all before it.
  return Join({Opcode(kBufferOp), WithLength(Join({Integer(content.size()), content}))});
}

TableBytes IoPorts(uint16_t base, uint8_t count) {
  struct [[gnu::packed]] {
    uint8_t tag = 0x47;
    uint8_t decodes_16_bits = 1;
    uint16_t lowest_base;
    uint16_t highest_base;
    uint8_t alignment = 1;
    uint8_t count;
  } descriptor;
  descriptor.lowest_base = descriptor.highest_base = base;
  descriptor.count = count;
  TableBytes bytes;
  AppendObject(bytes, descriptor);
  return bytes;
}

TableBytes IsaInterrupt(uint32_t irq) {
  VMWIRE_CHECK(irq < 16, "the ISA bus has 16 interrupts");
  return Prefixed(0x22, static_cast<uint16_t>(1u << irq));
}

TableBytes FixedMemory(uint32_t base, uint32_t size) {
  struct [[gnu::packed]] {
    uint8_t tag = 0x86;
    uint16_t length = 9;
    uint8_t writable = 1;
    uint32_t base;
    uint32_t size;
  } descriptor;
  descriptor.base = base;
  descriptor.size = size;
  TableBytes bytes;
  AppendObject(bytes, descriptor);
  return bytes;
}

TableBytes EdgeInterrupt(uint32_t interrupt) {
  struct [[gnu::packed]] {
    uint8_t tag = 0x89;
    uint16_t length = 6;
    uint8_t flags = 0x03;  // Consumer, edge; active high and exclusive are zeros.
    uint8_t count = 1;
    uint32_t interrupt;
  } descriptor;
  descriptor.interrupt = interrupt;
  TableBytes bytes;
  AppendObject(bytes, descriptor);
  return bytes;
}

}  // namespace vmwire::aml
