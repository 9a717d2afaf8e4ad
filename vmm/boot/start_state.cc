#include "vmm/boot/start_state.h"

#include <cstdint>

#include "vmm/boot/descriptor_tables.h"
#include "vmm/cpu_bits.h"
#include "vmm/guest_layout.h"

namespace vmwire {
namespace {

// Segment types, S = 1: read, write or execute, accessed. S = 0: busy TSS of 64 bits (and of 32).
constexpr uint8_t kTypeData = 3;
constexpr uint8_t kTypeCode = 11;
constexpr uint8_t kTypeBusyTss = 11;

constexpr uint32_t kFlatTssLimit = 0x67;

enum class SegmentSize { k16, k32, k64 };

kvm_segment Segment(uint16_t selector, uint8_t type, SegmentSize size) {
  kvm_segment segment = {};
  segment.selector = selector;
  segment.limit = size == SegmentSize::k16 ? 0xffff : 0xffffffff;
  segment.type = type;
  segment.present = 1;
  segment.dpl = selector & 3;
  segment.s = 1;
  segment.db = size == SegmentSize::k32 ? 1 : 0;
  segment.l = size == SegmentSize::k64 ? 1 : 0;
  segment.g = size == SegmentSize::k16 ? 0 : 1;
  return segment;
}

void SetSegments(const kvm_segment& code, const kvm_segment& data, kvm_sregs& sregs) {
  sregs.cs = code;
  sregs.ds = sregs.es = sregs.fs = sregs.gs = sregs.ss = data;
}

void EnterReal16(kvm_sregs& sregs) {
  SetSegments(Segment(0, kTypeCode, SegmentSize::k16), Segment(0, kTypeData, SegmentSize::k16),
              sregs);
  sregs.cr0 = cpu_bits::kCr0ExtensionType;
  sregs.cr3 = 0;
  sregs.cr4 = 0;
  sregs.efer = 0;
}

void EnterProtected32(kvm_sregs& sregs) {
  SetSegments(Segment(kRing0Code32Selector, kTypeCode, SegmentSize::k32),
              Segment(kRing0DataSelector, kTypeData, SegmentSize::k32), sregs);
  sregs.gdt.base = kGdtAddress.value();
  sregs.gdt.limit = kGdtLimit;
  sregs.idt = {};
  // PVH asks for PE and no other bit that can be written (ET cannot).
  sregs.cr0 = cpu_bits::kCr0ProtectionEnable | cpu_bits::kCr0ExtensionType;
  sregs.cr3 = 0;
  sregs.cr4 = 0;
  sregs.efer = 0;
}

void EnterLong64(bool ring3, kvm_sregs& sregs) {
  SetSegments(
      Segment(ring3 ? kRing3Code64Selector : kRing0Code64Selector, kTypeCode, SegmentSize::k64),
      Segment(ring3 ? kRing3DataSelector : kRing0DataSelector, kTypeData, SegmentSize::k32), sregs);
  sregs.tr = {};
  sregs.tr.base = kTssAddress.value();
  sregs.tr.limit = kTssLimit;
  sregs.tr.selector = kTssSelector;
  sregs.tr.type = kTypeBusyTss;
  sregs.tr.present = 1;
  sregs.gdt.base = kGdtAddress.value();
  sregs.gdt.limit = kGdtLimit;
  sregs.idt.base = kIdtAddress.value();
  sregs.idt.limit = kIdtLimit;
  sregs.cr0 = cpu_bits::kCr0ProtectionEnable | cpu_bits::kCr0MonitorCoprocessor |
              cpu_bits::kCr0ExtensionType | cpu_bits::kCr0NumericError |
              cpu_bits::kCr0WriteProtect | cpu_bits::kCr0Paging;
  sregs.cr3 = kPageTablesAddress.value();
  sregs.cr4 = cpu_bits::kCr4PhysicalAddressExtension | cpu_bits::kCr4FxsaveAndSse;
  sregs.efer = cpu_bits::kEferLongModeEnable | cpu_bits::kEferLongModeActive;
}

// No IDT, and a task that is nowhere: who enters so brings its own before it turns interrupts on.
// (The task register is as PVH asks for it: a busy TSS at 0, of the least size.)
void UseFlatSegments(StartMode mode, kvm_sregs& sregs) {
  const SegmentSize size = IsLongMode(mode) ? SegmentSize::k64 : SegmentSize::k32;
  SetSegments(Segment(kFlatCodeSelector, kTypeCode, size),
              Segment(kFlatDataSelector, kTypeData, SegmentSize::k32), sregs);
  sregs.gdt.base = kGdtAddress.value();
  sregs.gdt.limit = kFlatGdtLimit;
  sregs.idt = {};
  sregs.tr = {};
  sregs.tr.limit = kFlatTssLimit;
  sregs.tr.type = kTypeBusyTss;
  sregs.tr.present = 1;
}

}  // namespace

kvm_regs StartState::Registers() const {
  kvm_regs registers = {};
  registers.rip = entry.value();
  registers.rflags = cpu_bits::kFlagsReserved;
  registers.rsp = kRing0StackTop.value();
  if (mode == StartMode::kLong64Ring3) registers.rflags |= cpu_bits::kFlagsIopl3;
  registers.rax = rax;
  registers.rbx = rbx;
  registers.rsi = rsi;
  registers.rdi = rdi;
  return registers;
}

kvm_sregs StartState::SpecialRegisters(const kvm_sregs& reset) const {
  kvm_sregs sregs = reset;
  switch (mode) {
    case StartMode::kReal16:
      EnterReal16(sregs);
      break;
    case StartMode::kProtected32:
      EnterProtected32(sregs);
      break;
    case StartMode::kLong64Ring0:
      EnterLong64(/*ring3=*/false, sregs);
      break;
    case StartMode::kLong64Ring3:
      EnterLong64(/*ring3=*/true, sregs);
      break;
  }
  if (segments == StartSegments::kFlat) UseFlatSegments(mode, sregs);
  return sregs;
}

StartState OwnStartState(const GuestImage& image) {
  StartState start{.mode = image.start, .entry = image.entry};
  if (start.mode == StartMode::kProtected32) start.rbx = kBootInfoAddress.value();
  if (IsLongMode(start.mode)) start.rdi = kBootInfoAddress.value();
  return start;
}

}  // namespace vmwire
