// The registers of virtio-mmio: what a driver reads and may set before the device runs. D numbers
// are rows of the checklist of bad inputs.
#include "devices/virtio/virtio_mmio.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstdint>
#include <initializer_list>
#include <utility>
#include <vector>

#include "devices/event_fd.h"
#include "tests/devices/virtio_mmio_fixture.h"

namespace vmwire {
namespace {

using D = MmioDriver;

class VirtioMmioTest : public VirtioMmioFixture {
 protected:
  std::vector<uint8_t> ReadBytes(uint64_t offset, size_t size) {
    std::vector<uint8_t> bytes(size, 0x5a);
    mmio_->Read(offset, std::as_writable_bytes(std::span(bytes)));
    return bytes;
  }
  void WriteBytes(uint64_t offset, const std::vector<uint8_t>& bytes) {
    mmio_->Write(offset, std::as_bytes(std::span(bytes)));
  }

  // QueueReady stays 0, the error is told, and the machine lives on.
  void ExpectRefused(uint32_t number, const VirtqueueConfig& config) {
    const uint64_t errors = log_.errors("toy");
    EXPECT_FALSE(driver_->EnableQueue(number, config));
    EXPECT_EQ(log_.errors("toy"), errors + 1);
    EXPECT_EQ(driver_->status() & D::kNeedsReset, 0u);
    EXPECT_EQ(port_.stats().live, 0u);
  }
};

TEST_F(VirtioMmioTest, IdentificationIsThatOfVersion2) {
  EXPECT_EQ(driver_->Read(D::kMagicValue), 0x74726976u);
  EXPECT_EQ(driver_->Read(D::kVersion), 2u);
  EXPECT_EQ(driver_->Read(D::kDeviceId), ToyVirtioDevice::kDeviceId);
  EXPECT_EQ(driver_->Read(D::kVendorId), 0x52574d56u);
  EXPECT_EQ(mmio_->Name(), "toy");
}

TEST_F(VirtioMmioTest, FeaturesAreTheDevicesAndTheTransports) {
  EXPECT_EQ(driver_->DeviceFeatures(),
            ToyVirtioDevice::kFeature | kVirtioFeatureEventIndex | kVirtioFeatureVersion1);
}

TEST_F(VirtioMmioTest, FeatureWordsAboveTheSecondAre0) {
  for (const uint32_t select : {2u, 3u, UINT32_MAX}) {
    driver_->Write(D::kDeviceFeaturesSel, select);
    EXPECT_EQ(driver_->Read(D::kDeviceFeatures), 0u);
  }
}

TEST_F(VirtioMmioTest, OfferedFeaturesAreAccepted) {
  EXPECT_TRUE(driver_->Negotiate(driver_->DeviceFeatures()));
  EXPECT_EQ(driver_->status(), D::kAcknowledge | D::kDriver | D::kFeaturesOk);
}

TEST_F(VirtioMmioTest, D29FeatureThatWasNotOfferedIsRefused) {
  for (int bit = 0; bit < 64; ++bit) {
    const uint64_t feature = uint64_t{1} << bit;
    const bool offered = (driver_->DeviceFeatures() & feature) != 0;
    EXPECT_EQ(driver_->Negotiate(D::kFeatures | feature), offered) << bit;
    driver_->Reset();
  }
}

TEST_F(VirtioMmioTest, D29FeatureBeyondBit63IsRefused) {
  driver_->Write(D::kDriverFeaturesSel, 2);
  driver_->Write(D::kDriverFeatures, 1);
  EXPECT_FALSE(driver_->Negotiate());
}

TEST_F(VirtioMmioTest, D29DriverMayAcceptFewerAfterARefusal) {
  EXPECT_FALSE(driver_->Negotiate(D::kFeatures | 1));
  EXPECT_TRUE(driver_->Negotiate(D::kFeatures));
}

TEST_F(VirtioMmioTest, DriverWithoutVersion1IsRefused) {
  EXPECT_FALSE(driver_->Negotiate(kVirtioFeatureEventIndex));
  EXPECT_FALSE(driver_->Negotiate(0));
}

TEST_F(VirtioMmioTest, FeaturesDoNotChangeAfterFeaturesOk) {
  ASSERT_TRUE(driver_->Negotiate(kVirtioFeatureVersion1));
  driver_->Write(D::kDriverFeaturesSel, 0);
  driver_->Write(D::kDriverFeatures, UINT32_MAX);
  driver_->SetDriverOk();
  Eventually([&] { return device_.wakeups(); }, [](uint64_t wakeups) { return wakeups > 0; });
  EXPECT_EQ(device_.features(), kVirtioFeatureVersion1);
}

TEST_F(VirtioMmioTest, DriverOkBeforeFeaturesOkIsIgnored) {
  driver_->Write(D::kStatus, D::kAcknowledge | D::kDriver | D::kDriverOk);
  EXPECT_EQ(driver_->status(), D::kAcknowledge | D::kDriver);
}

TEST_F(VirtioMmioTest, StatusBitsGoByAResetOnly) {
  ASSERT_TRUE(driver_->Negotiate());
  driver_->Write(D::kStatus, D::kAcknowledge);
  EXPECT_EQ(driver_->status(), D::kAcknowledge | D::kDriver | D::kFeaturesOk);
  driver_->Reset();
  EXPECT_EQ(driver_->status(), 0u);
}

TEST_F(VirtioMmioTest, DriverCannotSetNeedsReset) {
  driver_->Write(D::kStatus, D::kNeedsReset | 16 | 32 | 0xffffff00);
  EXPECT_EQ(driver_->status(), 0u);
}

TEST_F(VirtioMmioTest, DriverMaySayThatItFailed) {
  driver_->Write(D::kStatus, D::kAcknowledge | D::kFailed);
  EXPECT_EQ(driver_->status(), D::kAcknowledge | D::kFailed);
}

TEST_F(VirtioMmioTest, QueuesHaveTheDevicesSizes) {
  driver_->Write(D::kQueueSel, 0);
  EXPECT_EQ(driver_->Read(D::kQueueNumMax), ToyVirtioDevice::kQueueSize0);
  driver_->Write(D::kQueueSel, 1);
  EXPECT_EQ(driver_->Read(D::kQueueNumMax), ToyVirtioDevice::kQueueSize1);
}

TEST_F(VirtioMmioTest, D28QueueThatIsNotThereHasSize0) {
  for (const uint32_t number : {2u, 0x10000u, UINT32_MAX}) {
    EXPECT_FALSE(driver_->EnableQueue(number, queue0_->config()));
    EXPECT_EQ(driver_->Read(D::kQueueNumMax), 0u);
    EXPECT_EQ(driver_->Read(D::kQueueReady), 0u);
  }
  EXPECT_EQ(log_.errors("toy"), 0u);
}

TEST_F(VirtioMmioTest, QueueIsReadyAndMayBeTakenBack) {
  EXPECT_TRUE(driver_->EnableQueue(0, queue0_->config()));
  EXPECT_EQ(port_.stats().live, 0u) << "nothing is mapped before DRIVER_OK";
  driver_->Write(D::kQueueSel, 1);
  EXPECT_EQ(driver_->Read(D::kQueueReady), 0u);
  driver_->Write(D::kQueueSel, 0);
  driver_->Write(D::kQueueReady, 0);
  EXPECT_EQ(driver_->Read(D::kQueueReady), 0u);
}

TEST_F(VirtioMmioTest, D22QueueOfABadSizeIsNotEnabled) {
  for (const uint32_t size : {0u, 3u, 6u, 16u, 0xffffu, 0x10000u, 0x10008u, UINT32_MAX}) {
    driver_->SetQueue(0, queue0_->config());
    driver_->Write(D::kQueueNum, size);
    driver_->Write(D::kQueueReady, 1);
    EXPECT_EQ(driver_->Read(D::kQueueReady), 0u) << size;
  }
  EXPECT_EQ(log_.errors("toy"), 8u);
  EXPECT_EQ(lines_.size(), 1u) << "one line a second";
  EXPECT_TRUE(driver_->EnableQueue(0, queue0_->config()));
}

TEST_F(VirtioMmioTest, D22QueueMayBeSmallerThanTheLargest) {
  VirtqueueConfig config = queue0_->config();
  config.size = 2;
  EXPECT_TRUE(driver_->EnableQueue(0, config));
}

TEST_F(VirtioMmioTest, D23MisalignedQueueIsNotEnabled) {
  VirtqueueConfig config = queue0_->config();
  config.descriptors = GuestAddress(kRings0.value() + 8);
  ExpectRefused(0, config);
}

TEST_F(VirtioMmioTest, D24QueueOutsideOfMemoryIsNotEnabled) {
  for (const uint64_t address : {kMemoryEnd, kMemoryEnd - 16, uint64_t{0xd0000000},
                                 uint64_t{0xfffffffffffffff0}, uint64_t{1} << 63}) {
    VirtqueueConfig config = queue0_->config();
    config.descriptors = GuestAddress(address);
    ExpectRefused(0, config);
    config = queue0_->config();
    config.driver = GuestAddress(address);
    ExpectRefused(0, config);
    config = queue0_->config();
    config.device = GuestAddress(address);
    ExpectRefused(0, config);
  }
}

TEST_F(VirtioMmioTest, D33QueueWhoseUsedRingCannotBeWrittenIsNotEnabled) {
  VirtqueueConfig config = queue0_->config();
  config.device = GuestAddress(kReadOnlyMemory);
  ExpectRefused(0, config);
}

TEST_F(VirtioMmioTest, QueueThatIsReadyDoesNotChange) {
  ASSERT_TRUE(driver_->Negotiate());
  ASSERT_TRUE(driver_->EnableQueue(0, queue0_->config()));
  driver_->SetQueue(0, {});
  driver_->SetDriverOk();
  ExpectServes();
}

TEST_F(VirtioMmioTest, D26NotificationBeforeDriverOkIsIgnored) {
  ASSERT_TRUE(driver_->Negotiate());
  ASSERT_TRUE(driver_->EnableQueue(0, queue0_->config()));
  Notify(0);
  EXPECT_FALSE(IsReadable(mmio_->doorbell().fd()));
  EXPECT_EQ(device_.wakeups(), 0u);
}

TEST_F(VirtioMmioTest, D30WritesToReadOnlyRegistersAreDropped) {
  for (const uint64_t offset :
       {D::kMagicValue, D::kVersion, D::kDeviceId, D::kVendorId, D::kDeviceFeatures,
        D::kQueueNumMax, D::kInterruptStatus, D::kConfigGeneration, D::kShmLenLow}) {
    const uint32_t before = driver_->Read(offset);
    driver_->Write(offset, ~before);
    EXPECT_EQ(driver_->Read(offset), before) << offset;
  }
}

TEST_F(VirtioMmioTest, D30ConfigurationThatIsReadOnlyDropsWrites) {
  driver_->Write(D::kConfig, UINT32_MAX);
  EXPECT_EQ(driver_->Read(D::kConfig), 0u);
  driver_->Write(D::kConfig + 8, 0x11223344);
  EXPECT_EQ(driver_->Read(D::kConfig + 8), 0x11223344u);
}

TEST_F(VirtioMmioTest, RegistersThatAreOnlyWrittenReadAllOnes) {
  for (const uint64_t offset :
       {D::kDeviceFeaturesSel, D::kDriverFeatures, D::kDriverFeaturesSel, D::kQueueSel,
        D::kQueueNum, D::kQueueNotify, D::kInterruptAck, D::kQueueDescLow, D::kQueueDeviceHigh}) {
    EXPECT_EQ(driver_->Read(offset), UINT32_MAX) << offset;
  }
}

TEST_F(VirtioMmioTest, SharedMemoryRegionsAreNotThere) {
  for (const uint32_t id : {0u, 1u, UINT32_MAX}) {
    driver_->Write(D::kShmSel, id);
    for (const uint64_t offset : {D::kShmLenLow, D::kShmLenHigh, D::kShmBaseLow, D::kShmBaseHigh}) {
      EXPECT_EQ(driver_->Read(offset), UINT32_MAX);
    }
  }
}

TEST_F(VirtioMmioTest, D31RegisterReadOfAnotherSizeOrPlaceIsAllOnes) {
  for (uint64_t offset = 0; offset < D::kConfig; ++offset) {
    for (size_t size = 1; size <= 8; ++size) {
      if (size == 4 && offset % 4 == 0) continue;
      EXPECT_EQ(ReadBytes(offset, size), std::vector<uint8_t>(size, 0xff)) << offset << " " << size;
    }
  }
}

TEST_F(VirtioMmioTest, D31RegisterWriteOfAnotherSizeOrPlaceIsIgnored) {
  for (uint64_t offset = 0; offset < D::kConfig; ++offset) {
    for (size_t size = 1; size <= 8; ++size) {
      if (size == 4 && offset % 4 == 0) continue;
      WriteBytes(offset, std::vector<uint8_t>(size, 0x01));
    }
  }
  EXPECT_EQ(driver_->status(), 0u);
  EXPECT_EQ(driver_->Read(D::kQueueNumMax), ToyVirtioDevice::kQueueSize0);
}

TEST_F(VirtioMmioTest, D31ConfigurationTakes1And2And4And8Bytes) {
  WriteBytes(D::kConfig + 8, {1, 2, 3, 4, 5, 6, 7, 8});
  EXPECT_EQ(ReadBytes(D::kConfig + 9, 1), std::vector<uint8_t>({2}));
  EXPECT_EQ(ReadBytes(D::kConfig + 10, 2), std::vector<uint8_t>({3, 4}));
  EXPECT_EQ(ReadBytes(D::kConfig + 12, 4), std::vector<uint8_t>({5, 6, 7, 8}));
  EXPECT_EQ(ReadBytes(D::kConfig + 8, 8), std::vector<uint8_t>({1, 2, 3, 4, 5, 6, 7, 8}));
  WriteBytes(D::kConfig + 8, {9, 9, 9});
  EXPECT_EQ(ReadBytes(D::kConfig + 8, 1), std::vector<uint8_t>({1}));
  EXPECT_EQ(ReadBytes(D::kConfig + 8, 3), std::vector<uint8_t>({0xff, 0xff, 0xff}));
}

TEST_F(VirtioMmioTest, ConfigurationPastItsEndReads0) {
  EXPECT_EQ(ReadBytes(VirtioMmio::kWindowSize - 4, 4), std::vector<uint8_t>(4, 0));
}

TEST_F(VirtioMmioTest, EveryWriteOfAnyWordLeavesATransportThatWorks) {
  for (const uint32_t value : {0u, 1u, 4u, 0xffu, 0x1000u, UINT32_MAX}) {
    for (uint64_t offset = 0; offset < D::kConfig; offset += 4) driver_->Write(offset, value);
  }
  driver_->Reset();
  NewQueues();
  StartDevice();
  ExpectServes();
}

}  // namespace
}  // namespace vmwire
