// What every image must come to, however it was made: a refusal that says why, or a start that
// keeps what the headers of vmm/boot promise. The oracle of the fuzz targets and of
// tests/vmm/boot/loader_fuzz_test.cc.
//
// Invariants: none.
// Thread safety: no state.
#ifndef VMWIRE_TESTS_FUZZ_LOADER_CHECK_H_
#define VMWIRE_TESTS_FUZZ_LOADER_CHECK_H_

#include <cstddef>
#include <optional>
#include <string>
#include <vector>

#include "vmm/boot/guest_image.h"
#include "vmm/boot/start_mode.h"

namespace vmwire {

struct LoaderVerdict {
  bool accepted = false;             // It is an image; whether it fits the memory is not said.
  std::optional<std::string> fault;  // Nullopt: all is as promised; else what is not.
};

// Parses `file` as `format`, with the start mode that --start would give if there is one, and if it
// is an image, describes it and plans its start with little, some and much memory, and with the
// least that it needs.
LoaderVerdict JudgeLoader(ImageFormatChoice format, std::vector<std::byte> file,
                          std::optional<StartMode> start = std::nullopt);

// Makes the sum over each multiboot header's first words right, so that a changed header is not
// refused for its sum alone.
void RepairMultibootSums(std::vector<std::byte>& file);

}  // namespace vmwire

#endif  // VMWIRE_TESTS_FUZZ_LOADER_CHECK_H_
