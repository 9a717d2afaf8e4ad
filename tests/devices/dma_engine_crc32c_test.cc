#include <gtest/gtest.h>

#include <cstdint>
#include <random>
#include <span>
#include <string>
#include <vector>

#include "devices/dma_engine/crc32c.h"

namespace vmwire {
namespace {

std::span<const std::byte> BytesOf(const std::string& text) {
  return std::as_bytes(std::span(text));
}

TEST(Crc32cTest, OfNothingIsWhatItStartedWith) {
  EXPECT_EQ(Crc32c(0, {}), 0u);
  EXPECT_EQ(Crc32c(0x12345678, {}), 0x12345678u);
  EXPECT_EQ(PortableCrc32c(0x12345678, {}), 0x12345678u);
}

// The check value of CRC-32/ISCSI, and the examples of RFC 3720, B.4.
TEST(Crc32cTest, GivesThePublishedValues) {
  std::string ascending;
  for (char c = 0; c < 32; ++c) ascending += c;
  const std::vector<std::pair<std::string, uint32_t>> examples = {
      {"123456789", 0xe3069283},
      {std::string(32, '\0'), 0x8a9136aa},
      {std::string(32, '\xff'), 0x62a8ab43},
      {ascending, 0x46dd794e},
  };

  for (const auto& [text, expected] : examples) {
    EXPECT_EQ(Crc32c(0, BytesOf(text)), expected);
    EXPECT_EQ(PortableCrc32c(0, BytesOf(text)), expected);
  }
}

TEST(Crc32cTest, BothWaysAndAnyCutGiveTheSame) {
  std::mt19937 random(20250401);
  std::vector<std::byte> bytes(1000);
  for (std::byte& byte : bytes) byte = static_cast<std::byte>(random());
  const std::span<const std::byte> all(bytes);
  const uint32_t whole = PortableCrc32c(0, all);

  for (size_t cut = 0; cut <= bytes.size(); ++cut) {
    ASSERT_EQ(Crc32c(Crc32c(0, all.first(cut)), all.subspan(cut)), whole) << "cut at " << cut;
    ASSERT_EQ(PortableCrc32c(Crc32c(0, all.first(cut)), all.subspan(cut)), whole);
  }
}

}  // namespace
}  // namespace vmwire
