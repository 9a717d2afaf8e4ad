// Builds the bytes of a bzImage for tests, by offsets written out from Linux' boot.rst: a good one
// of version 2.15 with a 64-bit entry unless the test changes a field.
//
//   boot sector | setup sectors, the version text at 0x300 | kernel
//
// Thread safety: values.
#ifndef VMWIRE_TESTS_VMM_BOOT_BZIMAGE_BUILDER_H_
#define VMWIRE_TESTS_VMM_BOOT_BZIMAGE_BUILDER_H_

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string>
#include <vector>

namespace vmwire {

class BzImageBuilder {
 public:
  // Two setup sectors, so that the kernel is at 0x600 of the file.
  static constexpr size_t kKernelOffset = 0x600;

  explicit BzImageBuilder(size_t kernel_size = 0x1000)
      : bytes_(kKernelOffset + kernel_size, std::byte{0}) {
    for (size_t i = kKernelOffset; i < bytes_.size(); ++i) bytes_[i] = std::byte{0x90};
    Set<uint8_t>(0x1f1, 2);                                                // setup_sects
    Set<uint32_t>(0x1f4, static_cast<uint32_t>((kernel_size + 15) / 16));  // syssize
    Set<uint16_t>(0x1fe, 0xaa55);                                          // boot_flag
    Set<uint8_t>(0x200, 0xeb);                                             // jump
    Set<uint8_t>(0x201, 0x6a);                                             // to 0x26c
    Text(0x202, "HdrS");
    Set<uint16_t>(0x206, 0x020f);      // version
    Set<uint16_t>(0x20e, 0x100);       // kernel_version, less 0x200
    Set<uint8_t>(0x211, 0x81);         // loadflags: LOADED_HIGH, CAN_USE_HEAP
    Set<uint32_t>(0x22c, 0x7fffffff);  // initrd_addr_max
    Set<uint32_t>(0x230, 0x200000);    // kernel_alignment
    Set<uint8_t>(0x234, 1);            // relocatable_kernel
    Set<uint16_t>(0x236, 0x0001);      // xloadflags: XLF_KERNEL_64
    Set<uint32_t>(0x238, 2047);        // cmdline_size
    Set<uint64_t>(0x258, 0x1000000);   // pref_address
    Set<uint32_t>(0x260, 0x800000);    // init_size
    Text(0x300, "6.1.0-test (builder) #1");
  }

  template <typename T>
  BzImageBuilder& Set(size_t offset, T value) {
    std::memcpy(bytes_.data() + offset, &value, sizeof(value));
    return *this;
  }
  // Without a zero at its end.
  BzImageBuilder& Text(size_t offset, const std::string& text) {
    std::memcpy(bytes_.data() + offset, text.data(), text.size());
    return *this;
  }
  BzImageBuilder& Resize(size_t size) {
    bytes_.resize(size);
    return *this;
  }

  std::vector<std::byte> Build() const { return bytes_; }

 private:
  std::vector<std::byte> bytes_;
};

}  // namespace vmwire

#endif  // VMWIRE_TESTS_VMM_BOOT_BZIMAGE_BUILDER_H_
