// One suite for the fake KVM and the real one: what the fake is trusted for is what the real one
// does.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdint>
#include <cstring>
#include <memory>
#include <string>

#include "memory/address.h"
#include "memory/errno_status.h"
#include "tests/fakes/fake_kvm.h"
#include "tests/support/status_matchers.h"
#include "vmm/kvm_api_linux.h"
#include "vmm/system.h"
#include "vmm/vcpu.h"
#include "vmm/vm.h"

namespace vmwire {
namespace {

constexpr uint64_t kMemorySize = 64 * kPageSize;

enum class Which { kFake, kReal };

class KvmContractTest : public testing::TestWithParam<Which> {
 protected:
  void SetUp() override {
    if (GetParam() == Which::kReal) {
      kvm_ = std::make_unique<KvmApiLinux>();
    } else {
      kvm_ = std::make_unique<FakeKvm>(
          journal_, FakeKvm::Options{.make_guest_memfd = [](uint64_t size) -> absl::StatusOr<int> {
            const int file = memfd_create("fake-guest-memfd", MFD_CLOEXEC);
            if (file >= 0 && ftruncate(file, static_cast<off_t>(size)) == 0) return file;
            return ErrnoStatus(errno, "memfd_create");
          }});
    }
    auto system = System::Open(*kvm_);
    if (!system.ok() && GetParam() == Which::kReal) {
      GTEST_SKIP() << "no usable /dev/kvm: " << system.status();
    }
    ASSERT_TRUE(system.ok()) << system.status();
    system_ = *std::move(system);
    VMWIRE_ASSERT_OK_AND_ASSIGN(vm_, Vm::Create(*system_));
    memory_ =
        mmap(nullptr, kMemorySize, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    ASSERT_NE(memory_, MAP_FAILED);
  }
  void TearDown() override {
    vm_.reset();
    if (memory_ != nullptr) munmap(memory_, kMemorySize);
  }

  uint64_t Host(uint64_t page) const {
    return reinterpret_cast<uint64_t>(memory_) + page * kPageSize;
  }

  // A region of pages, at its own host pages.
  kvm_userspace_memory_region Region(uint32_t slot, uint64_t first, uint64_t pages) const {
    kvm_userspace_memory_region region = {};
    region.slot = slot;
    region.guest_phys_addr = first * kPageSize;
    region.memory_size = pages * kPageSize;
    region.userspace_addr = Host(first);
    return region;
  }
  absl::Status Set(const kvm_userspace_memory_region& region) {
    return kvm_->SetUserMemoryRegion(vm_->fd(), region);
  }

  Journal journal_;
  std::unique_ptr<KvmApi> kvm_;
  std::unique_ptr<System> system_;
  std::unique_ptr<Vm> vm_;
  void* memory_ = nullptr;
};

constexpr auto kInvalid = absl::StatusCode::kInvalidArgument;

TEST_P(KvmContractTest, SlotIsSetAndDeleted) {
  EXPECT_THAT(Set(Region(0, 0, 4)), IsOk());
  EXPECT_THAT(Set(Region(0, 0, 0)), IsOk());
}

TEST_P(KvmContractTest, SlotThatDoesNotChangeIsAllowed) {
  ASSERT_THAT(Set(Region(0, 0, 4)), IsOk());
  EXPECT_THAT(Set(Region(0, 0, 4)), IsOk());
}

TEST_P(KvmContractTest, UnalignedGuestAddressIsInvalid) {
  auto region = Region(0, 0, 4);
  region.guest_phys_addr = 0x800;
  EXPECT_THAT(Set(region), StatusIs(kInvalid));
}

TEST_P(KvmContractTest, UnalignedSizeIsInvalid) {
  auto region = Region(0, 0, 4);
  region.memory_size += 0x10;
  EXPECT_THAT(Set(region), StatusIs(kInvalid));
}

TEST_P(KvmContractTest, UnalignedHostAddressIsInvalid) {
  auto region = Region(0, 0, 4);
  region.userspace_addr += 0x10;
  EXPECT_THAT(Set(region), StatusIs(kInvalid));
}

TEST_P(KvmContractTest, HostAddressOfTheKernelIsInvalid) {
  auto region = Region(0, 0, 4);
  region.userspace_addr = 0xffff'8000'0000'0000;
  EXPECT_THAT(Set(region), StatusIs(kInvalid));
}

TEST_P(KvmContractTest, UnknownFlagIsInvalid) {
  auto region = Region(0, 0, 4);
  region.flags = 1u << 30;
  EXPECT_THAT(Set(region), StatusIs(kInvalid));
}

TEST_P(KvmContractTest, WrappingGuestRangeIsInvalid) {
  auto region = Region(0, 0, 4);
  region.guest_phys_addr = uint64_t{0} - 2 * kPageSize;
  EXPECT_THAT(Set(region), StatusIs(kInvalid));
}

TEST_P(KvmContractTest, SlotOfTooManyPagesIsInvalid) {
  auto region = Region(0, 0, 4);
  region.memory_size = (uint64_t{1} << 31) * kPageSize;
  EXPECT_THAT(Set(region), StatusIs(kInvalid));
}

TEST_P(KvmContractTest, IdAtTheLimitIsInvalidAndOneBelowIsNot) {
  EXPECT_THAT(Set(Region(vm_->slot_limit(), 0, 4)), StatusIs(kInvalid));
  EXPECT_THAT(Set(Region(vm_->slot_limit() - 1, 0, 4)), IsOk());
}

TEST_P(KvmContractTest, OverlapAlreadyExists) {
  ASSERT_THAT(Set(Region(0, 4, 4)), IsOk());
  EXPECT_THAT(Set(Region(1, 7, 4)), StatusIs(absl::StatusCode::kAlreadyExists));
  EXPECT_THAT(Set(Region(1, 0, 5)), StatusIs(absl::StatusCode::kAlreadyExists));
  EXPECT_THAT(Set(Region(1, 5, 1)), StatusIs(absl::StatusCode::kAlreadyExists));
  EXPECT_THAT(Set(Region(1, 4, 4)), StatusIs(absl::StatusCode::kAlreadyExists));
}

TEST_P(KvmContractTest, NeighboursAreAllowed) {
  ASSERT_THAT(Set(Region(0, 4, 4)), IsOk());
  EXPECT_THAT(Set(Region(1, 0, 4)), IsOk());
  EXPECT_THAT(Set(Region(2, 8, 4)), IsOk());
}

TEST_P(KvmContractTest, SizeOfALiveSlotCannotChange) {
  ASSERT_THAT(Set(Region(0, 0, 4)), IsOk());
  EXPECT_THAT(Set(Region(0, 0, 8)), StatusIs(kInvalid));
  EXPECT_THAT(Set(Region(0, 0, 2)), StatusIs(kInvalid));
}

TEST_P(KvmContractTest, HostAddressOfALiveSlotCannotChange) {
  ASSERT_THAT(Set(Region(0, 0, 4)), IsOk());
  auto region = Region(0, 0, 4);
  region.userspace_addr = Host(8);
  EXPECT_THAT(Set(region), StatusIs(kInvalid));
}

TEST_P(KvmContractTest, ReadOnlyFlagOfALiveSlotCannotChange) {
  if (!vm_->has_read_only_slots()) GTEST_SKIP() << "this KVM has no KVM_CAP_READONLY_MEM";
  ASSERT_THAT(Set(Region(0, 0, 4)), IsOk());
  auto region = Region(0, 0, 4);
  region.flags = KVM_MEM_READONLY;
  EXPECT_THAT(Set(region), StatusIs(kInvalid));
}

TEST_P(KvmContractTest, ReadOnlySlotIsAllowedWithTheCapability) {
  if (!vm_->has_read_only_slots()) GTEST_SKIP() << "this KVM has no KVM_CAP_READONLY_MEM";
  auto region = Region(0, 0, 4);
  region.flags = KVM_MEM_READONLY;
  EXPECT_THAT(Set(region), IsOk());
}

TEST_P(KvmContractTest, DirtyLogOfALiveSlotMayBeSwitched) {
  ASSERT_THAT(Set(Region(0, 0, 4)), IsOk());
  auto region = Region(0, 0, 4);
  region.flags = KVM_MEM_LOG_DIRTY_PAGES;
  EXPECT_THAT(Set(region), IsOk());
}

TEST_P(KvmContractTest, LiveSlotMayMove) {
  ASSERT_THAT(Set(Region(0, 0, 4)), IsOk());
  auto region = Region(0, 0, 4);
  region.guest_phys_addr = 16 * kPageSize;
  EXPECT_THAT(Set(region), IsOk());
  EXPECT_THAT(Set(Region(1, 0, 4)), IsOk()) << "its old place is not free";
}

TEST_P(KvmContractTest, LiveSlotMayNotMoveOntoAnother) {
  ASSERT_THAT(Set(Region(0, 0, 4)), IsOk());
  ASSERT_THAT(Set(Region(1, 16, 4)), IsOk());
  auto region = Region(0, 0, 4);
  region.guest_phys_addr = 18 * kPageSize;
  EXPECT_THAT(Set(region), StatusIs(absl::StatusCode::kAlreadyExists));
}

TEST_P(KvmContractTest, DeletionOfAnAbsentSlotIsInvalid) {
  EXPECT_THAT(Set(Region(0, 0, 0)), StatusIs(kInvalid));
}

TEST_P(KvmContractTest, SecondDeletionIsInvalid) {
  ASSERT_THAT(Set(Region(0, 0, 4)), IsOk());
  ASSERT_THAT(Set(Region(0, 0, 0)), IsOk());
  EXPECT_THAT(Set(Region(0, 0, 0)), StatusIs(kInvalid));
}

TEST_P(KvmContractTest, DeletedSlotLeavesItsPlaceFree) {
  ASSERT_THAT(Set(Region(0, 0, 4)), IsOk());
  ASSERT_THAT(Set(Region(0, 0, 0)), IsOk());
  EXPECT_THAT(Set(Region(1, 2, 4)), IsOk());
}

TEST_P(KvmContractTest, OneHostRangeMayBackTwoSlots) {
  ASSERT_THAT(Set(Region(0, 0, 4)), IsOk());
  auto alias = Region(1, 0, 4);
  alias.guest_phys_addr = 32 * kPageSize;
  EXPECT_THAT(Set(alias), IsOk());
}

// Skips itself where this KVM has no guest_memfd that can be mapped.
class GuestMemfdContractTest : public KvmContractTest {
 protected:
  void SetUp() override {
    KvmContractTest::SetUp();
    if (IsSkipped() || HasFatalFailure()) return;
    const absl::StatusOr<int> file = vm_->CreateGuestMemfd(kMemorySize);
    if (absl::IsUnimplemented(file.status())) {
      EXPECT_THAT(std::string(file.status().message()), testing::HasSubstr("Linux 6.18"));
      GTEST_SKIP() << file.status();
    }
    ASSERT_THAT(file, IsOk());
    file_ = *file;
  }
  void TearDown() override {
    if (file_ >= 0) close(file_);
    KvmContractTest::TearDown();
  }

  int file_ = -1;
};

TEST_P(GuestMemfdContractTest, ItHasItsSizeAndCanBeMappedAndMadeASlot) {
  struct stat status = {};
  ASSERT_EQ(fstat(file_, &status), 0);
  EXPECT_EQ(status.st_size, static_cast<off_t>(kMemorySize));
  void* const mapped = mmap(nullptr, kMemorySize, PROT_READ | PROT_WRITE, MAP_SHARED, file_, 0);
  ASSERT_NE(mapped, MAP_FAILED);
  *static_cast<volatile char*>(mapped) = 1;

  auto region = Region(0, 0, 4);
  region.userspace_addr = reinterpret_cast<uint64_t>(mapped);
  EXPECT_THAT(Set(region), IsOk());

  EXPECT_THAT(Set(Region(0, 0, 0)), IsOk());
  munmap(mapped, kMemorySize);
}

TEST_P(GuestMemfdContractTest, UnalignedOrEmptySizeIsInvalid) {
  EXPECT_THAT(kvm_->CreateGuestMemfd(vm_->fd(), kPageSize + 1, 0), StatusIs(kInvalid));
  EXPECT_THAT(kvm_->CreateGuestMemfd(vm_->fd(), 0, 0), StatusIs(kInvalid));
}

TEST_P(GuestMemfdContractTest, UnknownFlagIsInvalid) {
  EXPECT_THAT(kvm_->CreateGuestMemfd(vm_->fd(), kMemorySize, uint64_t{1} << 63),
              StatusIs(kInvalid));
}

INSTANTIATE_TEST_SUITE_P(Both, GuestMemfdContractTest, testing::Values(Which::kFake, Which::kReal),
                         [](const auto& info) {
                           return std::string(info.param == Which::kFake ? "Fake" : "Real");
                         });

TEST_P(KvmContractTest, VcpuIdsAreUnique) {
  VMWIRE_ASSERT_OK_AND_ASSIGN(const auto vcpu, Vcpu::Create(*vm_, 0));
  EXPECT_THAT(Vcpu::Create(*vm_, 0), StatusIs(absl::StatusCode::kAlreadyExists));
}

TEST_P(KvmContractTest, RegistersReadWhatWasWritten) {
  VMWIRE_ASSERT_OK_AND_ASSIGN(const auto vcpu, Vcpu::Create(*vm_, 0));
  VMWIRE_ASSERT_OK_AND_ASSIGN(kvm_regs regs, vcpu->GetRegs());
  regs.rax = 0x1122334455667788;
  regs.rip = 0x1000;
  regs.rflags = 2;
  ASSERT_THAT(vcpu->SetRegs(regs), IsOk());
  VMWIRE_ASSERT_OK_AND_ASSIGN(kvm_sregs sregs, vcpu->GetSregs());
  ASSERT_THAT(vcpu->SetSregs(sregs), IsOk());

  VMWIRE_ASSERT_OK_AND_ASSIGN(const kvm_regs after, vcpu->GetRegs());

  EXPECT_EQ(after.rax, regs.rax);
  EXPECT_EQ(after.rip, regs.rip);
}

TEST_P(KvmContractTest, SupportedCpuidIsTaken) {
  VMWIRE_ASSERT_OK_AND_ASSIGN(const auto entries, system_->SupportedCpuid());
  ASSERT_FALSE(entries.empty());
  VMWIRE_ASSERT_OK_AND_ASSIGN(const auto vcpu, Vcpu::Create(*vm_, 0));

  EXPECT_THAT(vcpu->SetCpuid(entries), IsOk());
}

TEST_P(KvmContractTest, MsrsAreSetUpToTheFirstThatDoesNotExist) {
  VMWIRE_ASSERT_OK_AND_ASSIGN(const auto vcpu, Vcpu::Create(*vm_, 0));
  const kvm_msr_entry star = {.index = 0xc0000081, .reserved = 0, .data = 0x23001000000000};
  const kvm_msr_entry unknown = {.index = 0xdeadbeef, .reserved = 0, .data = 1};

  EXPECT_THAT(vcpu->SetMsrs(std::vector{star}), IsOk());
  const absl::Status refused = vcpu->SetMsrs(std::vector{star, unknown});
  EXPECT_THAT(refused, StatusIs(kInvalid));
  EXPECT_NE(refused.message().find("0xdeadbeef"), absl::string_view::npos) << refused;
}

TEST_P(KvmContractTest, ExtendedControlRegisterStartsWithX87Only) {
  VMWIRE_ASSERT_OK_AND_ASSIGN(const auto vcpu, Vcpu::Create(*vm_, 0));

  const absl::StatusOr<kvm_xcrs> xcrs = vcpu->GetXcrs();

  if (!xcrs.ok()) GTEST_SKIP() << "this KVM has no KVM_CAP_XCRS: " << xcrs.status();
  ASSERT_GE(xcrs->nr_xcrs, 1u);
  EXPECT_EQ(xcrs->xcrs[0].xcr, 0u);
  EXPECT_EQ(xcrs->xcrs[0].value, 1u);
}

TEST_P(KvmContractTest, InjectedExceptionIsReadBack) {
  VMWIRE_ASSERT_OK_AND_ASSIGN(const auto vcpu, Vcpu::Create(*vm_, 0));
  VMWIRE_ASSERT_OK_AND_ASSIGN(kvm_vcpu_events events, vcpu->GetVcpuEvents());
  EXPECT_EQ(events.exception.injected, 0);
  events.exception.injected = 1;
  events.exception.nr = 13;
  events.exception.has_error_code = 1;
  events.exception.error_code = 0x18;
  ASSERT_THAT(vcpu->SetVcpuEvents(events), IsOk());

  VMWIRE_ASSERT_OK_AND_ASSIGN(const kvm_vcpu_events after, vcpu->GetVcpuEvents());

  EXPECT_EQ(after.exception.injected, 1);
  EXPECT_EQ(after.exception.nr, 13);
  EXPECT_EQ(after.exception.error_code, 0x18u);
}

TEST_P(KvmContractTest, ExceptionThatNoCpuHasIsInvalid) {
  VMWIRE_ASSERT_OK_AND_ASSIGN(const auto vcpu, Vcpu::Create(*vm_, 0));
  VMWIRE_ASSERT_OK_AND_ASSIGN(kvm_vcpu_events events, vcpu->GetVcpuEvents());
  events.exception.injected = 1;
  events.exception.nr = 32;

  EXPECT_THAT(vcpu->SetVcpuEvents(events), StatusIs(kInvalid));
}

TEST_P(KvmContractTest, FirstVcpuIsRunnable) {
  VMWIRE_ASSERT_OK_AND_ASSIGN(const auto vcpu, Vcpu::Create(*vm_, 0));

  VMWIRE_ASSERT_OK_AND_ASSIGN(const uint32_t state, vcpu->GetMpState());

  EXPECT_EQ(state, static_cast<uint32_t>(KVM_MP_STATE_RUNNABLE));
}

TEST_P(KvmContractTest, LocalApicReadsWhatWasWritten) {
  if (!kvm_->CreateIrqchip(vm_->fd()).ok()) GTEST_SKIP() << "this KVM has no KVM_CAP_IRQCHIP";
  VMWIRE_ASSERT_OK_AND_ASSIGN(const auto vcpu, Vcpu::Create(*vm_, 0));
  VMWIRE_ASSERT_OK_AND_ASSIGN(kvm_lapic_state apic, vcpu->GetLapic());
  const uint32_t on = 0x1ff;
  std::memcpy(apic.regs + 0xf0, &on, sizeof(on));
  ASSERT_THAT(vcpu->SetLapic(apic), IsOk());

  VMWIRE_ASSERT_OK_AND_ASSIGN(const kvm_lapic_state after, vcpu->GetLapic());

  EXPECT_EQ(std::memcmp(after.regs + 0xf0, &on, sizeof(on)), 0);
}

TEST_P(KvmContractTest, VcpuWithoutIrqchipHasNoLocalApic) {
  VMWIRE_ASSERT_OK_AND_ASSIGN(const auto vcpu, Vcpu::Create(*vm_, 0));

  EXPECT_THAT(vcpu->GetLapic(), StatusIs(kInvalid));
  EXPECT_THAT(vcpu->SetLapic({}), StatusIs(kInvalid));
}

TEST_P(KvmContractTest, TssAddressInTheHoleIsTaken) {
  EXPECT_THAT(kvm_->SetTssAddress(vm_->fd(), 0xfffbd000), IsOk());
}

TEST_P(KvmContractTest, ImmediateExitComesBackBeforeTheGuestRuns) {
  VMWIRE_ASSERT_OK_AND_ASSIGN(const auto vcpu, Vcpu::Create(*vm_, 0));
  vcpu->run().immediate_exit = 1;

  VMWIRE_ASSERT_OK_AND_ASSIGN(const RunResult result, vcpu->Run());

  EXPECT_EQ(result, RunResult::kInterrupted);
}

INSTANTIATE_TEST_SUITE_P(Both, KvmContractTest, testing::Values(Which::kFake, Which::kReal),
                         [](const auto& info) {
                           return std::string(info.param == Which::kFake ? "Fake" : "Real");
                         });

}  // namespace
}  // namespace vmwire
