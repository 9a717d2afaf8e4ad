// A virtio device between its driver's queues and nothing else: no transport, no guest. The test is
// the driver.
//
//   DeviceSession session(port, device, {8, 8}, features);
//   session.queue(1).Add({{text, 5}}, {});
//   ASSERT_THAT(session.ServeOnce(), IsOk());        // Or Start(), Ring(), Stop() with a thread.
//   EXPECT_EQ(session.queue(1).TakeUsed(), ...);
//
// Invariants: the queues lie at kQueues of the port's memory, kQueueStride apart.
// Thread safety: the test's main thread; UsedBuffers and ConfigChanged from any.
#ifndef VMWIRE_TESTS_DEVICES_DEVICE_SESSION_H_
#define VMWIRE_TESTS_DEVICES_DEVICE_SESSION_H_

#include <gtest/gtest.h>

#include <atomic>
#include <cstdint>
#include <deque>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "devices/event_fd.h"
#include "devices/virtio/virtio_device.h"
#include "devices/virtio/virtqueue.h"
#include "memory/address.h"
#include "tests/devices/driver_queue.h"
#include "tests/fakes/fake_dma_port.h"

namespace vmwire {

class DeviceSession final : public VirtioEvents {
 public:
  static constexpr uint64_t kQueues = 0x80000;
  static constexpr uint64_t kQueueStride = 0x2000;

  // With a queue of each of `sizes`; 0: one that is not enabled. REQUIRES: `port` has memory for
  // them.
  DeviceSession(FakeDmaPort& port, VirtioDevice& device, const std::vector<uint16_t>& sizes,
                uint64_t features, bool event_index = true)
      : device_(device), doorbell_(*EventFd::Create()), stop_(*EventFd::Create()) {
    session_.features = features | kVirtioFeatureVersion1;
    session_.doorbell = doorbell_.fd();
    session_.stop = stop_.fd();
    session_.events = this;
    for (size_t i = 0; i < sizes.size(); ++i) {
      driver_sides_.emplace_back(port, GuestAddress(kQueues + i * kQueueStride),
                                 sizes[i] == 0 ? uint16_t{1} : sizes[i]);
      absl::StatusOr<Virtqueue> device_side =
          Virtqueue::Create(port, driver_sides_.back().config(), event_index);
      EXPECT_TRUE(device_side.ok()) << device_side.status();
      device_sides_.push_back(*std::move(device_side));
      session_.queues.push_back(sizes[i] == 0 ? nullptr : &device_sides_.back());
    }
  }
  DeviceSession(const DeviceSession&) = delete;
  DeviceSession& operator=(const DeviceSession&) = delete;
  ~DeviceSession() override {
    if (thread_.joinable()) Stop().IgnoreError();
  }

  DriverQueue& queue(size_t number) { return driver_sides_[number]; }

  // What is available now.
  absl::Status ServeOnce() {
    stop_.Signal();
    absl::Status status = device_.Serve(session_);
    stop_.Drain();
    return status;
  }

  // Serves on a thread until Stop, which returns what Serve returned.
  void Start() {
    thread_ = std::thread([this] { result_ = device_.Serve(session_); });
  }
  void Ring() { doorbell_.Signal(); }
  absl::Status Stop() {
    stop_.Signal();
    absl::Status status = Join();
    stop_.Drain();
    return status;
  }
  // Waits for Serve to fail by itself.
  absl::Status Join() {
    thread_.join();
    return result_;
  }

  void UsedBuffers() override { interrupts_.fetch_add(1); }
  void ConfigChanged() override { config_changes_.fetch_add(1); }
  uint64_t interrupts() const { return interrupts_.load(); }
  uint64_t config_changes() const { return config_changes_.load(); }

 private:
  VirtioDevice& device_;
  const EventFd doorbell_;
  const EventFd stop_;
  std::deque<DriverQueue> driver_sides_;
  std::deque<Virtqueue> device_sides_;
  VirtioSession session_;
  std::atomic<uint64_t> interrupts_ = 0;
  std::atomic<uint64_t> config_changes_ = 0;
  std::thread thread_;
  absl::Status result_;
};

// The count of that name.
inline uint64_t CounterOf(const VirtioDevice& device, const std::string& name) {
  for (const auto& [counter, value] : device.Counters()) {
    if (counter == name) return value;
  }
  ADD_FAILURE() << "no counter " << name;
  return 0;
}

// Whether there is one.
inline bool HasCounter(const VirtioDevice& device, const std::string& name) {
  for (const auto& [counter, value] : device.Counters()) {
    if (counter == name) return true;
  }
  return false;
}

}  // namespace vmwire

#endif  // VMWIRE_TESTS_DEVICES_DEVICE_SESSION_H_
