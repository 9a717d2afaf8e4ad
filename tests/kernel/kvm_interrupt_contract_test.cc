// One suite for the fake KVM and the real one: interrupt controller, irqfds and ioeventfds.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <cstdint>
#include <memory>
#include <string>

#include "devices/event_fd.h"
#include "tests/fakes/fake_kvm.h"
#include "tests/support/status_matchers.h"
#include "vmm/kvm_api_linux.h"
#include "vmm/system.h"
#include "vmm/vcpu.h"
#include "vmm/vm.h"

namespace vmwire {
namespace {

using testing::AnyOf;

constexpr auto kExists = absl::StatusCode::kAlreadyExists;
constexpr auto kInvalid = absl::StatusCode::kInvalidArgument;
constexpr auto kNotFound = absl::StatusCode::kNotFound;
constexpr auto kPrecondition = absl::StatusCode::kFailedPrecondition;
constexpr auto kUnavailable = absl::StatusCode::kUnavailable;

enum class Which { kFake, kReal };

class KvmInterruptContractTest : public testing::TestWithParam<Which> {
 protected:
  void SetUp() override {
    if (GetParam() == Which::kReal) {
      kvm_ = std::make_unique<KvmApiLinux>();
    } else {
      kvm_ = std::make_unique<FakeKvm>(journal_);
    }
    auto system = System::Open(*kvm_);
    if (!system.ok() && GetParam() == Which::kReal) {
      GTEST_SKIP() << "no usable /dev/kvm: " << system.status();
    }
    ASSERT_THAT(system, IsOk());
    system_ = *std::move(system);
    for (const int capability : {KVM_CAP_IRQCHIP, KVM_CAP_PIT2, KVM_CAP_IRQFD, KVM_CAP_IOEVENTFD}) {
      if (system_->CheckExtension(capability).value_or(0) == 0) {
        GTEST_SKIP() << "this KVM lacks capability " << capability;
      }
    }
    VMWIRE_ASSERT_OK_AND_ASSIGN(vm_, Vm::Create(*system_));
    int not_event[2];
    ASSERT_EQ(pipe(not_event), 0);
    not_event_ = not_event[0];
    close(not_event[1]);
  }
  void TearDown() override {
    vm_.reset();
    if (not_event_ >= 0) close(not_event_);
  }

  absl::Status CreateIrqchip() { return kvm_->CreateIrqchip(vm_->fd()); }
  absl::Status CreatePit() { return kvm_->CreatePit2(vm_->fd(), kvm_pit_config{}); }

  absl::Status SetIrqfd(int fd, uint32_t flags = 0) {
    kvm_irqfd irqfd = {};
    irqfd.fd = static_cast<uint32_t>(fd);
    irqfd.gsi = 5;
    irqfd.flags = flags;
    return kvm_->SetIrqfd(vm_->fd(), irqfd);
  }

  // Of 4 bytes, for any value.
  static kvm_ioeventfd At(uint64_t address, int fd) {
    kvm_ioeventfd ioeventfd = {};
    ioeventfd.addr = address;
    ioeventfd.len = 4;
    ioeventfd.fd = fd;
    return ioeventfd;
  }
  static kvm_ioeventfd For(uint32_t value, kvm_ioeventfd ioeventfd) {
    ioeventfd.datamatch = value;
    ioeventfd.flags |= KVM_IOEVENTFD_FLAG_DATAMATCH;
    return ioeventfd;
  }
  absl::Status Set(const kvm_ioeventfd& ioeventfd) {
    return kvm_->SetIoeventfd(vm_->fd(), ioeventfd);
  }
  absl::Status Remove(kvm_ioeventfd ioeventfd) {
    ioeventfd.flags |= KVM_IOEVENTFD_FLAG_DEASSIGN;
    return Set(ioeventfd);
  }

  static constexpr uint64_t kAddress = 0xd0000050;

  Journal journal_;
  std::unique_ptr<KvmApi> kvm_;
  std::unique_ptr<System> system_;
  std::unique_ptr<Vm> vm_;
  EventFd event_ = EventFd::Create().value();
  EventFd other_event_ = EventFd::Create().value();
  int not_event_ = -1;
};

TEST_P(KvmInterruptContractTest, OneIrqchipAndOneTimerAreCreated) {
  EXPECT_THAT(CreateIrqchip(), IsOk());
  EXPECT_THAT(CreatePit(), IsOk());
}

TEST_P(KvmInterruptContractTest, SecondIrqchipExists) {
  ASSERT_THAT(CreateIrqchip(), IsOk());
  EXPECT_THAT(CreateIrqchip(), StatusIs(kExists));
}

TEST_P(KvmInterruptContractTest, SecondTimerExists) {
  ASSERT_THAT(CreateIrqchip(), IsOk());
  ASSERT_THAT(CreatePit(), IsOk());
  EXPECT_THAT(CreatePit(), StatusIs(kExists));
}

TEST_P(KvmInterruptContractTest, IrqchipAfterAVcpuIsInvalid) {
  VMWIRE_ASSERT_OK_AND_ASSIGN(const auto vcpu, Vcpu::Create(*vm_, 0));
  EXPECT_THAT(CreateIrqchip(), StatusIs(kInvalid));
}

TEST_P(KvmInterruptContractTest, IrqfdIsSetAndTakenBackAndSetAgain) {
  ASSERT_THAT(CreateIrqchip(), IsOk());
  EXPECT_THAT(SetIrqfd(event_.fd()), IsOk());
  EXPECT_THAT(SetIrqfd(event_.fd(), KVM_IRQFD_FLAG_DEASSIGN), IsOk());
  EXPECT_THAT(SetIrqfd(event_.fd()), IsOk());
}

TEST_P(KvmInterruptContractTest, IrqfdWithoutIrqchipIsRefused) {
  EXPECT_THAT(SetIrqfd(event_.fd()), AnyOf(StatusIs(kInvalid), StatusIs(kUnavailable)));
}

TEST_P(KvmInterruptContractTest, OneEventfdIsOneIrqfd) {
  ASSERT_THAT(CreateIrqchip(), IsOk());
  ASSERT_THAT(SetIrqfd(event_.fd()), IsOk());
  EXPECT_THAT(SetIrqfd(event_.fd()), StatusIs(kPrecondition));
}

TEST_P(KvmInterruptContractTest, OneInterruptMayHaveTwoIrqfds) {
  ASSERT_THAT(CreateIrqchip(), IsOk());
  ASSERT_THAT(SetIrqfd(event_.fd()), IsOk());
  EXPECT_THAT(SetIrqfd(other_event_.fd()), IsOk());
}

TEST_P(KvmInterruptContractTest, IrqfdOfWhatIsNoEventfdIsRefused) {
  ASSERT_THAT(CreateIrqchip(), IsOk());
  EXPECT_THAT(SetIrqfd(not_event_), StatusIs(kInvalid));
  EXPECT_THAT(SetIrqfd(-1), StatusIs(kPrecondition));
}

TEST_P(KvmInterruptContractTest, IrqfdFlagThatIsNotKnownIsInvalid) {
  ASSERT_THAT(CreateIrqchip(), IsOk());
  EXPECT_THAT(SetIrqfd(event_.fd(), 1u << 31), StatusIs(kInvalid));
}

TEST_P(KvmInterruptContractTest, PinsOfTheIrqchipAreSetHighAndLow) {
  ASSERT_THAT(CreateIrqchip(), IsOk());
  EXPECT_THAT(kvm_->SetIrqLine(vm_->fd(), 5, true), IsOk());
  EXPECT_THAT(kvm_->SetIrqLine(vm_->fd(), 5, true), IsOk());
  EXPECT_THAT(kvm_->SetIrqLine(vm_->fd(), 5, false), IsOk());
}

TEST_P(KvmInterruptContractTest, PinThatIsNotThereIsNoError) {
  ASSERT_THAT(CreateIrqchip(), IsOk());
  EXPECT_THAT(kvm_->SetIrqLine(vm_->fd(), 1000, true), IsOk());
}

TEST_P(KvmInterruptContractTest, PinWithoutIrqchipIsNotFound) {
  EXPECT_THAT(kvm_->SetIrqLine(vm_->fd(), 5, true), StatusIs(kNotFound));
}

TEST_P(KvmInterruptContractTest, PinsOfANewIoapicAreMasked) {
  ASSERT_THAT(CreateIrqchip(), IsOk());
  VMWIRE_ASSERT_OK_AND_ASSIGN(const kvm_ioapic_state state, kvm_->GetIoapic(vm_->fd()));
  for (const auto& pin : state.redirtbl) EXPECT_EQ(pin.bits, 0x10000u);
}

TEST_P(KvmInterruptContractTest, IoapicWithoutIrqchipIsNotFound) {
  EXPECT_THAT(kvm_->GetIoapic(vm_->fd()), StatusIs(kNotFound));
}

TEST_P(KvmInterruptContractTest, IrqfdThatIsNotThereMayBeTakenBack) {
  EXPECT_THAT(SetIrqfd(event_.fd(), KVM_IRQFD_FLAG_DEASSIGN), IsOk());
}

TEST_P(KvmInterruptContractTest, IoeventfdNeedsNoIrqchip) {
  EXPECT_THAT(Set(At(kAddress, event_.fd())), IsOk());
  EXPECT_THAT(Remove(At(kAddress, event_.fd())), IsOk());
}

TEST_P(KvmInterruptContractTest, SameIoeventfdTwiceExists) {
  ASSERT_THAT(Set(At(kAddress, event_.fd())), IsOk());
  EXPECT_THAT(Set(At(kAddress, event_.fd())), StatusIs(kExists));
  EXPECT_THAT(Set(At(kAddress, other_event_.fd())), StatusIs(kExists));
}

TEST_P(KvmInterruptContractTest, IoeventfdsOfDifferentValuesShareAnAddress) {
  ASSERT_THAT(Set(For(0, At(kAddress, event_.fd()))), IsOk());
  EXPECT_THAT(Set(For(1, At(kAddress, other_event_.fd()))), IsOk());
  EXPECT_THAT(Set(For(1, At(kAddress, event_.fd()))), StatusIs(kExists));
}

TEST_P(KvmInterruptContractTest, IoeventfdForAnyValueCollidesWithThatForOne) {
  ASSERT_THAT(Set(For(0, At(kAddress, event_.fd()))), IsOk());
  EXPECT_THAT(Set(At(kAddress, other_event_.fd())), StatusIs(kExists));
}

TEST_P(KvmInterruptContractTest, IoeventfdsOfDifferentLengthsShareAnAddress) {
  ASSERT_THAT(Set(At(kAddress, event_.fd())), IsOk());
  kvm_ioeventfd two_bytes = At(kAddress, other_event_.fd());
  two_bytes.len = 2;
  EXPECT_THAT(Set(two_bytes), IsOk());
}

TEST_P(KvmInterruptContractTest, IoeventfdThatIsNotThereIsNotFound) {
  EXPECT_THAT(Remove(At(kAddress, event_.fd())), StatusIs(kNotFound));
  ASSERT_THAT(Set(For(0, At(kAddress, event_.fd()))), IsOk());
  EXPECT_THAT(Remove(At(kAddress, event_.fd())), StatusIs(kNotFound));
  EXPECT_THAT(Remove(For(1, At(kAddress, event_.fd()))), StatusIs(kNotFound));
  EXPECT_THAT(Remove(For(0, At(kAddress, other_event_.fd()))), StatusIs(kNotFound));
}

TEST_P(KvmInterruptContractTest, IoeventfdOfABadLengthIsInvalid) {
  kvm_ioeventfd ioeventfd = At(kAddress, event_.fd());
  ioeventfd.len = 3;
  EXPECT_THAT(Set(ioeventfd), StatusIs(kInvalid));
}

TEST_P(KvmInterruptContractTest, IoeventfdThatWrapsIsInvalid) {
  EXPECT_THAT(Set(At(UINT64_MAX - 1, event_.fd())), StatusIs(kInvalid));
}

TEST_P(KvmInterruptContractTest, IoeventfdFlagThatIsNotKnownIsInvalid) {
  kvm_ioeventfd ioeventfd = At(kAddress, event_.fd());
  ioeventfd.flags = 1u << 31;
  EXPECT_THAT(Set(ioeventfd), StatusIs(kInvalid));
}

TEST_P(KvmInterruptContractTest, IoeventfdOfWhatIsNoEventfdIsRefused) {
  EXPECT_THAT(Set(At(kAddress, not_event_)), StatusIs(kInvalid));
  EXPECT_THAT(Set(At(kAddress, -1)), StatusIs(kPrecondition));
}

INSTANTIATE_TEST_SUITE_P(Both, KvmInterruptContractTest,
                         testing::Values(Which::kFake, Which::kReal), [](const auto& info) {
                           return std::string(info.param == Which::kFake ? "Fake" : "Real");
                         });

}  // namespace
}  // namespace vmwire
