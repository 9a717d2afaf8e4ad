// HostMemoryLinux: registered buffers and the transfers through them.
#include <liburing.h>
#include <sys/mman.h>
#include <sys/uio.h>
#include <unistd.h>

#include <cerrno>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/cleanup/cleanup.h"
#include "absl/strings/str_format.h"
#include "memory/check.h"
#include "memory/errno_status.h"
#include "memory/host_memory_linux.h"
#include "memory/io_uring_compat.h"
#include "memory/mutex.h"
#include "memory/status_macros.h"

namespace vmwire {
namespace {

// A ring, to which the kernel ties the table. Only transfers are ever submitted on it.
class LinuxBufferTable final : public BufferTableState {
 public:
  // A ring without a table.
  static absl::StatusOr<std::unique_ptr<LinuxBufferTable>> Create() {
    auto table = std::make_unique<LinuxBufferTable>();
    if (const int error = io_uring_queue_init(1, &table->ring_, 0); error < 0) {
      return ErrnoStatus(-error, "creating an io_uring for pins");
    }
    table->made_ = true;
    return table;
  }
  LinuxBufferTable() = default;
  LinuxBufferTable(const LinuxBufferTable&) = delete;
  LinuxBufferTable& operator=(const LinuxBufferTable&) = delete;
  ~LinuxBufferTable() {
    if (made_) io_uring_queue_exit(&ring_);
  }

  int fd() const { return ring_.ring_fd; }

  int RegisterSparse(uint32_t slots) { return io_uring_register_buffers_sparse(&ring_, slots); }

  // The number of slots that now hold what `buffers` says, or -errno if that is none.
  int Update(uint32_t slot, const iovec* buffers, unsigned count) {
    return io_uring_register_buffers_update_tag(&ring_, slot, buffers, nullptr, count);
  }

  // Moves up to `size` bytes between `file` at `offset` and the buffer. The bytes that were moved,
  // or -errno.
  int Transfer(bool in, int file, uint64_t offset, uint32_t slot, HostAddress at, uint64_t size)
      ABSL_LOCKS_EXCLUDED(mutex_) {
    const MutexLock lock(mutex_);
    io_uring_sqe* sqe = io_uring_get_sqe(&ring_);
    VMWIRE_CHECK(sqe != nullptr, "a ring that nothing waits on is full");
    const auto length = static_cast<unsigned>(size);
    if (in) {
      io_uring_prep_read_fixed(sqe, file, HostPointer(at), length, offset, static_cast<int>(slot));
    } else {
      io_uring_prep_write_fixed(sqe, file, HostPointer(at), length, offset, static_cast<int>(slot));
    }
    int submitted = 0;
    do {
      submitted = io_uring_submit(&ring_);
    } while (submitted == -EINTR || submitted == -EAGAIN);
    VMWIRE_CHECK(submitted == 1, absl::StrFormat("io_uring_submit failed with %d", submitted));
    io_uring_cqe* cqe = nullptr;
    int waited = 0;
    do {
      waited = io_uring_wait_cqe(&ring_, &cqe);
    } while (waited == -EINTR || waited == -EAGAIN);
    VMWIRE_CHECK(waited == 0, absl::StrFormat("io_uring_wait_cqe failed with %d", waited));
    const int moved = cqe->res;
    io_uring_cqe_seen(&ring_, cqe);
    return moved;
  }

 private:
  io_uring ring_ = {};
  bool made_ = false;
  Mutex mutex_;  // One request at a time in ring_.
};

LinuxBufferTable& Of(BufferTable table) { return *static_cast<LinuxBufferTable*>(table); }

iovec Vector(const HostRange& range) { return {HostPointer(range.start()), range.size()}; }

absl::Status PinFailure(int result, const HostRange& range, uint32_t slot) {
  const std::string what =
      absl::StrFormat("pinning host memory %s (%d bytes) as io_uring buffer %d", range.ToString(),
                      range.size(), slot);
  // The kernel always says why it set none.
  if (result == 0) return absl::InternalError(what + ": the kernel set none and said no reason");
  return ErrnoStatus(-result, what);
}

// All of `size` bytes between the start of `file` and the buffer.
absl::Status TransferAll(LinuxBufferTable& table, bool in, int file, uint32_t slot, HostAddress at,
                         uint64_t size) {
  uint64_t done = 0;
  while (done < size) {
    const uint64_t now = std::min(size - done, kMaxBufferBytes);
    const int moved = table.Transfer(in, file, done, slot, HostAddress(at.value() + done), now);
    if (moved == -EINTR || moved == -EAGAIN) continue;
    if (moved <= 0) {
      const std::string what = absl::StrFormat(
          "transferring 0x%x bytes at 0x%x %s host memory through io_uring buffer %d", now,
          at.value() + done, in ? "into" : "out of", slot);
      return moved == 0 ? absl::InternalError(what) : ErrnoStatus(-moved, what);
    }
    done += static_cast<uint64_t>(moved);
  }
  return absl::OkStatus();
}

// What read(2) or write(2) is to do with the file of a transfer, whole; false with errno set.
template <typename Call, typename Byte>
bool CopyAll(Call call, int file, Byte* bytes, size_t size) {
  size_t done = 0;
  while (done < size) {
    const ssize_t copied = call(file, bytes + done, size - done, static_cast<off_t>(done));
    if (copied < 0 && errno == EINTR) continue;
    if (copied <= 0) return false;
    done += static_cast<size_t>(copied);
  }
  return true;
}

}  // namespace

absl::StatusOr<BufferTable> HostMemoryLinux::CreateBufferTable(uint32_t slots) {
  VMWIRE_ASSIGN_OR_RETURN(std::unique_ptr<LinuxBufferTable> table, LinuxBufferTable::Create());
  if (const int error = table->RegisterSparse(slots); error < 0) {
    if (error == -EINVAL) {
      return absl::UnimplementedError(
          "this kernel has no sparse io_uring buffer tables: Linux 5.19 or later is needed");
    }
    return ErrnoStatus(-error,
                       absl::StrFormat("registering a table of %d io_uring buffers", slots));
  }
  tables_.fetch_add(1);
  return table.release();
}

absl::StatusOr<BufferTable> HostMemoryLinux::CloneBufferTable(BufferTable table) {
  VMWIRE_ASSIGN_OR_RETURN(std::unique_ptr<LinuxBufferTable> clone, LinuxBufferTable::Create());
  VMWIRE_RETURN_IF_ERROR(CloneIntoRing(table, clone->fd()));
  tables_.fetch_add(1);
  return clone.release();
}

absl::Status HostMemoryLinux::CloneIntoRing(BufferTable table, int ring) {
  CloneBuffersArgument argument;
  argument.source_ring = static_cast<uint32_t>(Of(table).fd());
  const int result =
      io_uring_register(static_cast<unsigned>(ring), kRegisterCloneBuffers, &argument, 1);
  if (result == -EINVAL) {
    return absl::UnimplementedError(
        "this kernel cannot share registered io_uring buffers between rings: Linux 6.12 or later "
        "is needed");
  }
  if (result == -EBUSY) return absl::AlreadyExistsError("the io_uring has registered buffers");
  if (result < 0) return ErrnoStatus(-result, "cloning a table of io_uring buffers");
  return absl::OkStatus();
}

void HostMemoryLinux::ClearRing(int ring) {
  const int result =
      io_uring_register(static_cast<unsigned>(ring), IORING_UNREGISTER_BUFFERS, nullptr, 0);
  VMWIRE_CHECK(result == 0, "the buffers of a ring cannot be taken back");
}

absl::Status HostMemoryLinux::ShareBuffer(BufferTable from, uint32_t from_slot, BufferTable to,
                                          uint32_t to_slot) {
  CloneBuffersArgument argument;
  argument.source_ring = static_cast<uint32_t>(Of(from).fd());
  argument.flags = kCloneIntoTable;
  argument.source_offset = from_slot;
  argument.target_offset = to_slot;
  argument.count = 1;
  const int result =
      io_uring_register(static_cast<unsigned>(Of(to).fd()), kRegisterCloneBuffers, &argument, 1);
  if (result == -EINVAL) {
    return absl::UnimplementedError(
        "this kernel cannot share one registered io_uring buffer between rings: Linux 6.13 or "
        "later is needed");
  }
  if (result < 0) {
    return ErrnoStatus(-result, absl::StrFormat("sharing io_uring buffer %d", from_slot));
  }
  return absl::OkStatus();
}

void HostMemoryLinux::DestroyBufferTable(BufferTable table) {
  delete &Of(table);
  tables_.fetch_sub(1);
}

absl::Status HostMemoryLinux::SetBuffer(BufferTable table, uint32_t slot, const HostRange& range) {
  const iovec buffer = Vector(range);
  const int result = Of(table).Update(slot, &buffer, 1);
  if (result != 1) return PinFailure(result, range, slot);
  return absl::OkStatus();
}

absl::Status HostMemoryLinux::SetBuffers(BufferTable table, uint32_t first_slot,
                                         absl::Span<const HostRange> ranges, size_t* failed) {
  std::vector<iovec> buffers;
  buffers.reserve(ranges.size());
  for (const HostRange& range : ranges) buffers.push_back(Vector(range));
  size_t done = 0;
  while (done < ranges.size()) {
    const auto slot = static_cast<uint32_t>(first_slot + done);
    const int result =
        Of(table).Update(slot, &buffers[done], static_cast<unsigned>(ranges.size() - done));
    if (result <= 0) {
      for (size_t i = 0; i < done; ++i) ClearBuffer(table, static_cast<uint32_t>(first_slot + i));
      if (failed != nullptr) *failed = done;
      return PinFailure(result, ranges[done], slot);
    }
    // A short count means that the next one failed; only a call that begins with it says why.
    done += static_cast<size_t>(result);
  }
  return absl::OkStatus();
}

void HostMemoryLinux::ClearBuffer(BufferTable table, uint32_t slot) {
  const iovec buffer = {nullptr, 0};
  const int result = Of(table).Update(slot, &buffer, 1);
  VMWIRE_CHECK(result == 1,
               absl::StrFormat("clearing io_uring buffer %d failed with %d", slot, result));
}

absl::Status HostMemoryLinux::TransferIn(BufferTable table, uint32_t slot, HostAddress to,
                                         absl::Span<const std::byte> bytes) {
  VMWIRE_ASSIGN_OR_RETURN(const int file, CreateMemfd({.name = "vmwire-transfer"}));
  const absl::Cleanup close_file = [&] { CloseFile(file); };
  if (!CopyAll(pwrite, file, bytes.data(), bytes.size())) {
    return ErrnoStatus(errno, "filling the file of a transfer");
  }
  return TransferAll(Of(table), true, file, slot, to, bytes.size());
}

absl::Status HostMemoryLinux::TransferOut(BufferTable table, uint32_t slot, HostAddress from,
                                          absl::Span<std::byte> bytes) {
  VMWIRE_ASSIGN_OR_RETURN(const int file, CreateMemfd({.name = "vmwire-transfer"}));
  const absl::Cleanup close_file = [&] { CloseFile(file); };
  VMWIRE_RETURN_IF_ERROR(TransferAll(Of(table), false, file, slot, from, bytes.size()));
  if (!CopyAll(pread, file, bytes.data(), bytes.size())) {
    return ErrnoStatus(errno, "reading the file of a transfer");
  }
  return absl::OkStatus();
}

}  // namespace vmwire
