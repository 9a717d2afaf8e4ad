#include "vmm/interrupt_controller.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cerrno>
#include <memory>

#include "tests/fakes/fake_kvm.h"
#include "tests/support/status_matchers.h"
#include "vmm/vcpu.h"

namespace vmwire {
namespace {

using testing::IsEmpty;
using testing::SizeIs;

// A VM on a fake KVM, and what it was given.
struct FakeVm {
  explicit FakeVm(const FakeKvm::Options& options = {}) : kvm(journal, options) {}

  Journal journal;
  FakeKvm kvm;
  std::unique_ptr<System> system = System::Open(kvm).value();
  std::unique_ptr<Vm> vm = Vm::Create(*system).value();
};

TEST(InterruptControllerTest, KvmThatHasAllOfItGivesAllOfIt) {
  FakeVm fake;

  VMWIRE_ASSERT_OK_AND_ASSIGN(const InterruptController controller,
                              CreateInterruptController(*fake.vm));

  EXPECT_TRUE(controller.has_irqchip);
  EXPECT_TRUE(controller.has_timer);
  EXPECT_THAT(fake.journal.EntriesWith("kvm create irqchip"), SizeIs(1));
  EXPECT_THAT(fake.journal.EntriesWith("kvm create pit2 flags 1"), SizeIs(1));
}

TEST(InterruptControllerTest, KvmWithoutIrqchipIsAskedForNothing) {
  FakeVm fake({.irqchip = false});

  VMWIRE_ASSERT_OK_AND_ASSIGN(const InterruptController controller,
                              CreateInterruptController(*fake.vm));

  EXPECT_FALSE(controller.has_irqchip);
  EXPECT_FALSE(controller.has_timer);
  EXPECT_THAT(fake.journal.EntriesWith("kvm create irqchip"), IsEmpty());
  EXPECT_THAT(fake.journal.EntriesWith("kvm create pit2"), IsEmpty());
}

TEST(InterruptControllerTest, KvmWithoutTimerGivesTheRest) {
  FakeVm fake({.pit = false});

  VMWIRE_ASSERT_OK_AND_ASSIGN(const InterruptController controller,
                              CreateInterruptController(*fake.vm));

  EXPECT_TRUE(controller.has_irqchip);
  EXPECT_FALSE(controller.has_timer);
}

TEST(InterruptControllerTest, VmWithAVcpuIsRefused) {
  FakeVm fake;
  VMWIRE_ASSERT_OK_AND_ASSIGN(const auto vcpu, Vcpu::Create(*fake.vm, 0));

  EXPECT_THAT(CreateInterruptController(*fake.vm), StatusIs(absl::StatusCode::kInvalidArgument));
}

TEST(InterruptControllerTest, WhicheverCallFailsTheErrorIsGivenOn) {
  for (uint64_t n = 1;; ++n) {
    FakeVm fake;
    fake.journal.FailNth(n, ENOMEM);
    const auto controller = CreateInterruptController(*fake.vm);
    if (!fake.journal.failed()) break;
    EXPECT_THAT(controller, StatusIs(absl::StatusCode::kResourceExhausted)) << "call " << n;
  }
}

}  // namespace
}  // namespace vmwire
