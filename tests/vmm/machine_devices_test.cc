// The devices of a machine that do DMA, on the fakes of KVM and of host memory: their windows,
// lines and doorbells, with and without what KVM may lack, and what is left when a call fails.
#include "vmm/machine_devices.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <fstream>
#include <memory>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "devices/bus.h"
#include "memory/guest_memory.h"
#include "tests/devices/mmio_driver.h"
#include "tests/fakes/fake_kvm.h"
#include "tests/support/eventually.h"
#include "tests/support/map_fixture.h"
#include "tests/support/status_matchers.h"
#include "tests/vmm/machine_fixture.h"

namespace vmwire {
namespace {

using testing::AllOf;
using testing::ElementsAre;
using testing::HasSubstr;

using D = MmioDriver;

constexpr uint64_t kPages = 512;

DeviceConfig AllButDisks() {
  return {.rng = true, .console = true, .balloon = true, .dma_engine = true};
}

// A VM of the fake KVM beside guest memory at 0, and the devices under test.
class DeviceHost {
 public:
  explicit DeviceHost(const FakeKvm::Options& options = {})
      : object_(memory_.Add(0, kPages)),
        kvm_(memory_.journal(), options),
        system_(System::Open(kvm_).value()),
        vm_(Vm::Create(*system_).value()),
        interrupts_(CreateInterruptController(*vm_).value()),
        mmio_("MMIO", kMmioSpaceSize) {}

  absl::Status Open(const DeviceConfig& config, WirePolicyKind policy = WirePolicyKind::kOnDemand) {
    DeviceHooks hooks{.log = [this](const std::string& line) { log_ += line + "\n"; }};
    VMWIRE_ASSIGN_OR_RETURN(devices_,
                            MachineDevices::Open(config, policy, memory_.host(), memory_.map(),
                                                 Pages(0, kPages), std::move(hooks)));
    return absl::OkStatus();
  }
  absl::Status Connect() { return devices_->Connect(*vm_, interrupts_, mmio_); }
  absl::Status Make(const DeviceConfig& config) {
    VMWIRE_RETURN_IF_ERROR(Open(config));
    return Connect();
  }
  void DestroyDevices() { devices_.reset(); }

  // Of each device, in the order of their windows.
  std::vector<uint32_t> Lines() const {
    std::vector<uint32_t> lines;
    for (const BootInfoDevice& device : devices_->table()) lines.push_back(device.irq);
    return lines;
  }

  MachineDevices& devices() { return *devices_; }
  FakeKvm& kvm() { return kvm_; }
  Journal& journal() { return memory_.journal(); }
  InterruptController& interrupts() { return interrupts_; }
  Bus& mmio() { return mmio_; }
  GuestMemory memory() { return GuestMemory(memory_.map()); }
  const std::string& log() const { return log_; }

 private:
  TestMap memory_;
  std::shared_ptr<VmObject> object_;
  FakeKvm kvm_;
  std::unique_ptr<System> system_;
  std::unique_ptr<Vm> vm_;
  InterruptController interrupts_;
  Bus mmio_;
  std::string log_;
  std::unique_ptr<MachineDevices> devices_;
};

// What a vCPU reaches at a window: accesses go over the bus.
class Window final : public Device {
 public:
  Window(Bus& bus, uint64_t base) : bus_(bus), base_(base) {}

  std::string Name() const override { return "window"; }
  void Read(uint64_t offset, std::span<std::byte> data) override {
    EXPECT_TRUE(bus_.Read(base_ + offset, data));
  }
  void Write(uint64_t offset, std::span<const std::byte> data) override {
    EXPECT_TRUE(bus_.Write(base_ + offset, data));
  }

 private:
  Bus& bus_;
  const uint64_t base_;
};

// A file that goes with the test.
class Image {
 public:
  explicit Image(size_t bytes) : path_(testing::TempDir() + "vmwire-machine-devices-XXXXXX") {
    const int file = mkstemp(path_.data());
    EXPECT_GE(file, 0);
    close(file);
    std::ofstream(path_) << std::string(bytes, '\0');
  }
  Image(const Image&) = delete;
  Image& operator=(const Image&) = delete;
  ~Image() { unlink(path_.c_str()); }

  const std::string& path() const { return path_; }

 private:
  std::string path_;
};

// So many read-only disks over one file.
DeviceConfig Disks(size_t count, const Image& image) {
  DeviceConfig config;
  config.disks.assign(count, DiskConfig{.path = image.path(), .read_only = true});
  return config;
}

TEST(MachineDevicesTest, EachGetsTheNextWindowTheNextLineAndADoorbell) {
  DeviceHost host;

  ASSERT_THAT(host.Make(AllButDisks()), IsOk());

  const std::vector<BootInfoDevice>& table = host.devices().table();
  ASSERT_EQ(table.size(), 4u);
  for (size_t i = 0; i < table.size(); ++i) {
    EXPECT_EQ(uint64_t{table[i].base}, 0xd0000000 + i * 0x1000);
    EXPECT_EQ(uint64_t{table[i].size}, 0x1000u);
    EXPECT_EQ(DeviceKind{table[i].kind}, i < 3 ? DeviceKind::kVirtioMmio : DeviceKind::kDmaEngine);
  }
  EXPECT_THAT(host.Lines(), ElementsAre(5, 6, 7, 10));
  EXPECT_THAT(host.journal().EntriesWith("kvm set irqfd"),
              ElementsAre("kvm set irqfd gsi 5", "kvm set irqfd gsi 6", "kvm set irqfd gsi 7",
                          "kvm set irqfd gsi 10"));
  EXPECT_THAT(
      host.journal().EntriesWith("kvm set ioeventfd"),
      ElementsAre("kvm set ioeventfd 0xd0000050 size 4", "kvm set ioeventfd 0xd0001050 size 4",
                  "kvm set ioeventfd 0xd0002050 size 4", "kvm set ioeventfd 0xd0003030 size 4"));
}

TEST(MachineDevicesTest, TheWindowsAnswerAsTheDevicesThatTheTableSays) {
  DeviceHost host;
  ASSERT_THAT(host.Make(AllButDisks()), IsOk());

  std::vector<uint32_t> ids;
  for (const BootInfoDevice& device : host.devices().table()) {
    if (device.kind != DeviceKind::kVirtioMmio) continue;
    Window window(host.mmio(), device.base);
    D driver(window);
    EXPECT_EQ(driver.Read(D::kMagicValue), 0x74726976u);
    ids.push_back(driver.Read(D::kDeviceId));
  }

  EXPECT_THAT(ids, ElementsAre(4, 3, 5));  // Entropy, console, balloon: virtio 1.2, 5.
}

TEST(MachineDevicesTest, TheirEndTakesLinesAndDoorbellsBack) {
  DeviceHost host;
  ASSERT_THAT(host.Make(AllButDisks()), IsOk());
  EXPECT_EQ(host.kvm().live_irqfds(), 4u);
  EXPECT_EQ(host.kvm().live_ioeventfds(), 4u);

  host.DestroyDevices();

  EXPECT_EQ(host.kvm().live_irqfds(), 0u);
  EXPECT_EQ(host.kvm().live_ioeventfds(), 0u);
}

TEST(MachineDevicesTest, WithoutInterruptControllerTheGuestIsToldToPoll) {
  DeviceHost host({.irqchip = false});
  ASSERT_FALSE(host.interrupts().has_irqchip);

  ASSERT_THAT(host.Make(AllButDisks()), IsOk());

  EXPECT_THAT(host.Lines(), ElementsAre(0, 0, 0, 0));
  EXPECT_EQ(host.kvm().live_irqfds(), 0u);
  EXPECT_EQ(host.kvm().live_ioeventfds(), 4u);
}

TEST(MachineDevicesTest, WithoutIrqfdTheGuestIsToldToPoll) {
  DeviceHost host({.irqfd = false});

  ASSERT_THAT(host.Make(AllButDisks()), IsOk());

  EXPECT_THAT(host.Lines(), ElementsAre(0, 0, 0, 0));
}

// One entropy device whose driver has asked for 64 bytes. Its queue and the bytes are in the first
// pages of memory (virtio 1.2, 2.7).
TEST(MachineDevicesTest, WithoutDoorbellAndLineAWriteToTheWindowNotifies) {
  DeviceHost host({.irqchip = false, .ioeventfd = false});
  ASSERT_THAT(host.Make({.rng = true}), IsOk());
  ASSERT_EQ(host.kvm().live_ioeventfds(), 0u);
  Window window(host.mmio(), kDeviceWindowsStart.value());
  D driver(window);
  ASSERT_TRUE(driver.Negotiate(kVirtioFeatureVersion1));
  ASSERT_TRUE(driver.EnableQueue(0, {.size = 4,
                                     .descriptors = GuestAddress(0x1000),
                                     .driver = GuestAddress(0x2000),
                                     .device = GuestAddress(0x3000)}));
  driver.SetDriverOk();

  const GuestMemory memory = host.memory();
  ASSERT_THAT(memory.Store(GuestAddress(0x1000), uint64_t{0x4000}), IsOk());
  ASSERT_THAT(memory.Store(GuestAddress(0x1008), uint32_t{64}), IsOk());
  ASSERT_THAT(memory.Store(GuestAddress(0x100c), uint16_t{2}), IsOk());  // The device writes.
  // One is available: in one store, since the device may look at any time.
  ASSERT_THAT(memory.ForEachSpan(GuestAddress(0x2002), sizeof(uint16_t), Protection::kWrite,
                                 [](std::span<std::byte> index) {
                                   __atomic_store_n(reinterpret_cast<uint16_t*>(index.data()),
                                                    uint16_t{1}, __ATOMIC_RELEASE);
                                 }),
              IsOk());
  driver.Write(D::kQueueNotify, 0);

  const uint32_t reason = Eventually([&] { return driver.Read(D::kInterruptStatus); },
                                     [](uint32_t status) { return status != 0; });
  EXPECT_EQ(reason, 1u);
  driver.Reset();
  EXPECT_EQ(memory.Load<uint16_t>(GuestAddress(0x3002)).value(), 1u);
  EXPECT_EQ(memory.Load<uint32_t>(GuestAddress(0x3008)).value(), 64u);
}

TEST(MachineDevicesTest, PolicyNoneIsRefusedWithTheOptionsThatHelp) {
  DeviceHost host;

  EXPECT_THAT(host.Open({.rng = true}, WirePolicyKind::kNone),
              StatusIs(absl::StatusCode::kInvalidArgument,
                       AllOf(HasSubstr("--wire none"), HasSubstr("--wire all"),
                             HasSubstr("--wire dma"), HasSubstr("--wire on-demand"))));
}

TEST(MachineDevicesTest, AMachineWithoutDevicesMayHavePolicyNone) {
  DeviceHost host;

  ASSERT_THAT(host.Open({}, WirePolicyKind::kNone), IsOk());
  ASSERT_THAT(host.Connect(), IsOk());

  EXPECT_TRUE(host.devices().table().empty());
  EXPECT_TRUE(host.devices().Summarize().empty());
}

TEST(MachineDevicesTest, MoreThanTheTableHoldsAreRefusedBeforeAnyIsOpened) {
  DeviceHost host;
  DeviceConfig config;
  config.disks.assign(kMaxBootInfoDevices + 1, DiskConfig{.path = "/no/such/file"});

  EXPECT_THAT(host.Open(config), StatusIs(absl::StatusCode::kInvalidArgument,
                                          AllOf(HasSubstr("33 devices"), HasSubstr("32"))));
}

TEST(MachineDevicesTest, LinesOfTheIoApicFollowThoseOfThePicsAndTheLastHasNoneButADoorbell) {
  const Image image(4096);
  DeviceHost host;
  const absl::Status made = host.Make(Disks(18, image));
  if (absl::IsUnimplemented(made) || absl::IsPermissionDenied(made)) GTEST_SKIP() << made;
  ASSERT_THAT(made, IsOk());

  EXPECT_THAT(host.Lines(),
              ElementsAre(5, 6, 7, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21, 22, 23, 0));
  EXPECT_EQ(host.kvm().live_irqfds(), 17u);
  EXPECT_EQ(host.kvm().live_ioeventfds(), 18u);
}

TEST(MachineDevicesTest, OneFileAsTwoDisksThatWriteIsRefused) {
  const Image image(4096);
  DeviceHost host;
  DeviceConfig config;
  config.disks.assign(2, DiskConfig{.path = image.path()});

  const absl::Status opened = host.Open(config);

  if (absl::IsUnimplemented(opened) || absl::IsPermissionDenied(opened)) GTEST_SKIP() << opened;
  EXPECT_THAT(opened, StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr(image.path())));
}

TEST(MachineDevicesTest, ALastPartOfASectorIsSaidToBeLeftOut) {
  const Image image(1000);
  DeviceHost host;

  const absl::Status opened = host.Open(Disks(1, image));

  if (absl::IsUnimplemented(opened) || absl::IsPermissionDenied(opened)) GTEST_SKIP() << opened;
  ASSERT_THAT(opened, IsOk());
  EXPECT_THAT(host.log(), AllOf(HasSubstr(image.path()), HasSubstr("488 bytes")));
}

TEST(MachineDevicesTest, ALineThatKvmRefusesIsAnErrorAndLeavesNothing) {
  DeviceHost host({.irqchip = false});
  host.interrupts().has_irqchip = true;  // It has not.

  EXPECT_THAT(host.Make(AllButDisks()), StatusIs(absl::StatusCode::kUnavailable));

  host.DestroyDevices();
  EXPECT_EQ(host.kvm().live_irqfds(), 0u);
  EXPECT_EQ(host.kvm().live_ioeventfds(), 0u);
}

TEST(MachineDevicesTest, WhicheverCallOfKvmFailsWhileTheyAreConnectedNothingIsLeft) {
  for (const int error : {ENOMEM, EPERM, ENOSPC}) {
    for (uint64_t n = 1;; ++n) {
      ASSERT_LT(n, 100u);
      DeviceHost host;
      ASSERT_THAT(host.Open(AllButDisks()), IsOk());
      host.journal().FailNth(n, error);
      const absl::Status connected = host.Connect();
      const bool has_failed = host.journal().failed();
      host.journal().FailNth(0, 0);
      EXPECT_EQ(connected.ok(), !has_failed) << "call " << n << ": " << connected;

      host.DestroyDevices();

      EXPECT_EQ(host.kvm().live_irqfds(), 0u) << "call " << n;
      EXPECT_EQ(host.kvm().live_ioeventfds(), 0u) << "call " << n;
      if (!has_failed) break;
    }
  }
}

TEST(MachineDevicesTest, TheSummaryNamesEachAndWhatItsPortDid) {
  DeviceHost host;
  ASSERT_THAT(host.Make(AllButDisks()), IsOk());

  std::vector<std::string> names;
  for (const DeviceSummary& summary : host.devices().Summarize()) {
    names.push_back(summary.name);
    std::vector<std::string> counters;
    for (const auto& [name, count] : summary.counters) {
      counters.push_back(name);
      EXPECT_EQ(count, 0u) << summary.name << ": " << name;
    }
    EXPECT_THAT(counters, testing::IsSupersetOf({"dma_mappings", "dma_refused", "guest_errors"}));
  }

  EXPECT_THAT(names, ElementsAre("rng", "console", "balloon", "dma-engine"));
}

class DeviceMachineTest : public testing::TestWithParam<WirePolicyKind> {};

TEST_P(DeviceMachineTest, WhicheverHostCallFailsNothingIsLeft) {
  for (const int error : {ENOMEM, EPERM, EINVAL}) {
    bool succeeded = false;
    for (uint64_t n = 1; !succeeded && n < 1000; ++n) {
      MachineConfig config = Configure(GetParam(), PinLevel::kGuarded, MemoryBacking::kAnonymous);
      config.devices = AllButDisks();
      FakeHost host(config);
      Timeline timeline;
      host.journal().FailNth(n, error);
      {
        const absl::StatusOr<std::unique_ptr<Machine>> machine = host.Create(timeline);
        StopRequest stop;
        const bool ran = machine.ok() && (*machine)->Run(stop).kind == RunOutcome::Kind::kExited;
        succeeded = !host.journal().failed();
        if (succeeded) {
          EXPECT_TRUE(ran) << machine.status();
        }
        host.journal().FailNth(0, 0);
      }
      EXPECT_TRUE(host.IsAsBefore()) << "after call " << n << " failed with errno " << error;
    }
    EXPECT_TRUE(succeeded);
  }
}

INSTANTIATE_TEST_SUITE_P(Policies, DeviceMachineTest,
                         testing::Values(WirePolicyKind::kAll, WirePolicyKind::kDma,
                                         WirePolicyKind::kOnDemand),
                         [](const testing::TestParamInfo<WirePolicyKind>& info) {
                           return info.param == WirePolicyKind::kOnDemand
                                      ? std::string("on_demand")
                                      : std::string(ToString(info.param));
                         });

}  // namespace
}  // namespace vmwire
