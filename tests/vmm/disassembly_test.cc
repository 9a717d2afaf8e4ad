#include "vmm/disassembly.h"

#include <gtest/gtest.h>

#include <vector>

namespace vmwire {
namespace {

std::string Text(const std::vector<uint8_t>& code, CodeWidth width, uint64_t address = 0x1000) {
  return Disassemble(std::as_bytes(std::span(code)), address, width);
}

TEST(DisassemblyTest, WidthOfTheCodeSegmentDecides) {
  // mov eax, imm32 or, with the operand size of 16 bits, mov ax, imm16.
  const std::vector<uint8_t> code = {0xb8, 0x34, 0x12, 0x00, 0x00};
  EXPECT_EQ(Text(code, CodeWidth::k16), "mov ax, 0x1234");
  EXPECT_EQ(Text(code, CodeWidth::k32), "mov eax, 0x1234");
  EXPECT_EQ(Text({0x48, 0x89, 0xd8}, CodeWidth::k64), "mov rax, rbx");
}

TEST(DisassemblyTest, OnlyTheFirstInstructionIsShown) {
  EXPECT_EQ(Text({0xf4, 0x90}, CodeWidth::k64), "hlt");
}

TEST(DisassemblyTest, JumpTargetsAreAbsolute) {
  EXPECT_EQ(Text({0xeb, 0xfe}, CodeWidth::k64, 0x2000), "jmp 0x0000000000002000");
}

TEST(DisassemblyTest, BytesThatAreNoInstructionAreSaidToBeSo) {
  EXPECT_EQ(Text({0x06}, CodeWidth::k64), "(no valid instruction)");
  EXPECT_EQ(Text({0x48}, CodeWidth::k64), "(no valid instruction)");
  EXPECT_EQ(Text({}, CodeWidth::k64), "(no valid instruction)");
}

}  // namespace
}  // namespace vmwire
