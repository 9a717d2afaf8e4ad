// When a queue asks for notifications and gives interrupts: by the event index over the whole of
// its 16-bit circle, and by the flags.
#include <gtest/gtest.h>

#include <cstdint>
#include <initializer_list>
#include <optional>
#include <utility>

#include "devices/virtio/virtqueue.h"
#include "tests/devices/driver_queue.h"
#include "tests/fakes/fake_dma_port.h"

namespace vmwire {
namespace {

constexpr GuestAddress kRings(0x1000);
constexpr uint16_t kSize = 8;
constexpr uint32_t kCircle = 0x10000;

class VirtqueueEventsTest : public testing::Test {
 protected:
  VirtqueueEventsTest() {
    port_.AddMemory(GuestAddress(0), 0x4000);
    driver_.emplace(port_, kRings, kSize);
  }

  void Begin(bool event_index) {
    absl::StatusOr<Virtqueue> queue = Virtqueue::Create(port_, driver_->config(), event_index);
    ASSERT_TRUE(queue.ok());
    queue_.emplace(*std::move(queue));
  }

  void Offer() { driver_->Add({{GuestAddress(0x3000), 1}}, {}); }

  // Pops one and gives it back.
  void Use() {
    const auto chain = queue_->Pop();
    ASSERT_TRUE(chain.ok() && chain->has_value());
    queue_->Push((*chain)->head(), 0);
    driver_->TakeUsed();
  }

  // `count` chains, from the driver and back.
  void Pass(uint32_t count) {
    for (uint32_t i = 0; i < count; ++i) {
      Offer();
      Use();
    }
  }

  FakeDmaPort port_;
  std::optional<DriverQueue> driver_;
  std::optional<Virtqueue> queue_;
};

TEST_F(VirtqueueEventsTest, EveryDistanceOfTheEventForBatchesOf0To4) {
  Begin(true);
  for (uint32_t batch = 0; batch <= 4; ++batch) {
    for (uint32_t distance = 0; distance < kCircle; ++distance) {
      Pass(batch);
      // The driver wants to know of the use that lies `distance` before the last one.
      driver_->SetUsedEvent(static_cast<uint16_t>(driver_->used_index() - 1 - distance));
      ASSERT_EQ(queue_->NeedsInterrupt(), distance < batch) << batch << " " << distance;
    }
  }
}

TEST_F(VirtqueueEventsTest, EveryPositionOfTheIndexForEventsNearIt) {
  Begin(true);
  for (const int distance : {-1, 0, 1, 2, 0x8000}) {
    for (uint32_t position = 0; position < kCircle; ++position) {
      Pass(2);
      const uint16_t used = driver_->used_index();
      driver_->SetUsedEvent(static_cast<uint16_t>(used - 1 - distance));
      ASSERT_EQ(queue_->NeedsInterrupt(), distance == 0 || distance == 1)
          << distance << " " << used;
      if (position % 2 == 1) Pass(1);  // Even and odd ones.
      driver_->SetUsedEvent(driver_->used_index());
      ASSERT_FALSE(queue_->NeedsInterrupt());
    }
  }
}

TEST_F(VirtqueueEventsTest, MoreUsesThanTheCircleHasAlwaysInterrupt) {
  Begin(true);
  for (const uint32_t count : {kCircle, kCircle + 3}) {
    Pass(count);
    driver_->SetUsedEvent(driver_->used_index());
    EXPECT_TRUE(queue_->NeedsInterrupt());
    EXPECT_FALSE(queue_->NeedsInterrupt());
  }
}

TEST_F(VirtqueueEventsTest, WithEventIndexTheDriversFlagIsNotLookedAt) {
  Begin(true);
  driver_->SetAvailableFlags(1);
  Pass(1);
  EXPECT_TRUE(queue_->NeedsInterrupt());
}

TEST_F(VirtqueueEventsTest, WithoutEventIndexTheFlagDecides) {
  Begin(false);
  driver_->SetUsedEvent(1000);
  EXPECT_FALSE(queue_->NeedsInterrupt()) << "nothing was used";
  Pass(1);
  EXPECT_TRUE(queue_->NeedsInterrupt());
  EXPECT_FALSE(queue_->NeedsInterrupt()) << "nothing was used since";
  driver_->SetAvailableFlags(1);
  Pass(1);
  EXPECT_FALSE(queue_->NeedsInterrupt());
}

TEST_F(VirtqueueEventsTest, EnableAsksForTheNextChainAtEveryPosition) {
  Begin(true);
  for (uint32_t position = 0; position < kCircle + 2; position += 2) {
    queue_->DisableNotifications();
    ASSERT_TRUE(queue_->EnableNotifications());
    ASSERT_EQ(driver_->available_event(), static_cast<uint16_t>(position));
    Offer();
    ASSERT_TRUE(driver_->NeedsNotification(true));
    ASSERT_FALSE(queue_->EnableNotifications());
    Offer();
    ASSERT_FALSE(driver_->NeedsNotification(true)) << "it was told of the one before";
    Use();
    ASSERT_FALSE(queue_->EnableNotifications());
    Use();
  }
}

TEST_F(VirtqueueEventsTest, ADeviceThatDoesNotAskIsNotNotifiedWithinACircle) {
  Begin(true);
  ASSERT_TRUE(queue_->EnableNotifications());
  Offer();
  ASSERT_TRUE(driver_->NeedsNotification(true));
  queue_->DisableNotifications();
  Use();
  for (uint32_t i = 1; i < kCircle; ++i) {
    Offer();
    ASSERT_FALSE(driver_->NeedsNotification(true));
    Use();
  }
}

TEST_F(VirtqueueEventsTest, WithEventIndexTheDevicesFlagsStay0) {
  Begin(true);
  queue_->DisableNotifications();
  EXPECT_EQ(driver_->used_flags(), 0);
}

TEST_F(VirtqueueEventsTest, WithoutEventIndexTheDevicesFlagTellsTheDriver) {
  Begin(false);
  queue_->DisableNotifications();
  EXPECT_EQ(driver_->used_flags(), 1);
  Offer();
  EXPECT_FALSE(driver_->NeedsNotification(false));
  EXPECT_FALSE(queue_->EnableNotifications()) << "there is one already";
  EXPECT_EQ(driver_->used_flags(), 0);
  Use();
  EXPECT_TRUE(queue_->EnableNotifications());
  Offer();
  EXPECT_TRUE(driver_->NeedsNotification(false));
}

}  // namespace
}  // namespace vmwire
