#include "vmm/cpu_mode.h"

#include <gtest/gtest.h>

namespace vmwire {
namespace {

constexpr uint64_t kProtected = cpu_bits::kCr0ProtectionEnable;
constexpr uint64_t kLongMode = 0x500;  // EFER.LME and LMA.

TEST(CpuModeTest, StackOf16BitsWrapsAndHasABase) {
  kvm_regs regs = {};
  regs.rsp = 0x1234fff0;
  kvm_sregs sregs = {};
  sregs.ss.base = 0x20000;
  EXPECT_EQ(LinearRsp(regs, sregs), 0x2fff0u) << "real mode";

  sregs.cr0 = kProtected;
  EXPECT_EQ(LinearRsp(regs, sregs), 0x2fff0u) << "protected mode, B flag off";
}

TEST(CpuModeTest, StackOf32BitsHasABaseAndWrapsAt4GiB) {
  kvm_regs regs = {};
  regs.rsp = 0xff'1234fff0;
  kvm_sregs sregs = {};
  sregs.cr0 = kProtected;
  sregs.ss.base = 0x20000;
  sregs.ss.db = 1;
  EXPECT_EQ(LinearRsp(regs, sregs), 0x1236fff0u);

  sregs.ss.base = 0xf0000000;
  EXPECT_EQ(LinearRsp(regs, sregs), 0x0234fff0u);
}

TEST(CpuModeTest, StackOf64BitsHasNoBase) {
  kvm_regs regs = {};
  regs.rsp = 0xffff8000'1234fff0;
  kvm_sregs sregs = {};
  sregs.cr0 = kProtected;
  sregs.efer = kLongMode;
  sregs.cs.l = 1;
  sregs.ss.base = 0x20000;
  EXPECT_EQ(LinearRsp(regs, sregs), 0xffff8000'1234fff0u);

  sregs.cs.l = 0;
  sregs.ss.db = 1;
  EXPECT_EQ(LinearRsp(regs, sregs), 0x1236fff0u) << "compatibility mode";
}

TEST(CpuModeTest, CodeHasABaseBelow64Bits) {
  kvm_regs regs = {};
  regs.rip = 0xfff0;
  kvm_sregs sregs = {};
  sregs.cs.base = 0xffff0000;
  EXPECT_EQ(LinearRip(regs, sregs), 0xfffffff0u);

  sregs.cr0 = kProtected;
  sregs.efer = kLongMode;
  sregs.cs.l = 1;
  EXPECT_EQ(LinearRip(regs, sregs), 0xfff0u);
}

}  // namespace
}  // namespace vmwire
