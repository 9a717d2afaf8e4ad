// The libFuzzer target of one loader: the one of VMWIRE_FUZZ_FORMAT, which the build sets. A fault
// ends the program, so that libFuzzer keeps the image.

#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <optional>
#include <vector>

#include "tests/fuzz/loader_check.h"

namespace {

using vmwire::ImageFormatChoice;
using vmwire::StartMode;

// Of a flat image the start mode decides what is checked.
std::vector<std::optional<StartMode>> Starts(ImageFormatChoice format) {
  if (format != ImageFormatChoice::kFlat) return {std::nullopt};
  return {std::nullopt, StartMode::kReal16, StartMode::kProtected32, StartMode::kLong64Ring0,
          StartMode::kLong64Ring3};
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  constexpr ImageFormatChoice kFormat = ImageFormatChoice::VMWIRE_FUZZ_FORMAT;
  const auto* bytes = reinterpret_cast<const std::byte*>(data);
  std::vector<std::byte> file(bytes, bytes + size);
  // Without this almost every change of a header would end at its sum; kAuto leaves it as it is.
  if (kFormat == ImageFormatChoice::kMultiboot || kFormat == ImageFormatChoice::kMultiboot2) {
    vmwire::RepairMultibootSums(file);
  }
  for (const std::optional<StartMode> start : Starts(kFormat)) {
    const vmwire::LoaderVerdict verdict = vmwire::JudgeLoader(kFormat, file, start);
    if (verdict.fault.has_value()) {
      std::fprintf(stderr, "FAULT: %s\n", verdict.fault->c_str());
      std::abort();
    }
  }
  return 0;
}
