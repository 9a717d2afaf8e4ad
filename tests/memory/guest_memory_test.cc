#include "memory/guest_memory.h"

#include <gtest/gtest.h>

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "tests/support/map_fixture.h"
#include "tests/support/status_matchers.h"

namespace vmwire {
namespace {

using absl::StatusCode;
using testing::ElementsAre;
using testing::HasSubstr;

std::vector<std::byte> Pattern(size_t size) {
  std::vector<std::byte> bytes(size);
  for (size_t i = 0; i < size; ++i) bytes[i] = static_cast<std::byte>(i % 251 + 1);
  return bytes;
}

// Pages [0, 4) and [4, 6) of two objects, nothing at 6, then a read-only page 7, and [8, 10) of an
// object of one page.
class GuestMemoryTest : public testing::Test {
 protected:
  GuestMemoryTest() {
    test_.Add(0, 4);
    test_.Add(4, 6);
    test_.Add(7, 8, Protection::kRead);
    const absl::Status mapped = test_.MapPages(8, 10, test_.NewObject(1));
    EXPECT_THAT(mapped, IsOk());
  }

  static GuestAddress At(uint64_t page, int64_t bytes) {
    return GuestAddress(page * kPageSize + static_cast<uint64_t>(bytes));
  }

  TestMap test_;
  const GuestMemory memory_{test_.map()};
};

TEST_F(GuestMemoryTest, ReadGivesWhatWriteTook) {
  const std::vector<std::byte> in = Pattern(100);
  std::vector<std::byte> out(in.size());

  ASSERT_THAT(memory_.Write(At(1, 7), in), IsOk());
  ASSERT_THAT(memory_.Read(At(1, 7), out), IsOk());

  EXPECT_EQ(out, in);
}

TEST_F(GuestMemoryTest, FirstByteAndLastByteOfTheMemoryAreThere) {
  ASSERT_THAT(memory_.Store<uint8_t>(At(0, 0), 1), IsOk());
  ASSERT_THAT(memory_.Store<uint8_t>(At(6, -1), 2), IsOk());

  EXPECT_EQ(*memory_.Load<uint8_t>(At(0, 0)), 1);
  EXPECT_EQ(*memory_.Load<uint8_t>(At(6, -1)), 2);
}

TEST_F(GuestMemoryTest, ByteAtTheEndIsNotFound) {
  EXPECT_THAT(memory_.Load<uint8_t>(At(6, 0)),
              StatusIs(StatusCode::kNotFound, HasSubstr("0x6000")));
  EXPECT_THAT(memory_.Load<uint64_t>(At(6, -7)), StatusIs(StatusCode::kNotFound));
  EXPECT_THAT(memory_.Load<uint64_t>(At(6, -8)), IsOk());
}

TEST_F(GuestMemoryTest, AccessMayCrossEntriesOfDifferentObjects) {
  const std::vector<std::byte> in = Pattern(3 * kPageSize);
  std::vector<std::byte> out(in.size());

  ASSERT_THAT(memory_.Write(At(2, 100), in), IsOk());
  ASSERT_THAT(memory_.Read(At(2, 100), out), IsOk());

  EXPECT_EQ(out, in);
  EXPECT_EQ(memory_.Load<std::byte>(At(4, 0)).value(), in[2 * kPageSize - 100]);
}

TEST_F(GuestMemoryTest, UnalignedValueAcrossEntriesIsWhole) {
  ASSERT_THAT(memory_.Store<uint64_t>(At(4, -3), 0x1122334455667788), IsOk());

  EXPECT_EQ(*memory_.Load<uint64_t>(At(4, -3)), 0x1122334455667788u);
  EXPECT_EQ(*memory_.Load<uint8_t>(At(4, -3)), 0x88);
}

TEST_F(GuestMemoryTest, SizeZeroSucceedsAnywhere) {
  EXPECT_THAT(memory_.Read(At(6, 0), {}), IsOk());
  EXPECT_THAT(memory_.Write(GuestAddress(UINT64_MAX), {}), IsOk());
  EXPECT_THAT(memory_.Zero(At(7, 0), 0), IsOk());
}

TEST_F(GuestMemoryTest, RangeThatWrapsIsOutOfRange) {
  std::vector<std::byte> bytes(2);

  EXPECT_THAT(memory_.Read(GuestAddress(UINT64_MAX), bytes),
              StatusIs(StatusCode::kOutOfRange, HasSubstr("wraps")));
  EXPECT_THAT(memory_.Zero(GuestAddress(1), UINT64_MAX), StatusIs(StatusCode::kOutOfRange));
}

TEST_F(GuestMemoryTest, WriteThatMeetsAHoleCopiesNothing) {
  EXPECT_THAT(memory_.Write(At(5, 0), Pattern(kPageSize + 1)), StatusIs(StatusCode::kNotFound));

  EXPECT_EQ(*memory_.Load<uint64_t>(At(5, 0)), 0u);
}

TEST_F(GuestMemoryTest, ReadThatMeetsAHoleCopiesNothing) {
  ASSERT_THAT(memory_.Write(At(5, 0), Pattern(kPageSize)), IsOk());
  std::vector<std::byte> out(kPageSize + 1);

  EXPECT_THAT(memory_.Read(At(5, 0), out), StatusIs(StatusCode::kNotFound));

  EXPECT_EQ(out, std::vector<std::byte>(out.size()));
}

TEST_F(GuestMemoryTest, WriteToAReadOnlyEntryIsPermissionDenied) {
  EXPECT_THAT(memory_.Store<uint32_t>(At(7, 4), 1),
              StatusIs(StatusCode::kPermissionDenied, HasSubstr("0x7004")));
  EXPECT_THAT(memory_.Zero(At(7, 4), 4), StatusIs(StatusCode::kPermissionDenied));
  EXPECT_THAT(memory_.Load<uint32_t>(At(7, 4)), IsOk());
}

TEST_F(GuestMemoryTest, WriteThatEndsInAReadOnlyEntryCopiesNothing) {
  test_.Add(6, 7);

  EXPECT_THAT(memory_.Write(At(5, 0), Pattern(2 * kPageSize + 1)),
              StatusIs(StatusCode::kPermissionDenied));

  EXPECT_EQ(*memory_.Load<uint64_t>(At(5, 0)), 0u);
}

TEST_F(GuestMemoryTest, ReadOfAnUnreadableEntryIsPermissionDenied) {
  ASSERT_THAT(test_.map().Protect(Pages(1, 2), Protection::kWrite), IsOk());

  EXPECT_THAT(memory_.Load<uint8_t>(At(1, 0)), StatusIs(StatusCode::kPermissionDenied));
  EXPECT_THAT(memory_.Store<uint8_t>(At(1, 0), 1), IsOk());
}

TEST_F(GuestMemoryTest, ReadWriteAccessNeedsBothRights) {
  EXPECT_THAT(memory_.ForEachSpan(At(7, 0), 1, Protection::kReadWrite, [](auto) {}),
              StatusIs(StatusCode::kPermissionDenied));
}

TEST_F(GuestMemoryTest, PastTheObjectIsOutOfRangeAndCopiesNothing) {
  EXPECT_THAT(memory_.Write(At(8, 0), Pattern(kPageSize + 1)), StatusIs(StatusCode::kOutOfRange));
  EXPECT_THAT(memory_.Load<uint8_t>(At(9, 0)), StatusIs(StatusCode::kOutOfRange));

  EXPECT_EQ(*memory_.Load<uint64_t>(At(8, 0)), 0u);
  EXPECT_THAT(memory_.Store<uint8_t>(At(9, -1), 1), IsOk());
}

TEST_F(GuestMemoryTest, ZeroClearsItsBytesAndNoOthers) {
  ASSERT_THAT(memory_.Write(At(3, 0), Pattern(2 * kPageSize)), IsOk());

  ASSERT_THAT(memory_.Zero(At(4, -4), 8), IsOk());

  EXPECT_NE(*memory_.Load<uint8_t>(At(4, -5)), 0);
  EXPECT_EQ(*memory_.Load<uint64_t>(At(4, -4)), 0u);
  EXPECT_NE(*memory_.Load<uint8_t>(At(4, 4)), 0);
}

TEST_F(GuestMemoryTest, SpansAreTheHostBytesInAscendingOrder) {
  std::vector<size_t> sizes;

  ASSERT_THAT(memory_.ForEachSpan(At(3, 0), 2 * kPageSize + 5, Protection::kReadWrite,
                                  [&sizes](std::span<std::byte> span) {
                                    sizes.push_back(span.size());
                                    span[0] = std::byte{9};
                                  }),
              IsOk());

  EXPECT_THAT(sizes, ElementsAre(kPageSize, kPageSize + 5));
  EXPECT_EQ(*memory_.Load<uint8_t>(At(3, 0)), 9);
  EXPECT_EQ(*memory_.Load<uint8_t>(At(4, 0)), 9);
}

TEST_F(GuestMemoryTest, NoSpanIsVisitedIfALaterByteIsRefused) {
  EXPECT_THAT(memory_.ForEachSpan(At(5, 0), kPageSize + 1, Protection::kRead,
                                  [](auto) { ADD_FAILURE() << "visited"; }),
              StatusIs(StatusCode::kNotFound));
}

TEST_F(GuestMemoryTest, AliasesAreTheSameBytes) {
  const auto object = test_.NewObject(1);
  ASSERT_THAT(test_.MapPages(20, 21, object), IsOk());
  ASSERT_THAT(test_.MapPages(30, 31, object), IsOk());

  ASSERT_THAT(memory_.Store<uint32_t>(At(20, 8), 77), IsOk());

  EXPECT_EQ(*memory_.Load<uint32_t>(At(30, 8)), 77u);
}

TEST_F(GuestMemoryTest, LastPageOfTheAddressSpaceThatAMapCanHoldWorks) {
  VmMap high(test_.pins(), {});
  const GuestAddress last(AlignDown(UINT64_MAX, kPageSize) - kPageSize);
  ASSERT_THAT(
      high.Map(*GuestRange::Create(last, kPageSize), test_.NewObject(1), 0, Protection::kReadWrite),
      IsOk());
  const GuestMemory memory(high);

  EXPECT_THAT(memory.Store<uint8_t>(GuestAddress(last.value() + kPageSize - 1), 1), IsOk());
  EXPECT_THAT(memory.Store<uint16_t>(GuestAddress(last.value() + kPageSize - 1), 1),
              StatusIs(StatusCode::kNotFound));
}

}  // namespace
}  // namespace vmwire
