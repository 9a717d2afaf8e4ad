// The devices of a machine that do DMA: each with its port to guest memory, its interrupt line, its
// window in the MMIO hole and its doorbell.
//
//   Open: files and devices, before anything is wired      Connect: to KVM and the bus
//   DmaSpace <- DmaPort <- device <- transport <- Doorbell (ioeventfd), Bus window
//                                             \-> IrqfdLine -> GSI
//
// Invariants: windows are kDeviceWindowSize each, from kDeviceWindowsStart on, in the order disks,
// rng, console, balloon, DMA engine; the table that the guest gets says the same. A device is gone
// before its port, and a port before the space.
// Thread safety: one thread makes and destroys it, with no vCPU running; the devices have threads
// of their own.
#ifndef VMWIRE_VMM_MACHINE_DEVICES_H_
#define VMWIRE_VMM_MACHINE_DEVICES_H_

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "devices/bus.h"
#include "devices/device_log.h"
#include "devices/dma_engine/dma_engine.h"
#include "devices/dma_port.h"
#include "devices/dma_space.h"
#include "devices/interrupt_line.h"
#include "devices/virtio/console/virtio_console.h"
#include "devices/virtio/virtio_device.h"
#include "devices/virtio/virtio_mmio.h"
#include "memory/host_memory.h"
#include "memory/vm_map.h"
#include "memory/wire_policy.h"
#include "vmm/device_config.h"
#include "vmm/doorbell.h"
#include "vmm/guest_layout.h"
#include "vmm/interrupt_controller.h"
#include "vmm/vm.h"

namespace vmwire {

// What devices take from outside and give to it.
struct DeviceHooks {
  // What the guest writes to its virtio console; called on that device's thread.
  std::function<void(std::span<const std::byte>)> console = [](std::span<const std::byte>) {};
  // What the guest reads from it; -1: nothing. Stays the caller's.
  int console_input = -1;
  // Lines on guests that break the rules.
  std::function<void(const std::string&)> log = [](const std::string&) {};
};

// The counts of one device, for the summary of a run.
struct DeviceSummary {
  std::string name;
  std::vector<DeviceCounter> counters;
};

// The table that a machine of `config` gives its guest, on a KVM that has an interrupt line for
// each device: what is known before KVM is asked.
std::vector<BootInfoDevice> ExpectedDevices(const DeviceConfig& config);

class MachineDevices {
 public:
  // Opens what the devices stand on. InvalidArgument: the policy lets no device reach memory, or
  // there are more devices than windows. Errors of DiskFile::Open; ResourceExhausted: no
  // descriptors. REQUIRES: `host` and `map` outlive the object; the map's memory lies in `memory`.
  static absl::StatusOr<std::unique_ptr<MachineDevices>> Open(const DeviceConfig& config,
                                                              WirePolicyKind policy,
                                                              HostMemory& host, VmMap& map,
                                                              const GuestRange& memory,
                                                              DeviceHooks hooks);
  MachineDevices(const MachineDevices&) = delete;
  MachineDevices& operator=(const MachineDevices&) = delete;

  // Gives each device its window in `mmio`, and its line and doorbell where this KVM has them: it
  // polls, or exits, otherwise. ResourceExhausted: no descriptors, or no room in KVM.
  // REQUIRES: called once, before the first vCPU runs; `vm` and `mmio` outlive the object.
  absl::Status Connect(const Vm& vm, const InterruptController& interrupts, Bus& mmio);

  // What the guest is told of them. REQUIRES: Connect succeeded.
  const std::vector<BootInfoDevice>& table() const { return table_; }

  // The counts of all, with those of their ports and of the leases of on-demand. REQUIRES: Connect
  // succeeded.
  std::vector<DeviceSummary> Summarize() const;

  // The size of the virtio console, in characters; nothing without one. Thread-safe.
  void ResizeConsole(uint16_t cols, uint16_t rows);

  DmaSpace& space() { return space_; }

 private:
  // One device. The members die in reverse: the doorbell first, the line last.
  struct Entry {
    std::string name;
    std::unique_ptr<InterruptLine> line;
    std::unique_ptr<DmaPort> port;
    std::unique_ptr<VirtioDevice> device;  // Null: the DMA engine.
    std::unique_ptr<VirtioMmio> transport;
    std::unique_ptr<DmaEngine> engine;
    std::optional<Doorbell> doorbell;
  };

  MachineDevices(HostMemory& host, VmMap& map, const GuestRange& memory,
                 const DmaSpace::Options& options, DeviceHooks hooks)
      : hooks_(std::move(hooks)), log_(hooks_.log), space_(host, map, memory, options) {}

  absl::Status OpenAll(const DeviceConfig& config);
  absl::Status OpenDisk(const DiskConfig& config, size_t number);
  void Add(std::string name, std::unique_ptr<DmaPort> port, std::unique_ptr<VirtioDevice> device);
  absl::Status ConnectOne(const Vm& vm, const InterruptController& interrupts, Bus& mmio,
                          Entry& entry);
  DeviceSummary SummaryOf(const Entry& entry) const;

  const DeviceHooks hooks_;
  DeviceLog log_;
  DmaSpace space_;
  std::vector<Entry> entries_;
  VirtioConsole* console_ = nullptr;  // Of entries_; null: there is none.
  std::vector<BootInfoDevice> table_;
};

}  // namespace vmwire

#endif  // VMWIRE_VMM_MACHINE_DEVICES_H_
