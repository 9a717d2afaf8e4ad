#include "vmm/firmware/aml.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <vector>

namespace vmwire::aml {
namespace {

using testing::ElementsAre;
using testing::ElementsAreArray;

std::vector<int> Values(const TableBytes& bytes) {
  std::vector<int> values;
  for (const std::byte byte : bytes) values.push_back(std::to_integer<int>(byte));
  return values;
}

std::vector<int> FirstOf(const TableBytes& bytes, size_t count) {
  std::vector<int> values = Values(bytes);
  values.resize(count);
  return values;
}

TEST(Aml, IntegersTakeTheShortestForm) {
  EXPECT_THAT(Values(Integer(0)), ElementsAre(0x00));
  EXPECT_THAT(Values(Integer(1)), ElementsAre(0x01));
  EXPECT_THAT(Values(Integer(2)), ElementsAre(0x0a, 2));
  EXPECT_THAT(Values(Integer(0xff)), ElementsAre(0x0a, 0xff));
  EXPECT_THAT(Values(Integer(0x100)), ElementsAre(0x0b, 0x00, 0x01));
  EXPECT_THAT(Values(Integer(0x12345)), ElementsAre(0x0c, 0x45, 0x23, 0x01, 0x00));
  EXPECT_THAT(Values(Integer(0x1'0000'0000)), ElementsAre(0x0e, 0, 0, 0, 0, 1, 0, 0, 0));
}

TEST(Aml, StringsEndWithZero) { EXPECT_THAT(Values(String("Hi")), ElementsAre(0x0d, 'H', 'i', 0)); }

// The example of ACPI 6.4, 6.1.5, and what other firmware has for a serial port.
TEST(Aml, EisaIdsAreCompressed) {
  EXPECT_THAT(Values(EisaId("PNP0501")), ElementsAre(0x0c, 0x41, 0xd0, 0x05, 0x01));
  EXPECT_THAT(Values(EisaId("PNP0C0F")), ElementsAre(0x0c, 0x41, 0xd0, 0x0c, 0x0f));
}

TEST(Aml, NamesAreFilledUpWithUnderscores) {
  EXPECT_THAT(Values(Name("\\_S5", Integer(0))), ElementsAre(0x08, '\\', '_', 'S', '5', '_', 0x00));
  EXPECT_THAT(Values(Name("A", Integer(1))), ElementsAre(0x08, 'A', '_', '_', '_', 0x01));
}

TEST(Aml, PackagesCountTheirElements) {
  EXPECT_THAT(Values(Package({Integer(5), Integer(0)})), ElementsAre(0x12, 5, 2, 0x0a, 5, 0));
}

TEST(Aml, ScopesAndDevicesNest) {
  EXPECT_THAT(
      Values(Scope("\\_SB", {Device("COM1", {Integer(1)})})),
      ElementsAre(0x10, 14, '\\', '_', 'S', 'B', '_', 0x5b, 0x82, 6, 'C', 'O', 'M', '1', 0x01));
}

// The length counts its own bytes: 63 is the most in one byte, 4095 the most in two.
TEST(Aml, LengthsTakeAsManyBytesAsTheyNeed) {
  const auto scope = [](size_t content) {
    return Scope("ABCD", {TableBytes(content - 4, std::byte{0xa3})});
  };
  EXPECT_THAT(FirstOf(scope(62), 3), ElementsAre(0x10, 63, 'A'));
  EXPECT_THAT(FirstOf(scope(63), 4), ElementsAre(0x10, 0x41, 0x04, 'A')) << "65 = 1 + 16 * 4";
  EXPECT_THAT(FirstOf(scope(4093), 4), ElementsAre(0x10, 0x4f, 0xff, 'A'));
  EXPECT_THAT(FirstOf(scope(4094), 5), ElementsAre(0x10, 0x81, 0x00, 0x01, 'A')) << "4097";
  EXPECT_THAT(FirstOf(scope(1 << 20), 6), ElementsAre(0x10, 0xc4, 0x00, 0x00, 0x01, 'A'));
}

TEST(Aml, ResourcesAreABufferThatSumsToZero) {
  const std::vector<int> bytes = Values(Resources({IsaInterrupt(4)}));
  EXPECT_THAT(bytes, ElementsAre(0x11, 8, 0x0a, 5, 0x22, 0x10, 0x00, 0x79, 0x55));
}

TEST(Aml, DescriptorsAreAsSpecified) {
  EXPECT_THAT(Values(IoPorts(0x3f8, 8)),
              ElementsAre(0x47, 0x01, 0xf8, 0x03, 0xf8, 0x03, 0x01, 0x08));
  EXPECT_THAT(Values(FixedMemory(0xd0001000, 0x1000)),
              ElementsAre(0x86, 9, 0, 1, 0x00, 0x10, 0x00, 0xd0, 0x00, 0x10, 0x00, 0x00));
  EXPECT_THAT(Values(EdgeInterrupt(5)), ElementsAre(0x89, 6, 0, 0x03, 1, 5, 0, 0, 0));
}

TEST(AmlDeathTest, NamesOfMoreThanOneSegmentAreOurBug) {
  EXPECT_DEATH(Name("TOOLONG", Integer(0)), "TOOLONG");
  EXPECT_DEATH(Name("", Integer(0)), "check failed");
}

}  // namespace
}  // namespace vmwire::aml
