#include "vmm/cpu_mode.h"

namespace vmwire {
namespace {

constexpr uint64_t kResetRip = 0xfff0;
constexpr uint64_t kResetCodeBase = 0xffff0000;

}  // namespace

CodeWidth CodeWidthOf(const kvm_sregs& sregs) {
  if ((sregs.cr0 & cpu_bits::kCr0ProtectionEnable) == 0) return CodeWidth::k16;
  if ((sregs.efer & cpu_bits::kEferLongModeActive) != 0 && sregs.cs.l != 0) return CodeWidth::k64;
  return sregs.cs.db != 0 ? CodeWidth::k32 : CodeWidth::k16;
}

uint64_t LinearRip(const kvm_regs& regs, const kvm_sregs& sregs) {
  if (CodeWidthOf(sregs) == CodeWidth::k64) return regs.rip;
  return (sregs.cs.base + regs.rip) & 0xffffffffu;
}

uint64_t LinearRsp(const kvm_regs& regs, const kvm_sregs& sregs) {
  if (CodeWidthOf(sregs) == CodeWidth::k64) return regs.rsp;
  // The B flag of the stack segment says how much of the register counts (3.4.5).
  const uint64_t offset = regs.rsp & (sregs.ss.db != 0 ? 0xffffffffu : 0xffffu);
  return (sregs.ss.base + offset) & 0xffffffffu;
}

bool IsAtReset(const kvm_regs& regs, const kvm_sregs& sregs) {
  return regs.rip == kResetRip && sregs.cs.base == kResetCodeBase &&
         (sregs.cr0 & cpu_bits::kCr0ProtectionEnable) == 0;
}

}  // namespace vmwire
