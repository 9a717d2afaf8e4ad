// What every DmaPort does: the real one over a map, and the fake of the device tests.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <memory>
#include <optional>
#include <vector>

#include "devices/dma_port.h"
#include "devices/dma_space.h"
#include "memory/wired_range.h"
#include "tests/fakes/fake_dma_port.h"
#include "tests/support/map_fixture.h"
#include "tests/support/status_matchers.h"

namespace vmwire {
namespace {

using absl::StatusCode;
using testing::HasSubstr;

enum class PortKind { kFake, kMap };

// Guest pages 0 to 8, 8 to 12 behind another piece of the host, 12 to 13 read-only, then a hole;
// and pages 20 to 22, which a port may not discard as they are wired.
class DmaPortContractTest : public testing::TestWithParam<PortKind> {
 protected:
  void SetUp() override {
    if (GetParam() == PortKind::kFake) {
      auto fake = std::make_unique<FakeDmaPort>();
      fake->AddMemory(Page(0), 8 * kPageSize);
      fake->AddMemory(Page(8), 4 * kPageSize);
      fake->AddMemory(Page(12), kPageSize, Protection::kRead);
      fake->AddMemory(Page(20), 2 * kPageSize);
      fake->AddMemory(Page(30), 2 * kPageSize);
      fake->SetWired(Pages(20, 22));
      port_ = std::move(fake);
      return;
    }
    map_.emplace();
    map_->Add(0, 8);
    map_->Add(8, 12);
    map_->Add(12, 13, Protection::kRead);
    map_->Add(20, 22);
    map_->Add(30, 32);
    for (const GuestRange& range : {Pages(0, 13), Pages(20, 22)}) {
      absl::StatusOr<WiredRange> wired = map_->map().Wire(range);
      ASSERT_THAT(wired, IsOk());
      wired_.push_back(*std::move(wired));
    }
    space_.emplace(map_->host(), map_->map(), Pages(0, 1000), DmaSpace::Options{});
    port_ = space_->CreatePort("device");
  }

  DmaPort& port() { return *port_; }

 private:
  std::optional<TestMap> map_;
  std::vector<WiredRange> wired_;
  std::optional<DmaSpace> space_;
  std::unique_ptr<DmaPort> port_;
};

INSTANTIATE_TEST_SUITE_P(Ports, DmaPortContractTest,
                         testing::Values(PortKind::kFake, PortKind::kMap), [](const auto& info) {
                           return info.param == PortKind::kFake ? "fake" : "map";
                         });

std::vector<std::byte> Counting(size_t size) {
  std::vector<std::byte> bytes(size);
  for (size_t i = 0; i < size; ++i) bytes[i] = std::byte(i * 7);
  return bytes;
}

TEST_P(DmaPortContractTest, WhatIsWrittenIsRead) {
  const std::vector<std::byte> sent = Counting(3 * kPageSize);
  std::vector<std::byte> got(sent.size());

  ASSERT_THAT(port().Write(GuestAddress(100), sent), IsOk());
  ASSERT_THAT(port().Read(GuestAddress(100), got), IsOk());

  EXPECT_EQ(got, sent);
  EXPECT_EQ(*port().Load<uint8_t>(GuestAddress(101)), 7);
}

TEST_P(DmaPortContractTest, D04BufferOverTwoPiecesIsSplitAndWorks) {
  const std::vector<std::byte> sent = Counting(2 * kPageSize);
  absl::StatusOr<DmaMapping> mapping =
      port().Map(Page(7), 2 * kPageSize, DmaDirection::kFromDevice);
  ASSERT_THAT(mapping, IsOk());

  mapping->CopyFrom(0, sent);

  ASSERT_EQ(mapping->pieces().size(), 2u);
  EXPECT_EQ(mapping->pieces()[0].bytes.size(), kPageSize);
  EXPECT_TRUE(std::equal(sent.begin() + kPageSize, sent.end(), mapping->pieces()[1].bytes.begin()));
  std::vector<std::byte> middle(100);
  mapping->CopyTo(kPageSize - 50, middle);
  EXPECT_TRUE(std::equal(middle.begin(), middle.end(), sent.begin() + kPageSize - 50));
}

TEST_P(DmaPortContractTest, D01AddressBeyondMemoryIsNotFound) {
  EXPECT_THAT(port().Map(Page(5000), 1, DmaDirection::kToDevice), StatusIs(StatusCode::kNotFound));
}

TEST_P(DmaPortContractTest, D02RangeThatLeavesMemoryIsNotFoundAndNothingIsWritten) {
  const std::vector<std::byte> ones(2 * kPageSize, std::byte{0xff});

  EXPECT_THAT(port().Write(Page(21), ones), StatusIs(StatusCode::kNotFound, HasSubstr("0x16000")));

  EXPECT_EQ(*port().Load<uint64_t>(Page(21)), 0u);
}

TEST_P(DmaPortContractTest, D03RangeThatWrapsIsOutOfRange) {
  EXPECT_THAT(port().Map(GuestAddress(UINT64_MAX - 5), 10, DmaDirection::kToDevice),
              StatusIs(StatusCode::kOutOfRange));
  EXPECT_THAT(port().Map(Page(0), UINT64_MAX, DmaDirection::kToDevice),
              StatusIs(StatusCode::kNotFound));
}

TEST_P(DmaPortContractTest, D05RangeOverAHoleIsNotFound) {
  EXPECT_THAT(port().Map(Page(12), 9 * kPageSize, DmaDirection::kToDevice),
              StatusIs(StatusCode::kNotFound));
}

TEST_P(DmaPortContractTest, D06EmptyRangeIsInvalid) {
  EXPECT_THAT(port().Map(Page(0), 0, DmaDirection::kToDevice),
              StatusIs(StatusCode::kInvalidArgument));
  EXPECT_THAT(port().Read(Page(5000), {}), IsOk());
}

TEST_P(DmaPortContractTest, D35WriteToReadOnlyMemoryIsRefusedBeforeAnyByte) {
  const std::vector<std::byte> ones(2 * kPageSize, std::byte{0xff});

  EXPECT_THAT(port().Write(Page(11), ones), StatusIs(StatusCode::kPermissionDenied));

  EXPECT_EQ(*port().Load<uint64_t>(Page(11)), 0u);
  EXPECT_THAT(port().Map(Page(12), 8, DmaDirection::kToDevice), IsOk());
  EXPECT_THAT(port().Map(Page(12), 8, DmaDirection::kBoth),
              StatusIs(StatusCode::kPermissionDenied));
}

TEST_P(DmaPortContractTest, MappingsAreCountedUntilTheyDie) {
  {
    const auto mapping = port().Map(Page(0), 10, DmaDirection::kToDevice);
    EXPECT_THAT(port().Map(Page(5000), 10, DmaDirection::kToDevice), testing::Not(IsOk()));

    EXPECT_EQ(port().stats().live, 1u);
    EXPECT_EQ(port().stats().mapped, 1u);
    EXPECT_EQ(port().stats().refused, 1u);
  }
  EXPECT_EQ(port().stats().live, 0u);
}

TEST_P(DmaPortContractTest, P60MappingThatIsAbandonedInFlightIsQuarantinedUntilTheDeviceIsQuiet) {
  {
    auto mapping = port().Map(Page(0), 10, DmaDirection::kFromDevice);
    ASSERT_THAT(mapping, IsOk());
    mapping->BeginTransfer();
  }

  EXPECT_EQ(port().stats().quarantined, 1u);
  EXPECT_EQ(port().stats().live, 1u);
  port().SetQuiet();
  EXPECT_EQ(port().stats().quarantined, 0u);
  EXPECT_EQ(port().stats().live, 0u);
}

TEST_P(DmaPortContractTest, MovedMappingIsOneMapping) {
  auto mapping = port().Map(Page(0), 10, DmaDirection::kToDevice);
  ASSERT_THAT(mapping, IsOk());

  DmaMapping second = *std::move(mapping);
  DmaMapping& self = second;
  second = std::move(self);

  EXPECT_EQ(port().stats().live, 1u);
  EXPECT_EQ(second.size(), 10u);
}

TEST_P(DmaPortContractTest, M50DiscardOfWiredMemoryIsRefused) {
  EXPECT_THAT(port().Discard(Pages(20, 22)), StatusIs(StatusCode::kFailedPrecondition));
  EXPECT_THAT(port().Discard(Pages(12, 13)), StatusIs(StatusCode::kPermissionDenied));
  EXPECT_THAT(port().Discard(Pages(5000, 5001)), StatusIs(StatusCode::kNotFound));
  EXPECT_THAT(port().Discard(Pages(30, 32)), IsOk());
}

}  // namespace
}  // namespace vmwire
