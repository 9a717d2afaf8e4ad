// Bits of the control registers, EFER and RFLAGS by name (Intel SDM volume 3, 2.2.1, 2.3 and 2.5;
// volume 1, 3.4.3).
//
// Invariants: constants.
// Thread safety: no state.
#ifndef VMWIRE_VMM_CPU_BITS_H_
#define VMWIRE_VMM_CPU_BITS_H_

#include <cstdint>

namespace vmwire::cpu_bits {

inline constexpr uint64_t kCr0ProtectionEnable = uint64_t{1} << 0;
inline constexpr uint64_t kCr0MonitorCoprocessor = uint64_t{1} << 1;
inline constexpr uint64_t kCr0ExtensionType = uint64_t{1} << 4;
inline constexpr uint64_t kCr0NumericError = uint64_t{1} << 5;
inline constexpr uint64_t kCr0WriteProtect = uint64_t{1} << 16;
inline constexpr uint64_t kCr0Paging = uint64_t{1} << 31;

inline constexpr uint64_t kCr4PageSizeExtension = uint64_t{1} << 4;
inline constexpr uint64_t kCr4PhysicalAddressExtension = uint64_t{1} << 5;
inline constexpr uint64_t kCr4FxsaveAndSse = uint64_t{1} << 9 | uint64_t{1} << 10;
inline constexpr uint64_t kCr4FiveLevelPaging = uint64_t{1} << 12;
inline constexpr uint64_t kCr4OsXsave = uint64_t{1} << 18;
inline constexpr uint64_t kCr4SupervisorAccessPrevention = uint64_t{1} << 21;

inline constexpr uint64_t kEferLongModeEnable = uint64_t{1} << 8;
inline constexpr uint64_t kEferLongModeActive = uint64_t{1} << 10;
inline constexpr uint64_t kEferNoExecute = uint64_t{1} << 11;

inline constexpr uint64_t kFlagsReserved = uint64_t{1} << 1;  // Always set.
inline constexpr uint64_t kFlagsZero = uint64_t{1} << 6;
inline constexpr uint64_t kFlagsInterrupts = uint64_t{1} << 9;
inline constexpr uint64_t kFlagsIopl3 = uint64_t{3} << 12;
inline constexpr uint64_t kFlagsResume = uint64_t{1} << 16;
inline constexpr uint64_t kFlagsVirtual8086 = uint64_t{1} << 17;
inline constexpr uint64_t kFlagsAlignmentCheck = uint64_t{1} << 18;

}  // namespace vmwire::cpu_bits

#endif  // VMWIRE_VMM_CPU_BITS_H_
