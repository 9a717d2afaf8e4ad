#include "vmm/boot/exception_stubs.h"

#include <gtest/gtest.h>

#include "tests/support/status_matchers.h"
#include "tests/vmm/boot/boot_memory.h"

namespace vmwire {
namespace {

// The first of the instructions that both kinds of stub share: push %rax.
uint64_t PushRax(const BootMemory& memory, uint32_t vector) {
  const uint64_t stub = ExceptionStubAddress(vector).value();
  return memory.At<uint8_t>(stub) == 0x6a ? stub + 2 : stub;
}

TEST(ExceptionStubs, WriteTheirVectorToThePort) {
  const BootMemory memory(kMiB);
  ASSERT_THAT(WriteExceptionStubs(memory.memory()), IsOk());

  for (uint32_t vector = 0; vector < 32; ++vector) {
    const uint64_t code = PushRax(memory, vector);
    EXPECT_EQ(memory.At<uint16_t>(code), 0x5250u) << "push %rax; push %rdx";
    EXPECT_EQ(memory.At<uint8_t>(code + 3), vector) << "mov $vector, %al";
    EXPECT_EQ(memory.At<uint16_t>(code + 6), kExceptionPort) << "mov $port, %dx";
    EXPECT_EQ(memory.At<uint8_t>(code + 8), 0xee) << "out %al, (%dx)";
    EXPECT_EQ(memory.At<uint8_t>(code + 9), 0xf4) << "hlt";
  }
}

TEST(ExceptionStubs, PushAnErrorCodeWhereTheCpuDoesNot) {
  const BootMemory memory(kMiB);
  ASSERT_THAT(WriteExceptionStubs(memory.memory()), IsOk());

  for (uint32_t vector = 0; vector < 32; ++vector) {
    const uint8_t first = memory.At<uint8_t>(ExceptionStubAddress(vector).value());
    EXPECT_EQ(first, HasErrorCode(vector) ? 0x50 : 0x6a) << vector;
  }
}

TEST(ExceptionStubs, EndBelowTheBootInfo) {
  EXPECT_LE(kExceptionStubsAddress.value() + kExceptionStubsSize, kBootInfoAddress.value());
}

}  // namespace
}  // namespace vmwire
