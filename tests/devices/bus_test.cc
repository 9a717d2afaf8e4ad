#include "devices/bus.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <array>
#include <cstdint>
#include <string>
#include <thread>
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

TEST_F(BusTest, EqualAbsentAccessesAreOneRecordWithTheFirstValue) {
  data_ = {std::byte{0x12}, std::byte{0x34}, std::byte{0}, std::byte{0}};
  bus_.Write(0x80, std::span(data_).first(2));
  data_[0] = std::byte{0x99};
  bus_.Write(0x80, std::span(data_).first(2));
  bus_.Read(0x80, std::span(data_).first(2));
  bus_.Read(0x80, std::span(data_).first(1));
  bus_.Read(0x70, data_);

  const std::vector<AbsentAccess> absent = bus_.AbsentAccesses();

  EXPECT_THAT(
      absent,
      ElementsAre(AbsentAccess{0x70, 4, false, 1, 0}, AbsentAccess{0x80, 1, false, 1, 0},
                  AbsentAccess{0x80, 2, false, 1, 0}, AbsentAccess{0x80, 2, true, 2, 0x3412}));
  EXPECT_EQ(bus_.absent_left_out(), 0u);
}

TEST_F(BusTest, WideAbsentWriteKeepsItsFirstEightBytes) {
  const std::array<std::byte, 16> wide = {std::byte{1}, {}, {}, {}, {}, {}, {}, std::byte{2}};
  bus_.Write(0x80, wide);

  EXPECT_THAT(bus_.AbsentAccesses(),
              ElementsAre(AbsentAccess{0x80, 16, true, 1, 0x0200000000000001}));
}

TEST_F(BusTest, AbsentAccessesBeyondTheMostAreOnlyCounted) {
  for (uint64_t port = 0; port < kMaxAbsentAccesses + 3; ++port) {
    bus_.Read(port, std::span(data_).first(1));
  }
  bus_.Read(0, std::span(data_).first(1));

  const std::vector<AbsentAccess> absent = bus_.AbsentAccesses();

  EXPECT_EQ(absent.size(), kMaxAbsentAccesses);
  EXPECT_EQ(absent.front().count, 2u) << "one that is kept goes on being counted";
  EXPECT_EQ(bus_.absent_left_out(), 3u);
  EXPECT_EQ(bus_.absent_reads(), kMaxAbsentAccesses + 4);
}

TEST_F(BusTest, AccessesThatDevicesAnswerAreNotRecorded) {
  ASSERT_THAT(bus_.Register(0x100, 8, low_), IsOk());

  bus_.Read(0x100, data_);
  bus_.Write(0x100, data_);

  EXPECT_TRUE(bus_.AbsentAccesses().empty());
}

// Counts without a lock of its own, as a device model may.
class CountingDevice : public Device {
 public:
  std::string Name() const override { return "counter"; }
  void Read(uint64_t, std::span<std::byte>) override { ++accesses; }
  void Write(uint64_t, std::span<const std::byte>) override { ++accesses; }

  uint64_t accesses = 0;
};

TEST_F(BusTest, VcpusTogetherReachADeviceOneAtATime) {
  constexpr uint64_t kThreads = 4;
  constexpr uint64_t kRounds = 5000;
  CountingDevice device;
  ASSERT_THAT(bus_.Register(0x100, 8, device), IsOk());

  std::vector<std::thread> vcpus;
  for (uint64_t i = 0; i < kThreads; ++i) {
    vcpus.emplace_back([this, i] {
      std::array<std::byte, 1> data = {};
      for (uint64_t round = 0; round < kRounds; ++round) {
        bus_.Write(0x100 + i, data);
        bus_.Read(0x104, data);
        bus_.Read(0x200 + i, data);
      }
    });
  }
  for (std::thread& vcpu : vcpus) vcpu.join();

  EXPECT_EQ(device.accesses, 2 * kThreads * kRounds);
  EXPECT_EQ(bus_.absent_reads(), kThreads * kRounds);
  EXPECT_EQ(bus_.AbsentAccesses().size(), kThreads);
}

}  // namespace
}  // namespace vmwire
