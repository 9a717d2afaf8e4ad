// Thousands of small changes of good images, through the oracle of tests/fuzz. tests/fuzz/run goes
// further, with coverage to lead it; this one is in every run of the tests, and in the sanitizers'.

#include <gtest/gtest.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <iterator>
#include <optional>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include "tests/fuzz/loader_check.h"
#include "tests/fuzz/synthetic_images.h"
#include "tests/support/seed.h"

namespace vmwire {
namespace {

using Random = std::mt19937_64;

uint64_t Below(Random& random, uint64_t limit) { return random() % limit; }

// Values around which checks go wrong.
uint64_t InterestingValue(Random& random) {
  constexpr uint64_t kValues[] = {0,          1,          2,
                                  4,          8,          0x10,
                                  0x7f,       0x80,       0xff,
                                  0x100,      0x200,      0xfff,
                                  0x1000,     0x7fff,     0xffff,
                                  0xfffff,    0x100000,   0x200000,
                                  0x7fffffff, 0x80000000, 0xbffff000,
                                  0xc0000000, 0xffffffff, 0x100000000,
                                  INT64_MAX,  UINT64_MAX, UINT64_MAX - 0xfff};
  const uint64_t value = kValues[Below(random, std::size(kValues))];
  return Below(random, 4) == 0 ? value + Below(random, 3) - 1 : value;
}

// Headers lie at the beginning, or else where the bytes are neither filling nor code.
size_t InterestingOffset(const std::vector<std::byte>& file, Random& random) {
  constexpr size_t kHeaders = 0x280;
  if (Below(random, 2) == 0) return Below(random, std::min(file.size(), kHeaders));
  for (int attempt = 0; attempt < 8; ++attempt) {
    const size_t offset = Below(random, file.size());
    if (file[offset] == std::byte{0} || file[offset] == std::byte{0x90}) continue;
    return offset - std::min<size_t>(offset, Below(random, 8));
  }
  return Below(random, file.size());
}

void ChangeOnce(Random& random, std::vector<std::byte>& file) {
  const size_t offset = InterestingOffset(file, random);
  switch (Below(random, 8)) {
    case 0:
      file[offset] ^= std::byte{1} << static_cast<int>(Below(random, 8));
      break;
    case 1:
      file[offset] = static_cast<std::byte>(random());
      break;
    case 2:
      file.resize(1 + Below(random, file.size()));
      break;
    case 3:
      file.resize(file.size() + Below(random, 64));
      break;
    case 4: {
      // A part of the file over another.
      const size_t source = Below(random, file.size());
      const size_t size =
          std::min({size_t{1} << Below(random, 6), file.size() - source, file.size() - offset});
      std::memmove(file.data() + offset, file.data() + source, size);
      break;
    }
    default: {
      // A field, most often aligned, with a value at some limit.
      const size_t size = size_t{1} << Below(random, 4);
      const size_t at = Below(random, 4) == 0 ? offset : offset / size * size;
      const uint64_t value = InterestingValue(random);
      std::memcpy(file.data() + at, &value, std::min(size, file.size() - at));
      break;
    }
  }
}

std::string Hex(const std::vector<std::byte>& file) {
  constexpr char kDigits[] = "0123456789abcdef";
  std::string text;
  for (std::byte byte : file) {
    text += kDigits[static_cast<uint8_t>(byte) >> 4];
    text += kDigits[static_cast<uint8_t>(byte) & 15];
  }
  return text;
}

TEST(LoaderFuzz, SyntheticImagesAreAcceptedByNameAndByContent) {
  for (const SyntheticImage& image : MakeSyntheticImages()) {
    for (ImageFormatChoice format : {image.format, ImageFormatChoice::kAuto}) {
      const LoaderVerdict verdict = JudgeLoader(format, image.file);
      EXPECT_TRUE(verdict.accepted) << image.name << " as " << ToString(format);
      EXPECT_EQ(verdict.fault, std::nullopt) << image.name << " as " << ToString(format);
    }
  }
}

TEST(LoaderFuzz, NoLoaderAcceptsOrBreaksOnAnothersImage) {
  for (const SyntheticImage& image : MakeSyntheticImages()) {
    for (ImageFormatChoice format :
         {ImageFormatChoice::kElf, ImageFormatChoice::kFlat, ImageFormatChoice::kMultiboot,
          ImageFormatChoice::kMultiboot2, ImageFormatChoice::kPvh, ImageFormatChoice::kLinux}) {
      EXPECT_EQ(JudgeLoader(format, image.file).fault, std::nullopt)
          << image.name << " as " << ToString(format);
    }
  }
}

TEST(LoaderFuzz, FlatImagesKeepThePromisesInEveryStartMode) {
  for (const SyntheticImage& image : MakeSyntheticImages()) {
    for (StartMode start : {StartMode::kReal16, StartMode::kProtected32, StartMode::kLong64Ring0,
                            StartMode::kLong64Ring3}) {
      const LoaderVerdict verdict = JudgeLoader(ImageFormatChoice::kFlat, image.file, start);
      EXPECT_TRUE(verdict.accepted) << image.name << " in " << ToString(start);
      EXPECT_EQ(verdict.fault, std::nullopt) << image.name << " in " << ToString(start);
    }
  }
}

class ChangedImages : public ::testing::TestWithParam<SyntheticImage> {};

TEST_P(ChangedImages, AreRefusedOrKeepThePromises) {
  constexpr int kChanged = 10000;
  Random random(TestSeed());
  for (int i = 0; i < kChanged; ++i) {
    std::vector<std::byte> file = GetParam().file;
    for (uint64_t changes = 1 + Below(random, 4); changes > 0; --changes) ChangeOnce(random, file);
    if (Below(random, 2) == 0) RepairMultibootSums(file);
    const ImageFormatChoice format =
        Below(random, 2) == 0 ? GetParam().format : ImageFormatChoice::kAuto;
    ASSERT_EQ(JudgeLoader(format, file).fault, std::nullopt)
        << "change " << i << ", as " << ToString(format) << ": " << Hex(file);
  }
}

INSTANTIATE_TEST_SUITE_P(All, ChangedImages, ::testing::ValuesIn(MakeSyntheticImages()),
                         [](const auto& info) { return info.param.name; });

}  // namespace
}  // namespace vmwire
