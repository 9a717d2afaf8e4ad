// The libFuzzer target of one loader: the one of VMWIRE_FUZZ_FORMAT, which the build sets. A fault
// ends the program, so that libFuzzer keeps the image.

#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <utility>
#include <vector>

#include "tests/fuzz/loader_check.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using vmwire::ImageFormatChoice;
  constexpr ImageFormatChoice kFormat = ImageFormatChoice::VMWIRE_FUZZ_FORMAT;
  const auto* bytes = reinterpret_cast<const std::byte*>(data);
  std::vector<std::byte> file(bytes, bytes + size);
  // Without this almost every change of a header would end at its sum; kAuto leaves it as it is.
  if (kFormat == ImageFormatChoice::kMultiboot || kFormat == ImageFormatChoice::kMultiboot2) {
    vmwire::RepairMultibootSums(file);
  }
  const vmwire::LoaderVerdict verdict = vmwire::JudgeLoader(kFormat, std::move(file));
  if (verdict.fault.has_value()) {
    std::fprintf(stderr, "FAULT: %s\n", verdict.fault->c_str());
    std::abort();
  }
  return 0;
}
