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
#include "vmm/boot/boot_structures.h"
#include "vmm/boot/exception_report.h"
#include "vmm/boot/start_state.h"

namespace vmwire {
namespace {

// CPUID leaf whose EAX bits 0 to 7 are the bits of a guest physical address (Intel SDM volume 2,
// CPUID).
constexpr uint32_t kAddressSizesLeaf = 0x80000008;
// What no CPU exceeds (Intel SDM volume 3, 4.1.4).
constexpr uint32_t kMostAddressBits = 52;
// What a CPU without that leaf has.
constexpr uint32_t kDefaultAddressBits = 36;

uint32_t GuestAddressBits(const std::vector<kvm_cpuid_entry2>& cpuid) {
  for (const kvm_cpuid_entry2& entry : cpuid) {
    if (entry.function == kAddressSizesLeaf) return entry.eax & 0xff;
  }
  return kDefaultAddressBits;
}

// `status` with the options of ours that help.
absl::Status WithOptions(const absl::Status& status, const std::string& options) {
  if (options.empty()) return status;
  return absl::Status(status.code(),
                      std::string(status.message()) + "; options that help: " + options);
}

// An error of making and mapping guest memory.
absl::Status OfMapping(const absl::Status& status, const MachineConfig& config) {
  const bool is_plain = config.backing == MemoryBacking::kAnonymous;
  const bool has_thp = is_plain || config.backing == MemoryBacking::kMemfd;
  if (absl::IsResourceExhausted(status)) {
    return WithOptions(status, std::string("a smaller --memory size") +
                                   (is_plain ? "" : ", --memory backing=anonymous"));
  }
  if (absl::IsUnimplemented(status)) {
    return WithOptions(status, has_thp ? "--memory hugepages=none" : "--memory backing=anonymous");
  }
  return status;
}

// An error of wiring it.
absl::Status OfWiring(const absl::Status& status, const MachineConfig& config) {
  if (absl::IsResourceExhausted(status)) {
    return WithOptions(status,
                       std::string("a smaller --memory size, --wire none") +
                           (config.wire_limit.has_value() ? ", a larger --wire-limit" : ""));
  }
  if (absl::IsUnimplemented(status))
    return WithOptions(status, "--pin-level resident, --wire none");
  return status;
}

// An error of KVM at a call whose arguments are ours, not the user's.
absl::Status OfKvm(const absl::Status& status) {
  switch (status.code()) {
    case absl::StatusCode::kInvalidArgument:
    case absl::StatusCode::kNotFound:
    case absl::StatusCode::kAlreadyExists:
      return absl::InternalError("KVM refused what it should take: " +
                                 std::string(status.message()));
    default:
      return status;
  }
}

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

Machine::Machine(const MachineConfig& config, const MachineHost& host, MachineHooks hooks,
                 Timeline& timeline)
    : config_(config),
      host_(host),
      hooks_(std::move(hooks)),
      timeline_(timeline),
      budget_(
          WireLimits(LimitsOf(config.backing, host.limits), config.pin_level, config.wire_limit)),
      pinner_(MakePinner(host, config.pin_level)),
      pins_(*pinner_, budget_, CacheOf(config)),
      map_(pins_, VmMap::Options{}),
      memory_(map_),
      serial_(hooks_.serial),
      ports_("port I/O", kPortSpaceSize),
      mmio_("MMIO", kMmioSpaceSize) {}

absl::StatusOr<std::unique_ptr<Machine>> Machine::Create(const MachineConfig& config,
                                                         const GuestImage& image,
                                                         const MachineHost& host,
                                                         MachineHooks hooks, Timeline& timeline) {
  std::unique_ptr<Machine> machine(new Machine(config, host, std::move(hooks), timeline));
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
  VMWIRE_RETURN_IF_ERROR(OfKvm(machine->PrepareCpu(image)));
  return machine;
}

absl::Status Machine::CheckConfig(const GuestImage& image) const {
  // The CPU may address less; MapMemory asks it.
  VMWIRE_ASSIGN_OR_RETURN(const GuestLayout layout,
                          GuestLayout::Create(config_.memory_bytes, kMostAddressBits));
  VMWIRE_RETURN_IF_ERROR(CheckFits(image, layout));
  const WirePolicy policy = MakePolicy(config_, image);
  VMWIRE_RETURN_IF_ERROR(policy.CheckWindows(layout.ram()));
  VMWIRE_RETURN_IF_ERROR(CheckWindowPages(policy, config_.backing));
  return CheckHostCanGive(config_.memory_bytes);
}

absl::Status Machine::OpenKvm() {
  VMWIRE_ASSIGN_OR_RETURN(system_, System::Open(host_.kvm));
  VMWIRE_ASSIGN_OR_RETURN(cpuid_, system_->SupportedCpuid());
  VMWIRE_ASSIGN_OR_RETURN(vm_, Vm::Create(*system_));
  slot_table_.emplace(*vm_);
  // Before the vCPU, which gets its local APIC from it.
  if (config_.irqchip || config_.devices.Count() > 0) {
    VMWIRE_ASSIGN_OR_RETURN(interrupt_controller_, CreateInterruptController(*vm_));
  }
  VMWIRE_ASSIGN_OR_RETURN(vcpu_, Vcpu::Create(*vm_, 0));
  return RegisterDevices();
}

absl::Status Machine::RegisterDevices() {
  VMWIRE_RETURN_IF_ERROR(ports_.Register(kSerialPort, Serial16550::kWindowSize, serial_));
  return ports_.Register(kExitPort, ExitPort::kWindowSize, exit_port_);
}

absl::Status Machine::OpenDevices() {
  const std::vector<GuestRange>& ram = layout_->ram();
  VMWIRE_ASSIGN_OR_RETURN(
      devices_, MachineDevices::Open(config_.devices, config_.wire, host_.memory, map_,
                                     GuestRange::Between(ram.front().start(), ram.back().end()),
                                     hooks_.devices));
  return OfKvm(devices_->Connect(*vm_, interrupt_controller_, mmio_));
}

absl::Status Machine::MapMemory() {
  VMWIRE_ASSIGN_OR_RETURN(layout_,
                          GuestLayout::Create(config_.memory_bytes, GuestAddressBits(cpuid_)));
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
  // A host that does not say how fast its clock is leaves the guest to do without.
  const uint64_t tsc_khz = vcpu_->GetTscKhz().value_or(0);
  VMWIRE_RETURN_IF_ERROR(WriteImage(image, memory_));
  return WriteBootStructures(*layout_, image, tsc_khz, devices_->table(), memory_);
}

absl::Status Machine::InstallSlots(std::vector<SlotBacking> backings) {
  for (SlotBacking& backing : backings) {
    VMWIRE_ASSIGN_OR_RETURN(MemorySlot slot, slot_table_->Install(std::move(backing)));
    slots_.push_back(std::move(slot));
  }
  return absl::OkStatus();
}

absl::Status Machine::PrepareCpu(const GuestImage& image) {
  const StartState start = MakeStartState(image);
  VMWIRE_RETURN_IF_ERROR(vcpu_->SetCpuid(cpuid_));
  VMWIRE_ASSIGN_OR_RETURN(const kvm_sregs reset, vcpu_->GetSregs());
  VMWIRE_RETURN_IF_ERROR(vcpu_->SetSregs(start.SpecialRegisters(reset)));
  return vcpu_->SetRegs(start.Registers());
}

PinProof Machine::VerifyPins() {
  const std::vector<GuestRange>& ram = layout_->ram();
  return PinVerifier(host_.memory)
      .Verify(map_, GuestRange::Between(ram.front().start(), ram.back().end()));
}

RunOutcome Machine::Run(StopRequest& stop) {
  RunLoop loop({*vcpu_, ports_, mmio_, exit_port_, memory_}, stop);
  RunOutcome outcome = loop.Run();
  serial_.Flush();
  run_stats_ = loop.stats();
  if (run_stats_.first_exit.has_value()) timeline_.Mark(Step::kFirstExit, *run_stats_.first_exit);
  timeline_.Mark(Step::kExit);
  if (outcome.kind == RunOutcome::Kind::kGuestException) DescribeException(outcome);
  return outcome;
}

void Machine::DescribeException(RunOutcome& outcome) const {
  const absl::StatusOr<kvm_regs> registers = vcpu_->GetRegs();
  const absl::StatusOr<kvm_sregs> sregs = vcpu_->GetSregs();
  if (!registers.ok() || !sregs.ok()) return;  // The loop's own report names the vector.
  outcome.report = ReadExceptionReport(outcome.code, *registers, *sregs, memory_).ToString() + "\n";
}

}  // namespace vmwire
