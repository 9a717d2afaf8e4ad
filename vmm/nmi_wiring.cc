#include "vmm/nmi_wiring.h"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <iterator>

namespace vmwire {
namespace {

// Local APIC (Intel SDM volume 3, 11.5.1). An entry of the I/O APIC has the same fields in its low
// half (Intel 82093AA, 3.2.4).
constexpr size_t kLint0 = 0x350;
constexpr uint32_t kMasked = 1 << 16;
constexpr uint32_t kModeShift = 8;
constexpr uint32_t kModeMask = 7;
constexpr uint32_t kSmi = 2;
constexpr uint32_t kNmi = 4;
constexpr uint32_t kInit = 5;

bool PassesInterruptFlag(uint64_t entry) {
  if ((entry & kMasked) != 0) return false;
  const uint64_t mode = entry >> kModeShift & kModeMask;
  return mode == kSmi || mode == kNmi || mode == kInit;
}

uint32_t Lint0Of(const kvm_lapic_state& apic) {
  uint32_t entry;
  std::memcpy(&entry, apic.regs + kLint0, sizeof(entry));
  return entry;
}

}  // namespace

bool MayGetNmi(const Vcpu& vcpu) {
  const absl::StatusOr<kvm_lapic_state> apic = vcpu.GetLapic();
  if (!apic.ok() || PassesInterruptFlag(Lint0Of(*apic))) return true;
  const absl::StatusOr<kvm_ioapic_state> ioapic = vcpu.vm().GetIoapic();
  return !ioapic.ok() || std::any_of(std::begin(ioapic->redirtbl), std::end(ioapic->redirtbl),
                                     [](const auto& pin) { return PassesInterruptFlag(pin.bits); });
}

}  // namespace vmwire
