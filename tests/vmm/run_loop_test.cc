#include "vmm/run_loop.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>

#include <cerrno>
#include <cstring>
#include <memory>
#include <set>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "devices/exit_port/exit_port.h"
#include "devices/serial/serial_16550.h"
#include "tests/fakes/recording_line.h"
#include "tests/support/status_matchers.h"
#include "tests/vmm/fake_machine.h"

namespace vmwire {
namespace {

using testing::AllOf;
using testing::ElementsAre;
using testing::HasSubstr;
using Kind = RunOutcome::Kind;

constexpr uint16_t kSerialPort = 0x3f8;
constexpr uint16_t kExitPort = 0x500;
constexpr uint64_t kMmioWindow = 0xd0000000;

// Eight bytes of registers that read what was written.
class EightBytes : public Device {
 public:
  std::string Name() const override { return "eight bytes"; }
  void Read(uint64_t offset, std::span<std::byte> data) override {
    std::memcpy(data.data(), bytes + offset, data.size());
  }
  void Write(uint64_t offset, std::span<const std::byte> data) override {
    std::memcpy(bytes + offset, data.data(), data.size());
  }
  std::byte bytes[8] = {};
};

class RunLoopTest : public testing::Test {
 protected:
  void SetUp() override {
    ASSERT_THAT(ports_.Register(kSerialPort, Serial16550::kWindowSize, serial_), IsOk());
    ASSERT_THAT(ports_.Register(kExitPort, ExitPort::kWindowSize, exit_port_), IsOk());
    ASSERT_THAT(mmio_.Register(kMmioWindow, sizeof(registers_.bytes), registers_), IsOk());
    machine_.StartLongMode(0x2000);
    machine_.Store(0x2000, {0x0f, 0x01, 0xc1});
  }

  FakeKvm& kvm() { return machine_.kvm(); }

  FakeMachine machine_;
  std::string printed_;
  RecordingLine line_;
  Serial16550 serial_{[this](std::span<const std::byte> bytes) {
                        printed_.append(reinterpret_cast<const char*>(bytes.data()), bytes.size());
                      },
                      line_};
  ExitLatch exit_latch_;
  ExitPort exit_port_{exit_latch_};
  EightBytes registers_;
  Bus ports_{"port I/O", kPortSpaceSize};
  Bus mmio_{"MMIO", kMmioSpaceSize};
  StopRequest stop_;
  RunLoop loop_{{machine_.vcpu(), ports_, mmio_, exit_latch_, machine_.memory()}, stop_};
};

TEST_F(RunLoopTest, HaltEndsTheRun) {
  kvm().PushExit(KVM_EXIT_HLT);

  const RunOutcome outcome = loop_.Run();

  EXPECT_EQ(outcome.kind, Kind::kHalted);
  EXPECT_EQ(outcome.report, "");
}

TEST_F(RunLoopTest, ExitPortEndsTheRunWithItsCode) {
  kvm().PushOut(kExitPort, {0x2a, 0, 0, 0}, 4);
  kvm().PushExit(KVM_EXIT_HLT);

  const RunOutcome outcome = loop_.Run();

  EXPECT_EQ(outcome.kind, Kind::kExited);
  EXPECT_EQ(outcome.code, 0x2au);
  EXPECT_EQ(kvm().steps_left(), 1u) << "the guest ran on after it had ended";
}

TEST_F(RunLoopTest, PowerOffAndResetEndTheRun) {
  for (const auto& [request, kind] : {std::pair(ExitRequest::Kind::kPowerOff, Kind::kPoweredOff),
                                      std::pair(ExitRequest::Kind::kReset, Kind::kReset)}) {
    ExitLatch latch;
    latch.Request({request});
    RunLoop loop({machine_.vcpu(), ports_, mmio_, latch, machine_.memory()}, stop_);
    kvm().PushOut(0x80, {1});

    EXPECT_EQ(loop.Run().kind, kind);
  }
}

TEST_F(RunLoopTest, ExceptionPortEndsTheRunWithTheVector) {
  kvm().PushOut(kExitPort + 1, {14});

  const RunOutcome outcome = loop_.Run();

  EXPECT_EQ(outcome.kind, Kind::kGuestException);
  EXPECT_EQ(outcome.code, 14u);
  EXPECT_THAT(outcome.report, HasSubstr("exception 14"));
}

TEST_F(RunLoopTest, ExceptionOfAnotherCpuIsLeftToThatOne) {
  std::thread other([this] { exit_latch_.Request({ExitRequest::Kind::kException, 14}); });
  other.join();
  kvm().PushOut(0x80, {1});
  kvm().PushExit(KVM_EXIT_HLT);

  EXPECT_EQ(loop_.Run().kind, Kind::kHalted);
}

TEST_F(RunLoopTest, EndThatAnotherCpuAskedForIsTaken) {
  std::thread other([this] { exit_latch_.Request({ExitRequest::Kind::kExit, 5}); });
  other.join();
  kvm().PushOut(kExitPort + 1, {14});

  const RunOutcome outcome = loop_.Run();

  EXPECT_EQ(outcome.kind, Kind::kExited) << "the first request stays";
  EXPECT_EQ(outcome.code, 5u);
}

TEST_F(RunLoopTest, OutcomeIsOfTheCpuThatRan) {
  const std::unique_ptr<Vcpu> third = machine_.CreateVcpu(2);
  RunLoop loop({*third, ports_, mmio_, exit_latch_, machine_.memory()}, stop_);
  stop_.Stop(SIGTERM);

  EXPECT_EQ(loop.Run().cpu, 2u);
}

TEST_F(RunLoopTest, StringOutputReachesTheSamePortInOrder) {
  kvm().PushOut(kSerialPort, {'h', 'i', '\n'});
  kvm().PushExit(KVM_EXIT_HLT);

  loop_.Run();

  EXPECT_EQ(printed_, "hi\n");
}

TEST_F(RunLoopTest, PortInputIsGivenToTheGuest) {
  std::vector<uint8_t> got;
  kvm().PushIn(kSerialPort + 5, 1, 1, &got);
  kvm().PushExit(KVM_EXIT_HLT);

  loop_.Run();

  EXPECT_THAT(got, ElementsAre(0x60));
}

TEST_F(RunLoopTest, StringInputReadsThePortOnceForEachItem) {
  std::vector<uint8_t> got;
  kvm().PushOut(kSerialPort + 1, {0x02});
  kvm().PushIn(kSerialPort + 2, 1, 2, &got);
  kvm().PushExit(KVM_EXIT_HLT);

  loop_.Run();

  EXPECT_THAT(got, ElementsAre(0x02, 0x01)) << "the first read resets what the second sees";
}

TEST_F(RunLoopTest, AbsentPortsReadAllOnesAndDropWrites) {
  std::vector<uint8_t> got;
  kvm().PushOut(0x80, {1});
  kvm().PushIn(0x60, 4, 2, &got);
  kvm().PushExit(KVM_EXIT_HLT);

  loop_.Run();

  EXPECT_EQ(got, std::vector<uint8_t>(8, 0xff));
  EXPECT_EQ(ports_.absent_reads(), 2u);
  EXPECT_EQ(ports_.absent_writes(), 1u);
}

TEST_F(RunLoopTest, MmioReachesTheDevice) {
  std::vector<uint8_t> got;
  kvm().PushMmioWrite(kMmioWindow + 2, {0x11, 0x22});
  kvm().PushMmioRead(kMmioWindow, 8, &got);
  kvm().PushExit(KVM_EXIT_HLT);

  loop_.Run();

  EXPECT_THAT(got, ElementsAre(0, 0, 0x11, 0x22, 0, 0, 0, 0));
}

TEST_F(RunLoopTest, AbsentMmioReadsAllOnes) {
  std::vector<uint8_t> got;
  kvm().PushMmioWrite(0xe0000000, {1});
  kvm().PushMmioRead(0xe0000000, 4, &got);
  kvm().PushExit(KVM_EXIT_HLT);

  loop_.Run();

  EXPECT_EQ(got, std::vector<uint8_t>(4, 0xff));
  EXPECT_EQ(mmio_.absent_reads(), 1u);
  EXPECT_EQ(mmio_.absent_writes(), 1u);
}

TEST_F(RunLoopTest, PortDataOutsideKvmRunIsRefused) {
  kvm().Push([](std::span<std::byte> bytes, kvm_run& run) {
    run.exit_reason = KVM_EXIT_IO;
    run.io.direction = KVM_EXIT_IO_IN;
    run.io.size = 4;
    run.io.count = 2;
    run.io.data_offset = bytes.size() - 7;
    return 0;
  });

  EXPECT_EQ(loop_.Run().kind, Kind::kRunFailed);
}

TEST_F(RunLoopTest, MmioLongerThanItsDataIsRefused) {
  std::vector<uint8_t> got;
  kvm().Push([](std::span<std::byte>, kvm_run& run) {
    run.exit_reason = KVM_EXIT_MMIO;
    run.mmio.len = 9;
    return 0;
  });

  EXPECT_EQ(loop_.Run().kind, Kind::kRunFailed);
}

TEST_F(RunLoopTest, TripleFaultIsReportedWithRegisters) {
  kvm().PushExit(KVM_EXIT_SHUTDOWN);

  const RunOutcome outcome = loop_.Run();

  EXPECT_EQ(outcome.kind, Kind::kShutdown);
  EXPECT_THAT(outcome.report, AllOf(HasSubstr("triple fault"), HasSubstr("rip 0000000000002000")));
}

TEST_F(RunLoopTest, EmulationFailureIsReportedWithTheInstruction) {
  kvm().Push([](std::span<std::byte>, kvm_run& run) {
    run.exit_reason = KVM_EXIT_INTERNAL_ERROR;
    run.internal.suberror = KVM_INTERNAL_ERROR_EMULATION;
    run.internal.ndata = 0;
    return 0;
  });

  const RunOutcome outcome = loop_.Run();

  EXPECT_EQ(outcome.kind, Kind::kInternalError);
  EXPECT_THAT(outcome.report, AllOf(HasSubstr("KVM_EXIT_INTERNAL_ERROR: emulation"),
                                    HasSubstr("0f 01 c1"), HasSubstr("vmcall")));
}

TEST_F(RunLoopTest, FailedEntryIsReported) {
  kvm().PushExit(KVM_EXIT_FAIL_ENTRY);

  EXPECT_EQ(loop_.Run().kind, Kind::kEntryFailed);
}

TEST_F(RunLoopTest, FaultOfTheHostIsAMemoryFaultWithRegisters) {
  kvm().PushError(EFAULT);

  const RunOutcome outcome = loop_.Run();

  EXPECT_EQ(outcome.kind, Kind::kMemoryFault);
  EXPECT_THAT(outcome.report, AllOf(HasSubstr("could not give guest memory"), HasSubstr("rip")));
}

TEST_F(RunLoopTest, M47FaultOfTheHostNamesTheMemoryWhereKvmDoes) {
  kvm().Push([](std::span<std::byte>, kvm_run& run) {
    run.exit_reason = KVM_EXIT_MEMORY_FAULT;
    const uint64_t fault[3] = {0, 0x7000, 0x1000};
    std::memcpy(run.padding, fault, sizeof(fault));
    return EFAULT;
  });

  EXPECT_THAT(loop_.Run().report, HasSubstr("guest memory 0x7000+0x1000"));
}

TEST_F(RunLoopTest, AnyOtherErrorOfRunIsReported) {
  kvm().PushError(ENOEXEC);

  const RunOutcome outcome = loop_.Run();

  EXPECT_EQ(outcome.kind, Kind::kRunFailed);
  EXPECT_THAT(outcome.report, HasSubstr("ENOEXEC"));
}

TEST_F(RunLoopTest, InterruptionsWithoutARequestAreRunOn) {
  kvm().PushError(EINTR);
  kvm().PushExit(KVM_EXIT_INTR);
  kvm().PushExit(KVM_EXIT_SET_TPR);
  kvm().PushExit(KVM_EXIT_HLT);

  EXPECT_EQ(loop_.Run().kind, Kind::kHalted);
  EXPECT_EQ(loop_.stats().interruptions, 1u);
}

TEST_F(RunLoopTest, ExitsAreCountedByReasonAndTheFirstIsTimed) {
  kvm().PushOut(0x80, {1});
  kvm().PushOut(0x80, {1});
  kvm().PushExit(KVM_EXIT_HLT);

  loop_.Run();

  EXPECT_EQ(loop_.stats().exits.of(KVM_EXIT_IO), 2u);
  EXPECT_EQ(loop_.stats().exits.of(KVM_EXIT_HLT), 1u);
  EXPECT_EQ(loop_.stats().exits.total(), 3u);
  EXPECT_TRUE(loop_.stats().first_exit.has_value());
}

TEST_F(RunLoopTest, StopBeforeTheRunKeepsTheGuestFromRunning) {
  kvm().PushExit(KVM_EXIT_HLT);
  stop_.Stop(SIGTERM);

  const RunOutcome outcome = loop_.Run();

  EXPECT_EQ(outcome.kind, Kind::kInterrupted);
  EXPECT_EQ(outcome.code, static_cast<uint32_t>(SIGTERM));
  EXPECT_EQ(kvm().steps_left(), 1u);
}

TEST_F(RunLoopTest, StopDuringAnExitEndsTheRunBeforeTheNext) {
  kvm().Push([this](std::span<std::byte>, kvm_run& run) {
    stop_.Stop(SIGINT);
    run.exit_reason = KVM_EXIT_INTR;
    return 0;
  });
  kvm().PushExit(KVM_EXIT_HLT);

  EXPECT_EQ(loop_.Run().kind, Kind::kInterrupted);
  EXPECT_EQ(kvm().steps_left(), 1u);
}

// Every reason that no test above handles, and one that does not exist yet.
TEST_F(RunLoopTest, EveryOtherReasonEndsTheRunByName) {
  const std::set<uint32_t> handled = {
      KVM_EXIT_IO,         KVM_EXIT_MMIO,           KVM_EXIT_HLT,
      KVM_EXIT_SHUTDOWN,   KVM_EXIT_INTR,           KVM_EXIT_SET_TPR,
      KVM_EXIT_FAIL_ENTRY, KVM_EXIT_INTERNAL_ERROR, KVM_EXIT_MEMORY_FAULT};
  for (uint32_t reason = 0; reason <= 42; ++reason) {
    if (handled.contains(reason)) continue;
    kvm().PushExit(reason);

    const RunOutcome outcome = loop_.Run();

    EXPECT_EQ(outcome.kind, Kind::kUnhandledExit) << reason;
    EXPECT_THAT(outcome.report, AllOf(HasSubstr(ExitReasonName(reason)), HasSubstr("rip")));
  }
}

TEST(RunOutcomeTest, EveryKindHasAName) {
  std::set<std::string> names;
  for (int kind = 0; kind <= static_cast<int>(Kind::kRunFailed); ++kind) {
    EXPECT_TRUE(names.insert(ToString(static_cast<Kind>(kind))).second);
  }
  EXPECT_FALSE(names.contains("unknown"));
}

}  // namespace
}  // namespace vmwire
