#include "vmm/machine.h"

#include <string>
#include <utility>

#include "absl/strings/str_format.h"
#include "memory/guarded_pinner.h"
#include "memory/mlock_pinner.h"
#include "memory/pin_verifier.h"
#include "memory/status_macros.h"
#include "memory/uring_pinner.h"
#include "memory/wire_limits.h"
#include "vmm/boot/boot_plan.h"
#include "vmm/boot/boot_structures.h"
#include "vmm/boot/exception_report.h"
#include "vmm/cpu_setup.h"
#include "vmm/cpuid_policy.h"
#include "vmm/firmware/acpi_tables.h"
#include "vmm/firmware/mp_table.h"
#include "vmm/machine_errors.h"
#include "vmm/machine_facts.h"

namespace vmwire {
namespace {

// What no CPU exceeds (Intel SDM volume 3, 4.1.4).
constexpr uint32_t kMostAddressBits = 52;

std::unique_ptr<Pinner> MakePinner(const MachineHost& host, PinLevel level) {
  const PopulateOptions populate{.max_threads = static_cast<uint32_t>(host.limits.usable_cpus)};
  const uint64_t max_extents = MaxLockedExtents(host.limits.max_map_count);
  switch (level) {
    case PinLevel::kResident:
      return std::make_unique<MlockPinner>(host.memory, populate, max_extents);
    case PinLevel::kPinned:
      return std::make_unique<UringPinner>(host.memory, populate);
    case PinLevel::kGuarded:
      break;
  }
  return std::make_unique<GuardedPinner>(host.memory, populate, max_extents);
}

// What of `limits` is a limit to wiring memory of that backing.
HostLimits LimitsOf(MemoryBacking backing, HostLimits limits) {
  if (backing != MemoryBacking::kHugetlb) return limits;
  // Pages of the pool were taken from the host's memory before; those of this guest are reserved
  // when they are mapped, and no memory cgroup is charged for them.
  limits.memory_available += limits.hugetlb_2m_free * kHugePageSize;
  limits.cgroup.reset();
  return limits;
}

WirePolicy MakePolicy(const MachineConfig& config, const GuestImage& image) {
  switch (config.wire) {
    case WirePolicyKind::kAll:
      return WirePolicy::All();
    case WirePolicyKind::kOnDemand:
      return WirePolicy::OnDemand();
    case WirePolicyKind::kNone:
      return WirePolicy::None();
    case WirePolicyKind::kDma:
      break;
  }
  std::vector<GuestRange> windows = image.dma_windows;
  windows.insert(windows.end(), config.dma_windows.begin(), config.dma_windows.end());
  return WirePolicy::Dma(std::move(windows));
}

// Only the policy that wires and unwires while the guest runs has use for a cache.
PinCacheOptions CacheOf(const MachineConfig& config) {
  if (config.wire != WirePolicyKind::kOnDemand) return {};
  return {.capacity_bytes = config.devices.dma_keep_bytes};
}

// InvalidArgument if a window cuts a page of the pool, which can be wired whole only.
absl::Status CheckWindowPages(const WirePolicy& policy, MemoryBacking backing) {
  if (backing != MemoryBacking::kHugetlb) return absl::OkStatus();
  for (const GuestRange& window : policy.windows()) {
    if (IsAligned(window.start().value(), kHugePageSize) &&
        IsAligned(window.size(), kHugePageSize)) {
      continue;
    }
    return absl::InvalidArgumentError(
        absl::StrFormat("the DMA window %s is not whole pages of 2 MiB, which backing=hugetlb has",
                        window.ToString()));
  }
  return absl::OkStatus();
}

}  // namespace

Machine::Machine(const MachineConfig& config, bool is_pc, const MachineHost& host,
                 MachineHooks hooks, Timeline& timeline)
    : config_(config),
      is_pc_(is_pc),
      host_(host),
      hooks_(std::move(hooks)),
      timeline_(timeline),
      budget_(
          WireLimits(LimitsOf(config.backing, host.limits), config.pin_level, config.wire_limit)),
      pinner_(MakePinner(host, config.pin_level)),
      pins_(*pinner_, budget_, CacheOf(config)),
      map_(pins_, VmMap::Options{}),
      memory_(map_),
      ports_("port I/O", kPortSpaceSize),
      mmio_("MMIO", kMmioSpaceSize) {}

absl::StatusOr<std::unique_ptr<Machine>> Machine::Create(const MachineConfig& config,
                                                         const GuestImage& image,
                                                         const MachineHost& host,
                                                         MachineHooks hooks, Timeline& timeline) {
  const bool is_pc = ProtocolOf(image.format) != BootProtocol::kVmwire;
  std::unique_ptr<Machine> machine(new Machine(config, is_pc, host, std::move(hooks), timeline));
  VMWIRE_RETURN_IF_ERROR(machine->CheckConfig(image));
  VMWIRE_RETURN_IF_ERROR(OfKvm(machine->OpenKvm()));
  timeline.Mark(Step::kOpen);
  VMWIRE_RETURN_IF_ERROR(OfMapping(machine->MapMemory(), config));
  VMWIRE_RETURN_IF_ERROR(machine->OpenDevices());
  timeline.Mark(Step::kMap);
  absl::StatusOr<std::vector<SlotBacking>> backings = machine->WireMemory(image);
  if (!backings.ok()) return OfWiring(backings.status(), config);
  timeline.Mark(Step::kWire);
  VMWIRE_RETURN_IF_ERROR(machine->LoadImage(image));
  timeline.Mark(Step::kLoad);
  VMWIRE_RETURN_IF_ERROR(OfKvm(machine->InstallSlots(*std::move(backings))));
  timeline.Mark(Step::kSlot);
  VMWIRE_RETURN_IF_ERROR(OfKvm(machine->PrepareCpus()));
  return machine;
}

absl::Status Machine::CheckConfig(const GuestImage& image) const {
  // The CPU may address less; MapMemory asks it.
  VMWIRE_ASSIGN_OR_RETURN(const GuestLayout layout,
                          GuestLayout::Create(config_.memory_bytes, kMostAddressBits));
  VMWIRE_RETURN_IF_ERROR(CheckFits(image, layout));
  VMWIRE_RETURN_IF_ERROR(CheckCpuConfig(config_));
  if (is_pc_) {
    const std::vector<BootInfoDevice> devices = ExpectedDevices(config_.devices);
    const MachineFacts facts{.layout = layout,
                             .cpus = config_.cpus,
                             .devices = devices,
                             .devices_on_command_line = config_.devices_on_command_line};
    VMWIRE_RETURN_IF_ERROR(PlanBoot(image, facts).status());
  }
  const WirePolicy policy = MakePolicy(config_, image);
  VMWIRE_RETURN_IF_ERROR(policy.CheckWindows(layout.ram()));
  VMWIRE_RETURN_IF_ERROR(CheckWindowPages(policy, config_.backing));
  return CheckHostCanGive(config_.memory_bytes);
}

absl::Status Machine::OpenKvm() {
  VMWIRE_ASSIGN_OR_RETURN(system_, System::Open(host_.kvm));
  VMWIRE_ASSIGN_OR_RETURN(supported_cpuid_, system_->SupportedCpuid());
  VMWIRE_ASSIGN_OR_RETURN(vm_, Vm::Create(*system_));
  slot_table_.emplace(*vm_);
  // Before the vCPUs, which get their local APICs from it.
  if (config_.irqchip || is_pc_ || config_.cpus > 1 || config_.devices.Count() > 0) {
    VMWIRE_ASSIGN_OR_RETURN(interrupt_controller_, CreateInterruptController(*vm_));
  }
  return CreateCpus();
}

absl::Status Machine::CreateCpus() {
  if (config_.cpus > 1 && !interrupt_controller_.has_irqchip) {
    return absl::UnimplementedError(
        "this KVM has no interrupt controller (KVM_CAP_IRQCHIP), without which a machine has one "
        "CPU only; use --cpus 1");
  }
  VMWIRE_RETURN_IF_ERROR(CheckCpuCount(*system_, config_.cpus));
  VMWIRE_RETURN_IF_ERROR(vm_->kvm().SetTssAddress(vm_->fd(), kKvmTssAddress));
  for (uint32_t id = 0; id < config_.cpus; ++id) {
    VMWIRE_ASSIGN_OR_RETURN(std::unique_ptr<Vcpu> vcpu, Vcpu::Create(*vm_, id));
    vcpus_.push_back(std::move(vcpu));
  }
  return absl::OkStatus();
}

absl::Status Machine::RegisterDevices() {
  VMWIRE_ASSIGN_OR_RETURN(serial_line_, ConnectLine(*vm_, interrupt_controller_, kSerialIrq));
  interrupt_pins_.emplace(*vm_, interrupt_controller_);
  pc_ = std::make_unique<PcDevices>(PcDevices::Options{.serial = hooks_.serial,
                                                       .debug_console = hooks_.serial,
                                                       .memory = MemorySizesOf(*layout_)},
                                    exit_latch_, *serial_line_.line, *interrupt_pins_);
  return pc_->Register(ports_, mmio_);
}

absl::Status Machine::OpenDevices() {
  VMWIRE_RETURN_IF_ERROR(OfKvm(RegisterDevices()));
  const std::vector<GuestRange>& ram = layout_->ram();
  VMWIRE_ASSIGN_OR_RETURN(
      devices_, MachineDevices::Open(config_.devices, config_.wire, host_.memory, map_,
                                     GuestRange::Between(ram.front().start(), ram.back().end()),
                                     hooks_.devices));
  return OfKvm(devices_->Connect(*vm_, interrupt_controller_, mmio_));
}

absl::Status Machine::MapMemory() {
  VMWIRE_ASSIGN_OR_RETURN(
      layout_, GuestLayout::Create(config_.memory_bytes, GuestAddressBits(supported_cpuid_)));
  VMWIRE_ASSIGN_OR_RETURN(object_, CreateObject());
  // One object behind all ranges: the hole is a multiple of 2 MiB, so that every range stays
  // congruent.
  uint64_t offset = 0;
  for (const GuestRange& range : layout_->ram()) {
    VMWIRE_RETURN_IF_ERROR(map_.Map(range, object_, offset, Protection::kAll));
    offset += range.size();
  }
  return absl::OkStatus();
}

absl::StatusOr<std::shared_ptr<VmObject>> Machine::CreateObject() {
  if (config_.backing != MemoryBacking::kGuestMemfd) {
    return VmObject::Create(host_.memory, {.size = config_.memory_bytes,
                                           .backing = config_.backing,
                                           .huge_pages = config_.huge_pages,
                                           .sealed = config_.sealed});
  }
  absl::StatusOr<int> file = vm_->CreateGuestMemfd(config_.memory_bytes);
  if (!file.ok()) return OfKvm(file.status());
  absl::StatusOr<std::shared_ptr<VmObject>> object = VmObject::FromFile(
      host_.memory, *file, config_.backing, config_.memory_bytes, GuestAddress(0));
  host_.memory.CloseFile(*file);  // The object has its own.
  return object;
}

absl::Status Machine::CheckHostCanGive(uint64_t bytes) const {
  uint64_t limit = host_.limits.memory_total + host_.limits.swap_total;
  std::string name = "the host's memory and swap";
  if (host_.limits.cgroup.has_value() && host_.limits.cgroup->limit < limit) {
    limit = host_.limits.cgroup->limit;
    name = "the memory cgroup " + host_.limits.cgroup->path;
  }
  if (bytes <= limit) return absl::OkStatus();
  return absl::ResourceExhaustedError(absl::StrFormat(
      "guest memory of %d bytes is more than %s has, %d bytes; use a smaller --memory size", bytes,
      name, limit));
}

absl::StatusOr<std::vector<SlotBacking>> Machine::WireMemory(const GuestImage& image) {
  const WirePolicy policy = MakePolicy(config_, image);
  uint64_t total = 0;
  for (const GuestRange& range : layout_->ram()) total += policy.BytesToWire(range);
  // What cannot fit as a whole is refused before the first range is faulted in. (DMA windows may
  // share pages: only the wiring can tell.)
  if (policy.kind() == WirePolicyKind::kAll) VMWIRE_RETURN_IF_ERROR(budget_.CheckFits(total));

  uint64_t done_before = 0;
  WireProgress of_all;
  if (hooks_.progress) {
    of_all = [&](uint64_t done, uint64_t) { return hooks_.progress(done_before + done, total); };
  }
  std::vector<SlotBacking> backings;
  for (const GuestRange& range : layout_->ram()) {
    VMWIRE_ASSIGN_OR_RETURN(SlotBacking backing, policy.Apply(map_, range, of_all));
    backings.push_back(std::move(backing));
    done_before += policy.BytesToWire(range);
  }
  return backings;
}

absl::Status Machine::LoadImage(const GuestImage& image) {
  const MachineFacts facts{
      .layout = *layout_,
      // A host that does not say how fast its clock is leaves the guest to do without.
      .tsc_khz = vcpus_.front()->GetTscKhz().value_or(0),
      .cpus = config_.cpus,
      .devices = devices_->table(),
      // They tell of the interrupt controllers first of all.
      .firmware_tables = interrupt_controller_.has_irqchip,
      .devices_on_command_line = config_.devices_on_command_line};
  VMWIRE_RETURN_IF_ERROR(WriteImage(image, memory_));
  if (!is_pc_) {
    start_ = OwnStartState(image);
    return WriteBootStructures(*layout_, image, facts.tsc_khz, facts.devices, memory_);
  }
  VMWIRE_ASSIGN_OR_RETURN(const BootPlan plan, PlanBoot(image, facts));
  start_ = plan.start;
  VMWIRE_RETURN_IF_ERROR(WriteBootPlan(plan, image, memory_));
  if (!facts.firmware_tables) return absl::OkStatus();
  for (const BootBlock& block : MakeAcpiTables(facts)) {
    VMWIRE_RETURN_IF_ERROR(memory_.Write(block.address, block.bytes));
  }
  const BootBlock mp_table = MakeMpTable(facts);
  return memory_.Write(mp_table.address, mp_table.bytes);
}

absl::Status Machine::InstallSlots(std::vector<SlotBacking> backings) {
  for (SlotBacking& backing : backings) {
    VMWIRE_ASSIGN_OR_RETURN(MemorySlot slot, slot_table_->Install(std::move(backing)));
    slots_.push_back(std::move(slot));
  }
  return absl::OkStatus();
}

absl::Status Machine::PrepareCpus() {
  VMWIRE_ASSIGN_OR_RETURN(const CpuidPolicy policy,
                          MakeCpuidPolicy(*system_, interrupt_controller_, config_));
  for (const std::unique_ptr<Vcpu>& vcpu : vcpus_) {
    VMWIRE_RETURN_IF_ERROR(vcpu->SetCpuid(CpuidOf(supported_cpuid_, policy, vcpu->id())));
  }
  if (is_pc_) SetFirmwareMsrs(vcpus_);
  if (interrupt_controller_.has_irqchip && (is_pc_ || vcpus_.size() > 1)) {
    VMWIRE_RETURN_IF_ERROR(SetFirmwareApics(vcpus_));
  }
  // The others wait for the guest to start them.
  Vcpu& first = *vcpus_.front();
  VMWIRE_ASSIGN_OR_RETURN(const kvm_sregs reset, first.GetSregs());
  VMWIRE_RETURN_IF_ERROR(first.SetSregs(start_.SpecialRegisters(reset)));
  return first.SetRegs(start_.Registers());
}

PinProof Machine::VerifyPins() {
  const std::vector<GuestRange>& ram = layout_->ram();
  return PinVerifier(host_.memory)
      .Verify(map_, GuestRange::Between(ram.front().start(), ram.back().end()));
}

RunOutcome Machine::Run(StopRequest& stop) {
  CpuGroup cpus({.ports = ports_,
                 .mmio = mmio_,
                 .exit_latch = exit_latch_,
                 .memory = memory_,
                 .complete_emulation = config_.complete_emulation,
                 .completed = hooks_.completed,
                 .has_irqchip = interrupt_controller_.has_irqchip},
                vcpus_, stop);
  RunOutcome outcome = RunWithInput(cpus, stop);
  pc_->Flush();
  run_stats_ = cpus.stats();
  if (run_stats_.first_exit.has_value()) timeline_.Mark(Step::kFirstExit, *run_stats_.first_exit);
  timeline_.Mark(Step::kExit);
  if (outcome.kind == RunOutcome::Kind::kGuestException) DescribeException(outcome);
  return outcome;
}

RunOutcome Machine::RunWithInput(CpuGroup& cpus, StopRequest& stop) {
  // Our own tiny guests print whole lines, and need no thread to see to the rest.
  if (!is_pc_ && hooks_.serial_input < 0) return cpus.Run();
  const absl::StatusOr<std::unique_ptr<SerialPump>> pump = SerialPump::Start(
      pc_->serial(), {.input = hooks_.serial_input, .others = {&pc_->debug_console().output()}});
  if (!pump.ok()) {
    stop.Stop(StopRequest::kGuestEnded);
    return {RunOutcome::Kind::kRunFailed, 0, std::string(pump.status().message()) + "\n"};
  }
  return cpus.Run();
}

void Machine::DescribeException(RunOutcome& outcome) const {
  const absl::StatusOr<kvm_regs> registers = vcpus_[outcome.cpu]->GetRegs();
  const absl::StatusOr<kvm_sregs> sregs = vcpus_[outcome.cpu]->GetSregs();
  if (!registers.ok() || !sregs.ok()) return;  // The loop's own report names the vector.
  outcome.report = ReadExceptionReport(outcome.code, *registers, *sregs, memory_).ToString() + "\n";
}

}  // namespace vmwire
