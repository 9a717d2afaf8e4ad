// What a guest of vmwire, written in C, builds on: the machine contract as the guest sees it, and a
// few functions. The monitor's side of the contract is vmm/guest_layout.h; a test compares the two.
//
// A guest defines guest_main and says how it starts with VMWIRE_START_MODE. It runs in 64-bit mode
// at CPL 3 with IOPL 3: it may use the ports, has all of memory mapped one to one, and has no
// library, no heap and no system calls. Its stack is 16 KiB. An exception ends the run.
#ifndef VMWIRE_GUESTS_RUNTIME_VMWIRE_GUEST_H_
#define VMWIRE_GUESTS_RUNTIME_VMWIRE_GUEST_H_

#include <stdint.h>

#define VMWIRE_IDT_ADDRESS 0x2000  // 256 gates; those of the CPU lead to the monitor's stubs.
#define VMWIRE_BOOT_INFO_ADDRESS 0x5000
#define VMWIRE_BOOT_INFO_MAGIC "VMWIRE1"  // Eight bytes with its terminating zero.
#define VMWIRE_SERIAL_PORT 0x3f8          // A 16550A.
#define VMWIRE_EXIT_PORT 0x500            // Writing a code here ends the run; 0: all is well.
#define VMWIRE_EXCEPTION_PORT 0x501       // For the monitor's own exception stubs.
#define VMWIRE_IMAGE_ADDRESS 0x100000     // Images lie here or above.

// Start modes, for VMWIRE_START_MODE.
#define VMWIRE_LONG64_RING0 0
#define VMWIRE_LONG64_RING3 1

struct vmwire_range {
  uint64_t start;
  uint64_t size;
} __attribute__((packed));

// Kinds of devices.
#define VMWIRE_DEVICE_VIRTIO_MMIO 1
#define VMWIRE_DEVICE_DMA_ENGINE 2

struct vmwire_device {
  uint32_t kind;
  uint32_t irq;   // The line (interrupts.h); 0: none, to be polled.
  uint64_t base;  // Where its registers are mapped.
  uint64_t size;
} __attribute__((packed));

// After the ranges come a count of 64 bits and the devices: see guest_device.
struct vmwire_boot_info {
  char magic[8];
  uint32_t size;  // Of all of it, the ranges and devices included.
  uint32_t range_count;
  uint64_t memory_bytes;
  uint64_t image_start;  // The span of this image, memory that starts as zero included.
  uint64_t image_end;
  uint64_t tsc_khz;  // 0 if the monitor does not know.
  struct vmwire_range ranges[];
} __attribute__((packed));

#define VMWIRE_STRING_IMPL(text) #text
#define VMWIRE_STRING(text) VMWIRE_STRING_IMPL(text)

// An ELF note with the owner "vmwire". `contents` is assembler text of `size` bytes.
#define VMWIRE_NOTE(type, size, contents)                                                \
  __asm__(".pushsection .note.vmwire, \"a\", @note\n.balign 4\n.long 7, " VMWIRE_STRING( \
      size) ", " VMWIRE_STRING(type) "\n.asciz \"vmwire\"\n.balign 4\n" contents "\n.popsection")

// How this image starts: VMWIRE_LONG64_RING0 or VMWIRE_LONG64_RING3. Once, at file scope.
#define VMWIRE_START_MODE(mode) VMWIRE_NOTE(1, 4, ".long " VMWIRE_STRING(mode))

// Declares that [gpa, gpa + bytes) will be the target of device DMA; both are numbers, multiples of
// 4096. Any number of times, at file scope.
#define VMWIRE_DMA_WINDOW(gpa, bytes) \
  VMWIRE_NOTE(2, 16, ".quad " VMWIRE_STRING(gpa) ", " VMWIRE_STRING(bytes))

#ifdef __cplusplus
extern "C" {
#endif

// The guest's program; what it returns is its exit code. `info` is the monitor's and stays as it is
// unless the guest writes there.
uint32_t guest_main(const struct vmwire_boot_info* info);

// The devices that boot info lists, of all kinds.
uint64_t guest_device_count(const struct vmwire_boot_info* info);
// The one that `index` others of its kind come before; null if there is none.
const struct vmwire_device* guest_device(const struct vmwire_boot_info* info, uint32_t kind,
                                         uint32_t index);

// Ends the run with `code`: 0 for success, 1 to 100.
void guest_exit(uint32_t code) __attribute__((noreturn));

// Print on the serial port.
void guest_print(const char* text);
void guest_print_decimal(uint64_t value);
void guest_print_hex(uint64_t value);  // "0x" and as many digits as it needs.

// One access to a port.
void guest_out8(uint16_t port, uint8_t value);
void guest_out16(uint16_t port, uint16_t value);
void guest_out32(uint16_t port, uint32_t value);
uint8_t guest_in8(uint16_t port);
uint16_t guest_in16(uint16_t port);
uint32_t guest_in32(uint16_t port);

// The time-stamp counter.
uint64_t guest_read_tsc(void);

#ifdef __cplusplus
}
#endif

#endif  // VMWIRE_GUESTS_RUNTIME_VMWIRE_GUEST_H_
