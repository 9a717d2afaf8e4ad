#include "vmm/machine_devices.h"

#include <array>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "devices/virtio/balloon/virtio_balloon.h"
#include "devices/virtio/block/disk_file.h"
#include "devices/virtio/block/virtio_block.h"
#include "devices/virtio/rng/virtio_rng.h"
#include "memory/status_macros.h"
#include "vmm/guest_line.h"

namespace vmwire {
namespace {

// Pins of the PICs that no device of ours has for good (9 is ACPI's), and those that the I/O APIC
// has beside them.
constexpr std::array<uint32_t, 17> kLines = {5,  6,  7,  10, 11, 12, 13, 14, 15,
                                             16, 17, 18, 19, 20, 21, 22, 23};

// The window of the device `index`, and the line that it asks for.
BootInfoDevice PlaceOf(size_t index, DeviceKind kind) {
  return {.kind = kind,
          .irq = index < kLines.size() ? kLines[index] : 0,
          .base = kDeviceWindowsStart.value() + index * kDeviceWindowSize,
          .size = kDeviceWindowSize};
}

absl::Status CheckPolicy(const DeviceConfig& config, WirePolicyKind policy) {
  // A console's emergency write and the doorbells work without, but nothing that is worth having.
  if (config.Count() == 0 || policy != WirePolicyKind::kNone) return absl::OkStatus();
  return absl::InvalidArgumentError(
      "--wire none lets no device reach guest memory; give the devices memory with --wire all, "
      "--wire dma or --wire on-demand");
}

}  // namespace

std::vector<BootInfoDevice> ExpectedDevices(const DeviceConfig& config) {
  std::vector<BootInfoDevice> devices;
  for (size_t i = 0; i < config.Count(); ++i) {
    const bool is_engine = config.dma_engine && i + 1 == config.Count();
    devices.push_back(PlaceOf(i, is_engine ? DeviceKind::kDmaEngine : DeviceKind::kVirtioMmio));
  }
  return devices;
}

absl::StatusOr<std::unique_ptr<MachineDevices>> MachineDevices::Open(const DeviceConfig& config,
                                                                     WirePolicyKind policy,
                                                                     HostMemory& host, VmMap& map,
                                                                     const GuestRange& memory,
                                                                     DeviceHooks hooks) {
  VMWIRE_RETURN_IF_ERROR(CheckPolicy(config, policy));
  if (config.Count() > kMaxBootInfoDevices) {
    return absl::InvalidArgumentError(absl::StrFormat(
        "%d devices are more than a machine can have, %d", config.Count(), kMaxBootInfoDevices));
  }
  DmaSpace::Options options;
  if (policy == WirePolicyKind::kOnDemand) options.on_demand_bytes = config.dma_keep_bytes;
  std::unique_ptr<MachineDevices> devices(
      new MachineDevices(host, map, memory, options, std::move(hooks)));
  VMWIRE_RETURN_IF_ERROR(devices->OpenAll(config));
  return devices;
}

absl::Status MachineDevices::OpenAll(const DeviceConfig& config) {
  for (size_t i = 0; i < config.disks.size(); ++i) {
    VMWIRE_RETURN_IF_ERROR(OpenDisk(config.disks[i], i));
  }
  if (config.rng) {
    auto port = space_.CreatePort("rng");
    auto device = std::make_unique<VirtioRng>(*port);
    Add("rng", std::move(port), std::move(device));
  }
  if (config.console) {
    auto port = space_.CreatePort("console");
    VMWIRE_ASSIGN_OR_RETURN(auto device,
                            VirtioConsole::Create(*port, hooks_.console, hooks_.console_input));
    console_ = device.get();
    Add("console", std::move(port), std::move(device));
  }
  if (config.balloon) {
    auto port = space_.CreatePort("balloon");
    VMWIRE_ASSIGN_OR_RETURN(auto device, VirtioBalloon::Create(*port));
    Add("balloon", std::move(port), std::move(device));
  }
  if (config.dma_engine) Add("dma-engine", space_.CreatePort("dma-engine"), nullptr);
  return absl::OkStatus();
}

absl::Status MachineDevices::OpenDisk(const DiskConfig& config, size_t number) {
  VMWIRE_ASSIGN_OR_RETURN(DiskFile file, DiskFile::Open(config.path, {.read_only = config.read_only,
                                                                      .direct = config.direct}));
  if (config.direct && !file.direct()) {
    hooks_.log(absl::StrCat(config.path,
                            ": its file system has no direct I/O; it goes through the page cache"));
  }
  if (file.trailing_bytes() != 0) {
    hooks_.log(absl::StrFormat("%s: its last %d bytes are no whole sector, and left out",
                               config.path, file.trailing_bytes()));
  }
  const std::string name = absl::StrCat("disk", number);
  auto port = space_.CreatePort(name);
  VMWIRE_ASSIGN_OR_RETURN(auto device,
                          VirtioBlock::Create(std::move(file), *port,
                                              {.serial = absl::StrCat("vmwire-", name),
                                               .registered_buffers = config.registered_buffers}));
  Add(name, std::move(port), std::move(device));
  return absl::OkStatus();
}

void MachineDevices::Add(std::string name, std::unique_ptr<DmaPort> port,
                         std::unique_ptr<VirtioDevice> device) {
  Entry entry;
  entry.name = std::move(name);
  entry.port = std::move(port);
  entry.device = std::move(device);
  entries_.push_back(std::move(entry));
}

absl::Status MachineDevices::Connect(const Vm& vm, const InterruptController& interrupts,
                                     Bus& mmio) {
  for (Entry& entry : entries_) VMWIRE_RETURN_IF_ERROR(ConnectOne(vm, interrupts, mmio, entry));
  return absl::OkStatus();
}

absl::Status MachineDevices::ConnectOne(const Vm& vm, const InterruptController& interrupts,
                                        Bus& mmio, Entry& entry) {
  BootInfoDevice place = PlaceOf(
      table_.size(), entry.device != nullptr ? DeviceKind::kVirtioMmio : DeviceKind::kDmaEngine);
  const GuestAddress base(place.base);
  VMWIRE_ASSIGN_OR_RETURN(GuestLine line, ConnectLine(vm, interrupts, place.irq));
  place.irq = line.irq;
  entry.line = std::move(line.line);

  const EventFd* event = nullptr;
  uint64_t notify = 0;
  if (entry.device != nullptr) {
    VMWIRE_ASSIGN_OR_RETURN(entry.transport,
                            VirtioMmio::Create(*entry.device, *entry.port, *entry.line, log_));
    VMWIRE_RETURN_IF_ERROR(mmio.Register(base.value(), kDeviceWindowSize, *entry.transport));
    event = &entry.transport->doorbell();
    notify = VirtioMmio::kNotifyOffset;
  } else {
    VMWIRE_ASSIGN_OR_RETURN(entry.engine, DmaEngine::Create(*entry.port, *entry.line, log_));
    VMWIRE_RETURN_IF_ERROR(mmio.Register(base.value(), kDeviceWindowSize, *entry.engine));
    event = &entry.engine->doorbell();
    notify = DmaEngine::kDoorbellOffset;
  }
  absl::StatusOr<Doorbell> doorbell =
      Doorbell::Create(vm, GuestAddress(base.value() + notify), *event);
  if (doorbell.ok()) {
    entry.doorbell.emplace(*std::move(doorbell));
  } else if (!absl::IsUnimplemented(doorbell.status())) {
    return doorbell.status();
  }
  table_.push_back(place);
  return absl::OkStatus();
}

void MachineDevices::ResizeConsole(uint16_t cols, uint16_t rows) {
  if (console_ != nullptr) console_->Resize(cols, rows);
}

std::vector<DeviceSummary> MachineDevices::Summarize() const {
  std::vector<DeviceSummary> summaries;
  for (const Entry& entry : entries_) summaries.push_back(SummaryOf(entry));
  if (const DmaLeaseStats leases = space_.lease_stats(); leases.misses != 0) {
    summaries.push_back({"on-demand",
                         {{"misses", leases.misses},
                          {"granules", leases.granules},
                          {"evictions", leases.evictions},
                          {"kept_bytes", leases.kept_bytes}}});
  }
  return summaries;
}

DeviceSummary MachineDevices::SummaryOf(const Entry& entry) const {
  const Device& model =
      entry.transport != nullptr ? static_cast<const Device&>(*entry.transport) : *entry.engine;
  DeviceSummary summary{entry.name, {}};
  if (entry.device != nullptr) {
    summary.counters = entry.device->Counters();
  } else {
    const DmaEngineStats stats = entry.engine->stats();
    summary.counters = {
        {"descriptors", stats.descriptors}, {"bytes", stats.bytes}, {"errors", stats.errors}};
  }
  const DmaPortStats port = entry.port->stats();
  summary.counters.insert(summary.counters.end(), {{"dma_mappings", port.mapped},
                                                   {"dma_refused", port.refused},
                                                   {"guest_errors", log_.errors(model.Name())}});
  return summary;
}

}  // namespace vmwire
