// A queue whose driver is another thread: one that keeps the rules, and one that rewrites what the
// device is reading. Meant for ThreadSanitizer.
#include <gtest/gtest.h>

#include <atomic>
#include <cstdint>
#include <optional>
#include <random>
#include <thread>
#include <utility>

#include "devices/event_fd.h"
#include "devices/virtio/virtqueue.h"
#include "tests/devices/driver_queue.h"
#include "tests/fakes/fake_dma_port.h"
#include "tests/support/seed.h"

namespace vmwire {
namespace {

constexpr GuestAddress kRings(0x1000);
constexpr uint16_t kSize = 8;

std::optional<Virtqueue> NewQueue(FakeDmaPort& port, const DriverQueue& driver, bool event_index) {
  absl::StatusOr<Virtqueue> queue = Virtqueue::Create(port, driver.config(), event_index);
  EXPECT_TRUE(queue.ok());
  if (!queue.ok()) return std::nullopt;
  return *std::move(queue);
}

// What must hold of every chain, whatever was written while it was read. Of the rewritten
// descriptors, a readable one has 1 or 2 bytes and a writable one 3 or 4.
void ExpectSane(const DescriptorChain& chain) {
  EXPECT_LT(chain.head(), kSize);
  EXPECT_LE(chain.readable().size() + chain.writable().size(), kSize);
  uint64_t bytes = 0;
  for (const VirtqueueBuffer& buffer : chain.readable()) bytes += buffer.length;
  EXPECT_EQ(bytes, chain.readable_bytes());
  bytes = 0;
  for (const VirtqueueBuffer& buffer : chain.writable()) bytes += buffer.length;
  EXPECT_EQ(bytes, chain.writable_bytes());
}

TEST(VirtqueueRacesTest, D21DescriptorsRewrittenDuringTheWalkAreCopiedOnce) {
  FakeDmaPort port;
  port.AddMemory(GuestAddress(0), 0x4000);
  DriverQueue driver(port, kRings, kSize);
  std::atomic<bool> stop = false;
  std::thread rewriter([&, seed = TestSeed()] {
    std::mt19937_64 random(seed);
    while (!stop.load()) {
      const auto index = static_cast<uint16_t>(random() % kSize);
      const uint16_t flags = random() % 64 == 0 ? 4 : static_cast<uint16_t>(random() % 4);
      driver.SetDescriptor(index, {.address = random(),
                                   .length = static_cast<uint32_t>(1 + random() % 4),
                                   .flags = flags,
                                   .next = static_cast<uint16_t>(random() % (kSize + 1))});
    }
  });
  std::optional<Virtqueue> queue = NewQueue(port, driver, true);
  uint64_t chains = 0;
  uint64_t errors = 0;
  uint16_t index = 0;
  while (queue.has_value() && (chains < 20000 || errors < 2000)) {
    driver.SetAvailableEntry(index, static_cast<uint16_t>(index % kSize));
    driver.SetAvailableIndex(++index);
    if (const auto chain = queue->Pop(); chain.ok() && chain->has_value()) {
      ++chains;
      ExpectSane(**chain);
      queue->Push((*chain)->head(), 0);
      continue;
    }
    ++errors;
    driver.SetAvailableIndex(index = 0);
    queue = NewQueue(port, driver, true);
  }
  stop.store(true);
  rewriter.join();
}

TEST(VirtqueueRacesTest, D21DriverAreaRewrittenAtAnyTimeIsCheckedAsItWasRead) {
  FakeDmaPort port;
  port.AddMemory(GuestAddress(0), 0x4000);
  DriverQueue driver(port, kRings, kSize);
  std::atomic<bool> stop = false;
  std::thread rewriter([&, seed = TestSeed()] {
    std::mt19937_64 random(seed);
    uint16_t index = 0;
    while (!stop.load()) {
      driver.SetAvailableEntry(static_cast<uint16_t>(random()),
                               static_cast<uint16_t>(random() % (kSize + 1)));
      if (random() % 64 == 0) index = static_cast<uint16_t>(random());
      driver.SetAvailableIndex(index++);
      driver.SetUsedEvent(static_cast<uint16_t>(random()));
    }
  });
  std::optional<Virtqueue> queue = NewQueue(port, driver, true);
  for (uint32_t i = 0; i < 50000 && queue.has_value(); ++i) {
    const auto chain = queue->Pop();
    if (!chain.ok()) {
      queue = NewQueue(port, driver, true);
    } else if (chain->has_value()) {
      ExpectSane(**chain);
      queue->Push((*chain)->head(), 0);
      queue->NeedsInterrupt();
    } else {
      queue->EnableNotifications();
    }
  }
  stop.store(true);
  rewriter.join();
}

// Both sides sleep whenever there is nothing to do, and are woken only if the other was asked to:
// one lost event, and this never ends.
void PassAll(bool event_index, uint32_t requests) {
  FakeDmaPort port;
  port.AddMemory(GuestAddress(0), 0x4000);
  DriverQueue driver(port, kRings, kSize);
  std::optional<Virtqueue> queue = NewQueue(port, driver, event_index);
  absl::StatusOr<EventFd> doorbell = EventFd::Create();
  absl::StatusOr<EventFd> interrupt = EventFd::Create();
  ASSERT_TRUE(queue.has_value() && doorbell.ok() && interrupt.ok());
  std::thread device([&] {
    for (uint32_t served = 0; served < requests;) {
      const auto chain = queue->Pop();
      ASSERT_TRUE(chain.ok());
      if (chain->has_value()) {
        queue->Push((*chain)->head(), served++);
        if (queue->NeedsInterrupt()) interrupt->Signal();
      } else if (queue->EnableNotifications()) {
        WaitReadable({doorbell->fd()});
        doorbell->Drain();
        queue->DisableNotifications();
      }
    }
  });
  uint32_t sent = 0;
  for (uint32_t done = 0; done < requests;) {
    while (sent < requests && driver.free_descriptors() > 0) {
      driver.Add({{GuestAddress(0x3000), ++sent}}, {});
      if (driver.NeedsNotification(event_index)) doorbell->Signal();
    }
    while (const auto used = driver.TakeUsed()) EXPECT_EQ(used->written, done++);
    driver.SetUsedEvent(driver.next_used());
    if (done == sent || driver.used_index() != driver.next_used()) continue;
    WaitReadable({interrupt->fd()});
    interrupt->Drain();
  }
  device.join();
}

TEST(VirtqueueRacesTest, NoEventIsLostWithTheEventIndex) { PassAll(true, 50000); }

TEST(VirtqueueRacesTest, NoEventIsLostWithoutTheEventIndex) { PassAll(false, 50000); }

}  // namespace
}  // namespace vmwire
