// The machine's memory on both fakes: levels, backings, what the host may lack, and the proof.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cerrno>
#include <cstddef>
#include <memory>
#include <string>
#include <vector>

#include "tests/vmm/machine_fixture.h"

namespace vmwire {
namespace {

using testing::HasSubstr;

TEST(MachineMemoryTest, TheDefaultLevelLocksAndPins) {
  FakeHost host(MachineConfig{});
  Timeline timeline;

  VMWIRE_ASSERT_OK_AND_ASSIGN(const std::unique_ptr<Machine> machine, host.Create(timeline));

  EXPECT_EQ(host.memory().locked_bytes(), kDefaultMemoryBytes);
  EXPECT_EQ(host.memory().buffer_bytes(), kDefaultMemoryBytes);
}

// What fails for want of io_uring, and what does not.
absl::StatusOr<std::unique_ptr<Machine>> CreateWithoutRings(const MachineConfig& config,
                                                            FakeHost& host, Timeline& timeline) {
  // The call that would make the table of buffers, as a run that succeeds makes it.
  FakeHost other(config);
  Timeline unused;
  EXPECT_THAT(other.Create(unused), IsOk());
  const std::vector<std::string> entries = other.journal().entries();
  const size_t call = IndexOf(entries, "create buffer table");
  if (call < entries.size()) host.journal().FailNth(call + 1, ENOSYS);
  return host.Create(timeline);
}

TEST(MachineMemoryTest, WithoutRingsGuardedIsRefusedAndTheOptionThatHelpsNamed) {
  FakeHost host(MachineConfig{});
  Timeline timeline;
  EXPECT_THAT(CreateWithoutRings(MachineConfig{}, host, timeline),
              StatusIs(absl::StatusCode::kUnimplemented,
                       testing::AllOf(HasSubstr("io_uring"), HasSubstr("--pin-level resident"))));
  EXPECT_TRUE(host.IsAsBefore());
}

TEST(MachineMemoryTest, WithoutRingsNothingThatIsNotPinnedFails) {
  for (const MachineConfig& config : {MachineConfig{.wire = WirePolicyKind::kNone},
                                      MachineConfig{.pin_level = PinLevel::kResident}}) {
    FakeHost host(config);
    Timeline timeline;
    EXPECT_THAT(CreateWithoutRings(config, host, timeline), IsOk());
    EXPECT_TRUE(host.journal().EntriesWith("create buffer table").empty());
  }
}

TEST(MachineMemoryTest, APoolThatIsTooSmallIsRefusedBeforeTheFirstFault) {
  MachineConfig config =
      Configure(WirePolicyKind::kAll, PinLevel::kGuarded, MemoryBacking::kHugetlb);
  config.memory_bytes = kMemory + kHugePageSize;
  FakeHost host(config);
  Timeline timeline;

  EXPECT_THAT(host.Create(timeline),
              StatusIs(absl::StatusCode::kResourceExhausted, HasSubstr("--memory")));
  EXPECT_TRUE(host.IsAsBefore());
}

TEST(MachineMemoryTest, PagesOfThePoolAreNoneOfTheHostsAvailableMemory) {
  FakeHost host(Configure(WirePolicyKind::kAll, PinLevel::kGuarded, MemoryBacking::kHugetlb));
  Timeline timeline;
  HostLimits limits = LimitsOfTest();
  limits.memory_available = kPageSize;
  limits.hugetlb_2m_total = limits.hugetlb_2m_free = kMemory / kHugePageSize;

  EXPECT_THAT(host.Create(timeline, limits), IsOk());
}

TEST(MachineMemoryTest, ASealedMemoryFileIsSealedAfterItIsMapped) {
  MachineConfig config = Configure(WirePolicyKind::kAll, PinLevel::kGuarded, MemoryBacking::kMemfd);
  config.sealed = true;
  FakeHost host(config);
  Timeline timeline;

  VMWIRE_ASSERT_OK_AND_ASSIGN(const std::unique_ptr<Machine> machine, host.Create(timeline));

  const std::vector<std::string> entries = host.journal().entries();
  EXPECT_LT(IndexOf(entries, "map 0x"), IndexOf(entries, "seal"));
  EXPECT_LT(IndexOf(entries, "seal"), entries.size());
}

TEST(MachineMemoryTest, EveryWiredRangeIsProvenAndTheImageIsLeftAsItIs) {
  for (const MemoryBacking backing : {MemoryBacking::kAnonymous, MemoryBacking::kMemfd,
                                      MemoryBacking::kHugetlb, MemoryBacking::kGuestMemfd}) {
    FakeHost host(Configure(WirePolicyKind::kAll, PinLevel::kGuarded, backing));
    Timeline timeline;
    VMWIRE_ASSERT_OK_AND_ASSIGN(const std::unique_ptr<Machine> machine, host.Create(timeline));
    const std::byte* const memory = HostPointer(machine->guest_host_range().start());
    const std::vector<std::byte> before(memory, memory + kMemory);

    const PinProof proof = machine->VerifyPins();

    EXPECT_THAT(proof.status(), IsOk());
    ASSERT_EQ(proof.ranges.size(), 1u);
    EXPECT_EQ(proof.ranges[0].verdict(), ProofVerdict::kProven) << proof.ToString();
    EXPECT_EQ(proof.ranges[0].name, "[0x0, 0x400000)");
    EXPECT_EQ(proof.ranges[0].backing, backing);
    EXPECT_EQ(std::vector<std::byte>(memory, memory + kMemory), before);
  }
}

TEST(MachineMemoryTest, WithPolicyDmaTheWindowsAreProven) {
  FakeHost host(Configure(WirePolicyKind::kDma, PinLevel::kGuarded, MemoryBacking::kAnonymous));
  Timeline timeline;
  VMWIRE_ASSERT_OK_AND_ASSIGN(const std::unique_ptr<Machine> machine, host.Create(timeline));

  const PinProof proof = machine->VerifyPins();

  ASSERT_EQ(proof.ranges.size(), 1u);
  EXPECT_EQ(proof.ranges[0].name, "[0x200000, 0x210000)");
  EXPECT_EQ(proof.ranges[0].verdict(), ProofVerdict::kProven);
}

TEST(MachineMemoryTest, WithPolicyNoneNothingIsWiredAndTheProofSaysSo) {
  FakeHost host(Configure(WirePolicyKind::kNone, PinLevel::kGuarded, MemoryBacking::kAnonymous));
  Timeline timeline;
  VMWIRE_ASSERT_OK_AND_ASSIGN(const std::unique_ptr<Machine> machine, host.Create(timeline));

  const PinProof proof = machine->VerifyPins();

  EXPECT_THAT(proof.status(), IsOk());
  EXPECT_THAT(proof.ToString(), HasSubstr("nothing is wired"));
}

TEST(MachineMemoryTest, APageThatWasTakenAwayIsNamed) {
  FakeHost host(Configure(WirePolicyKind::kAll, PinLevel::kPinned, MemoryBacking::kAnonymous));
  Timeline timeline;
  VMWIRE_ASSERT_OK_AND_ASSIGN(const std::unique_ptr<Machine> machine, host.Create(timeline));
  const HostRange page = machine->guest_host_range().Slice(0x3000, kPageSize).value();
  ASSERT_THAT(host.memory().Discard(page, {}), IsOk());

  EXPECT_THAT(machine->VerifyPins().status(),
              StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr("guest page 0x3000")));
}

}  // namespace
}  // namespace vmwire
