#include "memory/host_memory_linux.h"

#include <liburing.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <fstream>
#include <sstream>
#include <string>
#include <utility>

#include "absl/strings/str_format.h"
#include "memory/check.h"
#include "memory/errno_status.h"

// Linux 5.14; the C library of Debian 12 has it, older ones do not.
#ifndef MADV_POPULATE_WRITE
#define MADV_POPULATE_WRITE 23
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

}  // namespace

HostMemoryLinux::HostMemoryLinux() = default;

HostMemoryLinux::~HostMemoryLinux() {
  const MutexLock lock(mutex_);
  VMWIRE_CHECK(tables_.empty(), "a buffer table outlives the host");
}

absl::StatusOr<int> HostMemoryLinux::CreateMemfd(const std::string& name) {
  const int file = memfd_create(name.c_str(), MFD_CLOEXEC | MFD_ALLOW_SEALING);
  if (file < 0) return ErrnoStatus(errno, "creating a memory file");
  return file;
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

void HostMemoryLinux::CloseFile(int file) { close(file); }

absl::StatusOr<HostRange> HostMemoryLinux::Map(const HostMapRequest& request) {
  constexpr uint64_t kSlack = kHugePageSize + 2 * kGuardBytes;
  if (request.size > UINT64_MAX - kSlack) {
    return absl::ResourceExhaustedError(
        absl::StrFormat("no address space for %d bytes", request.size));
  }
  // Address space for the mapping wherever it may have to begin; what is left beyond the guards is
  // given back.
  const uint64_t reserved = request.size + kSlack;
  void* base =
      mmap(nullptr, reserved, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (base == MAP_FAILED) {
    return ErrnoStatus(errno,
                       absl::StrFormat("reserving address space for %d bytes", request.size));
  }
  const uint64_t low = AddressOf(base).value();
  const uint64_t first = low + kGuardBytes;
  const uint64_t start = first + (request.congruent_to - first) % kHugePageSize;
  const int flags = MAP_FIXED | MAP_NORESERVE |
                    (request.file.has_value() ? MAP_SHARED : MAP_PRIVATE | MAP_ANONYMOUS);
  // SAFETY: MAP_FIXED replaces only what the reservation above owns.
  void* mapped = mmap(reinterpret_cast<void*>(start), request.size, PROT_READ | PROT_WRITE, flags,
                      request.file.value_or(-1), 0);
  if (mapped == MAP_FAILED) {
    const int error = errno;
    UnmapBytes(low, low + reserved);
    return ErrnoStatus(error, absl::StrFormat("mapping %d bytes", request.size));
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

absl::StatusOr<BufferTable> HostMemoryLinux::CreateBufferTable(uint32_t slots) {
  auto ring = std::make_unique<io_uring>();
  // The table needs a ring to belong to; nothing is ever submitted on it.
  if (const int error = io_uring_queue_init(1, ring.get(), 0); error < 0) {
    return ErrnoStatus(-error, "creating an io_uring for pins");
  }
  if (const int error = io_uring_register_buffers_sparse(ring.get(), slots); error < 0) {
    io_uring_queue_exit(ring.get());
    if (error == -EINVAL) {
      return absl::UnimplementedError(
          "this kernel has no sparse io_uring buffer tables: Linux 5.19 or later is needed");
    }
    return ErrnoStatus(-error,
                       absl::StrFormat("registering a table of %d io_uring buffers", slots));
  }
  const BufferTable table = ring->ring_fd;
  const MutexLock lock(mutex_);
  tables_[table] = std::move(ring);
  return table;
}

void HostMemoryLinux::DestroyBufferTable(BufferTable table) {
  std::unique_ptr<io_uring> ring;
  {
    const MutexLock lock(mutex_);
    auto found = tables_.find(table);
    VMWIRE_CHECK(found != tables_.end(), "no such buffer table");
    ring = std::move(found->second);
    tables_.erase(found);
  }
  io_uring_queue_exit(ring.get());
}

absl::Status HostMemoryLinux::SetBuffer(BufferTable table, uint32_t slot, const HostRange& range) {
  const iovec buffer = {Pointer(range.start()), range.size()};
  const __u64 tag = 0;
  const int result = io_uring_register_buffers_update_tag(RingOf(table), slot, &buffer, &tag, 1);
  if (result < 0)
    return ErrnoStatus(-result,
                       absl::StrFormat("pinning %s as io_uring buffer %d", Describe(range), slot));
  return absl::OkStatus();
}

void HostMemoryLinux::ClearBuffer(BufferTable table, uint32_t slot) {
  const iovec buffer = {nullptr, 0};
  const __u64 tag = 0;
  const int result = io_uring_register_buffers_update_tag(RingOf(table), slot, &buffer, &tag, 1);
  VMWIRE_CHECK(result == 1,
               absl::StrFormat("clearing io_uring buffer %d failed with %d", slot, result));
}

io_uring* HostMemoryLinux::RingOf(BufferTable table) const {
  const MutexLock lock(mutex_);
  auto found = tables_.find(table);
  VMWIRE_CHECK(found != tables_.end(), "no such buffer table");
  return found->second.get();
}

absl::StatusOr<HostUsage> HostMemoryLinux::Usage(const HostRange& range) const {
  std::ifstream smaps("/proc/self/smaps");
  if (!smaps) return absl::UnavailableError("cannot read /proc/self/smaps");
  HostUsage usage;
  bool inside = false;
  std::string line;
  while (std::getline(smaps, line)) {
    uint64_t start = 0;
    uint64_t end = 0;
    if (sscanf(line.c_str(), "%lx-%lx ", &start, &end) == 2) {
      inside = range.start().value() <= start && end <= range.end().value();
      continue;
    }
    if (!inside) continue;
    std::istringstream fields(line);
    std::string key;
    uint64_t kib = 0;
    fields >> key >> kib;
    const uint64_t bytes = kib * 1024;
    if (key == "Rss:") usage.resident_bytes += bytes;
    if (key == "AnonHugePages:" || key == "ShmemPmdMapped:") usage.huge_bytes += bytes;
    if (key == "Locked:") usage.locked_bytes += bytes;
  }
  return usage;
}

}  // namespace vmwire
