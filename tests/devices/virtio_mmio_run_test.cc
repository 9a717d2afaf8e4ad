// A virtio device as it runs behind the transport: notifications, interrupts, drivers that break
// the rules of the queues, and resets. D numbers are rows of the checklist of bad inputs.
#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <future>
#include <initializer_list>
#include <vector>

#include "devices/event_fd.h"
#include "tests/devices/virtio_mmio_fixture.h"

namespace vmwire {
namespace {

using D = MmioDriver;

class VirtioMmioRunTest : public VirtioMmioFixture {
 protected:
  // Makes a chain of one descriptor that the device writes to.
  void OfferReply(uint64_t address, uint32_t length) {
    queue0_->Add({}, {{GuestAddress(address), length}});
    Notify(0);
  }

  // A reply is under way when this returns, and stays so until the gate is opened.
  void BeginReplyAtGate() {
    device_.CloseGate();
    queue0_->Add({{kRequest, 4}}, {{kReply, 4}});
    Notify(0);
    Eventually([&] { return device_.AtGate(); }, [](bool at_gate) { return at_gate; });
  }
};

TEST_F(VirtioMmioRunTest, ServesBothQueuesAndInterrupts) {
  StartDevice();
  ExpectServes();
  const uint16_t head = queue1_->Add({{kRequest, 2}}, {{kReply, 2}});
  Notify(1);
  EXPECT_EQ(WaitUsed(*queue1_), (DriverQueue::Used{head, 2}));
  Eventually([&] { return line_.edges(); }, [](uint64_t edges) { return edges == 2; });
  EXPECT_EQ(line_.edges(), 2u);
}

TEST_F(VirtioMmioRunTest, InterruptReasonGoesWhenItIsAcknowledged) {
  StartDevice();
  ExpectServes();
  Eventually([&] { return line_.edges(); }, [](uint64_t edges) { return edges == 1; });
  EXPECT_EQ(driver_->Read(D::kInterruptStatus), 1u);
  driver_->Write(D::kInterruptAck, 2);
  EXPECT_EQ(driver_->Read(D::kInterruptStatus), 1u);
  driver_->Write(D::kInterruptAck, 1);
  EXPECT_EQ(driver_->Read(D::kInterruptStatus), 0u);
}

TEST_F(VirtioMmioRunTest, ChainsFromBeforeDriverOkAreServedWithoutANotification) {
  queue0_->Add({{kRequest, 4}}, {{kReply, 4}});
  StartDevice();
  EXPECT_TRUE(WaitUsed(*queue0_).has_value());
}

TEST_F(VirtioMmioRunTest, QueueThatWasNotEnabledIsNotServed) {
  ASSERT_TRUE(driver_->Negotiate());
  ASSERT_TRUE(driver_->EnableQueue(0, queue0_->config()));
  driver_->SetDriverOk();
  ExpectServes();
  EXPECT_EQ(device_.enabled_queues(), 1u);
}

TEST_F(VirtioMmioRunTest, DeviceWithoutQueuesRunsAndResets) {
  ASSERT_TRUE(driver_->Negotiate());
  driver_->SetDriverOk();
  EXPECT_EQ(driver_->status(), D::kAcknowledge | D::kDriver | D::kFeaturesOk | D::kDriverOk);
  driver_->Reset();
  EXPECT_EQ(driver_->status(), 0u);
}

TEST_F(VirtioMmioRunTest, WorksWithoutTheEventIndex) {
  StartDevice(kVirtioFeatureVersion1);
  ExpectServes();
  EXPECT_EQ(device_.features(), kVirtioFeatureVersion1);
}

TEST_F(VirtioMmioRunTest, ConfigChangeIsANewGenerationAndAnInterrupt) {
  StartDevice();
  const uint32_t before = driver_->Read(D::kConfigGeneration);
  mmio_->ConfigChanged();
  EXPECT_NE(driver_->Read(D::kConfigGeneration), before);
  EXPECT_EQ(driver_->Read(D::kInterruptStatus), 2u);
  EXPECT_EQ(line_.edges(), 1u);
}

TEST_F(VirtioMmioRunTest, ConfigChangeBeforeDriverOkDoesNotInterrupt) {
  const uint32_t before = driver_->Read(D::kConfigGeneration);
  mmio_->ConfigChanged();
  EXPECT_NE(driver_->Read(D::kConfigGeneration), before);
  EXPECT_EQ(driver_->Read(D::kInterruptStatus), 0u);
  EXPECT_EQ(line_.edges(), 0u);
}

TEST_F(VirtioMmioRunTest, D1BufferPastTheEndOfMemoryNeedsReset) {
  StartDevice();
  OfferReply(kMemoryEnd, 16);
  ExpectNeedsReset();
}

TEST_F(VirtioMmioRunTest, D2BufferAcrossTheEndOfMemoryNeedsResetAndWritesNothing) {
  StartDevice();
  std::ranges::fill(port_.Bytes(kRequest, 32), std::byte{0xee});
  queue0_->Add({{kRequest, 32}}, {{GuestAddress(kMemoryEnd - 16), 32}});
  Notify(0);
  ExpectNeedsReset();
  EXPECT_EQ(port_.At<uint64_t>(GuestAddress(kMemoryEnd - 16)), 0u);
}

TEST_F(VirtioMmioRunTest, D3BufferThatWrapsNeedsReset) {
  StartDevice();
  OfferReply(UINT64_MAX - 7, 16);
  ExpectNeedsReset();
}

TEST_F(VirtioMmioRunTest, D4BufferAcrossTwoRegionsThatTouchWorks) {
  StartDevice();
  port_.At<uint32_t>(kRequest) = 0xaabbccdd;
  queue0_->Add({{kRequest, 4}}, {{GuestAddress(kMemoryEnd / 2 - 2), 4}});
  Notify(0);
  ASSERT_EQ(WaitUsed(*queue0_)->written, 4u);
  EXPECT_EQ(port_.At<uint16_t>(GuestAddress(kMemoryEnd / 2 - 2)), 0xccdd);
  EXPECT_EQ(port_.At<uint16_t>(GuestAddress(kMemoryEnd / 2)), 0xaabb);
}

TEST_F(VirtioMmioRunTest, D6BufferOfLength0IsSkipped) {
  StartDevice();
  const uint16_t head = queue0_->Add({{GuestAddress(UINT64_MAX), 0}, {kRequest, 4}}, {{kReply, 4}});
  Notify(0);
  EXPECT_EQ(WaitUsed(*queue0_), (DriverQueue::Used{head, 4}));
}

TEST_F(VirtioMmioRunTest, D7BufferOf4GiBLess1NeedsReset) {
  StartDevice();
  OfferReply(kReply.value(), UINT32_MAX);
  ExpectNeedsReset();
}

TEST_F(VirtioMmioRunTest, D8To16RulesOfTheQueueNeedReset) {
  using Break = void (*)(DriverQueue&);
  const std::initializer_list<std::pair<const char*, Break>> rules = {
      {"8",
       [](DriverQueue& q) {
         q.Add({{kRequest, UINT32_MAX}, {kRequest, 1}}, {});
       }},
      {"9",
       [](DriverQueue& q) { q.SetDescriptor(0, {.flags = 1, .next = 0}), q.MakeAvailable(0); }},
      {"10",
       [](DriverQueue& q) { q.SetDescriptor(0, {.flags = 1, .next = 8}), q.MakeAvailable(0); }},
      {"11", [](DriverQueue& q) { q.MakeAvailable(8); }},
      {"12", [](DriverQueue& q) { q.SetAvailableIndex(0x4000); }},
      {"13", [](DriverQueue& q) { q.SetAvailableIndex(UINT16_MAX); }},
      {"14", [](DriverQueue& q) { q.SetDescriptor(0, {.flags = 4}), q.MakeAvailable(0); }},
      {"15", [](DriverQueue& q) { q.SetDescriptor(0, {.flags = 0x8000}), q.MakeAvailable(0); }},
      {"16",
       [](DriverQueue& q) {
         q.SetDescriptor(0, {.flags = 3, .next = 1});
         q.SetDescriptor(1, {.length = 1});
         q.MakeAvailable(0);
       }},
  };
  StartDevice();
  uint64_t expected = 0;
  for (const auto& [row, break_rule] : rules) {
    SCOPED_TRACE(row);
    break_rule(*queue0_);
    Notify(0);
    Eventually([&] { return driver_->status(); },
               [](uint32_t status) { return (status & D::kNeedsReset) != 0; });
    ASSERT_NE(driver_->status() & D::kNeedsReset, 0u);
    EXPECT_EQ(mmio_->resets_needed(), ++expected);
    driver_->Reset();
    EXPECT_EQ(port_.stats().live, 0u);
    NewQueues();
    StartDevice();
    ExpectServes();
  }
  EXPECT_EQ(log_.errors("toy"), expected);
}

TEST_F(VirtioMmioRunTest, D19DataOverTheRingsHarmsTheDriverOnly) {
  StartDevice();
  const auto size = static_cast<uint32_t>(DriverQueue::Bytes(ToyVirtioDevice::kQueueSize0));
  std::ranges::fill(port_.Bytes(kRequest, size), std::byte{0xee});
  queue0_->Add({{kRequest, size}}, {{kRings0, size}});
  Notify(0);
  ExpectNeedsReset();
}

TEST_F(VirtioMmioRunTest, D25RingsThatMoveAfterDriverOkAreIgnored) {
  StartDevice();
  VirtqueueConfig elsewhere = queue0_->config();
  elsewhere.descriptors = GuestAddress(0x8000);
  driver_->SetQueue(0, elsewhere);
  driver_->Write(D::kQueueReady, 0);
  EXPECT_EQ(driver_->Read(D::kQueueReady), 1u);
  ExpectServes();
}

TEST_F(VirtioMmioRunTest, QueueThatBecomesReadyAfterDriverOkIsIgnored) {
  ASSERT_TRUE(driver_->Negotiate());
  driver_->SetDriverOk();
  EXPECT_FALSE(driver_->EnableQueue(0, queue0_->config()));
}

TEST_F(VirtioMmioRunTest, D27StormOfNotificationsWakesTheDeviceOnce) {
  StartDevice();
  BeginReplyAtGate();
  const uint64_t before = device_.wakeups();
  for (int i = 0; i < 100000; ++i) Notify(0);
  device_.OpenGate();
  ASSERT_TRUE(WaitUsed(*queue0_).has_value());
  ExpectServes();
  // One for the storm, and one for each of the next request's notification and that being drained.
  EXPECT_LE(device_.wakeups(), before + 3);
}

TEST_F(VirtioMmioRunTest, NotificationOfAQueueThatIsNotThereIsIgnored) {
  ASSERT_TRUE(driver_->Negotiate());
  ASSERT_TRUE(driver_->EnableQueue(0, queue0_->config()));
  driver_->SetDriverOk();
  ExpectServes();
  Eventually([&] { return IsReadable(mmio_->doorbell().fd()); },
             [](bool readable) { return !readable; });
  const uint64_t before = device_.wakeups();
  for (const uint32_t queue : {1u, 2u, UINT32_MAX}) Notify(queue);
  ExpectServes();
  EXPECT_LE(device_.wakeups(), before + 1);
}

TEST_F(VirtioMmioRunTest, D32ResetWaitsForWhatIsInFlight) {
  StartDevice();
  BeginReplyAtGate();
  port_.At<uint32_t>(kRequest) = 7;
  std::atomic<bool> done = false;
  std::future<void> reset = std::async(std::launch::async, [&] {
    driver_->Reset();
    done.store(true);
  });
  std::this_thread::sleep_for(std::chrono::milliseconds(50));
  EXPECT_FALSE(done.load());
  device_.OpenGate();
  reset.get();
  EXPECT_EQ(port_.stats().live, 0u);
  EXPECT_EQ(driver_->status(), 0u);
  EXPECT_EQ(driver_->Read(D::kInterruptStatus), 0u);
  // Nothing is written any more.
  port_.At<uint32_t>(kReply) = 1;
  Notify(0);
  EXPECT_EQ(port_.At<uint32_t>(kReply), 1u);
  NewQueues();
  StartDevice();
  ExpectServes();
}

TEST_F(VirtioMmioRunTest, D32TwoResetsAtOnceBothWait) {
  StartDevice();
  BeginReplyAtGate();
  std::future<void> one = std::async(std::launch::async, [&] { driver_->Reset(); });
  std::future<void> two = std::async(std::launch::async, [&] { driver_->Reset(); });
  device_.OpenGate();
  one.get();
  two.get();
  EXPECT_EQ(port_.stats().live, 0u);
}

TEST_F(VirtioMmioRunTest, D32QuarantineEndsWithTheReset) {
  StartDevice();
  device_.AbandonNext();
  ExpectServes();
  EXPECT_EQ(port_.stats().quarantined, 1u);
  driver_->Reset();
  EXPECT_EQ(port_.stats().quarantined, 0u);
  EXPECT_EQ(port_.stats().live, 0u);
}

TEST_F(VirtioMmioRunTest, DestructorResets) {
  StartDevice();
  ExpectServes();
  mmio_.reset();
  EXPECT_EQ(port_.stats().live, 0u);
}

TEST_F(VirtioMmioRunTest, ResetForgetsTheQueuesAndTheSelections) {
  StartDevice();
  driver_->Write(D::kQueueSel, 1);
  driver_->Reset();
  EXPECT_EQ(driver_->Read(D::kQueueNumMax), ToyVirtioDevice::kQueueSize0);
  EXPECT_EQ(driver_->Read(D::kQueueReady), 0u);
  EXPECT_FALSE(IsReadable(mmio_->doorbell().fd()));
  ASSERT_TRUE(driver_->Negotiate());
  driver_->SetDriverOk();
  EXPECT_EQ(Eventually([&] { return device_.enabled_queues(); },
                       [](uint64_t enabled) { return enabled == 0; }),
            0u);
}

TEST_F(VirtioMmioRunTest, D33WhicheverMapFailsAtDriverOkAllIsUndone) {
  constexpr uint64_t kMaps = 6;  // Three areas of two queues.
  for (uint64_t n = 1; n <= kMaps; ++n) {
    SCOPED_TRACE(n);
    ASSERT_TRUE(driver_->Negotiate());
    ASSERT_TRUE(driver_->EnableQueue(0, queue0_->config()));
    ASSERT_TRUE(driver_->EnableQueue(1, queue1_->config()));
    port_.FailMap(n);
    driver_->SetDriverOk();
    EXPECT_EQ(driver_->status(),
              D::kAcknowledge | D::kDriver | D::kFeaturesOk | D::kDriverOk | D::kNeedsReset);
    EXPECT_EQ(driver_->Read(D::kInterruptStatus), 2u);
    EXPECT_EQ(port_.stats().live, 0u);
    EXPECT_EQ(mmio_->resets_needed(), n);
    EXPECT_EQ(log_.errors("toy"), n);
    EXPECT_EQ(device_.wakeups(), 0u);
    driver_->Reset();
  }
  port_.FailMap(0);
  StartDevice();
  ExpectServes();
}

TEST_F(VirtioMmioRunTest, WhicheverMapFailsAtQueueReadyAllIsUndone) {
  for (uint64_t n = 1; n <= 3; ++n) {
    port_.FailMap(n);
    EXPECT_FALSE(driver_->EnableQueue(0, queue0_->config()));
    EXPECT_EQ(port_.stats().live, 0u);
  }
  EXPECT_TRUE(driver_->EnableQueue(0, queue0_->config()));
}

}  // namespace
}  // namespace vmwire
