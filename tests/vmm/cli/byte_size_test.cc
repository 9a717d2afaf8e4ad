#include "vmm/cli/byte_size.h"

#include <gtest/gtest.h>

#include <string>

namespace vmwire {
namespace {

struct Parsed {
  const char* text;
  uint64_t bytes;
};

class ParseByteSizeOf : public testing::TestWithParam<Parsed> {};

TEST_P(ParseByteSizeOf, GivesTheBytes) {
  const absl::StatusOr<uint64_t> bytes = ParseByteSize(GetParam().text);

  ASSERT_TRUE(bytes.ok()) << bytes.status();
  EXPECT_EQ(*bytes, GetParam().bytes);
}

INSTANTIATE_TEST_SUITE_P(GoodSizes, ParseByteSizeOf,
                         testing::Values(Parsed{"0", 0}, Parsed{"4096", 4096},
                                         Parsed{"4096B", 4096}, Parsed{"128M", uint64_t{128} << 20},
                                         Parsed{"128m", uint64_t{128} << 20},
                                         Parsed{"1G", uint64_t{1} << 30},
                                         Parsed{"1GiB", uint64_t{1} << 30},
                                         Parsed{"1gb", uint64_t{1} << 30}, Parsed{"2K", 2048},
                                         Parsed{"1T", uint64_t{1} << 40}, Parsed{"0x1000", 4096},
                                         Parsed{"0X10M", uint64_t{16} << 20}, Parsed{"0xB", 11},
                                         Parsed{"16777215T", uint64_t{16777215} << 40},
                                         Parsed{"18446744073709551615", UINT64_MAX},
                                         Parsed{"0xffffffffffffffff", UINT64_MAX},
                                         Parsed{"00000000000000000000000008", 8}));

struct Refused {
  const char* text;
  const char* reason;
};

class ParseByteSizeRefuses : public testing::TestWithParam<Refused> {};

TEST_P(ParseByteSizeRefuses, WithTheReason) {
  const absl::StatusOr<uint64_t> bytes = ParseByteSize(GetParam().text);

  EXPECT_EQ(bytes.status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_NE(bytes.status().ToString().find(GetParam().reason), std::string::npos) << bytes.status();
}

INSTANTIATE_TEST_SUITE_P(
    BadSizes, ParseByteSizeRefuses,
    testing::Values(Refused{"", "empty"}, Refused{"-1", "negative"}, Refused{"-128M", "negative"},
                    Refused{"M", "number"}, Refused{"abc", "number"}, Refused{"0x", "number"},
                    Refused{"0xM", "number"}, Refused{" 1", "number"}, Refused{"+1", "number"},
                    Refused{"1.5G", "fraction"}, Refused{"1,5G", "fraction"}, Refused{"1X", "unit"},
                    Refused{"1MM", "unit"}, Refused{"1 M", "unit"}, Refused{"1MiBs", "unit"},
                    Refused{"1i", "unit"}, Refused{"18446744073709551616", "64 bits"},
                    Refused{"16777216T", "64 bits"}, Refused{"0x10000000000000000", "64 bits"},
                    Refused{"99999999999999999999999999G", "64 bits"}));

TEST(FormatByteSize, BelowOneKibibyteIsInBytes) {
  EXPECT_EQ(FormatByteSize(0), "0 B");
  EXPECT_EQ(FormatByteSize(1023), "1023 B");
}

TEST(FormatByteSize, WholeUnitsHaveNoDecimals) {
  EXPECT_EQ(FormatByteSize(4096), "4 KiB");
  EXPECT_EQ(FormatByteSize(uint64_t{128} << 20), "128 MiB");
}

TEST(FormatByteSize, FractionsHaveTwoDecimals) {
  EXPECT_EQ(FormatByteSize(uint64_t{1536} << 20), "1.50 GiB");
  EXPECT_EQ(FormatByteSize(1025), "1.00 KiB");
}

TEST(FormatByteSize, LargestNumberIsInTebibytes) {
  EXPECT_EQ(FormatByteSize(UINT64_MAX), "16777216.00 TiB");
}

}  // namespace
}  // namespace vmwire
