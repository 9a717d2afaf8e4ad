// A machine on both fakes, and what its tests ask of them.
//
// Invariants: no live slot ever covers memory that the policy wants wired and that is not, or the
// test fails.
// Thread safety: none.
#ifndef VMWIRE_TESTS_VMM_MACHINE_FIXTURE_H_
#define VMWIRE_TESTS_VMM_MACHINE_FIXTURE_H_

#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "memory/status_macros.h"
#include "tests/fakes/fake_host_memory.h"
#include "tests/fakes/fake_kvm.h"
#include "tests/fakes/journal.h"
#include "tests/support/status_matchers.h"
#include "vmm/machine.h"

namespace vmwire {

inline constexpr uint64_t kMemory = 4 << 20;

inline GuestImage BootSector() {
  std::vector<std::byte> bytes(512);
  bytes[510] = std::byte{0x55};
  bytes[511] = std::byte{0xaa};
  return ParseGuestImage("boot sector", std::move(bytes), {}).value();
}

inline HostLimits LimitsOfTest() {
  HostLimits limits;
  limits.may_exceed_memlock = true;
  limits.max_map_count = 65530;
  limits.memory_total = limits.memory_available = uint64_t{1} << 40;
  return limits;
}

inline MachineConfig Configure(WirePolicyKind wire, PinLevel level, MemoryBacking backing) {
  MachineConfig config{
      .memory_bytes = kMemory, .backing = backing, .wire = wire, .pin_level = level};
  if (wire == WirePolicyKind::kDma) {
    const uint64_t size = backing == MemoryBacking::kHugetlb ? kHugePageSize : 0x10000;
    config.dma_windows = {GuestRange::Create(GuestAddress(0x200000), size).value()};
  }
  return config;
}

// 32 bytes that say they are a multiboot kernel at 1 MiB, entered behind its header: an image of
// somebody else's protocol.
inline GuestImage MultibootImage() {
  constexpr uint32_t kMagic = 0x1badb002;
  constexpr uint32_t kHasAddresses = 1 << 16;
  const std::array<uint32_t, 9> words = {
      kMagic, kHasAddresses, 0u - kMagic - kHasAddresses, 0x100000, 0x100000, 0, 0, 0x100020, 0};
  const auto bytes = std::as_bytes(std::span(words));
  return ParseGuestImage("kernel", {bytes.begin(), bytes.end()}, {.command_line = "x"}).value();
}

// A host of fakes. After every call of either it checks that no live slot covers memory that the
// policy wants wired and that is not.
class FakeHost {
 public:
  // The guest prints "hi" and ends with a write of `value` to `port`. `kvm`: what the fake KVM has
  // beside files.
  explicit FakeHost(const MachineConfig& config, uint16_t port = kExitPort, uint8_t value = 0,
                    const FakeKvm::Options& kvm = {})
      : config_(config), memory_(journal_), kvm_(journal_, WithFiles(kvm)) {
    memory_.SetHugetlbPool(kHugePageSize, kMemory / kHugePageSize);
    kvm_.PushOut(kSerialPort, {'h', 'i', '\n'});
    kvm_.PushOut(port, {value});
    journal_.AddObserver([this] { CheckSlotsAreWired(); });
  }

  Journal& journal() { return journal_; }
  FakeHostMemory& memory() { return memory_; }
  FakeKvm& kvm() { return kvm_; }
  const std::string& printed() const { return printed_; }

  absl::StatusOr<std::unique_ptr<Machine>> Create(Timeline& timeline,
                                                  HostLimits limits = LimitsOfTest(),
                                                  WireProgress progress = {}) {
    MachineHooks hooks{.serial =
                           [this](std::span<const std::byte> bytes) {
                             for (const std::byte byte : bytes) printed_ += static_cast<char>(byte);
                           },
                       .progress = std::move(progress)};
    return Machine::Create(config_, image_, {memory_, kvm_, std::move(limits)}, std::move(hooks),
                           timeline);
  }

  // Instead of the boot sector.
  void UseImage(GuestImage image) { image_ = std::move(image); }

  // True if nothing of a machine is left on the host.
  bool IsAsBefore() const {
    return memory_.mappings() == 0 && memory_.files() == 0 && memory_.locked_bytes() == 0 &&
           memory_.buffer_bytes() == 0 && kvm_.open_descriptors() == 0 && kvm_.mapped_runs() == 0;
  }

 private:
  FakeKvm::Options WithFiles(FakeKvm::Options options) {
    options.make_guest_memfd = [this](uint64_t size) { return MakeFile(size); };
    return options;
  }
  absl::StatusOr<int> MakeFile(uint64_t size) {
    VMWIRE_ASSIGN_OR_RETURN(const int file, memory_.CreateMemfd({.name = "guest_memfd"}));
    const absl::Status resized = memory_.ResizeFile(file, size);
    if (resized.ok()) return file;
    memory_.CloseFile(file);
    return resized;
  }

  void CheckSlotsAreWired() const {
    if (config_.wire != WirePolicyKind::kAll) return;
    for (const kvm_userspace_memory_region& slot : kvm_.slots()) {
      const HostRange host =
          HostRange::Create(HostAddress(slot.userspace_addr), slot.memory_size).value();
      // Hugetlb pages are not locked.
      const bool is_locked = config_.backing == MemoryBacking::kHugetlb ||
                             config_.pin_level == PinLevel::kPinned || memory_.IsLocked(host);
      const bool is_pinned = config_.pin_level == PinLevel::kResident || memory_.IsInBuffers(host);
      EXPECT_TRUE(is_locked && is_pinned)
          << "the slot at 0x" << std::hex << slot.guest_phys_addr << " covers unwired memory";
    }
  }

  const MachineConfig config_;
  GuestImage image_ = BootSector();
  Journal journal_;
  FakeHostMemory memory_;
  FakeKvm kvm_;
  std::string printed_;
};

// Makes the machine and runs it, with each call to the host failing in turn.
inline void ExpectNothingIsLeftWhicheverCallFails(const MachineConfig& config,
                                                  const GuestImage& image) {
  for (const int error : {ENOMEM, EPERM, EINVAL}) {
    bool succeeded = false;
    for (uint64_t n = 1; !succeeded && n < 1000; ++n) {
      FakeHost host(config);
      host.UseImage(image);
      Timeline timeline;
      host.journal().FailNth(n, error);
      {
        const absl::StatusOr<std::unique_ptr<Machine>> machine = host.Create(timeline);
        StopRequest stop;
        const bool ran = machine.ok() && (*machine)->Run(stop).kind == RunOutcome::Kind::kExited;
        succeeded = !host.journal().failed();
        // Some calls may fail without harm: the clock's rate, advice against huge pages.
        if (succeeded) {
          EXPECT_TRUE(ran) << machine.status();
        }
      }
      EXPECT_TRUE(host.IsAsBefore()) << "after call " << n << " failed with errno " << error;
    }
    EXPECT_TRUE(succeeded);
  }
}

inline size_t IndexOf(const std::vector<std::string>& entries, const std::string& part) {
  const auto found = std::find_if(entries.begin(), entries.end(), [&](const std::string& entry) {
    return entry.find(part) != std::string::npos;
  });
  return static_cast<size_t>(found - entries.begin());
}

}  // namespace vmwire

#endif  // VMWIRE_TESTS_VMM_MACHINE_FIXTURE_H_
