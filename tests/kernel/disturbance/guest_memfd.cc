#include "tests/kernel/disturbance/guest_memfd.h"

#include <fcntl.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <cerrno>
#include <string>

#include "memory/errno_status.h"

namespace vmwire {
namespace {

// Of the kernel's include/uapi/linux/kvm.h. Older headers lack them, and tests/kernel/ links no
// vmm/ where that is not built.
struct CreateGuestMemfdArgument {
  uint64_t size;
  uint64_t flags;
  uint64_t reserved[6];
};
constexpr unsigned long kCreateVm = _IO(0xae, 0x01);
constexpr unsigned long kCheckExtension = _IO(0xae, 0x03);
constexpr unsigned long kCreateGuestMemfd = _IOWR(0xae, 0xd4, CreateGuestMemfdArgument);
constexpr int kCapGuestMemfd = 234;
constexpr uint64_t kFlagMmap = 1 << 0;
constexpr uint64_t kFlagInitShared = 1 << 1;

absl::Status Missing(const std::string& what) {
  return absl::UnavailableError(std::string(ErrnoStatus(errno, what).message()));
}

}  // namespace

absl::StatusOr<std::unique_ptr<GuestMemfd>> GuestMemfd::Create(uint64_t size) {
  const int kvm = open("/dev/kvm", O_RDWR | O_CLOEXEC);
  if (kvm < 0) return Missing("no usable /dev/kvm");
  const int vm = ioctl(kvm, kCreateVm, 0);
  const absl::Status no_vm = vm < 0 ? Missing("KVM makes no VM") : absl::OkStatus();
  close(kvm);
  if (!no_vm.ok()) return no_vm;
  if (ioctl(vm, kCheckExtension, kCapGuestMemfd) <= 0) {
    close(vm);
    return absl::UnavailableError("KVM has no guest_memfd here (Linux 6.8 and later)");
  }
  CreateGuestMemfdArgument argument = {size, kFlagMmap | kFlagInitShared, {}};
  const int file = ioctl(vm, kCreateGuestMemfd, &argument);
  if (file < 0) {
    const absl::Status missing =
        Missing("KVM makes no guest_memfd that can be mapped (Linux 6.18 and later)");
    close(vm);
    return missing;
  }
  return std::unique_ptr<GuestMemfd>(new GuestMemfd(vm, file));
}

GuestMemfd::~GuestMemfd() {
  close(file_);
  close(vm_);
}

}  // namespace vmwire
