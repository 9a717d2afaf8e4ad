// ELF images of a test, given to the loaders as a file of the name "image.elf".
//
// Thread safety: no state.
#ifndef VMWIRE_TESTS_VMM_BOOT_ELF_LOADING_H_
#define VMWIRE_TESTS_VMM_BOOT_ELF_LOADING_H_

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstddef>
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_format.h"
#include "tests/support/status_matchers.h"
#include "vmm/boot/guest_image.h"

namespace vmwire {

inline absl::StatusOr<GuestImage> LoadElf(std::vector<std::byte> bytes,
                                          const ImageOptions& options = {}) {
  return ParseGuestImage("image.elf", std::move(bytes), options);
}

// Expects that `bytes` are refused with `reason`, named at `offset` of the file.
inline void ExpectElfRefused(std::vector<std::byte> bytes, const std::string& reason,
                             uint64_t offset) {
  using testing::HasSubstr;
  EXPECT_THAT(
      LoadElf(std::move(bytes)),
      StatusIs(absl::StatusCode::kInvalidArgument,
               testing::AllOf(HasSubstr("image.elf: "), HasSubstr(reason),
                              HasSubstr(absl::StrFormat("(at file offset 0x%x)", offset)))));
}

}  // namespace vmwire

#endif  // VMWIRE_TESTS_VMM_BOOT_ELF_LOADING_H_
