#include "vmm/irqfd_line.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cerrno>
#include <memory>

#include "tests/fakes/fake_kvm.h"
#include "tests/support/status_matchers.h"
#include "vmm/interrupt_controller.h"

namespace vmwire {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

class IrqfdLineTest : public testing::Test {
 protected:
  void Start(const FakeKvm::Options& options = {}) {
    kvm_ = std::make_unique<FakeKvm>(journal_, options);
    system_ = System::Open(*kvm_).value();
    vm_ = Vm::Create(*system_).value();
    ASSERT_THAT(CreateInterruptController(*vm_), IsOk());
    journal_.Clear();
  }

  Journal journal_;
  std::unique_ptr<FakeKvm> kvm_;
  std::unique_ptr<System> system_;
  std::unique_ptr<Vm> vm_;
};

TEST_F(IrqfdLineTest, KvmKnowsItAsLongAsItLives) {
  Start();
  {
    VMWIRE_ASSERT_OK_AND_ASSIGN(const auto line, IrqfdLine::Create(*vm_, 9));
    EXPECT_EQ(line->gsi(), 9u);
    EXPECT_EQ(kvm_->live_irqfds(), 1u);
  }
  EXPECT_EQ(kvm_->live_irqfds(), 0u);
  EXPECT_THAT(journal_.EntriesWith("kvm set irqfd"), ElementsAre("kvm set irqfd gsi 9"));
  EXPECT_THAT(journal_.EntriesWith("kvm delete"), ElementsAre("kvm delete irqfd gsi 9"));
}

TEST_F(IrqfdLineTest, RaiseSignalsTheEventOnly) {
  Start();
  VMWIRE_ASSERT_OK_AND_ASSIGN(const auto line, IrqfdLine::Create(*vm_, 5));
  journal_.Clear();

  line->Raise();

  EXPECT_TRUE(IsReadable(line->event().fd()));
  EXPECT_THAT(journal_.entries(), ElementsAre());
}

TEST_F(IrqfdLineTest, KvmWithoutIrqfdIsUnimplemented) {
  Start({.irqfd = false});

  EXPECT_THAT(IrqfdLine::Create(*vm_, 5),
              StatusIs(absl::StatusCode::kUnimplemented, HasSubstr("KVM_CAP_IRQFD")));
}

TEST_F(IrqfdLineTest, VmWithoutIrqchipIsUnavailable) {
  Start({.irqchip = false});

  EXPECT_THAT(IrqfdLine::Create(*vm_, 5), StatusIs(absl::StatusCode::kUnavailable));
}

TEST_F(IrqfdLineTest, WhicheverCallFailsNothingIsLeft) {
  for (uint64_t n = 1;; ++n) {
    Start();
    journal_.FailNth(n, ENOMEM);
    const auto line = IrqfdLine::Create(*vm_, 5);
    if (!journal_.failed()) break;
    EXPECT_THAT(line, StatusIs(absl::StatusCode::kResourceExhausted)) << "call " << n;
    EXPECT_EQ(kvm_->live_irqfds(), 0u);
    vm_.reset();
    system_.reset();
  }
}

}  // namespace
}  // namespace vmwire
