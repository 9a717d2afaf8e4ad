// Instructions that some KVMs give up on, at CPL 0 of a long mode on the real KVM: with the
// completer the guest sees what a CPU does, whether it is KVM or this process that does it.
#include <cpuid.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdint>
#include <vector>

#include "tests/kernel/kvm_run_fixture.h"
#include "vmm/interrupt_controller.h"

namespace vmwire {
namespace {

constexpr uint64_t kGdt = 0x2000;
constexpr uint64_t kIdt = 0x3000;
constexpr uint64_t kTables = 0x4000;  // Three pages.
constexpr uint64_t kCountingHandler = 0x8000;
constexpr uint64_t kEndingHandler = 0x8100;
// Where the guest leaves what it saw.
constexpr uint64_t kResult = 0x9000;
constexpr uint64_t kPushedRip = 0x9040;
constexpr uint64_t kInterrupts = 0x9048;
constexpr uint64_t kErrorCode = 0x9050;
constexpr uint64_t kCr2 = 0x9058;

// mov dx, 0x500; xor eax, eax; out dx, al
const std::vector<uint8_t> kEnd = {0x66, 0xba, 0x00, 0x05, 0x31, 0xc0, 0xee};

// push rax; mov rax, [rsp+8]; mov [kPushedRip], rax; inc byte [kInterrupts]; pop rax; iretq
const std::vector<uint8_t> kCount = {0x50, 0x48, 0x8b, 0x44, 0x24, 0x08, 0x48, 0x89,
                                     0x04, 0x25, 0x40, 0x90, 0x00, 0x00, 0xfe, 0x04,
                                     0x25, 0x48, 0x90, 0x00, 0x00, 0x58, 0x48, 0xcf};
// pop rax; mov [kErrorCode], rax; pop rax; mov [kPushedRip], rax; mov rax, cr2; mov [kCr2], rax;
// mov dx, 0x500; mov al, 1; out dx, al
const std::vector<uint8_t> kEndWithError = {
    0x58, 0x48, 0x89, 0x04, 0x25, 0x50, 0x90, 0x00, 0x00,              //
    0x58, 0x48, 0x89, 0x04, 0x25, 0x40, 0x90, 0x00, 0x00,              //
    0x0f, 0x20, 0xd0, 0x48, 0x89, 0x04, 0x25, 0x58, 0x90, 0x00, 0x00,  //
    0x66, 0xba, 0x00, 0x05, 0xb0, 0x01, 0xee};

// Features of the host's CPU: the register and bit of a CPUID leaf.
struct CpuidBit {
  uint32_t leaf;
  uint32_t kvm_cpuid_entry2::*reg;
  int bit;
};
constexpr CpuidBit kCx16 = {1, &kvm_cpuid_entry2::ecx, 13};
constexpr CpuidBit kMovbe = {1, &kvm_cpuid_entry2::ecx, 22};
constexpr CpuidBit kSmap = {7, &kvm_cpuid_entry2::ebx, 20};

bool HostHas(const CpuidBit& feature) {
  kvm_cpuid_entry2 entry = {};
  if (__get_cpuid_count(feature.leaf, 0, &entry.eax, &entry.ebx, &entry.ecx, &entry.edx) == 0) {
    return false;
  }
  return (entry.*feature.reg >> feature.bit & 1) != 0;
}

class KvmEmulationTest : public KvmRunTest {
 protected:
  void SetUp() override {
    KvmRunTest::SetUp();
    if (IsSkipped()) return;
    WriteTables();
    EnterLongMode();
  }

  // A guest can see, and so use, more than KVM supports: some hosts cannot hide their features.
  bool IsSupported(const CpuidBit& feature) {
    const auto entries = system_->SupportedCpuid().value();
    for (const kvm_cpuid_entry2& entry : entries) {
      if (entry.function == feature.leaf && entry.index == 0) {
        return (entry.*feature.reg >> feature.bit & 1) != 0;
      }
    }
    return false;
  }
  uint64_t At(uint64_t address) { return memory_.Load<uint64_t>(GuestAddress(address)).value(); }

  // Runs `code` and then kEnd. The exit code is 0 at the end, 1 after a fault.
  uint32_t Run(std::vector<uint8_t> code) {
    code.insert(code.end(), kEnd.begin(), kEnd.end());
    complete_emulation_ = true;
    const RunOutcome outcome = RunCode(code);
    EXPECT_EQ(outcome.kind, RunOutcome::Kind::kExited) << outcome.report;
    for (const auto& [mnemonic, count] : stats_.completed) {
      RecordProperty("completed_" + mnemonic, static_cast<int>(count));
    }
    return outcome.code;
  }

  void Put(uint64_t address, const std::vector<uint8_t>& bytes) {
    ASSERT_THAT(memory_.Write(GuestAddress(address), std::as_bytes(std::span(bytes))), IsOk());
  }

  // True if the last Run had an instruction completed. A CPU that is itself emulated may push
  // another frame for a fault than the manual says (QEMU's does), which is not ours to test.
  bool DoneHere() const { return !stats_.completed.empty(); }

  bool has_osxsave_ = false;

 private:
  void PutWord(uint64_t address, uint64_t value) {
    ASSERT_THAT(memory_.Store(GuestAddress(address), value), IsOk());
  }
  void SetGate(uint64_t vector, uint64_t handler) {
    PutWord(kIdt + 16 * vector, handler | uint64_t{8} << 16 | uint64_t{0x8e} << 40);
  }
  void WriteTables() {
    PutWord(kGdt + 8, 0x00af9b000000ffff);
    PutWord(kGdt + 16, 0x00cf93000000ffff);
    PutWord(kTables, (kTables + 0x1000) | 3);
    PutWord(kTables + 0x1000, (kTables + 0x2000) | 3);
    PutWord(kTables + 0x2000, 0x83);  // The first 2 MiB.
    SetGate(3, kCountingHandler);
    SetGate(0x30, kCountingHandler);
    SetGate(13, kEndingHandler);
    SetGate(14, kEndingHandler);
    Put(kCountingHandler, kCount);
    Put(kEndingHandler, kEndWithError);
  }
  static kvm_segment Segment(uint16_t selector, uint8_t type) {
    kvm_segment segment = {};
    segment.selector = selector;
    segment.limit = 0xffffffff;
    segment.type = type;
    segment.present = segment.s = segment.g = 1;
    segment.l = selector == 8 ? 1 : 0;
    segment.db = selector == 8 ? 0 : 1;
    return segment;
  }
  void EnterLongMode() {
    kvm_sregs sregs = vcpu_->GetSregs().value();
    sregs.cs = Segment(8, 11);
    sregs.ds = sregs.es = sregs.fs = sregs.gs = sregs.ss = Segment(16, 3);
    sregs.gdt = {.base = kGdt, .limit = 0x17, .padding = {}};
    sregs.idt = {.base = kIdt, .limit = 0xfff, .padding = {}};
    sregs.cr0 = 0x80010031;
    sregs.cr3 = kTables;
    sregs.cr4 = 0x20;
    sregs.efer = 0x500;
    ASSERT_THAT(vcpu_->SetSregs(sregs), IsOk());
    sregs.cr4 |= 1 << 18;
    has_osxsave_ = vcpu_->SetSregs(sregs).ok();
  }
};

TEST_F(KvmEmulationTest, XgetbvReadsXcr0) {
  if (!has_osxsave_) GTEST_SKIP() << "this KVM gives guests no XSAVE";
  ASSERT_EQ(Run({
                0x31, 0xc9,                                // xor ecx, ecx
                0x0f, 0x01, 0xd0,                          // xgetbv
                0x89, 0x04, 0x25, 0x00, 0x90, 0x00, 0x00,  // mov [kResult], eax
            }),
            0u);
  EXPECT_EQ(At(kResult), 1u);
}

TEST_F(KvmEmulationTest, XgetbvOfNoRegisterIsAGeneralProtectionFault) {
  if (!has_osxsave_) GTEST_SKIP() << "this KVM gives guests no XSAVE";
  ASSERT_EQ(Run({0xb9, 0x07, 0x00, 0x00, 0x00, 0x0f, 0x01, 0xd0}), 1u);  // mov ecx, 7; xgetbv
  EXPECT_EQ(At(kErrorCode), 0u);
  EXPECT_EQ(At(kPushedRip), kCode + 5);
}

TEST_F(KvmEmulationTest, StacAndClacChangeTheFlag) {
  if (!HostHas(kSmap)) GTEST_SKIP() << "no SMAP here";
  ASSERT_EQ(Run({
                0x0f, 0x01, 0xcb,                                // stac
                0x9c, 0x58,                                      // pushfq; pop rax
                0x48, 0x89, 0x04, 0x25, 0x00, 0x90, 0x00, 0x00,  // mov [kResult], rax
                0x0f, 0x01, 0xca,                                // clac
                0x9c, 0x58,                                      // pushfq; pop rax
                0x48, 0x89, 0x04, 0x25, 0x08, 0x90, 0x00, 0x00,  // mov [kResult + 8], rax
            }),
            0u);
  EXPECT_EQ(At(kResult), 0x40002u);
  EXPECT_EQ(At(kResult + 8), 2u);
}

TEST_F(KvmEmulationTest, Cmpxchg16bStoresOnlyIfEqual) {
  if (!HostHas(kCx16)) GTEST_SKIP() << "no CMPXCHG16B here";
  ASSERT_EQ(Run({
                0xbb, 0x33, 0x00, 0x00, 0x00,                    // mov ebx, 0x33
                0xb9, 0x44, 0x00, 0x00, 0x00,                    // mov ecx, 0x44
                0xbe, 0x00, 0x90, 0x00, 0x00,                    // mov esi, kResult
                0x31, 0xc0, 0x31, 0xd2,                          // eax = edx = 0
                0xf0, 0x48, 0x0f, 0xc7, 0x0e,                    // lock cmpxchg16b [rsi]
                0x0f, 0x94, 0x04, 0x25, 0x10, 0x90, 0x00, 0x00,  // setz [kResult + 16]
                0x31, 0xd2,                                      // xor edx, edx
                0x48, 0x0f, 0xc7, 0x0e,                          // cmpxchg16b [rsi]
                0x0f, 0x94, 0x04, 0x25, 0x11, 0x90, 0x00, 0x00,  // setz [kResult + 17]
                0x48, 0x89, 0x04, 0x25, 0x18, 0x90, 0x00, 0x00,  // mov [kResult + 24], rax
            }),
            0u);
  EXPECT_EQ(At(kResult), 0x33u);
  EXPECT_EQ(At(kResult + 8), 0x44u);
  EXPECT_EQ(At(kResult + 16), 0x0001u) << "equal, then not";
  EXPECT_EQ(At(kResult + 24), 0x33u);
}

TEST_F(KvmEmulationTest, PageFaultOfCmpxchg16bIsTheGuests) {
  if (!HostHas(kCx16)) GTEST_SKIP() << "no CMPXCHG16B here";
  ASSERT_EQ(Run({0xbe, 0x10, 0x00, 0x00, 0x40, 0x48, 0x0f, 0xc7, 0x0e}), 1u);
  EXPECT_EQ(At(kCr2), 0x40000010u);
  EXPECT_EQ(At(kPushedRip), kCode + 5);
  if (DoneHere()) {
    EXPECT_EQ(At(kErrorCode), 2u);
  }
}

TEST_F(KvmEmulationTest, MovbeReversesBytes) {
  // Where it is not supported, some KVMs give up, and some raise a #UD by themselves.
  if (!IsSupported(kMovbe)) GTEST_SKIP() << "this KVM does not support MOVBE";
  ASSERT_EQ(Run({
                0xb8, 0x44, 0x33, 0x22, 0x11,  // mov eax, 0x11223344
                0xbe, 0x00, 0x90, 0x00, 0x00,  // mov esi, kResult
                0x0f, 0x38, 0xf1, 0x06,        // movbe [rsi], eax
            }),
            0u);
  EXPECT_EQ(At(kResult), 0x44332211u);
}

TEST_F(KvmEmulationTest, Int3ReachesItsHandlerAndReturns) {
  ASSERT_EQ(Run({0xcc, 0xcc}), 0u);
  EXPECT_EQ(At(kInterrupts) & 0xff, 2u);
  EXPECT_EQ(At(kPushedRip), kCode + 2);
}

TEST_F(KvmEmulationTest, IntReachesItsHandlerAndReturns) {
  ASSERT_EQ(Run({0xcd, 0x30}), 0u);
  EXPECT_EQ(At(kInterrupts) & 0xff, 1u);
  EXPECT_EQ(At(kPushedRip), kCode + 2);
}

// Interrupts on, and the first instruction in the shadow of STI.
TEST_F(KvmEmulationTest, InterruptsMayBeOn) {
  ASSERT_EQ(Run({0xfb, 0xcc, 0xcd, 0x30}), 0u);  // sti; int3; int 0x30
  EXPECT_EQ(At(kInterrupts) & 0xff, 2u);
  EXPECT_EQ(At(kPushedRip), kCode + 4);
}

// With a local APIC in the kernel, KVM has interrupts of its own to deliver.
class KvmEmulationWithIrqchipTest : public KvmEmulationTest {
 protected:
  void PrepareVm() override {
    VMWIRE_ASSERT_OK_AND_ASSIGN(const InterruptController has, CreateInterruptController(*vm_));
    if (!has.has_irqchip) GTEST_SKIP() << "this KVM has no irqchip";
  }
};

TEST_F(KvmEmulationWithIrqchipTest, SoftwareInterruptsReachTheirHandler) {
  ASSERT_EQ(Run({0xcc, 0xfb, 0xcc, 0xcd, 0x30}), 0u);  // int3; sti; int3; int 0x30
  EXPECT_EQ(At(kInterrupts) & 0xff, 3u);
  EXPECT_EQ(At(kPushedRip), kCode + 5);
}

TEST_F(KvmEmulationTest, IntWithoutGateIsAGeneralProtectionFault) {
  ASSERT_EQ(Run({0xcd, 0x31}), 1u);
  if (DoneHere()) {
    EXPECT_EQ(At(kPushedRip), kCode);
    EXPECT_EQ(At(kErrorCode), 0x31u * 8 + 2);
  }
}

}  // namespace
}  // namespace vmwire
