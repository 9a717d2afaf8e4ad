// The machine contract of a guest: where its memory lies, where the monitor puts what a start
// needs, and which ports it may use.
//
//   0x1000 GDT   0x2000 IDT   0x3000 TSS and I/O bitmap   0x4000 exception stubs   0x5000 boot info
//   0x6000..0x7000 ring-0 and exception stacks   0x7c00 real-mode image   0x10000.. page tables
//   1 MiB.. ELF segments and flat images of the other modes   3 GiB..4 GiB no memory: MMIO
//
// Guests know these numbers through guests/runtime/vmwire_guest.h; a test holds the two together.
//
// Invariants: a GuestLayout's ranges are ascending, disjoint, cover exactly memory_bytes(), and
// leave the MMIO hole free.
// Thread safety: immutable values.
#ifndef VMWIRE_VMM_GUEST_LAYOUT_H_
#define VMWIRE_VMM_GUEST_LAYOUT_H_

#include <cstddef>
#include <cstdint>
#include <optional>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "memory/address.h"
#include "memory/page_range.h"

namespace vmwire {

inline constexpr uint64_t kMiB = uint64_t{1} << 20;
inline constexpr uint64_t kGiB = uint64_t{1} << 30;

inline constexpr uint64_t kMinGuestMemory = kMiB;
// What the page tables of this start can map in the room they have.
inline constexpr uint64_t kMaxGuestMemory = 128 * kGiB;

// Memory below the hole ends here at the latest; memory above it starts at kMmioHoleEnd.
inline constexpr GuestAddress kMmioHoleStart(3 * kGiB);
inline constexpr GuestAddress kMmioHoleEnd(4 * kGiB);

inline constexpr GuestAddress kGdtAddress(0x1000);
inline constexpr GuestAddress kIdtAddress(0x2000);
inline constexpr GuestAddress kTssAddress(0x3000);
inline constexpr GuestAddress kExceptionStubsAddress(0x4000);
inline constexpr GuestAddress kBootInfoAddress(0x5000);
// Stacks grow down from these. Exceptions have a stack of their own, so that one is reported even
// when the stack pointer of a ring-0 guest is what is broken.
inline constexpr GuestAddress kExceptionStackTop(0x6800);
inline constexpr GuestAddress kRing0StackTop(0x7000);
inline constexpr GuestAddress kRealModeImageAddress(0x7c00);
inline constexpr GuestAddress kPageTablesAddress(0x10000);
// Video memory and firmware on a PC: page tables and real-mode images end below it.
inline constexpr GuestAddress kLowMemoryEnd(0xa0000);
inline constexpr GuestAddress kImageAddress(kMiB);

// Of images with a boot protocol of somebody else's: the same first page for the GDT and the same
// place for page tables, and beside them these.
inline constexpr GuestAddress kZeroPageAddress(0x7000);
inline constexpr GuestAddress kCommandLineAddress(0x8000);
inline constexpr uint64_t kMaxCommandLineSize = 0x1000;  // With the zero at its end.
inline constexpr GuestAddress kProtocolInfoAddress(0x9000);
inline constexpr GuestAddress kProtocolInfoEnd(0x10000);

// Where a PC's firmware lies, and guests look for its tables (ACPI 6.4, 5.2.5.1; MP 1.4, 4).
inline constexpr GuestAddress kFirmwareStart(0xe0000);
inline constexpr GuestAddress kFirmwareEnd(kMiB);
inline constexpr GuestAddress kRsdpAddress(0xe0000);
inline constexpr GuestAddress kMpTableAddress(0xf0000);

inline constexpr uint16_t kSerialPort = 0x3f8;
inline constexpr uint16_t kSerialPortCount = 8;
inline constexpr uint32_t kSerialIrq = 4;
// Ports of a PC that ACPI tells of (the rest are where they always were).
inline constexpr uint16_t kPmEventPort = 0x600;    // PM1a status and enable, 2 bytes each.
inline constexpr uint16_t kPmControlPort = 0x604;  // PM1a control, 2 bytes.
inline constexpr uint16_t kPmTimerPort = 0x608;    // 4 bytes.
inline constexpr uint16_t kResetPort = 0xcf9;      // A write of kResetValue resets.
inline constexpr uint8_t kResetValue = 0x06;
inline constexpr uint32_t kSciIrq = 9;  // Of ACPI itself.
inline constexpr uint16_t kExitPort = 0x500;
inline constexpr uint16_t kExceptionPort = 0x501;

// Windows of the devices that a machine has beside the ports: in the MMIO hole, one after another,
// each whole to its device.
inline constexpr GuestAddress kDeviceWindowsStart(0xd0000000);
inline constexpr uint64_t kDeviceWindowSize = 0x1000;

// What the guest finds at kBootInfoAddress: the header, then `range_count` ranges, then a count of
// 64 bits and so many devices. Later versions append; `size` tells how much there is.
// Little-endian.
inline constexpr char kBootInfoMagic[8] = {'V', 'M', 'W', 'I', 'R', 'E', '1', '\0'};
inline constexpr uint32_t kMaxBootInfoRanges = 8;

struct [[gnu::packed]] BootInfoRange {
  uint64_t start;
  uint64_t size;
};
static_assert(sizeof(BootInfoRange) == 16);

// What a device is. Guests have the same numbers.
enum class DeviceKind : uint32_t {
  kVirtioMmio = 1,  // virtio 1.2, 4.2; its registers say which device it is.
  kDmaEngine = 2,
};

inline constexpr uint32_t kMaxBootInfoDevices = 32;

struct [[gnu::packed]] BootInfoDevice {
  DeviceKind kind;
  uint32_t irq;  // The pin of the I/O APIC, up to 15 of the PICs too; 0: none, to be polled.
  uint64_t base;
  uint64_t size;
};
static_assert(sizeof(BootInfoDevice) == 24);

struct [[gnu::packed]] BootInfoHeader {
  char magic[8];
  uint32_t size;  // Of all of it, the ranges and devices included.
  uint32_t range_count;
  uint64_t memory_bytes;
  uint64_t image_start;  // The span of the image, memory that starts as zero included.
  uint64_t image_end;
  uint64_t tsc_khz;  // 0 if the monitor does not know.
};
static_assert(sizeof(BootInfoHeader) == 48);
static_assert(offsetof(BootInfoHeader, tsc_khz) == 40);

class GuestLayout {
 public:
  // The memory ranges of a guest with `memory_bytes` of memory whose CPU addresses
  // `guest_address_bits` bits of physical memory (CPUID leaf 0x80000008, EAX bits 0 to 7).
  // InvalidArgument, with the limit and the remedy: 0, less than kMinGuestMemory, not whole pages,
  // more than kMaxGuestMemory, or memory that would end beyond what the CPU addresses (for the
  // memory above 4 GiB the hole counts too).
  static absl::StatusOr<GuestLayout> Create(uint64_t memory_bytes, uint32_t guest_address_bits);

  uint64_t memory_bytes() const { return memory_bytes_; }
  // One or two ranges.
  const std::vector<GuestRange>& ram() const { return ram_; }
  // One past the highest address of memory.
  GuestAddress top() const { return ram_.back().end(); }
  // True if all of [start, start + size) is memory. `size` may be 0.
  bool IsRam(GuestAddress start, uint64_t size) const;

 private:
  GuestLayout(uint64_t memory_bytes, std::vector<GuestRange> ram)
      : memory_bytes_(memory_bytes), ram_(std::move(ram)) {}

  uint64_t memory_bytes_;
  std::vector<GuestRange> ram_;
};

// The least memory size, in whole MiB, of a layout in which [start, start + size) is memory;
// nullopt if there is none (it wraps, lies in the hole, or is beyond kMaxGuestMemory).
std::optional<uint64_t> MemoryNeededFor(GuestAddress start, uint64_t size);

}  // namespace vmwire

#endif  // VMWIRE_VMM_GUEST_LAYOUT_H_
