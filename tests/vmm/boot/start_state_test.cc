#include "vmm/boot/start_state.h"

#include <gtest/gtest.h>

#include "vmm/boot/descriptor_tables.h"
#include "vmm/guest_layout.h"

namespace vmwire {
namespace {

constexpr GuestAddress kEntry(0x100040);

// What a new vCPU has, as far as a start must change or keep it.
kvm_sregs ResetState() {
  kvm_sregs sregs = {};
  sregs.cs.base = 0xffff0000;
  sregs.cs.selector = 0xf000;
  sregs.cr0 = 0x60000010;
  sregs.apic_base = 0xfee00900;
  sregs.idt.limit = 0xffff;
  sregs.tr.type = 11;
  sregs.tr.present = 1;
  return sregs;
}

StartState OwnStart(StartMode mode) {
  GuestImage image;
  image.start = mode;
  image.entry = kEntry;
  return OwnStartState(image);
}

kvm_sregs SregsOf(StartMode mode) { return OwnStart(mode).SpecialRegisters(ResetState()); }
kvm_regs RegsOf(StartMode mode) { return OwnStart(mode).Registers(); }

kvm_sregs FlatSregsOf(StartMode mode) {
  return StartState{.mode = mode, .entry = kEntry, .segments = StartSegments::kFlat}
      .SpecialRegisters(ResetState());
}

TEST(StartState, RealModeBeginsAtSegmentZero) {
  const kvm_sregs sregs = SregsOf(StartMode::kReal16);
  EXPECT_EQ(sregs.cs.base, 0u);
  EXPECT_EQ(sregs.cs.selector, 0u);
  EXPECT_EQ(sregs.cs.limit, 0xffffu);
  EXPECT_EQ(sregs.cr0 & 0x80000001, 0u);
  EXPECT_EQ(sregs.cr0 & 0x60000000, 0u) << "caches are on";
  EXPECT_EQ(sregs.efer, 0u);
  EXPECT_EQ(sregs.idt.limit, 0xffffu);
}

TEST(StartState, ProtectedModeHasNoPaging) {
  const kvm_sregs sregs = SregsOf(StartMode::kProtected32);
  EXPECT_EQ(sregs.cr0 & 0x80000001, 1u);
  EXPECT_EQ(sregs.cs.selector, kRing0Code32Selector);
  EXPECT_EQ(sregs.cs.db, 1);
  EXPECT_EQ(sregs.cs.l, 0);
  EXPECT_EQ(sregs.ss.db, 1);
  EXPECT_EQ(sregs.cs.limit, 0xffffffffu);
  EXPECT_EQ(sregs.gdt.base, kGdtAddress.value());
  EXPECT_EQ(RegsOf(StartMode::kProtected32).rbx, kBootInfoAddress.value());
}

TEST(StartState, ProtectedModeHasNoOtherBitInControlRegisters) {
  for (const kvm_sregs& sregs :
       {SregsOf(StartMode::kProtected32), FlatSregsOf(StartMode::kProtected32)}) {
    EXPECT_EQ(sregs.cr0, 0x11u) << "PE, and ET, which is always set";
    EXPECT_EQ(sregs.cr4, 0u);
    EXPECT_EQ(sregs.efer, 0u);
  }
}

TEST(StartState, Ring0HasLongMode) {
  const kvm_sregs sregs = SregsOf(StartMode::kLong64Ring0);
  EXPECT_EQ(sregs.cr0 & 0x80010001, 0x80010001u);
  EXPECT_EQ(sregs.cr4 & 0x20, 0x20u);
  EXPECT_EQ(sregs.efer, 0x500u);
  EXPECT_EQ(sregs.cr3, kPageTablesAddress.value());
  EXPECT_EQ(sregs.cs.selector, kRing0Code64Selector);
  EXPECT_EQ(sregs.cs.dpl, 0);
  EXPECT_EQ(sregs.cs.l, 1);
  EXPECT_EQ(sregs.cs.db, 0);
  EXPECT_EQ(sregs.tr.base, kTssAddress.value());
  EXPECT_EQ(sregs.tr.limit, kTssLimit);
  EXPECT_EQ(sregs.idt.base, kIdtAddress.value());
  EXPECT_EQ(sregs.idt.limit, kIdtLimit);
}

TEST(StartState, Ring3HasItsSegmentsAndIoPrivilege) {
  const kvm_sregs sregs = SregsOf(StartMode::kLong64Ring3);
  EXPECT_EQ(sregs.cs.selector, kRing3Code64Selector);
  EXPECT_EQ(sregs.cs.dpl, 3);
  EXPECT_EQ(sregs.ss.selector, kRing3DataSelector);
  EXPECT_EQ(sregs.ss.dpl, 3);
  EXPECT_EQ(RegsOf(StartMode::kLong64Ring3).rflags, 0x3002u);
}

TEST(StartState, EntryAndBootInfoAreInTheRegisters) {
  for (StartMode mode : {StartMode::kLong64Ring0, StartMode::kLong64Ring3}) {
    const kvm_regs registers = RegsOf(mode);
    EXPECT_EQ(registers.rip, kEntry.value());
    EXPECT_EQ(registers.rdi, kBootInfoAddress.value());
    EXPECT_EQ(registers.rsp, kRing0StackTop.value());
    EXPECT_EQ(registers.rflags & 0x200, 0u) << "interrupts are off";
  }
}

TEST(StartState, WhatTheModeDoesNotSayIsKept) {
  for (StartMode mode : {StartMode::kReal16, StartMode::kProtected32, StartMode::kLong64Ring0,
                         StartMode::kLong64Ring3}) {
    EXPECT_EQ(SregsOf(mode).apic_base, 0xfee00900u);
  }
}

TEST(StartState, FlatSegmentsAreThoseOfLinux) {
  const kvm_sregs sregs = FlatSregsOf(StartMode::kProtected32);
  EXPECT_EQ(sregs.cs.selector, 0x10);
  EXPECT_EQ(sregs.cs.db, 1);
  EXPECT_EQ(sregs.cs.l, 0);
  for (const kvm_segment& data : {sregs.ds, sregs.es, sregs.ss}) {
    EXPECT_EQ(data.selector, 0x18);
    EXPECT_EQ(data.base, 0u);
    EXPECT_EQ(data.limit, 0xffffffffu);
  }
  EXPECT_EQ(sregs.gdt.base, 0x1000u);
  EXPECT_EQ(sregs.gdt.limit, 0x1f);
  EXPECT_EQ(sregs.idt.limit, 0) << "who enters so brings an IDT";
}

TEST(StartState, FlatSegmentsHaveABusyTaskOfTheLeastSize) {
  for (const StartMode mode : {StartMode::kProtected32, StartMode::kLong64Ring0}) {
    const kvm_sregs sregs = FlatSregsOf(mode);
    EXPECT_EQ(sregs.tr.base, 0u);
    EXPECT_EQ(sregs.tr.limit, 0x67u);
    EXPECT_EQ(sregs.tr.type, 11);
    EXPECT_EQ(sregs.tr.s, 0);
    EXPECT_EQ(sregs.tr.g, 0);
    EXPECT_EQ(sregs.tr.present, 1);
  }
}

TEST(StartState, FlatSegmentsOfLongModeHave64BitCode) {
  const kvm_sregs sregs = FlatSregsOf(StartMode::kLong64Ring0);
  EXPECT_EQ(sregs.cs.selector, 0x10);
  EXPECT_EQ(sregs.cs.l, 1);
  EXPECT_EQ(sregs.cs.db, 0);
  EXPECT_EQ(sregs.tr.present, 1);
  EXPECT_EQ(sregs.tr.base, 0u);
  EXPECT_EQ(sregs.cr3, kPageTablesAddress.value());
}

TEST(StartState, RegistersAreWhatTheProtocolPasses) {
  const kvm_regs registers = StartState{.mode = StartMode::kProtected32,
                                        .entry = kEntry,
                                        .segments = StartSegments::kFlat,
                                        .rax = 1,
                                        .rbx = 2,
                                        .rsi = 3,
                                        .rdi = 4}
                                 .Registers();
  EXPECT_EQ(registers.rax, 1u);
  EXPECT_EQ(registers.rbx, 2u);
  EXPECT_EQ(registers.rsi, 3u);
  EXPECT_EQ(registers.rdi, 4u);
  EXPECT_EQ(registers.rcx, 0u);
}

TEST(StartState, ImageSaysModeAndEntry) {
  GuestImage image;
  image.start = StartMode::kLong64Ring3;
  image.entry = kEntry;
  const StartState state = OwnStartState(image);
  EXPECT_EQ(state.Registers().rip, kEntry.value());
  EXPECT_EQ(state.Registers().rflags, 0x3002u);
}

}  // namespace
}  // namespace vmwire
