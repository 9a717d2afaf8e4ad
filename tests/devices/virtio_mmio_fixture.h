// A transport with a toy device, memory, and a driver: what the tests of VirtioMmio begin with.
//
//   [0, 64 KiB), [64 KiB, 128 KiB): memory, two regions that touch.  [256 KiB, +4 KiB): read-only.
//
// Thread safety: one thread, besides the device's own.
#ifndef VMWIRE_TESTS_DEVICES_VIRTIO_MMIO_FIXTURE_H_
#define VMWIRE_TESTS_DEVICES_VIRTIO_MMIO_FIXTURE_H_

#include <gtest/gtest.h>

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "devices/device_log.h"
#include "devices/virtio/virtio_mmio.h"
#include "tests/devices/driver_queue.h"
#include "tests/devices/mmio_driver.h"
#include "tests/devices/toy_virtio_device.h"
#include "tests/fakes/fake_dma_port.h"
#include "tests/fakes/recording_line.h"
#include "tests/support/eventually.h"

namespace vmwire {

class VirtioMmioFixture : public testing::Test {
 protected:
  static constexpr uint64_t kMemoryEnd = 0x20000;
  static constexpr uint64_t kReadOnlyMemory = 0x40000;
  static constexpr GuestAddress kRings0{0x1000};
  static constexpr GuestAddress kRings1{0x2000};
  static constexpr GuestAddress kRequest{0x3000};
  static constexpr GuestAddress kReply{0x4000};

  VirtioMmioFixture() {
    port_.AddMemory(GuestAddress(0), kMemoryEnd / 2);
    port_.AddMemory(GuestAddress(kMemoryEnd / 2), kMemoryEnd / 2);
    port_.AddMemory(GuestAddress(kReadOnlyMemory), kPageSize, Protection::kRead);
    absl::StatusOr<std::unique_ptr<VirtioMmio>> mmio =
        VirtioMmio::Create(device_, port_, line_, log_);
    EXPECT_TRUE(mmio.ok());
    mmio_ = *std::move(mmio);
    driver_.emplace(*mmio_);
    NewQueues();
  }

  // Both queues empty, as a driver has them after a reset.
  void NewQueues() {
    queue0_.emplace(port_, kRings0, ToyVirtioDevice::kQueueSize0);
    queue1_.emplace(port_, kRings1, ToyVirtioDevice::kQueueSize1);
  }

  // All steps of the start-up, with both queues.
  void StartDevice(uint64_t features = MmioDriver::kFeatures) {
    ASSERT_TRUE(driver_->Negotiate(features));
    ASSERT_TRUE(driver_->EnableQueue(0, queue0_->config()));
    ASSERT_TRUE(driver_->EnableQueue(1, queue1_->config()));
    driver_->SetDriverOk();
  }

  void Notify(uint32_t queue) { driver_->Write(MmioDriver::kQueueNotify, queue); }

  // What the device gives back next; nullopt: nothing within ten seconds.
  static std::optional<DriverQueue::Used> WaitUsed(DriverQueue& queue) {
    return Eventually([&] { return queue.TakeUsed(); },
                      [](const auto& used) { return used.has_value(); });
  }

  // One request and its reply.
  void ExpectServes() {
    port_.At<uint32_t>(kRequest) = 0x12345678;
    port_.At<uint32_t>(kReply) = 0;
    const uint16_t head = queue0_->Add({{kRequest, 4}}, {{kReply, 4}});
    Notify(0);
    EXPECT_EQ(WaitUsed(*queue0_), (DriverQueue::Used{head, 4}));
    EXPECT_EQ(port_.At<uint32_t>(kReply), 0x12345678u);
  }

  // Waits until the device asks for a reset, and sees that everybody was told, once; then that a
  // reset makes the device new.
  void ExpectNeedsReset() {
    const uint32_t status =
        Eventually([&] { return driver_->status(); },
                   [](uint32_t s) { return (s & MmioDriver::kNeedsReset) != 0; });
    ASSERT_NE(status & MmioDriver::kNeedsReset, 0u);
    // The interrupt comes after the status.
    const uint64_t edges =
        Eventually([&] { return line_.edges(); }, [](uint64_t e) { return e > 0; });
    EXPECT_GT(edges, 0u);
    EXPECT_NE(driver_->Read(MmioDriver::kInterruptStatus) & 2, 0u);
    EXPECT_EQ(mmio_->resets_needed(), 1u);
    EXPECT_EQ(log_.errors("toy"), 1u);
    EXPECT_EQ(lines_.size(), 1u);

    driver_->Reset();
    EXPECT_EQ(driver_->status(), 0u);
    EXPECT_EQ(port_.stats().live, 0u);
    NewQueues();
    StartDevice();
    ExpectServes();
  }

  FakeDmaPort port_;
  RecordingLine line_;
  std::vector<std::string> lines_;
  DeviceLog log_{[this](const std::string& line) { lines_.push_back(line); }};
  ToyVirtioDevice device_{port_};
  std::unique_ptr<VirtioMmio> mmio_;
  std::optional<MmioDriver> driver_;
  std::optional<DriverQueue> queue0_;
  std::optional<DriverQueue> queue1_;
};

}  // namespace vmwire

#endif  // VMWIRE_TESTS_DEVICES_VIRTIO_MMIO_FIXTURE_H_
