// What newer kernels take of io_uring and the headers of Linux 6.1 do not name. Each is used only
// after the running kernel has shown, by not refusing it, that it knows it.
//
// Invariants: numbers and layouts are those of the kernel's <linux/io_uring.h>.
// Thread safety: constants and plain data.
#ifndef VMWIRE_MEMORY_IO_URING_COMPAT_H_
#define VMWIRE_MEMORY_IO_URING_COMPAT_H_

#include <cstdint>

namespace vmwire {

// IORING_REGISTER_CLONE_BUFFERS of Linux 6.12: kernels before it answer EINVAL.
inline constexpr unsigned kRegisterCloneBuffers = 30;
// IORING_REGISTER_DST_REPLACE of Linux 6.13: the target may have a table already, whose other slots
// stay. Kernels before it answer EINVAL.
inline constexpr uint32_t kCloneIntoTable = 2;

// struct io_uring_clone_buffers of Linux 6.13. With the offsets and the count 0 it asks for the
// whole table, and is the structure of Linux 6.12, where those three were padding.
struct CloneBuffersArgument {
  uint32_t source_ring = 0;
  uint32_t flags = 0;
  uint32_t source_offset = 0;
  uint32_t target_offset = 0;
  uint32_t count = 0;
  uint32_t padding[3] = {};
};
static_assert(sizeof(CloneBuffersArgument) == 32);

}  // namespace vmwire

#endif  // VMWIRE_MEMORY_IO_URING_COMPAT_H_
