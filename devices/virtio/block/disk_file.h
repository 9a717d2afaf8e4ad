// The file or block device behind a virtual disk, open and locked.
//
// A direct disk has two descriptors: one with O_DIRECT, and a buffered one for requests whose
// memory, offset or length is not aligned as direct I/O wants it.
//
// Invariants: the size is at least one sector; a last part of a sector is left out. The lock
// (flock(2): exclusive, or shared of a read-only disk) is held as long as the object lives, so that
// no two monitors write to one image. Only programs that take it, too, are kept out.
// Thread safety: const functions from any thread.
#ifndef VMWIRE_DEVICES_VIRTIO_BLOCK_DISK_FILE_H_
#define VMWIRE_DEVICES_VIRTIO_BLOCK_DISK_FILE_H_

#include <cstdint>
#include <string>
#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace vmwire {

struct DiskFileOptions {
  bool read_only = false;
  // Past the page cache, if the file system can: see DiskFile::direct().
  bool direct = false;
};

// What direct I/O must be aligned to, in bytes; powers of two.
struct DirectAlignment {
  uint32_t memory = 0;  // The address and the length of each piece of memory.
  uint32_t offset = 0;  // The offset in the file, and the length of the whole.
};

class DiskFile {
 public:
  // NotFound: no such file. PermissionDenied: it cannot be opened this way. InvalidArgument: it is
  // neither a file nor a block device, or it holds no whole sector. FailedPrecondition: somebody
  // else has it locked, and did not let go within a third of a second. Else as errno says. Each
  // message names the path, and what to do.
  static absl::StatusOr<DiskFile> Open(const std::string& path, const DiskFileOptions& options);

  DiskFile(DiskFile&& other) noexcept;
  DiskFile& operator=(DiskFile&& other) noexcept;
  DiskFile(const DiskFile&) = delete;
  DiskFile& operator=(const DiskFile&) = delete;
  // Closes it, and so gives the lock back.
  ~DiskFile() { Close(); }

  const std::string& path() const { return path_; }
  bool read_only() const { return read_only_; }
  // Of 512 bytes.
  uint64_t sectors() const { return sectors_; }
  // The bytes after the last whole sector, which no guest sees: worth a warning if not 0.
  uint64_t trailing_bytes() const { return trailing_bytes_; }

  // Whether there is a direct descriptor. False although it was asked for: the file system has no
  // direct I/O.
  bool direct() const { return direct_fd_ >= 0; }
  // REQUIRES: direct().
  const DirectAlignment& alignment() const { return alignment_; }

  int buffered_fd() const { return buffered_fd_; }
  // -1 if not direct().
  int direct_fd() const { return direct_fd_; }

 private:
  DiskFile(std::string path, bool read_only) : path_(std::move(path)), read_only_(read_only) {}
  absl::Status OpenBuffered();
  absl::Status Measure();
  absl::Status Lock() const;
  absl::Status OpenDirect();
  void Close();

  std::string path_;
  bool read_only_;
  int buffered_fd_ = -1;
  int direct_fd_ = -1;
  uint64_t sectors_ = 0;
  uint64_t trailing_bytes_ = 0;
  DirectAlignment alignment_;
};

}  // namespace vmwire

#endif  // VMWIRE_DEVICES_VIRTIO_BLOCK_DISK_FILE_H_
