#include "vmm/doorbell.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cerrno>
#include <memory>
#include <utility>

#include "tests/fakes/fake_kvm.h"
#include "tests/support/status_matchers.h"

namespace vmwire {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

constexpr GuestAddress kAddress(0xd0000050);

class DoorbellTest : public testing::Test {
 protected:
  void Start(const FakeKvm::Options& options = {}) {
    kvm_ = std::make_unique<FakeKvm>(journal_, options);
    system_ = System::Open(*kvm_).value();
    vm_ = Vm::Create(*system_).value();
    journal_.Clear();
  }

  Journal journal_;
  std::unique_ptr<FakeKvm> kvm_;
  std::unique_ptr<System> system_;
  std::unique_ptr<Vm> vm_;
  EventFd event_ = EventFd::Create().value();
};

TEST_F(DoorbellTest, KvmKnowsItAsLongAsItLives) {
  Start();
  {
    VMWIRE_ASSERT_OK_AND_ASSIGN(const Doorbell doorbell, Doorbell::Create(*vm_, kAddress, event_));
    EXPECT_EQ(doorbell.address(), kAddress);
    EXPECT_EQ(kvm_->live_ioeventfds(), 1u);
  }
  EXPECT_EQ(kvm_->live_ioeventfds(), 0u);
  EXPECT_THAT(journal_.EntriesWith("kvm set ioeventfd"),
              ElementsAre("kvm set ioeventfd 0xd0000050 size 4"));
}

TEST_F(DoorbellTest, MovingKeepsItAndAssigningLetsGoOfTheOld) {
  Start();
  VMWIRE_ASSERT_OK_AND_ASSIGN(Doorbell first, Doorbell::Create(*vm_, kAddress, event_, 0));
  VMWIRE_ASSERT_OK_AND_ASSIGN(Doorbell second, Doorbell::Create(*vm_, kAddress, event_, 1));

  const Doorbell moved(std::move(first));
  EXPECT_EQ(kvm_->live_ioeventfds(), 2u);
  VMWIRE_ASSERT_OK_AND_ASSIGN(Doorbell third, Doorbell::Create(*vm_, kAddress, event_, 2));
  second = std::move(third);

  EXPECT_EQ(kvm_->live_ioeventfds(), 2u);
  Doorbell& itself = second;
  second = std::move(itself);
  EXPECT_EQ(kvm_->live_ioeventfds(), 2u);
}

TEST_F(DoorbellTest, SecondAtAnAddressAlreadyExists) {
  Start();
  VMWIRE_ASSERT_OK_AND_ASSIGN(const Doorbell doorbell, Doorbell::Create(*vm_, kAddress, event_));

  EXPECT_THAT(Doorbell::Create(*vm_, kAddress, event_), StatusIs(absl::StatusCode::kAlreadyExists));
  EXPECT_EQ(kvm_->live_ioeventfds(), 1u);
}

TEST_F(DoorbellTest, KvmWithoutIoeventfdIsUnimplemented) {
  Start({.ioeventfd = false});

  EXPECT_THAT(Doorbell::Create(*vm_, kAddress, event_),
              StatusIs(absl::StatusCode::kUnimplemented, HasSubstr("KVM_CAP_IOEVENTFD")));
}

TEST_F(DoorbellTest, FailureLeavesNothing) {
  for (uint64_t n = 1; n <= 2; ++n) {
    Start();
    journal_.FailNth(n, ENOMEM);

    EXPECT_THAT(Doorbell::Create(*vm_, kAddress, event_),
                StatusIs(absl::StatusCode::kResourceExhausted));

    EXPECT_EQ(kvm_->live_ioeventfds(), 0u);
    vm_.reset();
    system_.reset();
  }
}

}  // namespace
}  // namespace vmwire
