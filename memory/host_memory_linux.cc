#include "memory/host_memory_linux.h"

#include <fcntl.h>
#include <linux/falloc.h>
#include <linux/memfd.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <bit>
#include <cerrno>
#include <string>
#include <utility>

#include "absl/strings/str_format.h"
#include "memory/check.h"
#include "memory/errno_status.h"

// Linux 5.14; the C library of Debian 12 has it, older ones do not.
#ifndef MADV_POPULATE_WRITE
#define MADV_POPULATE_WRITE 23
#endif
// Linux 5.1, C library of Debian 11.
#ifndef F_SEAL_FUTURE_WRITE
#define F_SEAL_FUTURE_WRITE 0x0010
#endif

namespace vmwire {
namespace {

// Inaccessible memory on both sides of each mapping: a stray access faults, and the kernel cannot
// merge two mappings into one, of which /proc/self/smaps would then speak as one.
constexpr uint64_t kGuardBytes = kPageSize;

void* Pointer(HostAddress address) { return HostPointer(address); }

HostAddress AddressOf(void* pointer) { return HostAddress(reinterpret_cast<uint64_t>(pointer)); }

int AdviceNumber(HostAdvice advice) {
  switch (advice) {
    case HostAdvice::kHugePages:
      return MADV_HUGEPAGE;
    case HostAdvice::kNoHugePages:
      return MADV_NOHUGEPAGE;
    case HostAdvice::kDontFork:
      return MADV_DONTFORK;
    case HostAdvice::kPopulateWrite:
      return MADV_POPULATE_WRITE;
  }
  return -1;
}

const char* AdviceName(HostAdvice advice) {
  switch (advice) {
    case HostAdvice::kHugePages:
      return "advising huge pages for";
    case HostAdvice::kNoHugePages:
      return "advising against huge pages for";
    case HostAdvice::kDontFork:
      return "keeping from children";
    case HostAdvice::kPopulateWrite:
      return "faulting in";
  }
  return "advising";
}

void UnmapBytes(uint64_t start, uint64_t end) {
  if (start == end) return;
  VMWIRE_CHECK(munmap(reinterpret_cast<void*>(start), end - start) == 0,
               absl::StrFormat("munmap of [0x%x, 0x%x) failed with errno %d", start, end, errno));
}

std::string Describe(const HostRange& range) {
  return absl::StrFormat("host memory %s (%d bytes)", range.ToString(), range.size());
}

// What memfd_create(2) and mmap(2) call a page size: its binary logarithm, above the other flags.
unsigned HugetlbFlags(uint64_t page_bytes) {
  if (page_bytes == 0) return 0;
  return MFD_HUGETLB | static_cast<unsigned>(std::countr_zero(page_bytes)) << MFD_HUGE_SHIFT;
}

// The file that says how many pages the pool of that size has.
std::string HugetlbPool(uint64_t page_bytes) {
  if (page_bytes == kHugePageSize) return "/proc/sys/vm/nr_hugepages";
  return absl::StrFormat("/sys/kernel/mm/hugepages/hugepages-%dkB/nr_hugepages", page_bytes / 1024);
}

absl::Status MapFailure(int error, const HostMapRequest& request) {
  const absl::Status status = ErrnoStatus(error, absl::StrFormat("mapping %d bytes", request.size));
  if (error != ENOMEM || request.page_bytes <= kPageSize) return status;
  return absl::ResourceExhaustedError(absl::StrFormat(
      "%s; %d free hugetlb pages of %d bytes are needed: write a larger number to %s",
      std::string(status.message()), request.size / request.page_bytes, request.page_bytes,
      HugetlbPool(request.page_bytes)));
}

}  // namespace

HostMemoryLinux::~HostMemoryLinux() {
  VMWIRE_CHECK(tables_.load() == 0, "a buffer table outlives the host");
}

absl::StatusOr<int> HostMemoryLinux::CreateMemfd(const MemfdRequest& request) {
  const unsigned flags = MFD_CLOEXEC | MFD_ALLOW_SEALING | HugetlbFlags(request.huge_page_bytes);
  const int file = memfd_create(request.name.c_str(), flags);
  if (file >= 0) return file;
  const int error = errno;
  // ENODEV: no such page size; EINVAL: no hugetlb pages at all, or none that can be sealed.
  if (request.huge_page_bytes != 0 && (error == ENODEV || error == EINVAL)) {
    return absl::UnimplementedError(absl::StrFormat(
        "this host has no hugetlb pages of %d bytes for memory files", request.huge_page_bytes));
  }
  return ErrnoStatus(error, "creating a memory file");
}

absl::Status HostMemoryLinux::ResizeFile(int file, uint64_t size) {
  if (!std::in_range<off_t>(size)) {
    return absl::InvalidArgumentError(
        absl::StrFormat("a file of %d bytes is larger than Linux can make", size));
  }
  if (ftruncate(file, static_cast<off_t>(size)) != 0) {
    return ErrnoStatus(errno, absl::StrFormat("giving a memory file %d bytes", size));
  }
  return absl::OkStatus();
}

absl::StatusOr<uint64_t> HostMemoryLinux::FileSize(int file) const {
  struct stat status;
  if (fstat(file, &status) != 0) return ErrnoStatus(errno, "asking for the size of a memory file");
  return static_cast<uint64_t>(status.st_size);
}

absl::Status HostMemoryLinux::SealFile(int file, FileSeals seals) {
  const int flags =
      (seals.resize ? F_SEAL_SHRINK | F_SEAL_GROW : 0) | (seals.discard ? F_SEAL_FUTURE_WRITE : 0);
  if (fcntl(file, F_ADD_SEALS, flags) != 0) return ErrnoStatus(errno, "sealing a memory file");
  return absl::OkStatus();
}

absl::StatusOr<int> HostMemoryLinux::DuplicateFile(int file) {
  const int duplicate = fcntl(file, F_DUPFD_CLOEXEC, 0);
  if (duplicate < 0) return ErrnoStatus(errno, "duplicating the descriptor of a memory file");
  return duplicate;
}

void HostMemoryLinux::CloseFile(int file) { close(file); }

absl::StatusOr<HostRange> HostMemoryLinux::Map(const HostMapRequest& request) {
  const uint64_t alignment = std::max(kHugePageSize, request.page_bytes);
  const uint64_t slack = alignment + 2 * kGuardBytes;
  if (request.size > UINT64_MAX - slack) {
    return absl::ResourceExhaustedError(
        absl::StrFormat("no address space for %d bytes", request.size));
  }
  // Address space for the mapping wherever it may have to begin; what is left beyond the guards is
  // given back.
  const uint64_t reserved = request.size + slack;
  void* base =
      mmap(nullptr, reserved, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (base == MAP_FAILED) {
    return ErrnoStatus(errno,
                       absl::StrFormat("reserving address space for %d bytes", request.size));
  }
  const uint64_t low = AddressOf(base).value();
  const uint64_t first = low + kGuardBytes;
  const uint64_t start = first + (request.congruent_to - first) % alignment;
  // Hugetlb pages that are not reserved now may be lacking at a fault, which is then a SIGBUS.
  const int flags = MAP_FIXED | (request.page_bytes > kPageSize ? 0 : MAP_NORESERVE) |
                    (request.file.has_value() ? MAP_SHARED : MAP_PRIVATE | MAP_ANONYMOUS);
  // SAFETY: MAP_FIXED replaces only what the reservation above owns.
  void* mapped = mmap(reinterpret_cast<void*>(start), request.size, PROT_READ | PROT_WRITE, flags,
                      request.file.value_or(-1), 0);
  if (mapped == MAP_FAILED) {
    const int error = errno;
    UnmapBytes(low, low + reserved);
    return MapFailure(error, request);
  }
  UnmapBytes(low, start - kGuardBytes);
  UnmapBytes(start + request.size + kGuardBytes, low + reserved);
  return HostRange::Create(HostAddress(start), request.size);
}

void HostMemoryLinux::Unmap(const HostRange& range) {
  UnmapBytes(range.start().value() - kGuardBytes, range.end().value() + kGuardBytes);
}

absl::Status HostMemoryLinux::Advise(const HostRange& range, HostAdvice advice) {
  if (madvise(Pointer(range.start()), range.size(), AdviceNumber(advice)) == 0)
    return absl::OkStatus();
  const int error = errno;
  const absl::Status status =
      ErrnoStatus(error, absl::StrFormat("%s %s", AdviceName(advice), Describe(range)));
  // The host has a page for it that is broken, or none at all.
  const bool no_page = error == EFAULT || error == EHWPOISON;
  return no_page ? absl::ResourceExhaustedError(status.message()) : status;
}

absl::Status HostMemoryLinux::Discard(const HostRange& range, std::optional<FilePlace> file) {
  if (!file.has_value()) {
    if (madvise(Pointer(range.start()), range.size(), MADV_DONTNEED) == 0) return absl::OkStatus();
  } else {
    if (fallocate(file->file, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
                  static_cast<off_t>(file->offset), static_cast<off_t>(range.size())) == 0) {
      return absl::OkStatus();
    }
  }
  return ErrnoStatus(errno, absl::StrFormat("giving back %s", Describe(range)));
}

absl::Status HostMemoryLinux::Lock(const HostRange& range) {
  if (mlock2(Pointer(range.start()), range.size(), MLOCK_ONFAULT) != 0) {
    return ErrnoStatus(errno, absl::StrFormat("locking %s", Describe(range)));
  }
  return absl::OkStatus();
}

void HostMemoryLinux::Unlock(const HostRange& range) {
  // Not munlock(3): AddressSanitizer makes nothing of that one, while it lets mlock2 through.
  VMWIRE_CHECK(syscall(SYS_munlock, Pointer(range.start()), range.size()) == 0,
               absl::StrFormat("munlock of %s failed with errno %d", range.ToString(), errno));
}

}  // namespace vmwire
