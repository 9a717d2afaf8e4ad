#include "vmm/boot/image_file.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <system_error>

#include "absl/cleanup/cleanup.h"
#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "memory/status_macros.h"

namespace vmwire {
namespace {

absl::Status FileError(const std::string& what, const std::string& path, int error) {
  const std::string text = absl::StrCat("cannot read the ", what, " ", path, ": ",
                                        std::generic_category().message(error));
  if (error == EMFILE || error == ENFILE) return absl::ResourceExhaustedError(text);
  return absl::InvalidArgumentError(text);
}

// The size of the file, if it is one that can be an image.
absl::StatusOr<uint64_t> CheckedSize(const std::string& what, const std::string& path, int file) {
  struct stat status = {};
  if (fstat(file, &status) != 0) return FileError(what, path, errno);
  if (S_ISDIR(status.st_mode)) {
    return absl::InvalidArgumentError(absl::StrCat("the ", what, " ", path, " is a directory"));
  }
  if (!S_ISREG(status.st_mode)) {
    return absl::InvalidArgumentError(
        absl::StrCat("the ", what, " ", path, " is not a regular file"));
  }
  const uint64_t size = static_cast<uint64_t>(std::max<off_t>(status.st_size, 0));
  if (size == 0)
    return absl::InvalidArgumentError(absl::StrCat("the ", what, " ", path, " is empty"));
  if (size > kMaxImageFileSize) {
    return absl::InvalidArgumentError(absl::StrFormat(
        "the %s %s has %d bytes; the most is %d (1 GiB)", what, path, size, kMaxImageFileSize));
  }
  return size;
}

}  // namespace

absl::StatusOr<std::vector<std::byte>> ReadImageFile(const std::string& path,
                                                     const std::string& what) {
  // O_NONBLOCK: opening a FIFO must not wait for a writer.
  const int file = open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
  if (file < 0) return FileError(what, path, errno);
  const absl::Cleanup close_file = [file] { close(file); };
  VMWIRE_ASSIGN_OR_RETURN(const uint64_t size, CheckedSize(what, path, file));
  std::vector<std::byte> bytes(size);
  uint64_t done = 0;
  while (done < size) {
    const ssize_t count = read(file, bytes.data() + done, size - done);
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) return FileError(what, path, errno);
    if (count == 0) {
      return absl::InvalidArgumentError(absl::StrFormat(
          "the %s %s became shorter while it was read: %d of %d bytes", what, path, done, size));
    }
    done += static_cast<uint64_t>(count);
  }
  return bytes;
}

}  // namespace vmwire
