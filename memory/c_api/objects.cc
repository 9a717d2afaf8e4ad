// vm_map_wire.h: objects.
#include <fcntl.h>
#include <linux/magic.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include <cerrno>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "memory/c_api/exported.h"
#include "memory/c_api/last_error.h"
#include "memory/c_api/object_handle.h"
#include "memory/c_api/wire_runtime.h"
#include "memory/errno_status.h"
#include "memory/page_array.h"
#include "memory/simulated_pinner.h"
#include "memory/status_macros.h"

namespace vmwire {
namespace {

// The file system of guest_memfd, since Linux 6.18: "GMEM". (Before, it is an anonymous inode.)
constexpr long kGuestMemfdMagic = 0x474d454d;

std::optional<MemoryBacking> BackingOf(int type) {
  switch (type) {
    case OBJT_DEFAULT:
      return MemoryBacking::kAnonymous;
    case OBJT_MEMFD:
      return MemoryBacking::kMemfd;
    case OBJT_HUGETLB:
      return MemoryBacking::kHugetlb;
    case OBJT_SIMULATED:
      return MemoryBacking::kSimulated;
    default:
      return std::nullopt;
  }
}

// The handle, with the program's first reference.
vm_object_t GiveOut(absl::StatusOr<std::shared_ptr<VmObject>> object) {
  if (!object.ok()) {
    return FailWithErrno(ErrnoOf(object.status()), std::string(object.status().message()));
  }
  const absl::StatusOr<NewObject> added = AddObject(*std::move(object));
  if (!added.ok()) return FailWithErrno(ENOMEM, std::string(added.status().message()));
  ReferenceObject(added->handle);
  Succeed();
  return added->handle;
}

// Null: errno and the sentence say why there can be no object of so many pages.
bool CheckPages(vm_pindex_t pages) {
  if (pages != 0 && pages <= PageArray::kMaxPages) return true;
  FailWithErrno(pages == 0 ? EINVAL : ENOMEM,
                absl::StrFormat("an object of %d pages cannot be made: it can have 1 to %d", pages,
                                PageArray::kMaxPages));
  return false;
}

struct MemoryFile {
  MemoryBacking backing;
  uint64_t page_bytes;
};

std::string NameOf(int fd) {
  char name[256];
  const ssize_t size = readlink(absl::StrCat("/proc/self/fd/", fd).c_str(), name, sizeof(name));
  return size < 0 ? "" : std::string(name, static_cast<size_t>(size));
}

// What kind of memory the file is. InvalidArgument: another kind of file. A memfd is a file of
// shmem or hugetlb that can be sealed and has no name in any directory; so nobody else can open it.
absl::StatusOr<MemoryFile> Identify(int fd) {
  struct stat status;
  struct statfs system;
  if (fstat(fd, &status) != 0 || fstatfs(fd, &system) != 0) {
    return ErrnoStatus(errno, absl::StrCat("looking at file descriptor ", fd));
  }
  if (system.f_type == kGuestMemfdMagic || absl::StrContains(NameOf(fd), "[kvm-gmem]")) {
    return MemoryFile{MemoryBacking::kGuestMemfd, kPageSize};
  }
  const bool hugetlb = system.f_type == HUGETLBFS_MAGIC;
  const bool shmem = system.f_type == TMPFS_MAGIC;
  const bool sealable = S_ISREG(status.st_mode) && fcntl(fd, F_GET_SEALS) >= 0;
  if ((hugetlb || shmem) && sealable && status.st_nlink == 0) {
    const auto page_bytes = static_cast<uint64_t>(system.f_bsize);
    return hugetlb ? MemoryFile{MemoryBacking::kHugetlb, page_bytes}
                   : MemoryFile{MemoryBacking::kMemfd, kPageSize};
  }
  return absl::InvalidArgumentError(absl::StrFormat(
      "file descriptor %d (%s) is neither a memfd nor a guest_memfd", fd, NameOf(fd)));
}

absl::StatusOr<std::shared_ptr<VmObject>> ObjectOfFile(int fd, vm_pindex_t pages) {
  VMWIRE_ASSIGN_OR_RETURN(const MemoryFile file, Identify(fd));
  return VmObject::FromFile(WireRuntime::Get().host(), fd, file.backing, pages * kPageSize,
                            GuestAddress(0), file.page_bytes);
}

int DiscardCode(const absl::Status& status) {
  switch (status.code()) {
    case absl::StatusCode::kInvalidArgument:
      return KERN_INVALID_ARGUMENT;
    case absl::StatusCode::kOutOfRange:
      return KERN_OUT_OF_BOUNDS;
    default:
      return KERN_FAILURE;
  }
}

// Null, and the failure is the thread's last error: no simulated object.
std::shared_ptr<VmObject> FindSimulated(vm_object_t handle) {
  std::shared_ptr<VmObject> object = FindObject(handle);
  if (object == nullptr) {
    FailNoObject(handle);
  } else if (object->simulation() == nullptr) {
    Fail(KERN_INVALID_ARGUMENT,
         absl::StrCat("an object of backing '", ToString(object->backing()),
                      "' has faults of the host's: only those of OBJT_SIMULATED are counted, and "
                      "can be made to fail"));
    object.reset();
  }
  return object;
}

}  // namespace
}  // namespace vmwire

using vmwire::Fail;
using vmwire::Succeed;

vm_object_t vm_object_allocate(int type, vm_pindex_t pages) {
  if (type == OBJT_GUEST_MEMFD) {
    return vmwire::FailWithErrno(
        EOPNOTSUPP,
        "a guest_memfd is made by KVM for a virtual machine: make it there "
        "(KVM_CREATE_GUEST_MEMFD), and an object of it with "
        "vm_object_from_fd");
  }
  const std::optional<vmwire::MemoryBacking> backing = vmwire::BackingOf(type);
  if (!backing.has_value()) {
    return vmwire::FailWithErrno(EINVAL, absl::StrCat(type, " is no OBJT_* type of object"));
  }
  if (!vmwire::CheckPages(pages)) return nullptr;
  return vmwire::GiveOut(
      vmwire::CreateObject({.size = pages * vmwire::kPageSize, .backing = *backing}));
}

vm_object_t vm_object_from_fd(int fd, vm_pindex_t pages) {
  if (fcntl(fd, F_GETFD) < 0) {
    return vmwire::FailWithErrno(EBADF, absl::StrCat(fd, " is not an open file descriptor"));
  }
  if (!vmwire::CheckPages(pages)) return nullptr;
  return vmwire::GiveOut(vmwire::ObjectOfFile(fd, pages));
}

void vm_object_reference(vm_object_t object) {
  if (vmwire::ReferenceObject(object)) {
    Succeed();
  } else {
    vmwire::FailNoObject(object);
  }
}

void vm_object_deallocate(vm_object_t object) {
  if (object == nullptr || vmwire::DropObject(object)) {
    Succeed();
  } else {
    Fail(KERN_INVALID_ARGUMENT,
         absl::StrFormat("%p is no object to which this program has a reference",
                         static_cast<const void*>(object)));
  }
}

int vm_object_discard(vm_object_t handle, vm_pindex_t start, vm_pindex_t end) {
  const std::shared_ptr<vmwire::VmObject> object = vmwire::FindObject(handle);
  if (object == nullptr) return vmwire::FailNoObject(handle);
  if (start > end) {
    return Fail(
        KERN_INVALID_ARGUMENT,
        absl::StrFormat("cannot discard pages [0x%x, 0x%x) of the object: inverted", start, end));
  }
  const absl::Status discarded = object->Discard({start, end});
  return discarded.ok() ? Succeed() : Fail(vmwire::DiscardCode(discarded), discarded);
}

int vm_object_fail_fault_at(vm_object_t handle, vm_pindex_t page, int kern_code) {
  const std::shared_ptr<vmwire::VmObject> object = vmwire::FindSimulated(handle);
  if (object == nullptr) return KERN_INVALID_ARGUMENT;
  const std::optional<std::string> name = vmwire::KernCodeName(kern_code);
  if (!name.has_value()) {
    return Fail(KERN_INVALID_ARGUMENT, absl::StrCat(kern_code, " is no KERN_* code"));
  }
  if (page >= object->pages().size()) {
    return Fail(KERN_OUT_OF_BOUNDS, absl::StrFormat("page 0x%x of the object: it has 0x%x pages",
                                                    page, object->pages().size()));
  }
  object->simulation()->FailFaultAt(
      page, kern_code == KERN_SUCCESS
                ? absl::OkStatus()
                : vmwire::KernStatus(kern_code, absl::StrFormat("the fault of page 0x%x of the "
                                                                "object fails, as it was told to, "
                                                                "with %s",
                                                                page, *name)));
  return Succeed();
}

uint64_t vm_object_fault_calls(vm_object_t handle) {
  const std::shared_ptr<vmwire::VmObject> object = vmwire::FindSimulated(handle);
  if (object == nullptr) return 0;
  Succeed();
  return object->simulation()->fault_calls();
}
