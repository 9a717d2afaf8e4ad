#include "vmm/boot/multiboot_plan.h"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "memory/status_macros.h"
#include "vmm/boot/command_line.h"
#include "vmm/boot/descriptor_tables.h"
#include "vmm/boot/protocol_info.h"
#include "vmm/firmware/acpi_tables.h"
#include "vmm/firmware/memory_map.h"

namespace vmwire {
namespace {

constexpr uint32_t kMagic1 = 0x2badb002;  // In EAX.
constexpr uint32_t kMagic2 = 0x36d76289;
constexpr char kLoaderName[] = "vmwire";
constexpr uint64_t kKiB = 1024;

// The structure of version 1: its size with all fields, and those that are filled in.
constexpr uint64_t kInfoSize = 116;
constexpr uint64_t kFlags = 0;
constexpr uint64_t kMemoryLower = 4;
constexpr uint64_t kMemoryUpper = 8;
constexpr uint64_t kCommandLine = 16;
constexpr uint64_t kModuleCount = 20;
constexpr uint64_t kModules = 24;
constexpr uint64_t kMemoryMapSize = 44;
constexpr uint64_t kMemoryMap = 48;
constexpr uint64_t kLoaderNameField = 64;

constexpr uint32_t kHasMemory = 1 << 0;
constexpr uint32_t kHasCommandLine = 1 << 2;
constexpr uint32_t kHasModules = 1 << 3;
constexpr uint32_t kHasMemoryMap = 1 << 6;
constexpr uint32_t kHasLoaderName = 1 << 9;

// Types of the tags of version 2.
enum TagType : uint32_t {
  kEndTag = 0,
  kCommandLineTag = 1,
  kLoaderNameTag = 2,
  kModuleTag = 3,
  kMemoryTag = 4,
  kMemoryMapTag = 6,
  kOldRsdpTag = 14,
  kNewRsdpTag = 15,
};
constexpr uint64_t kTagAlignment = 8;
constexpr uint32_t kMemoryMapEntrySize = 24;
constexpr uint64_t kOldRsdpSize = 20;  // Of ACPI 1.0.

// Memory up to the first hole, in KiB: below 1 MiB, and from there on.
uint32_t LowerKiB() { return static_cast<uint32_t>(kLowMemoryEnd.value() / kKiB); }
uint32_t UpperKiB(const GuestLayout& layout) {
  return static_cast<uint32_t>((layout.ram().front().end().value() - kMiB) / kKiB);
}

uint32_t EndOf(const ImageModule& module, GuestAddress start) {
  // PlaceModules keeps all of it below 3 GiB.
  return static_cast<uint32_t>(start.value() + module.bytes.size());
}

void AppendMemoryMap1(const GuestLayout& layout, ProtocolInfo& info) {
  const std::vector<MemoryMapEntry> map = MakeMemoryMap(layout);
  info.Put(kMemoryMap, info.NextAddress());
  const uint64_t start = info.size();
  for (const MemoryMapEntry& entry : map) {
    // What follows, without the size itself.
    info.Append<uint32_t>(kMemoryMapEntrySize - sizeof(uint32_t));
    info.Append<uint64_t>(entry.start.value());
    info.Append<uint64_t>(entry.size);
    info.Append<uint32_t>(static_cast<uint32_t>(entry.type));
  }
  info.Put(kMemoryMapSize, static_cast<uint32_t>(info.size() - start));
}

void AppendModules1(const GuestImage& image, std::span<const GuestAddress> places,
                    ProtocolInfo& info) {
  std::vector<uint32_t> texts;
  for (const ImageModule& module : image.modules) {
    texts.push_back(info.AppendString(module.command_line));
  }
  info.Align(sizeof(uint32_t));
  info.Put(kModuleCount, static_cast<uint32_t>(image.modules.size()));
  info.Put(kModules, info.NextAddress());
  for (size_t i = 0; i < image.modules.size(); ++i) {
    info.Append(static_cast<uint32_t>(places[i].value()));
    info.Append(EndOf(image.modules[i], places[i]));
    info.Append(texts[i]);
    info.Append(uint32_t{0});
  }
}

void AppendStringTag(uint32_t type, const std::string& text, ProtocolInfo& info) {
  info.Append(type);
  info.Append(static_cast<uint32_t>(8 + text.size() + 1));
  info.AppendString(text);
  info.Align(kTagAlignment);
}

void AppendModuleTag(const ImageModule& module, GuestAddress start, ProtocolInfo& info) {
  info.Append<uint32_t>(kModuleTag);
  info.Append(static_cast<uint32_t>(16 + module.command_line.size() + 1));
  info.Append(static_cast<uint32_t>(start.value()));
  info.Append(EndOf(module, start));
  info.AppendString(module.command_line);
  info.Align(kTagAlignment);
}

void AppendMemoryTags(const GuestLayout& layout, ProtocolInfo& info) {
  info.Append<uint32_t>(kMemoryTag);
  info.Append<uint32_t>(16);
  info.Append(LowerKiB());
  info.Append(UpperKiB(layout));

  const std::vector<MemoryMapEntry> map = MakeMemoryMap(layout);
  info.Append<uint32_t>(kMemoryMapTag);
  info.Append(static_cast<uint32_t>(16 + map.size() * kMemoryMapEntrySize));
  info.Append(kMemoryMapEntrySize);
  info.Append<uint32_t>(0);  // The version of the entries.
  for (const MemoryMapEntry& entry : map) {
    info.Append<uint64_t>(entry.start.value());
    info.Append<uint64_t>(entry.size);
    info.Append<uint32_t>(static_cast<uint32_t>(entry.type));
    info.Append<uint32_t>(0);
  }
}

void AppendRsdpTag(uint32_t type, std::span<const std::byte> rsdp, ProtocolInfo& info) {
  info.Append(type);
  info.Append(static_cast<uint32_t>(8 + rsdp.size()));
  info.AppendBytes(rsdp);
  info.Align(kTagAlignment);
}

void AppendRsdpTags(const MachineFacts& facts, ProtocolInfo& info) {
  if (!facts.firmware_tables) return;
  const std::vector<BootBlock> tables = MakeAcpiTables(facts);
  const std::span<const std::byte> rsdp = tables.front().bytes;
  AppendRsdpTag(kOldRsdpTag, rsdp.first(std::min<uint64_t>(kOldRsdpSize, rsdp.size())), info);
  AppendRsdpTag(kNewRsdpTag, rsdp, info);
}

BootPlan MakePlan(const GuestImage& image, uint32_t magic, BootBlock info,
                  std::vector<GuestAddress> modules) {
  BootPlan plan;
  plan.blocks.push_back(FlatGdt(StartMode::kProtected32));
  plan.blocks.push_back(std::move(info));
  plan.modules = std::move(modules);
  plan.start = {.mode = StartMode::kProtected32,
                .entry = image.entry,
                .segments = StartSegments::kFlat,
                .rax = magic,
                .rbx = kProtocolInfoAddress.value()};
  return plan;
}

}  // namespace

absl::StatusOr<BootPlan> PlanMultiboot1(const GuestImage& image, const MachineFacts& facts) {
  VMWIRE_ASSIGN_OR_RETURN(std::vector<GuestAddress> modules, PlaceModules(image, facts.layout));
  VMWIRE_ASSIGN_OR_RETURN(BootBlock command_line,
                          MakeCommandLine(image.path, MultibootCommandLine(image), UINT64_MAX));
  ProtocolInfo info;
  info.AppendZeros(kInfoSize);
  info.Put(kFlags, kHasMemory | kHasCommandLine | kHasModules | kHasMemoryMap | kHasLoaderName);
  info.Put(kMemoryLower, LowerKiB());
  info.Put(kMemoryUpper, UpperKiB(facts.layout));
  info.Put(kCommandLine, static_cast<uint32_t>(command_line.address.value()));
  AppendMemoryMap1(facts.layout, info);
  AppendModules1(image, modules, info);
  info.Put(kLoaderNameField, info.AppendString(kLoaderName));
  VMWIRE_ASSIGN_OR_RETURN(BootBlock block, info.Finish(image.path));
  BootPlan plan = MakePlan(image, kMagic1, std::move(block), std::move(modules));
  plan.blocks.push_back(std::move(command_line));
  return plan;
}

absl::StatusOr<BootPlan> PlanMultiboot2(const GuestImage& image, const MachineFacts& facts) {
  VMWIRE_ASSIGN_OR_RETURN(std::vector<GuestAddress> modules, PlaceModules(image, facts.layout));
  const std::string command_line = MultibootCommandLine(image);
  VMWIRE_RETURN_IF_ERROR(CheckCommandLine(image.path, command_line, UINT64_MAX));
  ProtocolInfo info;
  info.AppendZeros(8);  // The total size, and a reserved field.
  AppendStringTag(kCommandLineTag, command_line, info);
  AppendStringTag(kLoaderNameTag, kLoaderName, info);
  for (size_t i = 0; i < image.modules.size(); ++i) {
    AppendModuleTag(image.modules[i], modules[i], info);
  }
  AppendMemoryTags(facts.layout, info);
  AppendRsdpTags(facts, info);
  info.Append<uint32_t>(kEndTag);
  info.Append<uint32_t>(8);
  info.Put(0, static_cast<uint32_t>(info.size()));
  VMWIRE_ASSIGN_OR_RETURN(BootBlock block, info.Finish(image.path));
  return MakePlan(image, kMagic2, std::move(block), std::move(modules));
}

}  // namespace vmwire
