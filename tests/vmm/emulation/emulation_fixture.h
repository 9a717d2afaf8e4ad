// CPUs in each mode, and memory by linear addresses, for tests of completed instructions.
//
// Thread safety: thread-compatible.
#ifndef VMWIRE_TESTS_VMM_EMULATION_EMULATION_FIXTURE_H_
#define VMWIRE_TESTS_VMM_EMULATION_EMULATION_FIXTURE_H_

#include <gtest/gtest.h>

#include <cstdint>
#include <map>
#include <optional>
#include <span>
#include <vector>

#include "vmm/emulation/complete_instruction.h"
#include "vmm/emulation/linear_memory.h"

namespace vmwire {

inline constexpr uint64_t kTestRip = 0x1000;
inline constexpr uint64_t kTestFlags = 0x202;

inline kvm_segment FlatSegment(uint8_t type, uint8_t privilege) {
  kvm_segment segment = {};
  segment.limit = 0xffffffff;
  segment.type = type;
  segment.present = 1;
  segment.s = 1;
  segment.g = 1;
  segment.db = 1;
  segment.dpl = privilege;
  return segment;
}

inline EmulatedCpu ProtectedModeCpu(uint8_t privilege = 0) {
  EmulatedCpu cpu = {};
  cpu.sregs.cr0 = 1;
  cpu.sregs.cs = FlatSegment(11, privilege);
  cpu.sregs.ds = cpu.sregs.es = cpu.sregs.fs = cpu.sregs.gs = cpu.sregs.ss =
      FlatSegment(3, privilege);
  cpu.sregs.idt.limit = 0xffff;
  cpu.regs.rip = kTestRip;
  cpu.regs.rflags = kTestFlags;
  return cpu;
}

// With paging on, as long mode has it; CR3 is 0.
inline EmulatedCpu LongModeCpu(uint8_t privilege = 0) {
  EmulatedCpu cpu = ProtectedModeCpu(privilege);
  cpu.sregs.cr0 = 0x80010001;
  cpu.sregs.cr4 = 0x20;
  cpu.sregs.efer = 0x500;
  cpu.sregs.cs.l = 1;
  cpu.sregs.cs.db = 0;
  return cpu;
}

// Bytes at linear addresses; all are zero, and may be written, unless said otherwise.
class FakeLinearMemory final : public LinearMemory {
 public:
  StepResult Read(uint64_t linear, std::span<std::byte> out, Accessor accessor) override {
    last_accessor_ = accessor;
    if (fault_.has_value()) return fault_;
    for (size_t i = 0; i < out.size(); ++i) out[i] = bytes_[linear + i];
    return std::nullopt;
  }
  StepResult Write(uint64_t linear, std::span<const std::byte> in) override {
    if (fault_.has_value()) return fault_;
    for (size_t i = 0; i < in.size(); ++i) bytes_[linear + i] = in[i];
    return std::nullopt;
  }
  StepResult CompareExchange(uint64_t linear, DoubleQuadword& expected,
                             const DoubleQuadword& desired) override {
    if (fault_.has_value()) return fault_;
    const DoubleQuadword found = {Load(linear, 8), Load(linear + 8, 8)};
    if (found == expected) {
      Store(linear, desired[0], 8);
      Store(linear + 8, desired[1], 8);
    }
    expected = found;
    return std::nullopt;
  }

  // Every access from now on ends so.
  void FailWith(const GuestException& fault) { fault_ = fault; }
  Accessor last_accessor() const { return last_accessor_; }

  uint64_t Load(uint64_t linear, size_t size) {
    uint64_t value = 0;
    for (size_t i = 0; i < size; ++i) {
      value |= std::to_integer<uint64_t>(bytes_[linear + i]) << (8 * i);
    }
    return value;
  }
  void Store(uint64_t linear, uint64_t value, size_t size) {
    for (size_t i = 0; i < size; ++i) bytes_[linear + i] = static_cast<std::byte>(value >> 8 * i);
  }
  // A gate of 64 bits (two words, the second zero) or of 32.
  void SetGate(uint64_t address, uint8_t access) { Store(address + 5, access, 1); }

 private:
  std::map<uint64_t, std::byte> bytes_;
  std::optional<GuestException> fault_;
  Accessor last_accessor_ = Accessor::kInstruction;
};

class EmulationTest : public testing::Test {
 protected:
  absl::StatusOr<EmulationEffect> Complete(const EmulatedCpu& cpu,
                                           const std::vector<uint8_t>& code) {
    return CompleteInstruction(cpu, std::as_bytes(std::span(code)), memory_);
  }
  // The effect of an instruction that is completed without exception.
  EmulationEffect Do(const EmulatedCpu& cpu, const std::vector<uint8_t>& code) {
    const auto effect = Complete(cpu, code);
    EXPECT_TRUE(effect.ok()) << effect.status();
    if (!effect.ok()) return {.mnemonic = "", .regs = {}};
    EXPECT_FALSE(effect->exception.has_value()) << int{effect->exception->vector};
    EXPECT_EQ(effect->regs.rip, cpu.regs.rip + code.size());
    return *effect;
  }
  // The exception of one that raises one, and changes nothing but RFLAGS.RF.
  GuestException Fault(const EmulatedCpu& cpu, const std::vector<uint8_t>& code) {
    const auto effect = Complete(cpu, code);
    EXPECT_TRUE(effect.ok()) << effect.status();
    if (!effect.ok() || !effect->exception.has_value()) {
      ADD_FAILURE() << "no exception";
      return {};
    }
    EXPECT_EQ(effect->regs.rip, cpu.regs.rip);
    EXPECT_EQ(effect->regs.rax, cpu.regs.rax);
    EXPECT_EQ(effect->regs.rdx, cpu.regs.rdx);
    EXPECT_EQ(effect->regs.rflags, cpu.regs.rflags | 0x10000);
    EXPECT_FALSE(effect->interrupt.has_value());
    return *effect->exception;
  }

  FakeLinearMemory memory_;
};

inline constexpr GuestException kUd{.vector = 6};
inline constexpr GuestException kGp0{.vector = 13, .error_code = 0};
inline constexpr GuestException kSs0{.vector = 12, .error_code = 0};

}  // namespace vmwire

#endif  // VMWIRE_TESTS_VMM_EMULATION_EMULATION_FIXTURE_H_
