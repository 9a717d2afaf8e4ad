#include "vmm/boot/elf_notes.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

#include "tests/support/status_matchers.h"
#include "tests/vmm/boot/elf_builder.h"
#include "vmm/boot/guest_image.h"

namespace vmwire {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;

std::string Window(uint64_t start, uint64_t size) {
  return ElfBuilder::Bytes(start) + ElfBuilder::Bytes(size);
}

// An image with code and one note segment of `notes`.
absl::StatusOr<GuestImage> LoadWithNotes(const std::string& notes, uint64_t alignment = 4) {
  ElfBuilder elf;
  elf.AddCode();
  elf.Add(PT_NOTE, 0, notes, PF_R).p_align = alignment;
  return ParseGuestImage("image.elf", elf.Build(), {});
}

absl::StatusOr<GuestImage> LoadWithNote(uint32_t type, const std::string& description) {
  return LoadWithNotes(ElfBuilder::Note("vmwire", type, description));
}

void ExpectRefused(const absl::StatusOr<GuestImage>& image, const std::string& reason) {
  EXPECT_THAT(image, StatusIs(absl::StatusCode::kInvalidArgument,
                              AllOf(HasSubstr(reason), HasSubstr("at file offset 0x"))));
}

TEST(ElfNotes, StartModeOneIsRing3) {
  VMWIRE_ASSERT_OK_AND_ASSIGN(const GuestImage image,
                              LoadWithNote(kStartModeNote, ElfBuilder::Bytes(uint32_t{1})));
  EXPECT_EQ(image.start, StartMode::kLong64Ring3);
}

TEST(ElfNotes, StartModeZeroIsRing0) {
  VMWIRE_ASSERT_OK_AND_ASSIGN(const GuestImage image,
                              LoadWithNote(kStartModeNote, ElfBuilder::Bytes(uint32_t{0})));
  EXPECT_EQ(image.start, StartMode::kLong64Ring0);
}

TEST(ElfNotes, DmaWindowsKeepTheirOrder) {
  VMWIRE_ASSERT_OK_AND_ASSIGN(
      const GuestImage image,
      LoadWithNotes(ElfBuilder::Note("vmwire", kDmaWindowsNote,
                                     Window(0x200000, 0x2000) + Window(0x100000, 0x1000)) +
                    ElfBuilder::Note("vmwire", kDmaWindowsNote, Window(0x300000, 0x1000))));

  ASSERT_EQ(image.dma_windows.size(), 3u);
  EXPECT_EQ(image.dma_windows[0].ToString(), "[0x200000, 0x202000)");
  EXPECT_EQ(image.dma_windows[1].ToString(), "[0x100000, 0x101000)");
  EXPECT_EQ(image.dma_windows[2].ToString(), "[0x300000, 0x301000)");
}

TEST(ElfNotes, PassesOverOtherOwners) {
  VMWIRE_ASSERT_OK_AND_ASSIGN(
      const GuestImage image,
      LoadWithNotes(ElfBuilder::Note("GNU", 99, "whatever") + ElfBuilder::Note("vmwire2", 99, "x") +
                    ElfBuilder::Note("vmwire", kStartModeNote, ElfBuilder::Bytes(uint32_t{1}))));
  EXPECT_EQ(image.start, StartMode::kLong64Ring3);
}

TEST(ElfNotes, ReadsNotesThatArePaddedToEightBytes) {
  // A note of 12 + 4 + 12 bytes, which an alignment of 8 pads with 4 more.
  const std::string padded =
      ElfBuilder::Note("GNU", 5, std::string(12, 'x')) + std::string(4, '\0');
  std::string ours = ElfBuilder::Note("vmwire", kStartModeNote, "");
  ours.resize(24);
  ours[4] = 4;  // n_descsz
  ours += ElfBuilder::Bytes(uint32_t{1}) + std::string(4, '\0');

  VMWIRE_ASSERT_OK_AND_ASSIGN(const GuestImage image, LoadWithNotes(padded + ours, 8));

  EXPECT_EQ(image.start, StartMode::kLong64Ring3);
}

// A good note segment of `size` bytes: our note, and one of somebody else without padding.
std::string LargeNotes(uint64_t size) {
  const std::string ours =
      ElfBuilder::Note("vmwire", kStartModeNote, ElfBuilder::Bytes(uint32_t{1}));
  const uint64_t rest = size - ours.size() - ElfBuilder::Note("GNU", 5, "").size();
  std::string notes = ours + ElfBuilder::Note("GNU", 5, std::string(rest, 'x'));
  notes.resize(size);
  return notes;
}

TEST(ElfNotes, ReadsASegmentOfTheLargestSize) {
  VMWIRE_ASSERT_OK_AND_ASSIGN(const GuestImage image, LoadWithNotes(LargeNotes(kMaxNoteSegment)));
  EXPECT_EQ(image.start, StartMode::kLong64Ring3);
}

TEST(ElfNotes, RefusesASegmentAboveTheLargestSize) {
  ExpectRefused(LoadWithNotes(LargeNotes(kMaxNoteSegment + 1)),
                "program header 1: a note segment of 1048577 bytes; the most is 1048576");
}

TEST(ElfNotes, RefusesAnUnknownTypeByNumber) {
  ExpectRefused(LoadWithNote(77, ""), "unknown vmwire note type 77");
}

TEST(ElfNotes, RefusesAnUnknownStartMode) {
  ExpectRefused(LoadWithNote(kStartModeNote, ElfBuilder::Bytes(uint32_t{2})),
                "unknown vmwire start mode 2");
}

TEST(ElfNotes, RefusesAStartModeOfAnotherSize) {
  ExpectRefused(LoadWithNote(kStartModeNote, ElfBuilder::Bytes(uint64_t{1})), "has 8 bytes");
}

TEST(ElfNotes, RefusesASecondStartMode) {
  const std::string note =
      ElfBuilder::Note("vmwire", kStartModeNote, ElfBuilder::Bytes(uint32_t{1}));
  ExpectRefused(LoadWithNotes(note + note), "a second vmwire start mode note");
}

TEST(ElfNotes, RefusesHalfAWindow) {
  ExpectRefused(LoadWithNote(kDmaWindowsNote, Window(0x1000, 0x1000) + "12345678"),
                "has 24 bytes; it has 16 for each window");
}

TEST(ElfNotes, RefusesNoWindow) { ExpectRefused(LoadWithNote(kDmaWindowsNote, ""), "has 0 bytes"); }

TEST(ElfNotes, RefusesAWindowThatIsNotPageAligned) {
  ExpectRefused(LoadWithNote(kDmaWindowsNote, Window(0x100800, 0x1000)), "not page-aligned");
}

TEST(ElfNotes, RefusesAnEmptyWindow) {
  ExpectRefused(LoadWithNote(kDmaWindowsNote, Window(0x100000, 0)), "is empty");
}

TEST(ElfNotes, RefusesAWindowThatWraps) {
  ExpectRefused(LoadWithNote(kDmaWindowsNote, Window(UINT64_MAX - 0xfff, 0x2000)),
                "ends beyond 64 bits");
}

TEST(ElfNotes, RefusesTooManyWindows) {
  std::string windows;
  for (uint64_t i = 0; i <= kMaxDmaWindows; ++i) windows += Window(0x100000, 0x1000);
  ExpectRefused(LoadWithNote(kDmaWindowsNote, windows), "more than 256");
}

TEST(ElfNotes, RefusesATruncatedHeader) {
  ExpectRefused(LoadWithNotes("12345678"), "a note's header is truncated");
}

TEST(ElfNotes, RefusesANameThatReachesPastTheSegment) {
  std::string note = ElfBuilder::Note("vmwire", kStartModeNote, ElfBuilder::Bytes(uint32_t{1}));
  note.replace(0, 4, ElfBuilder::Bytes(UINT32_MAX));
  ExpectRefused(LoadWithNotes(note), "a note reaches past the end of its segment");
}

TEST(ElfNotes, RefusesADescriptionThatReachesPastTheSegment) {
  std::string note = ElfBuilder::Note("vmwire", kStartModeNote, ElfBuilder::Bytes(uint32_t{1}));
  note.replace(4, 4, ElfBuilder::Bytes(UINT32_MAX));
  ExpectRefused(LoadWithNotes(note), "a note reaches past the end of its segment");
}

TEST(ElfNotes, RefusesANoteSegmentPastTheFile) {
  ElfBuilder elf;
  elf.AddCode();
  elf.AddNote("vmwire", kStartModeNote, ElfBuilder::Bytes(uint32_t{1})).p_filesz = UINT64_MAX;

  ExpectRefused(ParseGuestImage("image.elf", elf.Build(), {}), "reaches past the end of the file");
}

}  // namespace
}  // namespace vmwire
