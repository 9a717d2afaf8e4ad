// A virtual machine, from its configuration to the end of its guest.
//
//   OpenKvm -> MapMemory -> WireMemory -> LoadImage -> InstallSlots -> PrepareCpus       then Run
//   KVM, VM,   VmMap::Map   WirePolicy::  GuestMemory, SlotTable::    registers,         CpuGroup
//   vCPUs                   Apply         boot tables  Install        CPUID
//
// Invariants: memory is wired as the policy says before its slot exists, and its slot exists before
// a vCPU runs: each step consumes what the one before it made. Teardown is the reverse, by the
// order of the members.
// Thread safety: one thread creates, runs and destroys it; StopRequest is the way in from others.
#ifndef VMWIRE_VMM_MACHINE_H_
#define VMWIRE_VMM_MACHINE_H_

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "devices/bus.h"
#include "devices/exit_latch.h"
#include "devices/serial/serial_16550.h"
#include "devices/serial/serial_pump.h"
#include "memory/guest_memory.h"
#include "memory/host_limits.h"
#include "memory/host_memory.h"
#include "memory/pin_proof.h"
#include "memory/pin_table.h"
#include "memory/pinner.h"
#include "memory/vm_map.h"
#include "memory/vm_object.h"
#include "memory/wire_budget.h"
#include "memory/wire_policy.h"
#include "vmm/boot/guest_image.h"
#include "vmm/boot/start_state.h"
#include "vmm/cpu_group.h"
#include "vmm/emulation/instruction_completer.h"
#include "vmm/guest_layout.h"
#include "vmm/guest_line.h"
#include "vmm/interrupt_controller.h"
#include "vmm/kvm_api.h"
#include "vmm/kvm_interrupt_pins.h"
#include "vmm/machine_config.h"
#include "vmm/machine_devices.h"
#include "vmm/memory_slot.h"
#include "vmm/pc_devices.h"
#include "vmm/run_loop.h"
#include "vmm/slot_table.h"
#include "vmm/system.h"
#include "vmm/timeline.h"
#include "vmm/vcpu.h"
#include "vmm/vm.h"

namespace vmwire {

// What a machine runs on.
struct MachineHost {
  HostMemory& memory;
  KvmApi& kvm;
  HostLimits limits;
};

// What a machine tells those outside. Each may be empty, but for `serial`.
struct MachineHooks {
  SerialSink serial;  // What the guest prints, on its serial port and its debug console.
  // What the guest reads from its serial port; -1: nothing. Stays the caller's.
  int serial_input = -1;
  // A line for each instruction that was done in KVM's stead; called on the vCPUs' threads.
  InstructionCompleter::Trace completed = {};
  WireProgress progress;     // How far the wiring is; false cancels it.
  DeviceHooks devices = {};  // What the devices that do DMA take and give.
};

class Machine {
 public:
  // Builds the machine up to the point where its guest can run.
  // InvalidArgument: the configuration, or the image does not fit it. ResourceExhausted: the host
  // cannot give the memory, or not wire it; the message has what is needed, used and allowed.
  // Unimplemented, PermissionDenied: KVM or the pin level is not to be had. Cancelled:
  // `hooks.progress` said stop. On failure nothing is left. REQUIRES: what `host` refers to and
  // `timeline` outlive the machine.
  static absl::StatusOr<std::unique_ptr<Machine>> Create(const MachineConfig& config,
                                                         const GuestImage& image,
                                                         const MachineHost& host,
                                                         MachineHooks hooks, Timeline& timeline);

  Machine(const Machine&) = delete;
  Machine& operator=(const Machine&) = delete;

  // Proves that what the policy wired is wired: a range for each, none for WirePolicyKind::kNone.
  // Guest memory keeps its bytes. REQUIRES: the guest does not run.
  PinProof VerifyPins();

  // Runs the guest until it ends, dies, or `stop` is requested; `stop` is requested afterwards in
  // any case. REQUIRES: called once.
  RunOutcome Run(StopRequest& stop);

  uint64_t wired_bytes() const { return map_.wired_pages() * kPageSize; }
  // The host memory behind all of guest memory. REQUIRES: Create succeeded.
  const HostRange& guest_host_range() const { return object_->host_range(); }
  const GuestLayout& layout() const { return *layout_; }
  // What there is of it; none unless the configuration asks for it, or has several CPUs or devices,
  // or the image expects a PC.
  const InterruptController& interrupt_controller() const { return interrupt_controller_; }
  const RunStats& run_stats() const { return run_stats_; }
  // What the guest touched and nothing answers: ports, then guest physical addresses.
  std::vector<AbsentAccess> absent_ports() const { return ports_.AbsentAccesses(); }
  std::vector<AbsentAccess> absent_mmio() const { return mmio_.AbsentAccesses(); }
  // The window in which the guest's console is seen has a new size, in characters. Thread-safe.
  void ResizeConsole(uint16_t cols, uint16_t rows) { devices_->ResizeConsole(cols, rows); }
  // The counts of the devices that do DMA.
  std::vector<DeviceSummary> SummarizeDevices() const { return devices_->Summarize(); }

 private:
  Machine(const MachineConfig& config, bool is_pc, const MachineHost& host, MachineHooks hooks,
          Timeline& timeline);

  // What can be refused without KVM, so that it is refused where there is none.
  absl::Status CheckConfig(const GuestImage& image) const;
  absl::Status OpenKvm();
  absl::Status CreateCpus();
  absl::Status MapMemory();
  absl::StatusOr<std::shared_ptr<VmObject>> CreateObject();
  absl::StatusOr<std::vector<SlotBacking>> WireMemory(const GuestImage& image);
  absl::Status LoadImage(const GuestImage& image);
  absl::Status InstallSlots(std::vector<SlotBacking> backings);
  absl::Status PrepareCpus();

  absl::Status CheckHostCanGive(uint64_t bytes) const;
  absl::Status RegisterDevices();
  absl::Status OpenDevices();
  // With what the guest reads from its serial port, and writes to it.
  RunOutcome RunWithInput(CpuGroup& cpus, StopRequest& stop);
  void DescribeException(RunOutcome& outcome) const;

  const MachineConfig config_;
  // Its image expects what a PC has, interrupt controller and firmware tables among it.
  const bool is_pc_;
  MachineHost host_;
  MachineHooks hooks_;
  Timeline& timeline_;

  WireBudget budget_;
  std::unique_ptr<Pinner> pinner_;
  PinTable pins_;
  std::shared_ptr<VmObject> object_;
  VmMap map_;
  GuestMemory memory_;
  std::optional<GuestLayout> layout_;

  std::unique_ptr<System> system_;
  std::unique_ptr<Vm> vm_;
  InterruptController interrupt_controller_;
  std::optional<SlotTable> slot_table_;
  std::vector<MemorySlot> slots_;
  std::vector<std::unique_ptr<Vcpu>> vcpus_;
  std::vector<kvm_cpuid_entry2> supported_cpuid_;
  StartState start_;

  ExitLatch exit_latch_;
  GuestLine serial_line_;
  std::optional<KvmInterruptPins> interrupt_pins_;
  std::unique_ptr<PcDevices> pc_;
  Bus ports_;
  Bus mmio_;
  // The last to come, the first to go: nothing of it touches guest memory once it is gone.
  std::unique_ptr<MachineDevices> devices_;
  RunStats run_stats_;
};

}  // namespace vmwire

#endif  // VMWIRE_VMM_MACHINE_H_
