// ELF images as binutils reads them: an implementation that shares nothing with ours.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <string>
#include <vector>

#include "tests/support/process.h"
#include "tests/support/status_matchers.h"
#include "tests/vmm/boot/elf_builder.h"
#include "tests/vmm/boot/image_bytes.h"
#include "vmm/boot/guest_image.h"

namespace vmwire {
namespace {

// What readelf prints of a segment, and we have of it.
struct Segment {
  uint64_t offset;
  uint64_t address;
  uint64_t file_size;
  uint64_t memory_size;

  friend bool operator==(const Segment&, const Segment&) = default;
};

std::ostream& operator<<(std::ostream& out, const Segment& segment) {
  return out << std::hex << "offset " << segment.offset << " address " << segment.address
             << " file " << segment.file_size << " memory " << segment.memory_size;
}

struct Readelf {
  uint64_t entry = 0;
  std::vector<Segment> segments;  // In the order of their addresses; empty ones left out.
};

// Lines as `LOAD 0x001000 0xc0100000 0x00100000 0x00500 0x01000 R E 0x1000`, and
// `Entry point 0x100000`.
Readelf RunReadelf(const std::filesystem::path& path) {
  const ProcessResult result = Process::Run({"/usr/bin/env", "readelf", "-lW", path.string()});
  EXPECT_EQ(result.exit_status, 0) << result.err;
  Readelf read;
  std::istringstream lines(result.out);
  for (std::string line; std::getline(lines, line);) {
    std::istringstream words(line);
    std::string first, offset, virtual_address, physical_address, file_size, memory_size;
    words >> first >> offset >> virtual_address >> physical_address >> file_size >> memory_size;
    const auto number = [](const std::string& text) { return std::stoull(text, nullptr, 16); };
    if (first == "Entry") read.entry = number(virtual_address);
    if (first != "LOAD" || number(memory_size) == 0) continue;
    read.segments.push_back(
        {number(offset), number(physical_address), number(file_size), number(memory_size)});
  }
  std::sort(read.segments.begin(), read.segments.end(),
            [](const Segment& a, const Segment& b) { return a.address < b.address; });
  return read;
}

std::vector<Segment> SegmentsOf(const GuestImage& image) {
  std::vector<Segment> segments;
  for (const ImageSegment& segment : image.segments) {
    segments.push_back(
        {segment.file_offset, segment.address.value(), segment.file_size, segment.memory_size});
  }
  return segments;
}

bool IsElf(const std::filesystem::path& path) {
  std::string magic(4, '\0');
  std::ifstream(path, std::ios::binary).read(magic.data(), 4);
  return magic == std::string("\x7f") + "ELF";
}

class ElfReadelf : public ::testing::Test {
 protected:
  void SetUp() override {
    if (Process::Run({"/usr/bin/env", "readelf", "--version"}).exit_status != 0) {
      GTEST_SKIP() << "no readelf here (package binutils)";
    }
    std::string name = testing::TempDir() + "vmwire-readelf-XXXXXX";
    ASSERT_NE(mkdtemp(name.data()), nullptr);
    directory_ = name;
  }
  void TearDown() override {
    if (!directory_.empty()) std::filesystem::remove_all(directory_);
  }

  // Loads `file` and compares the segments; the entry too, for those that are entered at e_entry.
  void ExpectSame(const std::vector<std::byte>& file, bool with_entry) {
    const std::filesystem::path path = directory_ / "image";
    std::ofstream(path, std::ios::binary)
        .write(reinterpret_cast<const char*>(file.data()),
               static_cast<std::streamsize>(file.size()));
    VMWIRE_ASSERT_OK_AND_ASSIGN(const GuestImage image, LoadGuestImage(path.string(), {}));
    const Readelf read = RunReadelf(path);
    EXPECT_EQ(SegmentsOf(image), read.segments);
    if (with_entry) {
      EXPECT_EQ(image.entry.value(), read.entry);
    }
  }

  std::filesystem::path directory_;
};

template <typename Builder>
Builder TwoSegments(const std::string& code) {
  Builder elf;
  elf.AddCode(code).p_vaddr = 0x80100000;
  auto& data = elf.Add(PT_LOAD, 0x340000, "some data", PF_R | PF_W);
  data.p_memsz = 0x12345;
  return elf;
}

TEST_F(ElfReadelf, AgreesOnElf64) { ExpectSame(TwoSegments<ElfBuilder>("").Build(), true); }

TEST_F(ElfReadelf, AgreesOnElf32) { ExpectSame(TwoSegments<Elf32Builder>("").Build(), true); }

TEST_F(ElfReadelf, AgreesOnElf32OfMultiboot) {
  ExpectSame(TwoSegments<Elf32Builder>(ImageBytes(12).Multiboot1(0, 0).text()).Build(), true);
}

TEST_F(ElfReadelf, AgreesOnElf32OfPvh) {
  Elf32Builder elf = TwoSegments<Elf32Builder>("");
  elf.AddNote("Xen", 18, Elf32Builder::Bytes(uint32_t{0x100004}));
  ExpectSame(elf.Build(), false);
}

// The guests of this tree, when they have been built.
TEST_F(ElfReadelf, AgreesOnTheBuiltGuests) {
  const std::filesystem::path guests =
      std::filesystem::read_symlink("/proc/self/exe").parent_path().parent_path() / "guests";
  if (!std::filesystem::is_directory(guests)) GTEST_SKIP() << "no guests in " << guests;
  int compared = 0;
  for (const auto& entry : std::filesystem::directory_iterator(guests)) {
    if (!entry.is_regular_file() || !IsElf(entry.path())) continue;
    SCOPED_TRACE(entry.path());
    VMWIRE_ASSERT_OK_AND_ASSIGN(const GuestImage image, LoadGuestImage(entry.path().string(), {}));
    EXPECT_EQ(SegmentsOf(image), RunReadelf(entry.path()).segments);
    ++compared;
  }
  if (compared == 0) GTEST_SKIP() << "no ELF guests in " << guests;
}

}  // namespace
}  // namespace vmwire
