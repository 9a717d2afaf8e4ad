#include "devices/virtio/block/disk_file.h"

#include <fcntl.h>
#include <linux/fs.h>
#include <sys/file.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <cstdlib>
#include <memory>
#include <optional>
#include <thread>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "devices/virtio/block/block_format.h"
#include "memory/errno_status.h"
#include "memory/status_macros.h"

namespace vmwire {
namespace {

// For hosts whose kernel (before Linux 6.1) does not tell what direct I/O wants: what every file
// system of today is content with.
constexpr uint32_t kMostAlignment = 4096;

constexpr std::chrono::milliseconds kLockPatience(2000);

std::string Remedy(int error, bool read_only) {
  switch (error) {
    case ENOENT:
    case ENOTDIR:
    case ELOOP:
    case ENAMETOOLONG:
      return "check the path, or make an image with `truncate -s 64M PATH`";
    case EISDIR:
      return "name an image file or a block device";
    case EROFS:
      return "its file system is mounted read-only: open the disk read-only";
    case EACCES:
    case EPERM:
      return read_only ? "make the file readable for this user"
                       : "make the file writable for this user, or open the disk read-only";
    case EMFILE:
    case ENFILE:
      return "raise the limit of open files (ulimit -n)";
    default:
      return "check that the file can be opened by other programs";
  }
}

absl::Status OpenError(int error, const std::string& path, bool read_only) {
  const absl::Status status = ErrnoStatus(error, absl::StrCat("disk ", path, ": cannot be opened"));
  const bool is_bad_path =
      error == EISDIR || error == ENOTDIR || error == ELOOP || error == ENAMETOOLONG;
  return absl::Status(is_bad_path ? absl::StatusCode::kInvalidArgument : status.code(),
                      absl::StrCat(status.message(), "; ", Remedy(error, read_only)));
}

// What one read of 512 bytes at an odd sector tells of the alignment.
DirectAlignment ProbeAlignment(int fd) {
  struct Free {
    void operator()(void* memory) const { std::free(memory); }
  };
  const std::unique_ptr<char, Free> memory(
      static_cast<char*>(std::aligned_alloc(kMostAlignment, kMostAlignment)));
  const bool sectors_do =
      memory != nullptr && pread(fd, memory.get() + kSectorSize, kSectorSize, kSectorSize) >= 0;
  const uint32_t alignment = sectors_do ? uint32_t{kSectorSize} : kMostAlignment;
  return {.memory = alignment, .offset = alignment};
}

// Nullopt: the file system has no direct I/O for this file.
std::optional<DirectAlignment> AlignmentOf(int fd) {
  struct statx info = {};
  if (statx(fd, "", AT_EMPTY_PATH, STATX_DIOALIGN, &info) != 0 ||
      (info.stx_mask & STATX_DIOALIGN) == 0) {
    return ProbeAlignment(fd);
  }
  if (info.stx_dio_offset_align == 0 || info.stx_dio_mem_align == 0) return std::nullopt;
  return DirectAlignment{.memory = info.stx_dio_mem_align, .offset = info.stx_dio_offset_align};
}

}  // namespace

absl::StatusOr<DiskFile> DiskFile::Open(const std::string& path, const DiskFileOptions& options) {
  DiskFile disk(path, options.read_only);
  VMWIRE_RETURN_IF_ERROR(disk.OpenBuffered());
  VMWIRE_RETURN_IF_ERROR(disk.Lock());
  VMWIRE_RETURN_IF_ERROR(disk.Measure());
  if (options.direct) VMWIRE_RETURN_IF_ERROR(disk.OpenDirect());
  return disk;
}

DiskFile::DiskFile(DiskFile&& other) noexcept
    : path_(std::move(other.path_)),
      read_only_(other.read_only_),
      buffered_fd_(std::exchange(other.buffered_fd_, -1)),
      direct_fd_(std::exchange(other.direct_fd_, -1)),
      sectors_(other.sectors_),
      trailing_bytes_(other.trailing_bytes_),
      alignment_(other.alignment_) {}

DiskFile& DiskFile::operator=(DiskFile&& other) noexcept {
  if (this == &other) return *this;
  Close();
  path_ = std::move(other.path_);
  read_only_ = other.read_only_;
  buffered_fd_ = std::exchange(other.buffered_fd_, -1);
  direct_fd_ = std::exchange(other.direct_fd_, -1);
  sectors_ = other.sectors_;
  trailing_bytes_ = other.trailing_bytes_;
  alignment_ = other.alignment_;
  return *this;
}

absl::Status DiskFile::OpenBuffered() {
  // Of a FIFO, without O_NONBLOCK, open would wait for its other end.
  const int access = read_only_ ? O_RDONLY : O_RDWR;
  buffered_fd_ = open(path_.c_str(), access | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
  if (buffered_fd_ < 0) return OpenError(errno, path_, read_only_);
  struct stat info = {};
  if (fstat(buffered_fd_, &info) != 0) return OpenError(errno, path_, read_only_);
  if (S_ISDIR(info.st_mode)) return OpenError(EISDIR, path_, read_only_);
  if (!S_ISREG(info.st_mode) && !S_ISBLK(info.st_mode)) {
    return absl::InvalidArgumentError(absl::StrCat(
        "disk ", path_,
        " is neither a regular file nor a block device; name an image file or a block device"));
  }
  // io_uring would answer EAGAIN where it has to wait.
  if (fcntl(buffered_fd_, F_SETFL, access) != 0) return OpenError(errno, path_, read_only_);
  return absl::OkStatus();
}

absl::Status DiskFile::Lock() const {
  const int operation = (read_only_ ? LOCK_SH : LOCK_EX) | LOCK_NB;
  // The kernel lets go of the files of an io_uring a moment after its process has died.
  const auto deadline = std::chrono::steady_clock::now() + kLockPatience;
  while (flock(buffered_fd_, operation) != 0) {
    if (errno != EWOULDBLOCK) {
      return ErrnoStatus(errno, absl::StrCat("disk ", path_, ": cannot be locked with flock"));
    }
    if (std::chrono::steady_clock::now() > deadline) {
      return absl::FailedPreconditionError(absl::StrCat(
          "disk ", path_, " is in use by another program (flock); end that program, ",
          read_only_ ? "or give this one a copy" : "or open the disk read-only in both"));
    }
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
  }
  return absl::OkStatus();
}

absl::Status DiskFile::Measure() {
  struct stat info = {};
  if (fstat(buffered_fd_, &info) != 0) {
    return ErrnoStatus(errno, absl::StrCat("disk ", path_, ": fstat"));
  }
  uint64_t bytes = static_cast<uint64_t>(info.st_size);
  if (S_ISBLK(info.st_mode) && ioctl(buffered_fd_, BLKGETSIZE64, &bytes) != 0) {
    return ErrnoStatus(errno, absl::StrCat("disk ", path_, ": BLKGETSIZE64"));
  }
  sectors_ = bytes / kSectorSize;
  trailing_bytes_ = bytes % kSectorSize;
  if (sectors_ == 0) {
    return absl::InvalidArgumentError(absl::StrFormat(
        "disk %s has %d bytes, less than one sector of 512 bytes; make it larger, for example with "
        "`truncate -s 64M %s`",
        path_, bytes, path_));
  }
  return absl::OkStatus();
}

absl::Status DiskFile::OpenDirect() {
  const int access = read_only_ ? O_RDONLY : O_RDWR;
  const int fd = open(path_.c_str(), access | O_CLOEXEC | O_NOCTTY | O_DIRECT);
  if (fd < 0 && errno == EINVAL) return absl::OkStatus();  // No direct I/O there.
  if (fd < 0) return OpenError(errno, path_, read_only_);
  direct_fd_ = fd;
  struct stat buffered = {};
  struct stat direct = {};
  if (fstat(buffered_fd_, &buffered) != 0 || fstat(direct_fd_, &direct) != 0 ||
      buffered.st_dev != direct.st_dev || buffered.st_ino != direct.st_ino) {
    return absl::FailedPreconditionError(absl::StrCat(
        "disk ", path_, " was replaced while it was opened; leave the file alone, and try again"));
  }
  if (const auto alignment = AlignmentOf(direct_fd_); alignment.has_value()) {
    alignment_ = *alignment;
  } else {
    close(std::exchange(direct_fd_, -1));
  }
  return absl::OkStatus();
}

void DiskFile::Close() {
  if (direct_fd_ >= 0) close(std::exchange(direct_fd_, -1));
  if (buffered_fd_ < 0) return;
  // By itself the lock would go with the last use of the file, and an io_uring that had it lets go
  // a moment late.
  flock(buffered_fd_, LOCK_UN);
  close(std::exchange(buffered_fd_, -1));
}

}  // namespace vmwire
