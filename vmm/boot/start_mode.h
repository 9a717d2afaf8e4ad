// The CPU state in which a guest image is entered.
//
// Invariants: the names are those that --start takes.
// Thread safety: values.
#ifndef VMWIRE_VMM_BOOT_START_MODE_H_
#define VMWIRE_VMM_BOOT_START_MODE_H_

#include <string>

namespace vmwire {

enum class StartMode {
  kReal16,       // 16-bit real mode, as a boot sector expects it.
  kProtected32,  // 32-bit protected mode, flat segments, no paging.
  kLong64Ring0,  // 64-bit mode at CPL 0, memory identity-mapped.
  kLong64Ring3,  // 64-bit mode at CPL 3 with access to the ports, memory identity-mapped.
};

// "real16", "protected32", "long64-ring0", "long64-ring3".
std::string ToString(StartMode mode);

// True for the two modes with paging, an IDT and exception stubs.
constexpr bool IsLongMode(StartMode mode) {
  return mode == StartMode::kLong64Ring0 || mode == StartMode::kLong64Ring3;
}

}  // namespace vmwire

#endif  // VMWIRE_VMM_BOOT_START_MODE_H_
