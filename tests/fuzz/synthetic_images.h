// A small good image of each form that vmm/boot loads, made of bytes: where fuzzing begins.
//
// Invariants: each is accepted in its format, and by its content alone (kAuto).
// Thread safety: no state.
#ifndef VMWIRE_TESTS_FUZZ_SYNTHETIC_IMAGES_H_
#define VMWIRE_TESTS_FUZZ_SYNTHETIC_IMAGES_H_

#include <cstddef>
#include <string>
#include <vector>

#include "vmm/boot/guest_image.h"

namespace vmwire {

struct SyntheticImage {
  std::string name;
  ImageFormatChoice format;  // Never kAuto.
  std::vector<std::byte> file;
};

std::vector<SyntheticImage> MakeSyntheticImages();

}  // namespace vmwire

#endif  // VMWIRE_TESTS_FUZZ_SYNTHETIC_IMAGES_H_
