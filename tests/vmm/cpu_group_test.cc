#include "vmm/cpu_group.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>

#include <cerrno>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "devices/exit_port/exit_port.h"
#include "tests/fakes/fake_kvm.h"
#include "tests/support/map_fixture.h"
#include "tests/support/status_matchers.h"

namespace vmwire {
namespace {

using testing::AllOf;
using testing::HasSubstr;
using testing::Not;
using Kind = RunOutcome::Kind;

constexpr uint16_t kPort = 0x500;

// The first vCPU plays the script of the fake KVM; the others sleep until they are kicked.
class CpuGroupTest : public testing::Test {
 protected:
  void SetUp() override { ASSERT_THAT(ports_.Register(kPort, 4, exit_port_), IsOk()); }

  void Create(uint32_t cpus) {
    for (uint32_t id = 0; id < cpus; ++id) vcpus_.push_back(Vcpu::Create(*vm_, id).value());
    group_ = std::make_unique<CpuGroup>(CpuGroup::Machine{ports_, mmio_, latch_, memory_}, vcpus_,
                                        stop_);
  }

  TestMap map_;
  std::shared_ptr<VmObject> object_ = map_.Add(0, 16);
  GuestMemory memory_{map_.map()};
  FakeKvm kvm_{map_.journal()};
  std::unique_ptr<System> system_ = System::Open(kvm_).value();
  std::unique_ptr<Vm> vm_ = Vm::Create(*system_).value();
  std::vector<std::unique_ptr<Vcpu>> vcpus_;
  ExitLatch latch_;
  ExitPort exit_port_{latch_};
  Bus ports_{"port I/O", kPortSpaceSize};
  Bus mmio_{"MMIO", kMmioSpaceSize};
  StopRequest stop_;
  std::unique_ptr<CpuGroup> group_;
};

TEST_F(CpuGroupTest, OneCpuRunsOnTheThreadThatCalls) {
  Create(1);
  std::thread::id ran_on;
  kvm_.Push([&](std::span<std::byte>, kvm_run& run) {
    ran_on = std::this_thread::get_id();
    run.exit_reason = KVM_EXIT_HLT;
    return 0;
  });

  EXPECT_EQ(group_->Run().kind, Kind::kHalted);
  EXPECT_EQ(ran_on, std::this_thread::get_id());
}

TEST_F(CpuGroupTest, EndOfOneCpuEndsTheOthers) {
  Create(4);
  kvm_.PushOut(kPort, {7});

  const RunOutcome outcome = group_->Run();

  EXPECT_EQ(outcome.kind, Kind::kExited);
  EXPECT_EQ(outcome.code, 7u);
  EXPECT_EQ(stop_.reason(), StopRequest::kGuestEnded);
}

TEST_F(CpuGroupTest, StopFromOutsideEndsAllAndKeepsItsReason) {
  Create(3);
  kvm_.Push([&](std::span<std::byte>, kvm_run& run) {
    stop_.Stop(SIGTERM);
    run.exit_reason = KVM_EXIT_INTR;
    return 0;
  });

  const RunOutcome outcome = group_->Run();

  EXPECT_EQ(outcome.kind, Kind::kInterrupted);
  EXPECT_EQ(outcome.code, static_cast<uint32_t>(SIGTERM));
  EXPECT_EQ(outcome.report, "");
  EXPECT_EQ(stop_.reason(), SIGTERM);
}

TEST_F(CpuGroupTest, TimeLimitReportsEveryCpu) {
  Create(2);
  kvm_.Push([&](std::span<std::byte>, kvm_run& run) {
    stop_.Stop(StopRequest::kTimeLimit);
    run.exit_reason = KVM_EXIT_INTR;
    return 0;
  });

  const RunOutcome outcome = group_->Run();

  EXPECT_EQ(outcome.kind, Kind::kInterrupted);
  EXPECT_THAT(outcome.report, AllOf(HasSubstr("CPU 0:"), HasSubstr("CPU 1:"), HasSubstr("rip")));
}

TEST_F(CpuGroupTest, ReportOfADeathNamesTheCpuWhereThereAreSeveral) {
  Create(2);
  kvm_.PushExit(KVM_EXIT_SHUTDOWN);

  const RunOutcome outcome = group_->Run();

  EXPECT_EQ(outcome.kind, Kind::kShutdown);
  EXPECT_THAT(outcome.report, AllOf(HasSubstr("CPU 0: "), Not(HasSubstr("CPU 1"))));
}

TEST_F(CpuGroupTest, FailureOfKvmNamesTheCpuTooAndIsItsOwn) {
  Create(2);
  kvm_.PushError(ENOEXEC);

  const RunOutcome outcome = group_->Run();

  EXPECT_EQ(outcome.kind, Kind::kRunFailed);
  EXPECT_EQ(outcome.cpu, 0u);
  EXPECT_THAT(outcome.report, HasSubstr("CPU 0: "));
}

TEST_F(CpuGroupTest, ExitsOfAllCpusAreCounted) {
  Create(2);
  kvm_.PushOut(0x80, {1});
  kvm_.Push([&](std::span<std::byte>, kvm_run& run) {
    while (kvm_.sleeping() == 0) std::this_thread::yield();
    run.exit_reason = KVM_EXIT_HLT;
    return 0;
  });

  group_->Run();

  EXPECT_EQ(group_->stats().exits.total(), 2u);
  EXPECT_GE(group_->stats().interruptions, 1u) << "the other was kicked";
  EXPECT_TRUE(group_->stats().first_exit.has_value());
}

}  // namespace
}  // namespace vmwire
