#include "vmm/likely_cause.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <vector>

namespace vmwire {
namespace {

using testing::AllOf;
using testing::EndsWith;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Not;

PageWalk Mapped(uint64_t linear, uint64_t physical, bool is_memory = true) {
  PageWalk walk;
  walk.linear = linear;
  walk.mode = PagingMode::k4Level;
  walk.physical = physical;
  walk.is_memory = is_memory;
  return walk;
}

PageWalk Unmapped(uint64_t linear) {
  PageWalk walk;
  walk.linear = linear;
  walk.mode = PagingMode::k4Level;
  walk.why = "the PD entry is not present";
  return walk;
}

// A CPU in 64-bit mode at CPL 0 with all it needs; each test takes something away.
class LikelyCauseTest : public testing::Test {
 protected:
  LikelyCauseTest() {
    sregs_.cr0 = 0x80000001;
    sregs_.cr4 = 0x20;
    sregs_.efer = 0xd00;
    sregs_.cs.l = 1;
    sregs_.idt = {.base = 0x2000, .limit = 0xfff, .padding = {}};
    regs_.rip = 0x100000;
    regs_.rsp = 0x9000;
  }
  void Code(const std::vector<uint8_t>& bytes) {
    code_.clear();
    for (const uint8_t byte : bytes) code_.push_back(std::byte{byte});
  }
  CpuSnapshot Snapshot() const {
    return {.run = run_,
            .regs = regs_,
            .sregs = sregs_,
            .code = code_,
            .before_code = before_code_,
            .rip = rip_,
            .push = push_,
            .idt = idt_,
            .refusal = refusal_};
  }
  std::string OfDeath(uint32_t reason) {
    run_.exit_reason = reason;
    return LikelyCauseOfDeath(Snapshot());
  }
  std::string OfEmulation(const std::vector<uint8_t>& bytes) {
    Code(bytes);
    run_.internal.suberror = KVM_INTERNAL_ERROR_EMULATION;
    return OfDeath(KVM_EXIT_INTERNAL_ERROR);
  }
  std::string OfSilence() { return LikelyCauseOfSilence(Snapshot()); }

  kvm_run run_ = {};
  kvm_regs regs_ = {};
  kvm_sregs sregs_ = {};
  std::vector<std::byte> code_ = {std::byte{0x90}, std::byte{0x90}};
  std::optional<std::byte> before_code_;
  std::optional<std::string> refusal_;
  PageWalk rip_ = Mapped(0x100000, 0x100000);
  PageWalk push_ = Mapped(0x8ff8, 0x8ff8);
  PageWalk idt_ = Mapped(0x2000, 0x2000);
};

TEST_F(LikelyCauseTest, TripleFaultWithoutIdtSaysSo) {
  sregs_.idt.limit = 0;
  sregs_.cr2 = 0xdead000;
  EXPECT_THAT(OfDeath(KVM_EXIT_SHUTDOWN),
              AllOf(HasSubstr("an exception came with no way to handle it: there is no IDT"),
                    HasSubstr("page fault at CR2 0xdead000")));
}

TEST_F(LikelyCauseTest, TripleFaultWithUnmappedIdtSaysSo) {
  idt_ = Unmapped(0x2000);
  EXPECT_THAT(OfDeath(KVM_EXIT_SHUTDOWN), HasSubstr("the IDT, at 0x2000, is not mapped"));
  idt_ = Mapped(0x2000, 0xd0000000, false);
  EXPECT_THAT(OfDeath(KVM_EXIT_SHUTDOWN), HasSubstr("the IDT, at 0x2000, is no memory"));
}

TEST_F(LikelyCauseTest, UnmappedRipNamesTheEntry) {
  rip_ = Unmapped(0x100000);
  EXPECT_THAT(OfDeath(KVM_EXIT_SHUTDOWN),
              HasSubstr("RIP 0x100000 is not mapped (the PD entry is not present)"));
}

TEST_F(LikelyCauseTest, RipInTheHoleAndBeyondMemoryAreTold) {
  rip_ = Mapped(0xd0000000, 0xd0000000, false);
  EXPECT_THAT(OfDeath(KVM_EXIT_SHUTDOWN), HasSubstr("in the MMIO hole"));
  rip_ = Mapped(0x8000000, 0x8000000, false);
  EXPECT_THAT(OfDeath(KVM_EXIT_SHUTDOWN), HasSubstr("a smaller --memory"));
}

TEST_F(LikelyCauseTest, PageThatForbidsTheFetchIsTold) {
  rip_.is_executable = false;
  EXPECT_THAT(OfDeath(KVM_EXIT_SHUTDOWN), HasSubstr("may not be executed"));
  rip_.is_executable = true;
  rip_.is_user = false;
  sregs_.ss.dpl = 3;
  EXPECT_THAT(OfDeath(KVM_EXIT_SHUTDOWN), HasSubstr("at CPL 3"));
}

TEST_F(LikelyCauseTest, ZeroedMemoryIsTold) {
  Code({0, 0, 0, 0, 0, 0});
  sregs_.idt.limit = 0;
  EXPECT_THAT(OfDeath(KVM_EXIT_SHUTDOWN), AllOf(HasSubstr("ran into zeroed memory at RIP 0x100000"),
                                                HasSubstr("and there is no IDT")));
}

TEST_F(LikelyCauseTest, UnmappedStackIsAnOverflowOrABadRsp) {
  push_ = Unmapped(0x8ff8);
  EXPECT_THAT(OfDeath(KVM_EXIT_SHUTDOWN),
              AllOf(HasSubstr("below RSP 0x9000 is not mapped"), HasSubstr("stack overflow")));
  push_ = Mapped(0x8ff8, 0xd0000000, false);
  EXPECT_THAT(OfDeath(KVM_EXIT_SHUTDOWN), HasSubstr("stack overflow or bad RSP"));
  push_ = Mapped(0x8ff8, 0x8ff8);
  push_.is_writable = false;
  EXPECT_THAT(OfDeath(KVM_EXIT_SHUTDOWN), HasSubstr("read-only"));
}

TEST_F(LikelyCauseTest, TripleFaultWithEverythingInPlaceBlamesTheHandler) {
  EXPECT_THAT(OfDeath(KVM_EXIT_SHUTDOWN), HasSubstr("the guest's handler for it failed too"));
  Code({0x0f, 0x0b});
  EXPECT_THAT(OfDeath(KVM_EXIT_SHUTDOWN), HasSubstr("UD2"));
}

TEST_F(LikelyCauseTest, InstructionsThatCanBeCompletedNameTheOption) {
  const std::vector<std::vector<uint8_t>> instructions = {
      {0xcc},
      {0xcd, 0x80},
      {0x0f, 0x01, 0xd0},
      {0x0f, 0x01, 0xca},
      {0x0f, 0x01, 0xcb},
      {0xf0, 0x48, 0x0f, 0xc7, 0x0f},
      {0x0f, 0x38, 0xf0, 0x07},
  };
  for (const std::vector<uint8_t>& bytes : instructions) {
    EXPECT_THAT(OfEmulation(bytes), HasSubstr("--complete-emulation completes it"));
  }
}

TEST_F(LikelyCauseTest, InstructionThatWasRefusedNamesTheReasonInPlaceOfTheOption) {
  refusal_ = "a reason";
  EXPECT_THAT(OfEmulation({0xcd, 0x80}), AllOf(HasSubstr("'int 0x80' at CPL 0"),
                                               EndsWith("; not completed in KVM's stead: a reason"),
                                               Not(HasSubstr("--complete-emulation"))));
  EXPECT_THAT(OfEmulation({0x0f, 0x01, 0xc1}),
              EndsWith("KVM's stead: a reason; build the guest without it"));
}

TEST_F(LikelyCauseTest, OtherInstructionsNameTheFeatureToHide) {
  EXPECT_THAT(
      OfEmulation({0x66, 0x0f, 0x38, 0x82, 0x07}),
      AllOf(HasSubstr("'invpcid rax, xmmword ptr [rdi]' at CPL 0"), HasSubstr("--cpu hide=invpcid"),
            HasSubstr("leaves 1, 7 and 0xd"), Not(HasSubstr("--complete-emulation"))));
  EXPECT_THAT(OfEmulation({0xc5, 0xf9, 0xef, 0xc0}), HasSubstr("hide=sse2"));
  EXPECT_THAT(OfEmulation({0xc5, 0xfd, 0xef, 0xc0}), HasSubstr("hide=avx,"));
  EXPECT_THAT(OfEmulation({0x0f, 0x01, 0xc1}),
              AllOf(HasSubstr("'vmcall'"), Not(HasSubstr("--cpu"))));
}

TEST_F(LikelyCauseTest, EmulationOutsideMemoryBlamesRip) {
  rip_ = Mapped(0xd0000000, 0xd0000000, false);
  EXPECT_THAT(OfEmulation({}), HasSubstr("in the MMIO hole"));
}

TEST_F(LikelyCauseTest, DeliveryErrorLooksAtIdtAndStack) {
  run_.internal.suberror = KVM_INTERNAL_ERROR_DELIVERY_EV;
  EXPECT_THAT(OfDeath(KVM_EXIT_INTERNAL_ERROR), IsEmpty());
  push_ = Unmapped(0x8ff8);
  EXPECT_THAT(OfDeath(KVM_EXIT_INTERNAL_ERROR), HasSubstr("stack overflow"));
  sregs_.idt.limit = 0;
  EXPECT_THAT(OfDeath(KVM_EXIT_INTERNAL_ERROR), HasSubstr("could not be delivered: there is no"));
}

TEST_F(LikelyCauseTest, RefusedEntryAndMissingMemoryAreTold) {
  EXPECT_THAT(OfDeath(KVM_EXIT_FAIL_ENTRY), HasSubstr("the CPU refused the state"));
  EXPECT_THAT(OfDeath(KVM_EXIT_MEMORY_FAULT), HasSubstr("the host could not give"));
}

TEST_F(LikelyCauseTest, UnknownExitOfAHealthyCpuHasNoGuess) {
  EXPECT_THAT(OfDeath(KVM_EXIT_DEBUG), IsEmpty());
}

TEST_F(LikelyCauseTest, SilenceAfterHltDependsOnInterrupts) {
  before_code_ = std::byte{0xf4};
  EXPECT_THAT(OfSilence(), HasSubstr("halted with interrupts off"));
  regs_.rflags = 0x202;
  EXPECT_THAT(OfSilence(), HasSubstr("halted, with interrupts on"));
}

TEST_F(LikelyCauseTest, JumpToItselfIsAnEndlessLoop) {
  Code({0xeb, 0xfe});
  EXPECT_THAT(OfSilence(), HasSubstr("a jump to itself, with interrupts off"));
  Code({0xeb});
  EXPECT_THAT(OfSilence(), IsEmpty());
  Code({});
  EXPECT_THAT(OfSilence(), IsEmpty());
}

TEST_F(LikelyCauseTest, CpuAtResetWasNeverStarted) {
  sregs_ = {};
  sregs_.cr0 = 0x60000010;
  sregs_.cs.base = 0xffff0000;
  regs_.rip = 0xfff0;
  rip_ = Mapped(0xfffffff0, 0xfffffff0, false);
  EXPECT_EQ(OfSilence(), "this CPU was never started");
}

TEST(MnemonicOf, PrefixesAreNoMnemonics) {
  EXPECT_EQ(MnemonicOf("lock cmpxchg16b [rdi]"), "cmpxchg16b");
  EXPECT_EQ(MnemonicOf("int3"), "int3");
  EXPECT_EQ(MnemonicOf("rep"), "");
  EXPECT_EQ(MnemonicOf(""), "");
}

}  // namespace
}  // namespace vmwire
