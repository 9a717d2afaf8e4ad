// HostMemoryLinux: what the kernel tells of memory.
#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <fstream>
#include <sstream>
#include <string>
#include <vector>

#include "absl/cleanup/cleanup.h"
#include "absl/strings/str_format.h"
#include "memory/errno_status.h"
#include "memory/host_limits.h"
#include "memory/host_memory_linux.h"
#include "memory/status_macros.h"

namespace vmwire {
namespace {

// An entry of /proc/self/pagemap (the kernel's Documentation/admin-guide/mm/pagemap.rst).
constexpr uint64_t kPresent = uint64_t{1} << 63;
constexpr uint64_t kFrameMask = (uint64_t{1} << 55) - 1;

// Entries of 8 bytes from the `first`-th on: fewer than asked for where the file ends.
absl::StatusOr<size_t> ReadEntries(int file, uint64_t first, absl::Span<uint64_t> entries) {
  size_t done = 0;
  const size_t size = entries.size() * sizeof(uint64_t);
  auto* bytes = reinterpret_cast<char*>(entries.data());
  while (done < size) {
    const ssize_t got =
        pread(file, bytes + done, size - done, static_cast<off_t>(first * sizeof(uint64_t) + done));
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return ErrnoStatus(errno, "reading page information of /proc");
    if (got == 0) break;
    done += static_cast<size_t>(got);
  }
  return done / sizeof(uint64_t);
}

absl::StatusOr<int> OpenForReading(const char* path) {
  const int file = open(path, O_RDONLY | O_CLOEXEC);
  if (file >= 0) return file;
  const int error = errno;
  const absl::Status status = ErrnoStatus(error, absl::StrFormat("opening %s", path));
  if (error == EACCES || error == EPERM) return status;
  return absl::UnavailableError(status.message());
}

// Adds a line of /proc/self/smaps, "Rss:   123 kB".
void AddField(const std::string& line, HostUsage& usage) {
  std::istringstream fields(line);
  std::string key;
  uint64_t kib = 0;
  fields >> key >> kib;
  const uint64_t bytes = kib * 1024;
  // The kernel counts hugetlb pages apart from all others.
  const bool hugetlb = key == "Shared_Hugetlb:" || key == "Private_Hugetlb:";
  if (key == "Rss:" || hugetlb) usage.resident_bytes += bytes;
  if (key == "AnonHugePages:" || key == "ShmemPmdMapped:" || hugetlb) usage.huge_bytes += bytes;
  if (key == "Locked:") usage.locked_bytes += bytes;
}

}  // namespace

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
    } else if (inside) {
      AddField(line, usage);
    }
  }
  return usage;
}

absl::StatusOr<std::vector<bool>> HostMemoryLinux::Residency(const HostRange& range) const {
  std::vector<unsigned char> pages(range.pages());
  int result = 0;
  do {
    result = mincore(HostPointer(range.start()), range.size(), pages.data());
  } while (result != 0 && errno == EAGAIN);
  if (result != 0) {
    const absl::Status status = ErrnoStatus(
        errno,
        absl::StrFormat("asking which pages of host memory %s are resident", range.ToString()));
    return absl::FailedPreconditionError(status.message());
  }
  std::vector<bool> resident(pages.size());
  std::transform(pages.begin(), pages.end(), resident.begin(),
                 [](unsigned char page) { return (page & 1) != 0; });
  return resident;
}

absl::StatusOr<std::vector<uint64_t>> HostMemoryLinux::Frames(const HostRange& range) const {
  VMWIRE_ASSIGN_OR_RETURN(const int file, OpenForReading("/proc/self/pagemap"));
  const absl::Cleanup close_file = [&] { close(file); };
  std::vector<uint64_t> frames(range.pages());
  VMWIRE_RETURN_IF_ERROR(
      ReadEntries(file, range.start().value() / kPageSize, absl::MakeSpan(frames)).status());
  for (uint64_t& frame : frames) {
    const bool present = (frame & kPresent) != 0;
    frame = present ? frame & kFrameMask : 0;
    // Who may not know them is told that each is frame 0, which is never given to a process.
    if (present && frame == 0) {
      return absl::PermissionDeniedError(
          "the kernel tells frame numbers of /proc/self/pagemap to CAP_SYS_ADMIN only");
    }
  }
  return frames;
}

absl::StatusOr<std::vector<uint64_t>> HostMemoryLinux::FrameFlags(
    absl::Span<const uint64_t> frames) const {
  VMWIRE_ASSIGN_OR_RETURN(const int file, OpenForReading("/proc/kpageflags"));
  const absl::Cleanup close_file = [&] { close(file); };
  std::vector<uint64_t> flags(frames.size());
  size_t begin = 0;
  while (begin < frames.size()) {
    // One call for each run of frames that follow each other.
    size_t end = begin + 1;
    while (end < frames.size() && frames[end] == frames[end - 1] + 1) ++end;
    if (frames[begin] == 0) end = begin + 1;
    const absl::Span<uint64_t> run = absl::MakeSpan(flags).subspan(begin, end - begin);
    begin = end;
    if (frames[end - 1] == 0) continue;
    VMWIRE_ASSIGN_OR_RETURN(const size_t read, ReadEntries(file, frames[end - run.size()], run));
    std::fill(run.begin() + static_cast<std::ptrdiff_t>(read), run.end(), kFrameAbsent);
  }
  return flags;
}

absl::StatusOr<ProcessPins> HostMemoryLinux::Pins() const {
  HostLimits limits;
  VMWIRE_RETURN_IF_ERROR(ReadMemlock("", limits));
  return ProcessPins{limits.locked_bytes, limits.pinned_bytes};
}

}  // namespace vmwire
