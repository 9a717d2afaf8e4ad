#include "vmm/boot/descriptor_tables.h"

#include <array>
#include <cstddef>
#include <cstring>
#include <span>

#include "vmm/boot/exception_stubs.h"
#include "vmm/guest_layout.h"

namespace vmwire {
namespace {

static_assert(kGdtAddress.value() + kGdtLimit < kIdtAddress.value());
static_assert(kIdtAddress.value() + kIdtLimit < kTssAddress.value());
static_assert(kTssAddress.value() + kTssLimit < kExceptionStubsAddress.value());

// Bits 40 to 47 of a descriptor, "access": type, S, DPL, present. The accessed bit is set, so that
// the CPU need not write to the table.
constexpr uint64_t kAccessCode = 0x9b;
constexpr uint64_t kAccessData = 0x93;
constexpr uint64_t kAccessRing3 = 0x60;
constexpr uint64_t kAccessBusyTss64 = 0x8b;
// Bits 52 to 55, "flags": AVL, L, D/B, G.
constexpr uint64_t kFlags64Bit = 0xa;
constexpr uint64_t kFlags32Bit = 0xc;

constexpr uint64_t Descriptor(uint64_t base, uint64_t limit, uint64_t access, uint64_t flags) {
  return (limit & 0xffff) | (base & 0xffffff) << 16 | access << 40 | (limit >> 16 & 0xf) << 48 |
         flags << 52 | (base >> 24 & 0xff) << 56;
}
constexpr uint64_t kFlatLimit = 0xfffff;  // In units of 4 KiB.

constexpr uint8_t kExceptionStackIndex = 1;

// Offsets in the 64-bit TSS.
constexpr size_t kTssRsp0 = 4;
constexpr size_t kTssIst1 = 36;
constexpr size_t kTssBitmapOffset = 102;

template <typename T, size_t kSize>
void Put(std::array<std::byte, kSize>& bytes, size_t offset, T value) {
  std::memcpy(bytes.data() + offset, &value, sizeof(T));
}

}  // namespace

absl::Status WriteGdt(const GuestMemory& memory) {
  const std::array<uint64_t, (kGdtLimit + 1) / 8> gdt = {
      0,
      Descriptor(0, kFlatLimit, kAccessCode, kFlags64Bit),
      Descriptor(0, kFlatLimit, kAccessData, kFlags32Bit),
      Descriptor(0, kFlatLimit, kAccessData | kAccessRing3, kFlags32Bit),
      Descriptor(0, kFlatLimit, kAccessCode | kAccessRing3, kFlags64Bit),
      Descriptor(kTssAddress.value(), kTssLimit, kAccessBusyTss64, 0),
      kTssAddress.value() >> 32,
      Descriptor(0, kFlatLimit, kAccessCode, kFlags32Bit),
  };
  return memory.Write(kGdtAddress, std::as_bytes(std::span(gdt)));
}

BootBlock FlatGdt(StartMode mode) {
  const std::array<uint64_t, (kFlatGdtLimit + 1) / 8> gdt = {
      0,
      0,
      Descriptor(0, kFlatLimit, kAccessCode, IsLongMode(mode) ? kFlags64Bit : kFlags32Bit),
      Descriptor(0, kFlatLimit, kAccessData, kFlags32Bit),
  };
  const auto bytes = std::as_bytes(std::span(gdt));
  return {.address = kGdtAddress, .bytes = {bytes.begin(), bytes.end()}};
}

absl::Status WriteTss(const GuestMemory& memory) {
  std::array<std::byte, kTssLimit + 1> tss = {};
  Put(tss, kTssRsp0, kRing0StackTop.value());
  Put(tss, kTssIst1, kExceptionStackTop.value());
  // IOPL 3 alone is not enough: a KVM without VMX and SVM cannot give guest code at CPL 3 that runs
  // natively the real IOPL, and after that checks only this bitmap. The bitmap alone is not enough
  // either: QEMU's emulated SVM looks at it in 32-bit task state segments only.
  Put(tss, kTssBitmapOffset, static_cast<uint16_t>(kTssFixedSize));
  tss.back() = std::byte{0xff};
  return memory.Write(kTssAddress, std::span<const std::byte>(tss));
}

absl::Status WriteIdt(const GuestMemory& memory) {
  constexpr uint64_t kInterruptGate = 0x8e;  // Present, DPL 0, type 14.
  std::array<uint64_t, (kIdtLimit + 1) / sizeof(uint64_t)> idt = {};
  for (uint32_t vector = 0; vector < kExceptionVectors; ++vector) {
    const size_t gate = size_t{2} * vector;
    const uint64_t stub = ExceptionStubAddress(vector).value();
    idt[gate] = (stub & 0xffff) | uint64_t{kRing0Code64Selector} << 16 |
                uint64_t{kExceptionStackIndex} << 32 | kInterruptGate << 40 |
                (stub >> 16 & 0xffff) << 48;
    idt[gate + 1] = stub >> 32;
  }
  return memory.Write(kIdtAddress, std::as_bytes(std::span(idt)));
}

}  // namespace vmwire
