#include "vmm/boot/pvh_plan.h"

#include <cstddef>
#include <cstdint>
#include <span>
#include <utility>
#include <vector>

#include "memory/status_macros.h"
#include "vmm/boot/command_line.h"
#include "vmm/boot/descriptor_tables.h"
#include "vmm/boot/protocol_info.h"
#include "vmm/firmware/memory_map.h"

namespace vmwire {
namespace {

constexpr uint32_t kMagic = 0x336ec578;
constexpr uint32_t kVersion = 1;

// hvm_start_info.
constexpr uint64_t kStartInfoSize = 56;
constexpr uint64_t kMagicField = 0;
constexpr uint64_t kVersionField = 4;
constexpr uint64_t kModuleCount = 12;
constexpr uint64_t kModuleList = 16;
constexpr uint64_t kCommandLine = 24;
constexpr uint64_t kRsdp = 32;
constexpr uint64_t kMemoryMap = 40;
constexpr uint64_t kMemoryMapEntries = 48;

void AppendMemoryMap(const GuestLayout& layout, ProtocolInfo& info) {
  const std::vector<MemoryMapEntry> map = MakeMemoryMap(layout);
  info.Put(kMemoryMap, uint64_t{info.NextAddress()});
  info.Put(kMemoryMapEntries, static_cast<uint32_t>(map.size()));
  for (const MemoryMapEntry& entry : map) {
    info.Append<uint64_t>(entry.start.value());
    info.Append<uint64_t>(entry.size);
    info.Append<uint32_t>(static_cast<uint32_t>(entry.type));
    info.Append<uint32_t>(0);
  }
}

void AppendModules(const GuestImage& image, std::span<const GuestAddress> places,
                   ProtocolInfo& info) {
  if (places.empty()) return;
  std::vector<uint32_t> texts;
  for (const ImageModule& module : image.modules) {
    texts.push_back(module.command_line.empty() ? 0 : info.AppendString(module.command_line));
  }
  info.Align(sizeof(uint64_t));
  info.Put(kModuleCount, static_cast<uint32_t>(places.size()));
  info.Put(kModuleList, uint64_t{info.NextAddress()});
  for (size_t i = 0; i < places.size(); ++i) {
    info.Append<uint64_t>(places[i].value());
    info.Append<uint64_t>(image.modules[i].bytes.size());
    info.Append<uint64_t>(texts[i]);
    info.Append<uint64_t>(0);
  }
}

}  // namespace

absl::StatusOr<BootPlan> PlanPvh(const GuestImage& image, const MachineFacts& facts) {
  VMWIRE_ASSIGN_OR_RETURN(std::vector<GuestAddress> modules, PlaceModules(image, facts.layout));
  VMWIRE_ASSIGN_OR_RETURN(BootBlock command_line,
                          MakeCommandLine(image.path, LinuxCommandLine(image, facts),
                                          image.linux_setup.command_line_size));
  ProtocolInfo info;
  info.AppendZeros(kStartInfoSize);
  info.Put(kMagicField, kMagic);
  info.Put(kVersionField, kVersion);
  info.Put(kCommandLine, command_line.address.value());
  if (facts.firmware_tables) info.Put(kRsdp, kRsdpAddress.value());
  AppendMemoryMap(facts.layout, info);
  AppendModules(image, modules, info);
  VMWIRE_ASSIGN_OR_RETURN(BootBlock block, info.Finish(image.path));
  BootPlan plan;
  plan.blocks.push_back(FlatGdt(StartMode::kProtected32));
  plan.blocks.push_back(std::move(block));
  plan.blocks.push_back(std::move(command_line));
  plan.modules = std::move(modules);
  plan.start = {.mode = StartMode::kProtected32,
                .entry = image.entry,
                .segments = StartSegments::kFlat,
                .rbx = kProtocolInfoAddress.value()};
  return plan;
}

}  // namespace vmwire
