#include "vmm/boot/linux_plan.h"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
#include <utility>
#include <vector>

#include "memory/status_macros.h"
#include "vmm/boot/bzimage_loader.h"
#include "vmm/boot/command_line.h"
#include "vmm/boot/descriptor_tables.h"
#include "vmm/boot/page_tables.h"
#include "vmm/firmware/memory_map.h"

namespace vmwire {
namespace {

// Fields of the zero page (zero-page.rst); from kSetupHeaderOffset on they are the setup header's.
constexpr uint64_t kZeroPageSize = 0x1000;
constexpr uint64_t kRsdpPointer = 0x070;
constexpr uint64_t kMemoryMapEntries = 0x1e8;
constexpr uint64_t kBootFlag = 0x1fe;
constexpr uint64_t kMagic = 0x202;
constexpr uint64_t kVersion = 0x206;
constexpr uint64_t kTypeOfLoader = 0x210;
constexpr uint64_t kLoadFlags = 0x211;
constexpr uint64_t kCode32Start = 0x214;
constexpr uint64_t kRamdiskImage = 0x218;
constexpr uint64_t kRamdiskSize = 0x21c;
constexpr uint64_t kCommandLinePointer = 0x228;
constexpr uint64_t kInitrdAddressMax = 0x22c;
constexpr uint64_t kKernelAlignment = 0x230;
constexpr uint64_t kCommandLineSize = 0x238;
constexpr uint64_t kMemoryMap = 0x2d0;
constexpr uint64_t kMemoryMapEntrySize = 20;

constexpr uint8_t kUnknownLoader = 0xff;
constexpr uint8_t kLoadedHigh = 1 << 0;
constexpr uint8_t kCanUseHeap = 1 << 7;

// A kernel that lies where it was linked does not look at it, but 0 would be no alignment.
constexpr uint32_t kVmlinuxAlignment = 0x1000000;

template <typename T>
void Put(std::vector<std::byte>& page, uint64_t offset, T value) {
  std::memcpy(page.data() + offset, &value, sizeof(value));
}

// The header that a bzImage has in its file, and vmlinux has not.
void PutVmlinuxHeader(const LinuxSetup& setup, std::vector<std::byte>& page) {
  Put<uint16_t>(page, kBootFlag, 0xaa55);
  Put<uint32_t>(page, kMagic, 0x53726448);  // "HdrS"
  Put<uint16_t>(page, kVersion, 0x020f);
  Put<uint8_t>(page, kLoadFlags, kLoadedHigh);
  Put<uint32_t>(page, kInitrdAddressMax, setup.initrd_address_max);
  Put<uint32_t>(page, kKernelAlignment, kVmlinuxAlignment);
  Put<uint32_t>(page, kCommandLineSize, setup.command_line_size);
}

void PutSetupHeader(const GuestImage& image, std::vector<std::byte>& page) {
  if (image.format == ImageFormat::kVmlinux) {
    PutVmlinuxHeader(image.linux_setup, page);
  } else {
    const std::vector<std::byte>& header = image.linux_setup.header;
    std::copy(header.begin(), header.end(), page.begin() + kSetupHeaderOffset);
  }
  Put<uint8_t>(page, kTypeOfLoader, kUnknownLoader);
  // The heap is the setup code's, which is not run.
  page[kLoadFlags] &= ~std::byte{kCanUseHeap};
  Put(page, kCode32Start, static_cast<uint32_t>(image.start_address().value()));
  Put(page, kCommandLinePointer, static_cast<uint32_t>(kCommandLineAddress.value()));
}

void PutInitrd(const GuestImage& image, std::span<const GuestAddress> places,
               std::vector<std::byte>& page) {
  // Without an initrd the fields are 0 too, whatever a bzImage has there. PlaceModules keeps all of
  // it below 3 GiB.
  const bool has_initrd = !places.empty();
  const uint64_t start = has_initrd ? places[0].value() : 0;
  const uint64_t size = has_initrd ? image.modules[0].bytes.size() : 0;
  Put(page, kRamdiskImage, static_cast<uint32_t>(start));
  Put(page, kRamdiskSize, static_cast<uint32_t>(size));
}

void PutMemoryMap(const GuestLayout& layout, std::vector<std::byte>& page) {
  const std::vector<MemoryMapEntry> map = MakeMemoryMap(layout);
  // A few: the zero page has room for 128.
  Put(page, kMemoryMapEntries, static_cast<uint8_t>(map.size()));
  for (uint64_t i = 0; i < map.size(); ++i) {
    const uint64_t at = kMemoryMap + i * kMemoryMapEntrySize;
    Put(page, at, map[i].start.value());
    Put(page, at + 8, map[i].size);
    Put(page, at + 16, static_cast<uint32_t>(map[i].type));
  }
}

BootBlock MakeZeroPage(const GuestImage& image, const MachineFacts& facts,
                       std::span<const GuestAddress> modules) {
  BootBlock page{.address = kZeroPageAddress, .bytes = std::vector<std::byte>(kZeroPageSize)};
  PutSetupHeader(image, page.bytes);
  PutInitrd(image, modules, page.bytes);
  PutMemoryMap(facts.layout, page.bytes);
  if (facts.firmware_tables) Put(page.bytes, kRsdpPointer, kRsdpAddress.value());
  return page;
}

}  // namespace

absl::StatusOr<BootPlan> PlanLinux(const GuestImage& image, const MachineFacts& facts) {
  VMWIRE_ASSIGN_OR_RETURN(BootBlock command_line,
                          MakeCommandLine(image.path, LinuxCommandLine(image, facts),
                                          image.linux_setup.command_line_size));
  VMWIRE_ASSIGN_OR_RETURN(std::vector<GuestAddress> modules, PlaceModules(image, facts.layout));
  std::vector<BootBlock> blocks;
  blocks.push_back(FlatGdt(image.start));
  blocks.push_back(MakeZeroPage(image, facts, modules));
  blocks.push_back(std::move(command_line));
  if (IsLongMode(image.start)) {
    blocks.push_back(MakePageTables(facts.layout, PageAccess::kSupervisor));
  }
  return BootPlan{.blocks = std::move(blocks),
                  .modules = std::move(modules),
                  .start = {.mode = image.start,
                            .entry = image.entry,
                            .segments = StartSegments::kFlat,
                            .rsi = kZeroPageAddress.value()}};
}

}  // namespace vmwire
