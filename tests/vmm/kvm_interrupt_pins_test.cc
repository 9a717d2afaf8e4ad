#include "vmm/kvm_interrupt_pins.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <memory>

#include "tests/fakes/fake_kvm.h"

namespace vmwire {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;

class KvmInterruptPinsTest : public testing::Test {
 protected:
  Journal journal_;
  FakeKvm kvm_{journal_};
  std::unique_ptr<System> system_ = System::Open(kvm_).value();
  std::unique_ptr<Vm> vm_ = Vm::Create(*system_).value();
};

TEST_F(KvmInterruptPinsTest, LevelsReachTheIrqchip) {
  KvmInterruptPins pins(*vm_, CreateInterruptController(*vm_).value());

  pins.SetLevel(5, true);
  pins.SetLevel(5, false);

  EXPECT_THAT(journal_.EntriesWith("kvm set irq line"),
              ElementsAre("kvm set irq line 5 high", "kvm set irq line 5 low"));
}

TEST_F(KvmInterruptPinsTest, WithoutIrqchipTheyLeadNowhere) {
  KvmInterruptPins pins(*vm_, InterruptController{});

  pins.SetLevel(5, true);

  EXPECT_THAT(journal_.EntriesWith("kvm set irq line"), IsEmpty());
}

}  // namespace
}  // namespace vmwire
