#include "vmm/boot/exception_report.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/support/status_matchers.h"
#include "tests/vmm/boot/boot_memory.h"
#include "vmm/boot/descriptor_tables.h"

namespace vmwire {
namespace {

using ::testing::HasSubstr;

constexpr uint64_t kStack = 0x6fc0;

class ExceptionReports : public ::testing::Test {
 protected:
  ExceptionReports() {
    registers_.rip = kExceptionStubsAddress.value() + 9;
    registers_.rsp = kStack;
    sregs_.cs.selector = kRing0Code64Selector;
    sregs_.cr2 = 0x7f0000001234;
    const ExceptionFrame frame = {.rdx = 1,
                                  .rax = 2,
                                  .error_code = 6,
                                  .rip = 0x100010,
                                  .cs = 0x23,
                                  .rflags = 0x10002,
                                  .rsp = 0x102000,
                                  .ss = 0x1b};
    EXPECT_THAT(memory_.memory().Store(GuestAddress(kStack), frame), IsOk());
  }

  std::string Report(uint32_t vector) const {
    return ReadExceptionReport(vector, registers_, sregs_, memory_.memory()).ToString();
  }

  BootMemory memory_{kMiB};
  kvm_regs registers_ = {};
  kvm_sregs sregs_ = {};
};

TEST_F(ExceptionReports, PageFaultHasErrorCodeAndAddress) {
  EXPECT_EQ(Report(14),
            "guest exception #PF (vector 14, error 0x6) at RIP 0x100010, address 0x7f0000001234, "
            "CS 0x23, RSP 0x102000");
}

TEST_F(ExceptionReports, InvalidOpcodeHasNeither) {
  EXPECT_EQ(Report(6), "guest exception #UD (vector 6) at RIP 0x100010, CS 0x23, RSP 0x102000");
}

TEST_F(ExceptionReports, VectorWithoutNameIsReportedByNumber) {
  EXPECT_THAT(Report(22), HasSubstr("guest exception exception (vector 22)"));
  EXPECT_THAT(Report(UINT32_MAX), HasSubstr("vector 4294967295"));
}

TEST_F(ExceptionReports, PortWrittenOutsideOfTheStubsHasNoFrame) {
  registers_.rip = 0x100020;
  EXPECT_THAT(Report(6), HasSubstr("the guest wrote to port 0x501 itself"));
}

TEST_F(ExceptionReports, PortWrittenByRing3HasNoFrame) {
  sregs_.cs.selector = kRing3Code64Selector;
  EXPECT_THAT(Report(6), HasSubstr("the guest wrote to port 0x501 itself"));
}

TEST_F(ExceptionReports, StackOutsideOfMemoryHasNoFrame) {
  for (uint64_t stack : {kMiB - 8, uint64_t{1} << 47, UINT64_MAX, UINT64_MAX - 63}) {
    registers_.rsp = stack;
    EXPECT_THAT(Report(6), HasSubstr("without a frame")) << std::hex << stack;
  }
}

TEST(ExceptionName, KnowsTheExceptionsOfBothVendors) {
  EXPECT_EQ(ExceptionName(0), "#DE");
  EXPECT_EQ(ExceptionName(13), "#GP");
  EXPECT_EQ(ExceptionName(21), "#CP");
  EXPECT_EQ(ExceptionName(29), "#VC");
  EXPECT_EQ(ExceptionName(31), "exception");
  EXPECT_EQ(ExceptionName(32), "exception");
}

}  // namespace
}  // namespace vmwire
