// A guest_memfd that can be mapped, of a VM that does nothing else.
//
// Thread safety: none.
#ifndef VMWIRE_TESTS_KERNEL_DISTURBANCE_GUEST_MEMFD_H_
#define VMWIRE_TESTS_KERNEL_DISTURBANCE_GUEST_MEMFD_H_

#include <cstdint>
#include <memory>

#include "absl/status/statusor.h"

namespace vmwire {

class GuestMemfd {
 public:
  // Unavailable, saying what is missing: KVM, or a guest_memfd that can be mapped (Linux 6.18).
  static absl::StatusOr<std::unique_ptr<GuestMemfd>> Create(uint64_t size);
  GuestMemfd(const GuestMemfd&) = delete;
  GuestMemfd& operator=(const GuestMemfd&) = delete;
  ~GuestMemfd();

  int file() const { return file_; }

 private:
  GuestMemfd(int vm, int file) : vm_(vm), file_(file) {}

  const int vm_;
  const int file_;
};

}  // namespace vmwire

#endif  // VMWIRE_TESTS_KERNEL_DISTURBANCE_GUEST_MEMFD_H_
