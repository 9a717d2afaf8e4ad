#include "vmm/boot/guest_image.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <optional>
#include <string>
#include <vector>

#include "tests/support/status_matchers.h"
#include "tests/vmm/boot/boot_memory.h"
#include "tests/vmm/boot/bzimage_builder.h"
#include "tests/vmm/boot/elf_builder.h"
#include "tests/vmm/boot/image_bytes.h"

namespace vmwire {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;

std::vector<std::byte> BootSector() {
  std::vector<std::byte> bytes(512, std::byte{0x90});
  bytes[510] = std::byte{0x55};
  bytes[511] = std::byte{0xaa};
  return bytes;
}

std::vector<std::byte> Noise() { return std::vector<std::byte>(2000, std::byte{0x5a}); }

// An ELF image with code at 1 MiB and 0x3000 bytes of data at `data`, of which the file has 4.
GuestImage ElfImage(uint64_t data) {
  ElfBuilder elf;
  elf.AddCode();
  elf.Add(PT_LOAD, data, "data", PF_R | PF_W).p_memsz = 0x3000;
  elf.AddNote("vmwire", 2,
              ElfBuilder::Bytes(uint64_t{0x180000}) + ElfBuilder::Bytes(uint64_t{0x1000}));
  absl::StatusOr<GuestImage> image = ParseGuestImage("image.elf", elf.Build(), {});
  EXPECT_TRUE(image.ok()) << image.status();
  return *std::move(image);
}

// A multiboot kernel of 76 bytes at 1 MiB.
std::vector<std::byte> Kernel() {
  Elf32Builder elf;
  elf.AddCode(ImageBytes(12).Multiboot1(0, 4).text());
  return elf.Build();
}

// A Linux kernel at 1 MiB, with memory up to `end`.
std::vector<std::byte> Vmlinux(uint64_t end = 2 * kMiB) {
  ElfBuilder elf;
  elf.AddCode().p_memsz = end - kMiB;
  elf.AddNote("Linux", 0x101, "none");
  return elf.Build();
}

GuestLayout LayoutOf(uint64_t memory_bytes) { return *GuestLayout::Create(memory_bytes, 46); }

TEST(GuestImage, ElfIsDetectedByItsMagic) {
  ElfBuilder elf;
  elf.AddCode();
  VMWIRE_ASSERT_OK_AND_ASSIGN(const GuestImage image, ParseGuestImage("x", elf.Build(), {}));
  EXPECT_EQ(image.format, ImageFormat::kElf64);
}

TEST(GuestImage, BootSectorIsDetectedByItsSignature) {
  VMWIRE_ASSERT_OK_AND_ASSIGN(const GuestImage image, ParseGuestImage("x", BootSector(), {}));
  EXPECT_EQ(image.format, ImageFormat::kFlat);
  EXPECT_EQ(image.start, StartMode::kReal16);
}

TEST(GuestImage, StartOptionGoesBeforeTheSignature) {
  VMWIRE_ASSERT_OK_AND_ASSIGN(
      const GuestImage image,
      ParseGuestImage("x", BootSector(), {.start = StartMode::kProtected32}));
  EXPECT_EQ(image.start, StartMode::kProtected32);
  EXPECT_EQ(image.entry, kImageAddress);
}

TEST(GuestImage, RefusesNoiseAndSaysHowToLoadIt) {
  EXPECT_THAT(ParseGuestImage("noise.bin", Noise(), {}),
              StatusIs(absl::StatusCode::kInvalidArgument,
                       AllOf(HasSubstr("noise.bin (2000 bytes)"), HasSubstr("ELF magic"),
                             HasSubstr("offset 510"),
                             HasSubstr("--format flat --start "
                                       "real16|protected32|long64-ring0|long64-ring3"))));
}

TEST(GuestImage, RefusesNoBytes) {
  EXPECT_THAT(ParseGuestImage("x", {}, {}), StatusIs(absl::StatusCode::kInvalidArgument));
}

TEST(GuestImage, FlatLoadsNoiseInTheModeAskedFor) {
  VMWIRE_ASSERT_OK_AND_ASSIGN(
      const GuestImage image,
      ParseGuestImage("x", Noise(),
                      {.format = ImageFormatChoice::kFlat, .start = StartMode::kLong64Ring3}));
  EXPECT_EQ(image.start, StartMode::kLong64Ring3);
  EXPECT_EQ(image.entry, kImageAddress);
}

TEST(GuestImage, FlatNoiseNeedsAMode) {
  EXPECT_THAT(ParseGuestImage("x", Noise(), {.format = ImageFormatChoice::kFlat}),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("needs `--start")));
}

TEST(GuestImage, FlatLoadsAnElfFileAsItIs) {
  ElfBuilder elf;
  elf.AddCode();
  VMWIRE_ASSERT_OK_AND_ASSIGN(
      const GuestImage image,
      ParseGuestImage("x", elf.Build(),
                      {.format = ImageFormatChoice::kFlat, .start = StartMode::kLong64Ring0}));
  EXPECT_EQ(image.format, ImageFormat::kFlat);
}

TEST(GuestImage, LoadNamesAMissingFile) {
  EXPECT_THAT(LoadGuestImage("/nonexistent/image", {}),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("/nonexistent/image")));
}

TEST(GuestImage, EachFormatHasANameAndAProtocol) {
  EXPECT_EQ(ToString(ImageFormat::kPvh), "PVH");
  EXPECT_EQ(ToString(ImageFormat::kBzImage), "Linux bzImage");
  EXPECT_EQ(ToString(ImageFormatChoice::kMultiboot2), "multiboot2");
  EXPECT_EQ(ProtocolOf(ImageFormat::kFlat), BootProtocol::kVmwire);
  EXPECT_EQ(ProtocolOf(ImageFormat::kMultiboot2), BootProtocol::kMultiboot2);
  EXPECT_EQ(ProtocolOf(ImageFormat::kVmlinux), BootProtocol::kLinux);
}

TEST(GuestImage, CommandLineGoesToAnImageThatTakesOne) {
  VMWIRE_ASSERT_OK_AND_ASSIGN(const GuestImage image,
                              ParseGuestImage("x", Kernel(), {.command_line = "a=b"}));
  EXPECT_EQ(image.command_line, "a=b");
}

TEST(GuestImage, RefusesTextOfAnInitrdThatNobodyReads) {
  for (const std::vector<std::byte>& kernel : {BzImageBuilder().Build(), Vmlinux()}) {
    EXPECT_THAT(ParseGuestImage("x", kernel, {.modules = {{"initrd.img", ""}}}), IsOk());
    EXPECT_THAT(ParseGuestImage("x", kernel, {.modules = {{"initrd.img", "text"}}}),
                StatusIs(absl::StatusCode::kInvalidArgument,
                         AllOf(HasSubstr("takes no text with its initrd initrd.img"),
                               HasSubstr("--cmdline"))));
  }
}

TEST(GuestImage, RefusesACommandLineThatNobodyReads) {
  ElfBuilder elf;
  elf.AddCode();
  EXPECT_THAT(ParseGuestImage("x", elf.Build(), {.command_line = "a=b"}),
              StatusIs(absl::StatusCode::kInvalidArgument,
                       AllOf(HasSubstr("takes no command line"), HasSubstr("--format"))));
}

TEST(GuestImage, RefusesAModuleThatNobodyReads) {
  EXPECT_THAT(ParseGuestImage("x", BootSector(), {.modules = {{"initrd", ""}}}),
              StatusIs(absl::StatusCode::kInvalidArgument,
                       AllOf(HasSubstr("\"flat\""), HasSubstr("takes no initrd or module"))));
}

TEST(GuestImage, MultibootTakesManyModules) {
  EXPECT_THAT(ParseGuestImage("x", Kernel(), {.modules = {{"a", ""}, {"b", ""}}}), IsOk());
}

TEST(GuestImage, PvhTakesOneModule) {
  ElfBuilder elf;
  elf.AddCode();
  elf.AddNote("Xen", 18, ElfBuilder::Bytes(uint32_t{0x100000}));
  EXPECT_THAT(ParseGuestImage("x", elf.Build(), {.modules = {{"a", "text"}}}), IsOk());
  EXPECT_THAT(ParseGuestImage("x", elf.Build(), {.modules = {{"a", ""}, {"b", ""}}}),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("takes one module")));
}

class ModuleFiles : public ::testing::Test {
 protected:
  void TearDown() override { std::filesystem::remove_all(directory_); }

  std::string Write(const std::string& name, const std::vector<std::byte>& bytes) {
    std::filesystem::create_directories(directory_);
    const std::filesystem::path path = directory_ / name;
    std::ofstream(path, std::ios::binary)
        .write(reinterpret_cast<const char*>(bytes.data()),
               static_cast<std::streamsize>(bytes.size()));
    return path.string();
  }

  std::filesystem::path directory_ =
      testing::TempDir() + "vmwire-modules-" + std::to_string(getpid());
};

TEST_F(ModuleFiles, AreReadInTheirOrder) {
  const std::string kernel = Write("kernel", Kernel());
  const std::string first = Write("first", Noise());
  const std::string second = Write("second", BootSector());
  VMWIRE_ASSERT_OK_AND_ASSIGN(const GuestImage image,
                              LoadGuestImage(kernel, {.modules = {{first, "text"}, {second, ""}}}));
  ASSERT_EQ(image.modules.size(), 2u);
  EXPECT_EQ(image.modules[0].path, first);
  EXPECT_EQ(image.modules[0].command_line, "text");
  EXPECT_EQ(image.modules[0].bytes, Noise());
  EXPECT_EQ(image.modules[1].bytes, BootSector());
}

TEST_F(ModuleFiles, AreNamedWhenTheyAreMissing) {
  const std::string kernel = Write("kernel", Kernel());
  EXPECT_THAT(LoadGuestImage(kernel, {.modules = {{"/nonexistent/initrd", ""}}}),
              StatusIs(absl::StatusCode::kInvalidArgument,
                       HasSubstr("cannot read the module /nonexistent/initrd")));
}

TEST(MemoryNeeded, CountsModulesBehindTheSegments) {
  VMWIRE_ASSERT_OK_AND_ASSIGN(GuestImage image, ParseGuestImage("x", Kernel(), {}));
  EXPECT_EQ(MemoryNeeded(image), 2 * kMiB);
  image.modules.push_back({.path = "m", .command_line = "", .bytes = {}});
  image.modules[0].bytes.resize(2 * kMiB);
  EXPECT_EQ(MemoryNeeded(image), 4 * kMiB);
}

TEST(MemoryNeeded, FindsRoomForModulesBelowAnImageAtTheHole) {
  Elf32Builder elf;
  elf.Add(PT_LOAD, 0xbffff000, ImageBytes(12).Multiboot1(0, 0).text());
  elf.header.e_entry = 0xbffff000;
  VMWIRE_ASSERT_OK_AND_ASSIGN(GuestImage image, ParseGuestImage("x", elf.Build(), {}));
  image.modules.push_back({.path = "m", .command_line = "", .bytes = {}});
  image.modules[0].bytes.resize(kMiB);
  EXPECT_EQ(MemoryNeeded(image), 3 * kGiB);
  EXPECT_THAT(CheckFits(image, LayoutOf(3 * kGiB)), IsOk());
}

TEST(MemoryNeeded, UsesRoomForModulesBelowTheImage) {
  Elf32Builder elf;
  elf.Add(PT_LOAD, 8 * kMiB, ImageBytes(12).Multiboot1(0, 0).text());
  elf.header.e_entry = 8 * kMiB;
  VMWIRE_ASSERT_OK_AND_ASSIGN(GuestImage image, ParseGuestImage("x", elf.Build(), {}));
  image.modules.push_back({.path = "m", .command_line = "", .bytes = {}});
  image.modules[0].bytes.resize(2 * kMiB);
  EXPECT_EQ(MemoryNeeded(image), 9 * kMiB);
  EXPECT_THAT(CheckFits(image, LayoutOf(9 * kMiB)), IsOk());
}

// A Linux kernel that takes an initrd below 0x38000000 (896 MiB) only, and fills all but the last
// MiB of that; with an initrd of `size` bytes.
GuestImage KernelBelowInitrd(uint64_t size) {
  absl::StatusOr<GuestImage> image = ParseGuestImage("kernel", Vmlinux(0x37f00000), {});
  EXPECT_TRUE(image.ok()) << image.status();
  image->linux_setup.initrd_address_max = 0x37ffffff;
  image->modules = {
      {.path = "initrd.img", .command_line = "", .bytes = std::vector<std::byte>(size)}};
  return *std::move(image);
}

TEST(MemoryNeeded, HasNoAnswerForAnInitrdThatEndsAboveWhereTheKernelTakesIt) {
  EXPECT_EQ(MemoryNeeded(KernelBelowInitrd(kMiB)), 896 * kMiB);
  EXPECT_EQ(MemoryNeeded(KernelBelowInitrd(kMiB + 1)), std::nullopt);
}

TEST(CheckStartable, SaysWhereTheKernelTakesAnInitrd) {
  EXPECT_THAT(CheckStartable(KernelBelowInitrd(kMiB + 1)),
              StatusIs(absl::StatusCode::kInvalidArgument,
                       AllOf(HasSubstr("kernel: its modules, 1052672 bytes in whole pages"),
                             HasSubstr("no memory size will do"),
                             HasSubstr("from 1 MiB to 0x38000000 only"))));
}

TEST(CheckStartable, SaysThatModulesHaveNoRoomAtAll) {
  Elf32Builder elf;
  elf.Add(PT_LOAD, 0x100000, ImageBytes(12).Multiboot1(0, 0).text()).p_memsz = 0xbfeff000;
  VMWIRE_ASSERT_OK_AND_ASSIGN(GuestImage image, ParseGuestImage("x", elf.Build(), {}));
  image.modules.push_back({.path = "m", .command_line = "", .bytes = {}});
  image.modules[0].bytes.resize(2 * kPageSize);
  EXPECT_THAT(CheckStartable(image),
              StatusIs(absl::StatusCode::kInvalidArgument,
                       HasSubstr("its modules, 8192 bytes in whole pages, have no room")));
}

TEST(CheckFits, SaysHowMuchMemoryModulesNeed) {
  VMWIRE_ASSERT_OK_AND_ASSIGN(GuestImage image, ParseGuestImage("x", Kernel(), {}));
  image.modules.push_back({.path = "disk.img", .command_line = "", .bytes = {}});
  image.modules[0].bytes.resize(2 * kMiB);
  EXPECT_THAT(CheckFits(image, LayoutOf(4 * kMiB)), IsOk());
  EXPECT_THAT(CheckFits(image, LayoutOf(2 * kMiB)),
              StatusIs(absl::StatusCode::kInvalidArgument,
                       AllOf(HasSubstr("disk.img"), HasSubstr("--memory size=4M"))));
}

TEST(CheckFits, AcceptsAnImageThatEndsWithMemory) {
  EXPECT_THAT(CheckFits(ElfImage(0x1fd000), LayoutOf(2 * kMiB)), IsOk());
}

TEST(CheckFits, SaysHowMuchMemoryAnImageNeeds) {
  EXPECT_THAT(CheckFits(ElfImage(0x1fd001), LayoutOf(2 * kMiB)),
              StatusIs(absl::StatusCode::kInvalidArgument,
                       AllOf(HasSubstr("[0x1fd001, 0x200001)"), HasSubstr("--memory size=3M"))));
}

TEST(CheckFits, SaysThatNoMemoryWillDoInTheHole) {
  EXPECT_THAT(CheckFits(ElfImage(3 * kGiB), LayoutOf(8 * kGiB)),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("no memory size will do")));
}

TEST(CheckFits, AcceptsASegmentAboveTheHole) {
  EXPECT_THAT(CheckFits(ElfImage(4 * kGiB), LayoutOf(3 * kGiB + 0x3000)), IsOk());
}

TEST(WriteImage, CopiesSegmentsAndZeroesTheRest) {
  const GuestImage image = ElfImage(0x180000);
  const BootMemory memory(2 * kMiB);
  ASSERT_THAT(memory.memory().Store(GuestAddress(0x180004), UINT64_MAX), IsOk());

  ASSERT_THAT(WriteImage(image, memory.memory()), IsOk());

  EXPECT_EQ(memory.At<uint32_t>(0x100000), 0x90909090u);
  EXPECT_EQ(memory.At<char>(0x180003), 'a');
  EXPECT_TRUE(memory.IsZero(0x180004, 0x2ffc));
}

TEST(WriteImage, FailsOutsideOfMemory) {
  const BootMemory memory(2 * kMiB);
  EXPECT_THAT(WriteImage(ElfImage(0x1ff000), memory.memory()),
              StatusIs(absl::StatusCode::kNotFound));
}

TEST(Describe, PrintsAllThatInspectShows) {
  EXPECT_EQ(
      Describe(ElfImage(0x180000)),
      "image         image.elf\n"
      "format        ELF64 x86-64, static, 336 bytes\n"
      "found         ELF magic and a vmwire note\n"
      "start mode    long64-ring0\n"
      "entry         0x100000\n"
      "segment       [0x100000, 0x100040) r-x, 64 bytes, 64 of them from file offset 0xe8\n"
      "segment       [0x180000, 0x183000) rw-, 12288 bytes, 4 of them from file offset 0x128\n"
      "DMA window    [0x180000, 0x181000), 4096 bytes\n"
      "memory needed 2 MiB\n");
}

TEST(Describe, SaysWhatAMultibootKernelIsAndGets) {
  VMWIRE_ASSERT_OK_AND_ASSIGN(GuestImage image,
                              ParseGuestImage("kernel", Kernel(), {.command_line = "a=b"}));
  image.modules = {{.path = "disk", .command_line = "name", .bytes = std::vector<std::byte>(5)}};
  EXPECT_EQ(Describe(image),
            "image         kernel\n"
            "format        multiboot, 160 bytes\n"
            "found         multiboot header at file offset 0x54, flags 0x4\n"
            "found         asks for a video mode, which it does not get: there is no display\n"
            "found         loaded as ELF32\n"
            "start mode    protected32\n"
            "entry         0x100000\n"
            "segment       [0x100000, 0x10004c) r-x, 76 bytes, 76 of them from file offset 0x54\n"
            "protocol      Multiboot Specification 0.6.96\n"
            "takes         at most 4095 bytes of command line; modules, ending at 0xc0000000 or "
            "below\n"
            "command line  a=b\n"
            "module        disk, 5 bytes: name\n"
            "memory needed 2 MiB\n");
}

TEST(Describe, FindsTheVersionOfALinuxInItsBanner) {
  ElfBuilder elf;
  elf.AddCode(std::string("Linux version %s\0Linux version 6.1.0-18-cloud-amd64 (me@here)", 62));
  elf.AddNote("Linux", 0x101, "none");
  VMWIRE_ASSERT_OK_AND_ASSIGN(const GuestImage image, ParseGuestImage("vmlinux", elf.Build(), {}));
  const std::string text = Describe(image);
  EXPECT_THAT(text, HasSubstr("\nprotocol      Linux boot protocol\n"));
  EXPECT_THAT(text, HasSubstr("\nLinux version 6.1.0-18-cloud-amd64\n"));
  EXPECT_THAT(text, HasSubstr("\ntakes         at most 2047 bytes of command line; an initrd, "
                              "ending at 0x80000000 or below\n"));
}

}  // namespace
}  // namespace vmwire
