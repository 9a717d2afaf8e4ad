// An engine on a FakeDmaPort, and a driver for it: what a guest would do.
//
// Thread safety: the driver is for the main thread of a test.
#ifndef VMWIRE_TESTS_DEVICES_DMA_ENGINE_FIXTURE_H_
#define VMWIRE_TESTS_DEVICES_DMA_ENGINE_FIXTURE_H_

#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <cstdint>
#include <cstring>
#include <memory>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "devices/dma_engine/dma_engine.h"
#include "tests/fakes/fake_dma_port.h"
#include "tests/fakes/recording_line.h"

namespace vmwire {

class DmaEngineFixture : public testing::Test {
 protected:
  static constexpr uint64_t kMemory = 0x200000;
  static constexpr uint64_t kMemorySize = 0x200000;
  static constexpr uint64_t kData = kMemory + 0x100000;
  static constexpr uint64_t kDescriptors = kMemory;
  static constexpr uint64_t kCompletions = kMemory + 0x80000;
  static constexpr uint32_t kRingSize = 16;

  static constexpr uint64_t kControl = 0x14;
  static constexpr uint64_t kStatus = 0x18;
  static constexpr uint64_t kInterruptStatus = 0x34;
  static constexpr uint64_t kInterruptAck = 0x38;
  static constexpr uint64_t kErrorCount = 0x3c;
  static constexpr uint32_t kRun = 1;
  static constexpr uint32_t kInterrupt = 2;
  static constexpr uint32_t kReset = 4;
  static constexpr uint32_t kRunning = 1;
  static constexpr uint32_t kNeedsReset = 2;

  DmaEngineFixture() {
    port_.AddMemory(GuestAddress(kMemory), kMemorySize);
    engine_ = *DmaEngine::Create(port_, line_, log_);
  }

  uint32_t Get(uint64_t offset) {
    uint32_t value = 0;
    engine_->Read(offset, std::as_writable_bytes(std::span(&value, 1)));
    return value;
  }
  void Set(uint64_t offset, uint32_t value) {
    engine_->Write(offset, std::as_bytes(std::span(&value, 1)));
  }

  void SetRings(uint32_t size, uint64_t descriptors, uint64_t completions) {
    Set(0x1c, size);
    Set(0x20, static_cast<uint32_t>(descriptors));
    Set(0x24, static_cast<uint32_t>(descriptors >> 32));
    Set(0x28, static_cast<uint32_t>(completions));
    Set(0x2c, static_cast<uint32_t>(completions >> 32));
  }
  void Start(uint32_t control = kRun) {
    tail_ = 0;
    Counter(kDescriptors).store(0);
    SetRings(kRingSize, kDescriptors, kCompletions);
    Set(kControl, control);
  }
  void Reset() { Set(kControl, kReset); }

  // Makes `descriptor` available, without a doorbell.
  void Add(const DmaDescriptor& descriptor) {
    port_.At<DmaDescriptor>(GuestAddress(kDescriptors + kDmaRingHeaderSize +
                                         tail_ % kRingSize * sizeof(DmaDescriptor))) = descriptor;
    Counter(kDescriptors).store(++tail_);
  }
  void Ring() { Set(DmaEngine::kDoorbellOffset, 0); }
  void Submit(const DmaDescriptor& descriptor) {
    Add(descriptor);
    Ring();
  }
  uint32_t Head() { return Counter(kCompletions).load(); }
  // Waits until all that was made available is completed.
  void WaitDone() {
    EXPECT_TRUE(WaitFor([this] { return Head() == tail_; })) << "head " << Head() << ", " << tail_;
  }
  DmaCompletion CompletionOf(uint32_t index) {
    return port_.At<DmaCompletion>(GuestAddress(kCompletions + kDmaRingHeaderSize +
                                                index % kRingSize * sizeof(DmaCompletion)));
  }

  template <typename Condition>
  static bool WaitFor(const Condition& condition) {
    const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(20);
    while (!condition()) {
      if (std::chrono::steady_clock::now() > deadline) return false;
      std::this_thread::yield();
    }
    return true;
  }

  static DmaDescriptor Fill(uint64_t destination, uint32_t length, uint64_t pattern,
                            uint64_t id = 0) {
    return {.opcode = static_cast<uint16_t>(DmaOpcode::kFill),
            .length = length,
            .id = id,
            .destination = destination,
            .operand = pattern};
  }

  std::atomic_ref<uint32_t> Counter(uint64_t address) {
    return std::atomic_ref<uint32_t>(port_.At<uint32_t>(GuestAddress(address)));
  }

  FakeDmaPort port_;
  RecordingLine line_;
  std::vector<std::string> lines_;
  DeviceLog log_{[this](const std::string& line) { lines_.push_back(line); }};
  std::unique_ptr<DmaEngine> engine_;
  uint32_t tail_ = 0;
};

}  // namespace vmwire

#endif  // VMWIRE_TESTS_DEVICES_DMA_ENGINE_FIXTURE_H_
