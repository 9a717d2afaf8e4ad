#include "vmm/boot/pvh_loader.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_format.h"
#include "memory/status_macros.h"
#include "tests/support/status_matchers.h"
#include "tests/vmm/boot/elf_builder.h"

namespace vmwire {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;

using Loader = absl::Status (*)(std::optional<StartMode>, GuestImage&);

absl::StatusOr<GuestImage> Load(Loader loader, std::vector<std::byte> file,
                                std::optional<StartMode> start = std::nullopt) {
  GuestImage image;
  image.path = "kernel";
  image.file = std::move(file);
  VMWIRE_RETURN_IF_ERROR(loader(start, image));
  return image;
}

void ExpectRefused(const absl::StatusOr<GuestImage>& image, const std::string& reason) {
  EXPECT_THAT(image, StatusIs(absl::StatusCode::kInvalidArgument,
                              AllOf(HasSubstr("kernel: "), HasSubstr(reason),
                                    HasSubstr("(at file offset 0x"))));
}

// An image with code at 1 MiB, and the PVH entry note with `entry`, of 4 or 8 bytes.
template <typename Builder, typename Entry>
Builder WithNote(Entry entry) {
  Builder elf;
  elf.AddCode();
  elf.AddNote("Xen", 18, ElfBuilder::Bytes(entry));
  elf.header.e_entry = 0;
  return elf;
}

// The shape of a kernel as Debian's linker makes it: linked high, loaded at 16 MiB, entry physical.
ElfBuilder Vmlinux() {
  ElfBuilder elf;
  elf.header.e_entry = 0x1000070;
  elf.Add(PT_LOAD, 0x1000000, std::string(0x200, '\x90')).p_vaddr = 0xffffffff81000000;
  Elf64_Phdr& data = elf.Add(PT_LOAD, 0x2800000, "data", PF_R | PF_W);
  data.p_vaddr = 0xffffffff82800000;
  data.p_memsz = 0x400000;
  elf.Add(PT_LOAD, 0x2c00000, "percpu", PF_R | PF_W).p_vaddr = 0;
  Elf64_Phdr& init = elf.Add(PT_LOAD, 0x2c34000, "init", PF_R | PF_W | PF_X);
  init.p_vaddr = 0xffffffff82c34000;
  init.p_memsz = 0x800000;
  elf.AddNote("Linux", 0x101, ElfBuilder::Bytes(uint32_t{0}));
  return elf;
}

TEST(PvhLoader, EntersWhereTheNoteOf4BytesSays) {
  VMWIRE_ASSERT_OK_AND_ASSIGN(const GuestImage image,
                              Load(LoadPvh, WithNote<Elf32Builder>(uint32_t{0x100010}).Build()));
  EXPECT_EQ(image.format, ImageFormat::kPvh);
  EXPECT_EQ(image.start, StartMode::kProtected32);
  EXPECT_EQ(image.entry, GuestAddress(0x100010));
  EXPECT_EQ(image.segments.size(), 1u);
}

TEST(PvhLoader, EntersWhereTheNoteOf8BytesSays) {
  VMWIRE_ASSERT_OK_AND_ASSIGN(const GuestImage image,
                              Load(LoadPvh, WithNote<ElfBuilder>(uint64_t{0x100020}).Build()));
  EXPECT_EQ(image.entry, GuestAddress(0x100020));
}

TEST(PvhLoader, SaysWhereTheNoteLies) {
  VMWIRE_ASSERT_OK_AND_ASSIGN(const GuestImage image,
                              Load(LoadPvh, WithNote<ElfBuilder>(uint64_t{0x100000}).Build()));
  const uint64_t offset = sizeof(Elf64_Ehdr) + 2 * sizeof(Elf64_Phdr) + 64 + 16;
  EXPECT_THAT(image.findings,
              testing::ElementsAre(absl::StrFormat(
                  "PVH entry note (owner \"Xen\", type 18) at file offset 0x%x", offset)));
}

TEST(PvhLoader, ALinuxTakesTheCommandLineOfALinux) {
  ElfBuilder elf = WithNote<ElfBuilder>(uint64_t{0x100000});
  elf.AddNote("Linux", 0x101, ElfBuilder::Bytes(uint32_t{0}));
  VMWIRE_ASSERT_OK_AND_ASSIGN(const GuestImage image, Load(LoadPvh, elf.Build()));
  EXPECT_EQ(image.linux_setup.command_line_size, 2047u);
  EXPECT_THAT(Describe(image), HasSubstr("\ntakes         at most 2047 bytes of command line; "));
}

TEST(PvhLoader, AnotherKernelTakesWhatThereIsRoomFor) {
  VMWIRE_ASSERT_OK_AND_ASSIGN(const GuestImage image,
                              Load(LoadPvh, WithNote<ElfBuilder>(uint64_t{0x100000}).Build()));
  EXPECT_THAT(Describe(image), HasSubstr("\ntakes         at most 4095 bytes of command line; "));
}

TEST(PvhLoader, RefusesAnImageWithoutNote) {
  ElfBuilder elf;
  elf.AddCode();
  ExpectRefused(Load(LoadPvh, elf.Build()), "no PVH entry");
}

TEST(PvhLoader, RefusesANoteOfAnotherSize) {
  ExpectRefused(Load(LoadPvh, WithNote<ElfBuilder>(uint16_t{1}).Build()),
                "the PVH entry note has 2 bytes; it has 4 or 8");
}

TEST(PvhLoader, RefusesAnEntryAbove4GiB) {
  ExpectRefused(Load(LoadPvh, WithNote<ElfBuilder>(uint64_t{0x100100000}).Build()),
                "the PVH entry 0x100100000 is not below 4 GiB");
}

TEST(PvhLoader, RefusesAnEntryOutside) {
  ExpectRefused(Load(LoadPvh, WithNote<ElfBuilder>(uint32_t{0x100040}).Build()),
                "the PVH entry 0x100040 lies in no executable segment");
}

TEST(PvhLoader, RefusesASecondEntry) {
  ElfBuilder elf = WithNote<ElfBuilder>(uint32_t{0x100000});
  elf.AddNote("Xen", 18, ElfBuilder::Bytes(uint32_t{0x100010}));
  ExpectRefused(Load(LoadPvh, elf.Build()), "a second PVH entry note");
}

TEST(PvhLoader, RefusesEveryTruncation) {
  const std::vector<std::byte> file = WithNote<Elf32Builder>(uint32_t{0x100010}).Build();
  for (size_t size = 0; size < file.size(); ++size) {
    ExpectRefused(Load(LoadPvh, std::vector<std::byte>(file.data(), file.data() + size)), "");
  }
}

TEST(PvhLoader, RefusesAFileThatIsNotElf) {
  ExpectRefused(Load(LoadPvh, std::vector<std::byte>(4096)), "the ELF magic");
}

TEST(PvhLoader, StartsInProtectedModeOnly) {
  const std::vector<std::byte> file = WithNote<ElfBuilder>(uint32_t{0x100000}).Build();
  EXPECT_THAT(Load(LoadPvh, file, StartMode::kProtected32), IsOk());
  EXPECT_THAT(Load(LoadPvh, file, StartMode::kLong64Ring0),
              StatusIs(absl::StatusCode::kInvalidArgument,
                       HasSubstr("a PVH image starts in protected32, not in long64-ring0")));
}

TEST(VmlinuxLoader, EntersAtThePhysicalEntry) {
  VMWIRE_ASSERT_OK_AND_ASSIGN(const GuestImage image, Load(LoadVmlinux, Vmlinux().Build()));
  EXPECT_EQ(image.format, ImageFormat::kVmlinux);
  EXPECT_EQ(image.start, StartMode::kLong64Ring0);
  EXPECT_EQ(image.entry, GuestAddress(0x1000070));
  ASSERT_EQ(image.segments.size(), 4u);
  EXPECT_EQ(image.segments[2].address, GuestAddress(0x2c00000));
  EXPECT_EQ(image.end_address(), GuestAddress(0x3434000));
  EXPECT_EQ(image.linux_setup.command_line_size, 2047u);
  EXPECT_EQ(image.linux_setup.initrd_address_max, 0x7fffffffu);
}

TEST(VmlinuxLoader, TranslatesAVirtualEntry) {
  ElfBuilder elf = Vmlinux();
  elf.header.e_entry = 0xffffffff81000070;
  VMWIRE_ASSERT_OK_AND_ASSIGN(const GuestImage image, Load(LoadVmlinux, elf.Build()));
  EXPECT_EQ(image.entry, GuestAddress(0x1000070));
}

TEST(VmlinuxLoader, RefusesAnEntryOutside) {
  for (const uint64_t entry : {uint64_t{0}, uint64_t{0x1000200}, UINT64_MAX}) {
    ElfBuilder elf = Vmlinux();
    elf.header.e_entry = entry;
    ExpectRefused(Load(LoadVmlinux, elf.Build()), absl::StrFormat("the entry 0x%x lies", entry));
  }
}

TEST(VmlinuxLoader, RefusesElf32) {
  Elf32Builder elf;
  elf.AddCode();
  ExpectRefused(Load(LoadVmlinux, elf.Build()), "a vmlinux without PVH entry note must be ELF64");
}

TEST(VmlinuxLoader, StartsInLongModeOnly) {
  EXPECT_THAT(Load(LoadVmlinux, Vmlinux().Build(), StartMode::kProtected32),
              StatusIs(absl::StatusCode::kInvalidArgument,
                       HasSubstr("a Linux vmlinux image starts in long64-ring0")));
}

}  // namespace
}  // namespace vmwire
