#include "devices/bus.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <array>
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "tests/support/status_matchers.h"

namespace vmwire {
namespace {

using testing::AllOf;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::Pair;

// Remembers the offset and size of each access; reads give the offset.
class RecordingDevice : public Device {
 public:
  explicit RecordingDevice(std::string name) : name_(std::move(name)) {}
  std::string Name() const override { return name_; }
  void Read(uint64_t offset, std::span<std::byte> data) override {
    reads.emplace_back(offset, data.size());
    for (std::byte& byte : data) byte = static_cast<std::byte>(offset);
  }
  void Write(uint64_t offset, std::span<const std::byte> data) override {
    writes.emplace_back(offset, data.size());
  }

  std::vector<std::pair<uint64_t, size_t>> reads;
  std::vector<std::pair<uint64_t, size_t>> writes;

 private:
  const std::string name_;
};

class BusTest : public testing::Test {
 protected:
  Bus bus_{"port I/O", kPortSpaceSize};
  RecordingDevice low_{"low"};
  RecordingDevice high_{"high"};
  std::array<std::byte, 4> data_ = {};
};

TEST_F(BusTest, AccessReachesDeviceAtOffsetOfItsWindow) {
  ASSERT_THAT(bus_.Register(0x100, 8, low_), IsOk());

  EXPECT_TRUE(bus_.Write(0x103, std::span(data_).first(2)));

  EXPECT_THAT(low_.writes, ElementsAre(Pair(3, 2)));
}

TEST_F(BusTest, AccessesToAlternatingWindowsReachTheRightDevice) {
  ASSERT_THAT(bus_.Register(0x200, 8, high_), IsOk());
  ASSERT_THAT(bus_.Register(0x100, 8, low_), IsOk());

  for (int i = 0; i < 2; ++i) {
    EXPECT_TRUE(bus_.Read(0x101, std::span(data_).first(1)));
    EXPECT_TRUE(bus_.Read(0x207, std::span(data_).first(1)));
  }

  EXPECT_THAT(low_.reads, ElementsAre(Pair(1, 1), Pair(1, 1)));
  EXPECT_THAT(high_.reads, ElementsAre(Pair(7, 1), Pair(7, 1)));
}

TEST_F(BusTest, RegistrationAfterAnAccessKeepsLookupRight) {
  ASSERT_THAT(bus_.Register(0x200, 8, high_), IsOk());
  ASSERT_TRUE(bus_.Read(0x200, std::span(data_).first(1)));
  ASSERT_THAT(bus_.Register(0x100, 8, low_), IsOk());

  EXPECT_TRUE(bus_.Read(0x200, std::span(data_).first(1)));

  EXPECT_EQ(high_.reads.size(), 2u);
  EXPECT_TRUE(low_.reads.empty());
}

TEST_F(BusTest, AbsentReadGivesAllOnesAndIsCounted) {
  EXPECT_FALSE(bus_.Read(0x80, data_));

  EXPECT_THAT(data_, testing::Each(std::byte{0xff}));
  EXPECT_EQ(bus_.absent_reads(), 1u);
  EXPECT_EQ(bus_.absent_writes(), 0u);
}

TEST_F(BusTest, AbsentWriteIsDroppedAndCounted) {
  EXPECT_FALSE(bus_.Write(0x80, data_));

  EXPECT_EQ(bus_.absent_writes(), 1u);
}

TEST_F(BusTest, AccessAcrossTheEndOfAWindowIsAbsent) {
  ASSERT_THAT(bus_.Register(0x100, 4, low_), IsOk());
  ASSERT_THAT(bus_.Register(0x104, 4, high_), IsOk());

  EXPECT_FALSE(bus_.Read(0x102, data_));

  EXPECT_TRUE(low_.reads.empty());
  EXPECT_TRUE(high_.reads.empty());
}

TEST_F(BusTest, AccessAcrossTheStartOfAWindowIsAbsent) {
  ASSERT_THAT(bus_.Register(0x100, 4, low_), IsOk());

  EXPECT_FALSE(bus_.Read(0xfe, data_));
}

TEST_F(BusTest, AccessThatWrapsIsAbsent) {
  ASSERT_THAT(bus_.Register(0, 4, low_), IsOk());

  EXPECT_FALSE(bus_.Read(UINT64_MAX - 1, data_));
}

TEST_F(BusTest, AdjacentWindowsAreAllowed) {
  EXPECT_THAT(bus_.Register(0x104, 4, high_), IsOk());
  EXPECT_THAT(bus_.Register(0x100, 4, low_), IsOk());
}

TEST_F(BusTest, OverlapIsAlreadyExistsAndNamesBoth) {
  ASSERT_THAT(bus_.Register(0x100, 8, low_), IsOk());

  const absl::Status status = bus_.Register(0x107, 1, high_);

  EXPECT_THAT(status, StatusIs(absl::StatusCode::kAlreadyExists,
                               AllOf(HasSubstr("[0x107, 0x108) of high"),
                                     HasSubstr("[0x100, 0x108) of low"))));
}

TEST_F(BusTest, WindowThatSwallowsAnotherIsAlreadyExists) {
  ASSERT_THAT(bus_.Register(0x104, 1, low_), IsOk());

  EXPECT_THAT(bus_.Register(0x100, 16, high_), StatusIs(absl::StatusCode::kAlreadyExists));
}

TEST_F(BusTest, EmptyWindowIsInvalid) {
  EXPECT_THAT(bus_.Register(0x100, 0, low_), StatusIs(absl::StatusCode::kInvalidArgument));
}

TEST_F(BusTest, WrappingWindowIsInvalid) {
  EXPECT_THAT(bus_.Register(UINT64_MAX, 2, low_), StatusIs(absl::StatusCode::kInvalidArgument));
}

TEST_F(BusTest, WindowBeyondTheAddressSpaceIsOutOfRange) {
  EXPECT_THAT(bus_.Register(0xffff, 1, low_), IsOk());
  EXPECT_THAT(bus_.Register(0xfffe, 3, high_), StatusIs(absl::StatusCode::kOutOfRange));
}

}  // namespace
}  // namespace vmwire
