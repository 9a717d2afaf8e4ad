#include "tests/fakes/fake_kvm.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <utility>

#include "absl/strings/str_format.h"
#include "memory/address.h"
#include "memory/errno_status.h"
#include "memory/status_macros.h"

namespace vmwire {
namespace {

// KVM's KVM_MEM_MAX_NR_PAGES.
constexpr uint64_t kMaxSlotPages = (uint64_t{1} << 31) - 1;

// Where KVM puts the data of a port access: the page after kvm_run's own.
constexpr uint64_t kPortDataOffset = 4096;

bool Overlap(const kvm_userspace_memory_region& a, const kvm_userspace_memory_region& b) {
  return a.guest_phys_addr < b.guest_phys_addr + b.memory_size &&
         b.guest_phys_addr < a.guest_phys_addr + a.memory_size;
}

}  // namespace

FakeKvm::~FakeKvm() {
  EXPECT_EQ(open_descriptors(), 0u) << "KVM descriptors were left open";
  EXPECT_EQ(mapped_runs(), 0u) << "a kvm_run was left mapped";
}

void FakeKvm::PushExit(uint32_t reason) {
  Push([reason](std::span<std::byte>, kvm_run& run) {
    run.exit_reason = reason;
    return 0;
  });
}

void FakeKvm::PushOut(uint16_t port, std::vector<uint8_t> data, uint8_t size) {
  Push([port, data = std::move(data), size](std::span<std::byte> bytes, kvm_run& run) {
    run.exit_reason = KVM_EXIT_IO;
    run.io.direction = KVM_EXIT_IO_OUT;
    run.io.size = size;
    run.io.port = port;
    run.io.count = static_cast<uint32_t>(data.size() / size);
    run.io.data_offset = kPortDataOffset;
    std::memcpy(bytes.data() + kPortDataOffset, data.data(), data.size());
    return 0;
  });
}

void FakeKvm::PushIn(uint16_t port, uint8_t size, uint32_t count, std::vector<uint8_t>* got) {
  Push([this, port, size, count, got](std::span<std::byte>, kvm_run& run) {
    run.exit_reason = KVM_EXIT_IO;
    run.io.direction = KVM_EXIT_IO_IN;
    run.io.size = size;
    run.io.port = port;
    run.io.count = count;
    run.io.data_offset = kPortDataOffset;
    completion_ = [size, count, got](std::span<const std::byte> bytes) {
      for (const std::byte byte : bytes.subspan(kPortDataOffset, uint64_t{size} * count)) {
        got->push_back(std::to_integer<uint8_t>(byte));
      }
    };
    return 0;
  });
}

void FakeKvm::PushMmioWrite(uint64_t address, std::vector<uint8_t> data) {
  Push([address, data = std::move(data)](std::span<std::byte>, kvm_run& run) {
    run.exit_reason = KVM_EXIT_MMIO;
    run.mmio.phys_addr = address;
    run.mmio.len = static_cast<uint32_t>(data.size());
    run.mmio.is_write = 1;
    std::memcpy(run.mmio.data, data.data(), std::min(data.size(), sizeof(run.mmio.data)));
    return 0;
  });
}

void FakeKvm::PushMmioRead(uint64_t address, uint32_t size, std::vector<uint8_t>* got) {
  Push([this, address, size, got](std::span<std::byte>, kvm_run& run) {
    run.exit_reason = KVM_EXIT_MMIO;
    run.mmio.phys_addr = address;
    run.mmio.len = size;
    run.mmio.is_write = 0;
    completion_ = [&run, size, got](std::span<const std::byte>) {
      got->insert(got->end(), run.mmio.data, run.mmio.data + size);
    };
    return 0;
  });
}

void FakeKvm::PushError(int error) {
  Push([error](std::span<std::byte>, kvm_run&) { return error; });
}

size_t FakeKvm::live_slots() const { return slots().size(); }

std::vector<kvm_userspace_memory_region> FakeKvm::slots() const {
  std::vector<kvm_userspace_memory_region> all;
  for (const auto& [fd, vm] : vms_) {
    for (const auto& [id, region] : vm.slots) all.push_back(region);
  }
  return all;
}

void FakeKvm::SetTranslation(uint64_t linear_page, std::optional<uint64_t> physical_page) {
  translations_[linear_page] = physical_page;
}

absl::StatusOr<SystemFd> FakeKvm::OpenSystem() {
  const JournalScope scope(journal_);
  VMWIRE_RETURN_IF_ERROR(journal_.Enter("kvm open"));
  const SystemFd fd{next_fd_++};
  systems_[fd] = true;
  return fd;
}

absl::StatusOr<int> FakeKvm::GetApiVersion(SystemFd system) {
  const JournalScope scope(journal_);
  VMWIRE_RETURN_IF_ERROR(journal_.Enter("kvm get api version"));
  if (!systems_.contains(system)) return ErrnoStatus(EBADF, "KVM_GET_API_VERSION");
  return options_.api_version;
}

absl::StatusOr<int> FakeKvm::CheckExtension(SystemFd system, int capability) {
  const JournalScope scope(journal_);
  VMWIRE_RETURN_IF_ERROR(journal_.Enter(absl::StrFormat("kvm check extension %d", capability)));
  if (!systems_.contains(system)) return ErrnoStatus(EBADF, "KVM_CHECK_EXTENSION");
  if (capability == KVM_CAP_NR_MEMSLOTS) return options_.slot_limit;
  if (capability == KVM_CAP_READONLY_MEM) return options_.read_only_slots ? 1 : 0;
  if (capability == KVM_CAP_GUEST_MEMFD) return options_.make_guest_memfd ? 1 : 0;
  if (capability == KVM_CAP_GUEST_MEMFD_FLAGS) {
    return options_.make_guest_memfd ? static_cast<int>(options_.guest_memfd_flags) : 0;
  }
  if (capability == KVM_CAP_IRQCHIP) return options_.irqchip ? 1 : 0;
  if (capability == KVM_CAP_PIT2) return options_.pit ? 1 : 0;
  if (capability == KVM_CAP_IRQFD) return options_.irqfd ? 1 : 0;
  if (capability == KVM_CAP_NR_VCPUS || capability == KVM_CAP_MAX_VCPUS) {
    return options_.vcpu_limit;
  }
  if (capability == KVM_CAP_TSC_DEADLINE_TIMER) return options_.irqchip ? 1 : 0;
  if (capability == KVM_CAP_IOEVENTFD) return options_.ioeventfd ? 1 : 0;
  return capability == KVM_CAP_USER_MEMORY || capability == KVM_CAP_IMMEDIATE_EXIT ? 1 : 0;
}

absl::StatusOr<size_t> FakeKvm::GetVcpuMapSize(SystemFd system) {
  const JournalScope scope(journal_);
  VMWIRE_RETURN_IF_ERROR(journal_.Enter("kvm get vcpu map size"));
  if (!systems_.contains(system)) return ErrnoStatus(EBADF, "KVM_GET_VCPU_MMAP_SIZE");
  return options_.vcpu_map_size;
}

absl::StatusOr<std::vector<kvm_cpuid_entry2>> FakeKvm::GetSupportedCpuid(SystemFd system) {
  const JournalScope scope(journal_);
  VMWIRE_RETURN_IF_ERROR(journal_.Enter("kvm get supported cpuid"));
  if (!systems_.contains(system)) return ErrnoStatus(EBADF, "KVM_GET_SUPPORTED_CPUID");
  kvm_cpuid_entry2 extended = {};
  extended.function = 0x80000008;
  extended.eax = 0x3028;  // 48 linear and 40 physical address bits.
  std::vector<kvm_cpuid_entry2> entries = options_.cpuid;
  entries.push_back(extended);
  return entries;
}

absl::StatusOr<VmFd> FakeKvm::CreateVm(SystemFd system) {
  const JournalScope scope(journal_);
  VMWIRE_RETURN_IF_ERROR(journal_.Enter("kvm create vm"));
  if (!systems_.contains(system)) return ErrnoStatus(EBADF, "KVM_CREATE_VM");
  const VmFd fd{next_fd_++};
  vms_[fd];
  return fd;
}

absl::Status FakeKvm::SetUserMemoryRegion(VmFd vm, const kvm_userspace_memory_region& region) {
  const JournalScope scope(journal_);
  if (region.memory_size == 0) {
    // A release: no test may make it fail, since there is nothing that its caller could do then.
    journal_.Note(absl::StrFormat("kvm delete slot %d", region.slot));
  } else {
    VMWIRE_RETURN_IF_ERROR(
        journal_.Enter(absl::StrFormat("kvm set slot %d gpa 0x%x size 0x%x flags 0x%x", region.slot,
                                       region.guest_phys_addr, region.memory_size, region.flags)));
  }
  const auto state = vms_.find(vm);
  if (state == vms_.end()) return ErrnoStatus(EBADF, "KVM_SET_USER_MEMORY_REGION");
  Slots& slots = state->second.slots;
  const int error = SlotError(slots, region);
  if (error != 0) return ErrnoStatus(error, "KVM_SET_USER_MEMORY_REGION");
  if (region.memory_size == 0) {
    slots.erase(region.slot);
  } else {
    slots[region.slot] = region;
  }
  return absl::OkStatus();
}

absl::StatusOr<int> FakeKvm::CreateGuestMemfd(VmFd vm, uint64_t size, uint64_t flags) {
  const JournalScope scope(journal_);
  VMWIRE_RETURN_IF_ERROR(
      journal_.Enter(absl::StrFormat("kvm create guest_memfd size 0x%x flags 0x%x", size, flags)));
  const bool bad_size = size == 0 || !IsAligned(size, kPageSize);
  if (!vms_.contains(vm)) return ErrnoStatus(EBADF, "KVM_CREATE_GUEST_MEMFD");
  if (!options_.make_guest_memfd) return ErrnoStatus(ENOTTY, "KVM_CREATE_GUEST_MEMFD");
  if (bad_size || (flags & ~options_.guest_memfd_flags) != 0) {
    return ErrnoStatus(EINVAL, "KVM_CREATE_GUEST_MEMFD");
  }
  return options_.make_guest_memfd(size);
}

int FakeKvm::SlotError(const Slots& slots, const kvm_userspace_memory_region& region) const {
  const uint32_t known_flags =
      KVM_MEM_LOG_DIRTY_PAGES | (options_.read_only_slots ? KVM_MEM_READONLY : 0u);
  if ((region.flags & ~known_flags) != 0) return EINVAL;
  if (!IsAligned(region.memory_size, kPageSize)) return EINVAL;
  if (!IsAligned(region.guest_phys_addr, kPageSize)) return EINVAL;
  if (!IsAligned(region.userspace_addr, kPageSize)) return EINVAL;
  if (region.guest_phys_addr + region.memory_size < region.guest_phys_addr) return EINVAL;
  // As access_ok() of the kernel: user addresses have 47 bits.
  constexpr uint64_t kUserEnd = uint64_t{1} << 47;
  if (region.userspace_addr > kUserEnd || region.memory_size > kUserEnd - region.userspace_addr) {
    return EINVAL;
  }
  if (region.slot >= static_cast<uint32_t>(options_.slot_limit)) return EINVAL;
  if (region.memory_size / kPageSize > kMaxSlotPages) return EINVAL;

  const auto old = slots.find(region.slot);
  if (region.memory_size == 0) return old == slots.end() ? EINVAL : 0;
  if (old != slots.end()) {
    const bool read_only_changes = ((old->second.flags ^ region.flags) & KVM_MEM_READONLY) != 0;
    if (old->second.memory_size != region.memory_size) return EINVAL;
    if (old->second.userspace_addr != region.userspace_addr || read_only_changes) return EINVAL;
  }
  const bool overlaps = std::any_of(slots.begin(), slots.end(), [&](const auto& slot) {
    return slot.first != region.slot && Overlap(slot.second, region);
  });
  return overlaps ? EEXIST : 0;
}

absl::Status FakeKvm::SetTssAddress(VmFd vm, uint64_t address) {
  const JournalScope scope(journal_);
  VMWIRE_RETURN_IF_ERROR(journal_.Enter(absl::StrFormat("kvm set tss address 0x%x", address)));
  if (!vms_.contains(vm)) return ErrnoStatus(EBADF, "KVM_SET_TSS_ADDR");
  return absl::OkStatus();
}

void FakeKvm::Close(SystemFd system) {
  const JournalScope scope(journal_);
  journal_.Note("kvm close system");
  EXPECT_EQ(systems_.erase(system), 1u) << "closed twice";
}

void FakeKvm::Close(VmFd vm) {
  const JournalScope scope(journal_);
  journal_.Note("kvm close vm");
  EXPECT_EQ(vms_.erase(vm), 1u) << "closed twice";
}

}  // namespace vmwire
