// The interrupt controller, irqfds and ioeventfds of FakeKvm.
#include <fcntl.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <string>

#include "absl/strings/str_format.h"
#include "memory/errno_status.h"
#include "memory/status_macros.h"
#include "tests/fakes/fake_kvm.h"

namespace vmwire {
namespace {

// 0 if `fd` is an eventfd, else what the kernel says to it.
int EventFdError(int fd) {
  if (fcntl(fd, F_GETFD) < 0) return EBADF;
  std::string target(64, '\0');
  const std::string link = absl::StrFormat("/proc/self/fd/%d", fd);
  const ssize_t length = readlink(link.c_str(), target.data(), target.size());
  target.resize(static_cast<size_t>(std::max<ssize_t>(length, 0)));
  return target == "anon_inode:[eventfd]" ? 0 : EINVAL;
}

absl::Status Result(int error, const char* name) {
  return error == 0 ? absl::OkStatus() : ErrnoStatus(error, name);
}

bool IsMatching(const kvm_ioeventfd& ioeventfd) {
  return (ioeventfd.flags & KVM_IOEVENTFD_FLAG_DATAMATCH) != 0;
}

bool AreOnOneBus(const kvm_ioeventfd& a, const kvm_ioeventfd& b) {
  return ((a.flags ^ b.flags) & KVM_IOEVENTFD_FLAG_PIO) == 0;
}

// As ioeventfd_check_collision() of the kernel.
bool Collide(const kvm_ioeventfd& a, const kvm_ioeventfd& b) {
  if (!AreOnOneBus(a, b) || a.addr != b.addr) return false;
  if (a.len == 0 || b.len == 0) return true;
  return a.len == b.len && (!IsMatching(a) || !IsMatching(b) || a.datamatch == b.datamatch);
}

int IoeventfdError(const kvm_ioeventfd& ioeventfd) {
  const uint32_t length = ioeventfd.len;
  if (length != 0 && length != 1 && length != 2 && length != 4 && length != 8) return EINVAL;
  if (ioeventfd.addr + length < ioeventfd.addr) return EINVAL;
  constexpr uint32_t kKnownFlags = KVM_IOEVENTFD_FLAG_DATAMATCH | KVM_IOEVENTFD_FLAG_PIO;
  if ((ioeventfd.flags & ~kKnownFlags) != 0) return EINVAL;
  if (length == 0 && IsMatching(ioeventfd)) return EINVAL;
  return EventFdError(ioeventfd.fd);
}

}  // namespace

size_t FakeKvm::live_irqfds() const {
  size_t count = 0;
  for (const auto& [fd, vm] : vms_) count += vm.irqfds.size();
  return count;
}

size_t FakeKvm::live_ioeventfds() const {
  size_t count = 0;
  for (const auto& [fd, vm] : vms_) count += vm.ioeventfds.size();
  return count;
}

absl::Status FakeKvm::CreateIrqchip(VmFd vm) {
  const JournalScope scope(journal_);
  VMWIRE_RETURN_IF_ERROR(journal_.Enter("kvm create irqchip"));
  const auto state = vms_.find(vm);
  if (state == vms_.end()) return ErrnoStatus(EBADF, "KVM_CREATE_IRQCHIP");
  if (!options_.irqchip) return ErrnoStatus(ENOTTY, "KVM_CREATE_IRQCHIP");
  if (state->second.has_irqchip) return ErrnoStatus(EEXIST, "KVM_CREATE_IRQCHIP");
  if (!state->second.vcpu_ids.empty()) return ErrnoStatus(EINVAL, "KVM_CREATE_IRQCHIP");
  state->second.has_irqchip = true;
  return absl::OkStatus();
}

absl::Status FakeKvm::CreatePit2(VmFd vm, const kvm_pit_config& config) {
  const JournalScope scope(journal_);
  VMWIRE_RETURN_IF_ERROR(journal_.Enter(absl::StrFormat("kvm create pit2 flags %d", config.flags)));
  const auto state = vms_.find(vm);
  if (state == vms_.end()) return ErrnoStatus(EBADF, "KVM_CREATE_PIT2");
  if (!options_.pit) return ErrnoStatus(ENOTTY, "KVM_CREATE_PIT2");
  if (state->second.has_pit) return ErrnoStatus(EEXIST, "KVM_CREATE_PIT2");
  if (!state->second.has_irqchip) return ErrnoStatus(ENOENT, "KVM_CREATE_PIT2");
  state->second.has_pit = true;
  return absl::OkStatus();
}

absl::Status FakeKvm::SetIrqfd(VmFd vm, const kvm_irqfd& irqfd) {
  const JournalScope scope(journal_);
  const bool removes = (irqfd.flags & KVM_IRQFD_FLAG_DEASSIGN) != 0;
  if (removes) {
    // A release, as the deletion of a slot.
    journal_.Note(absl::StrFormat("kvm delete irqfd gsi %d", irqfd.gsi));
  } else {
    VMWIRE_RETURN_IF_ERROR(journal_.Enter(absl::StrFormat("kvm set irqfd gsi %d", irqfd.gsi)));
  }
  const auto state = vms_.find(vm);
  if (state == vms_.end()) return ErrnoStatus(EBADF, "KVM_IRQFD");
  if ((irqfd.flags & ~uint32_t{KVM_IRQFD_FLAG_DEASSIGN}) != 0) {
    return ErrnoStatus(EINVAL, "KVM_IRQFD");
  }
  if (!removes) return Result(AssignIrqfd(state->second, irqfd), "KVM_IRQFD");
  const int error = EventFdError(static_cast<int>(irqfd.fd));
  if (error != 0) return ErrnoStatus(error, "KVM_IRQFD");
  state->second.irqfds.erase(static_cast<int>(irqfd.fd));
  return absl::OkStatus();
}

int FakeKvm::AssignIrqfd(VmState& vm, const kvm_irqfd& irqfd) const {
  const int fd = static_cast<int>(irqfd.fd);
  if (!vm.has_irqchip) return EINVAL;
  if (const int error = EventFdError(fd); error != 0) return error;
  return vm.irqfds.try_emplace(fd, irqfd.gsi).second ? 0 : EBUSY;
}

absl::Status FakeKvm::SetIrqLine(VmFd vm, uint32_t gsi, bool high) {
  const JournalScope scope(journal_);
  VMWIRE_RETURN_IF_ERROR(
      journal_.Enter(absl::StrFormat("kvm set irq line %d %s", gsi, high ? "high" : "low")));
  const auto state = vms_.find(vm);
  if (state == vms_.end()) return ErrnoStatus(EBADF, "KVM_IRQ_LINE");
  return Result(state->second.has_irqchip ? 0 : ENXIO, "KVM_IRQ_LINE");
}

kvm_ioapic_state FakeKvm::IoapicAfterReset() {
  kvm_ioapic_state state = {};
  for (auto& pin : state.redirtbl) pin.fields.mask = 1;
  return state;
}

absl::StatusOr<kvm_ioapic_state> FakeKvm::GetIoapic(VmFd vm) {
  const JournalScope scope(journal_);
  VMWIRE_RETURN_IF_ERROR(journal_.Enter("kvm get ioapic"));
  const auto state = vms_.find(vm);
  if (state == vms_.end()) return ErrnoStatus(EBADF, "KVM_GET_IRQCHIP");
  if (!state->second.has_irqchip) return ErrnoStatus(ENXIO, "KVM_GET_IRQCHIP");
  return ioapic_;
}

absl::Status FakeKvm::SetIoeventfd(VmFd vm, const kvm_ioeventfd& ioeventfd) {
  const JournalScope scope(journal_);
  const bool removes = (ioeventfd.flags & KVM_IOEVENTFD_FLAG_DEASSIGN) != 0;
  if (removes) {
    // A release, as the deletion of a slot.
    journal_.Note(absl::StrFormat("kvm delete ioeventfd 0x%x", ioeventfd.addr));
  } else {
    VMWIRE_RETURN_IF_ERROR(journal_.Enter(
        absl::StrFormat("kvm set ioeventfd 0x%x size %d", ioeventfd.addr, ioeventfd.len)));
  }
  const auto state = vms_.find(vm);
  if (state == vms_.end()) return ErrnoStatus(EBADF, "KVM_IOEVENTFD");
  return Result(removes ? DeassignIoeventfd(state->second, ioeventfd)
                        : AssignIoeventfd(state->second, ioeventfd),
                "KVM_IOEVENTFD");
}

int FakeKvm::AssignIoeventfd(VmState& vm, const kvm_ioeventfd& ioeventfd) const {
  if (const int error = IoeventfdError(ioeventfd); error != 0) return error;
  const bool collides = std::any_of(vm.ioeventfds.begin(), vm.ioeventfds.end(),
                                    [&](const auto& other) { return Collide(other, ioeventfd); });
  if (collides) return EEXIST;
  vm.ioeventfds.push_back(ioeventfd);
  return 0;
}

int FakeKvm::DeassignIoeventfd(VmState& vm, const kvm_ioeventfd& ioeventfd) const {
  if (const int error = EventFdError(ioeventfd.fd); error != 0) return error;
  const auto found =
      std::find_if(vm.ioeventfds.begin(), vm.ioeventfds.end(), [&](const kvm_ioeventfd& other) {
        return AreOnOneBus(other, ioeventfd) && other.addr == ioeventfd.addr &&
               other.len == ioeventfd.len && other.fd == ioeventfd.fd &&
               IsMatching(other) == IsMatching(ioeventfd) &&
               (!IsMatching(other) || other.datamatch == ioeventfd.datamatch);
      });
  if (found == vm.ioeventfds.end()) return ENOENT;
  vm.ioeventfds.erase(found);
  return 0;
}

}  // namespace vmwire
