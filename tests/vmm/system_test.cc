#include "vmm/system.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cerrno>
#include <memory>

#include "memory/status_macros.h"
#include "tests/fakes/fake_kvm.h"
#include "tests/support/status_matchers.h"
#include "vmm/vcpu.h"
#include "vmm/vm.h"

namespace vmwire {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

TEST(SystemTest, AnotherApiVersionIsUnimplementedAndClosed) {
  Journal journal;
  FakeKvm kvm(journal, {.api_version = 13});

  EXPECT_THAT(System::Open(kvm),
              StatusIs(absl::StatusCode::kUnimplemented, HasSubstr("API version 13")));

  EXPECT_EQ(kvm.open_descriptors(), 0u);
}

TEST(VmTest, KvmWithoutSlotsIsUnimplemented) {
  Journal journal;
  FakeKvm kvm(journal, {.slot_limit = 0});
  VMWIRE_ASSERT_OK_AND_ASSIGN(const auto system, System::Open(kvm));

  EXPECT_THAT(Vm::Create(*system), StatusIs(absl::StatusCode::kUnimplemented));
}

TEST(VcpuTest, SecondVcpuOfAnIdAlreadyExists) {
  Journal journal;
  FakeKvm kvm(journal);
  VMWIRE_ASSERT_OK_AND_ASSIGN(const auto system, System::Open(kvm));
  VMWIRE_ASSERT_OK_AND_ASSIGN(const auto vm, Vm::Create(*system));
  VMWIRE_ASSERT_OK_AND_ASSIGN(const auto vcpu, Vcpu::Create(*vm, 0));

  EXPECT_THAT(Vcpu::Create(*vm, 0), StatusIs(absl::StatusCode::kAlreadyExists));
}

TEST(VcpuTest, MapSmallerThanKvmRunIsInternal) {
  Journal journal;
  FakeKvm kvm(journal, {.vcpu_map_size = sizeof(kvm_run) - 1});
  VMWIRE_ASSERT_OK_AND_ASSIGN(const auto system, System::Open(kvm));
  VMWIRE_ASSERT_OK_AND_ASSIGN(const auto vm, Vm::Create(*system));

  EXPECT_THAT(Vcpu::Create(*vm, 0), StatusIs(absl::StatusCode::kInternal));
}

TEST(VcpuTest, HandlesCloseInReverseOrder) {
  Journal journal;
  FakeKvm kvm(journal);
  {
    VMWIRE_ASSERT_OK_AND_ASSIGN(const auto system, System::Open(kvm));
    VMWIRE_ASSERT_OK_AND_ASSIGN(const auto vm, Vm::Create(*system));
    VMWIRE_ASSERT_OK_AND_ASSIGN(const auto vcpu, Vcpu::Create(*vm, 0));
    journal.Clear();
  }
  EXPECT_THAT(journal.entries(),
              ElementsAre("kvm unmap run", "kvm close vcpu", "kvm close vm", "kvm close system"));
}

TEST(VcpuTest, EveryFailingCallLeavesNothingOpen) {
  for (uint64_t n = 1;; ++n) {
    Journal journal;
    FakeKvm kvm(journal);
    journal.FailNth(n, ENOMEM);
    const auto create = [&]() -> absl::Status {
      VMWIRE_ASSIGN_OR_RETURN(const auto system, System::Open(kvm));
      VMWIRE_ASSIGN_OR_RETURN(const auto vm, Vm::Create(*system));
      return Vcpu::Create(*vm, 0).status();
    };

    const absl::Status status = create();

    ASSERT_NE(status.ok(), journal.failed()) << "at call " << n;
    EXPECT_EQ(kvm.open_descriptors(), 0u) << "at call " << n;
    EXPECT_EQ(kvm.mapped_runs(), 0u) << "at call " << n;
    if (status.ok()) break;
    ASSERT_LT(n, 100u);
  }
}

}  // namespace
}  // namespace vmwire
