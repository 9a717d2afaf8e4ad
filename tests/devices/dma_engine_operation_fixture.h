// Memory for the operations of the DMA engine, and a way to carry descriptors out.
//
// Thread safety: for the main thread of a test.
#ifndef VMWIRE_TESTS_DEVICES_DMA_ENGINE_OPERATION_FIXTURE_H_
#define VMWIRE_TESTS_DEVICES_DMA_ENGINE_OPERATION_FIXTURE_H_

#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <optional>
#include <random>
#include <span>
#include <vector>

#include "devices/dma_engine/dma_operation.h"
#include "tests/fakes/fake_dma_port.h"

namespace vmwire {

class DmaOperationFixture : public testing::Test {
 protected:
  static constexpr uint64_t kMemory = 0x100000;
  static constexpr uint64_t kSize = uint64_t{8} << 20;
  static constexpr uint64_t kSecond = kMemory + kSize;  // A second region that touches the first.
  static constexpr uint64_t kHole = kSecond + kSize;
  static constexpr uint64_t kReadOnly = 0x8000000;
  static constexpr uint64_t kLists = kMemory + kSize / 2;

  DmaOperationFixture() {
    port_.AddMemory(GuestAddress(kMemory), kSize);
    port_.AddMemory(GuestAddress(kSecond), kSize);
    port_.AddMemory(GuestAddress(kReadOnly), kPageSize, Protection::kRead);
  }
  ~DmaOperationFixture() override { EXPECT_EQ(port_.stats().live, 0u); }

  DmaOutcome Execute(const DmaDescriptor& descriptor) {
    const std::optional<DmaOutcome> outcome = ExecuteDma(port_, descriptor, never_);
    EXPECT_TRUE(outcome.has_value());
    if (!outcome.has_value()) return {};
    EXPECT_EQ(outcome->cause.ok(), !IsDmaError(outcome->status)) << outcome->cause;
    return *outcome;
  }

  static DmaDescriptor Copy(uint64_t source, uint64_t destination, uint32_t length) {
    return {.opcode = static_cast<uint16_t>(DmaOpcode::kCopy),
            .length = length,
            .source = source,
            .destination = destination};
  }
  static DmaDescriptor With(DmaOpcode opcode, uint64_t source, uint64_t destination,
                            uint32_t length) {
    DmaDescriptor descriptor = Copy(source, destination, length);
    descriptor.opcode = static_cast<uint16_t>(opcode);
    return descriptor;
  }
  static DmaDescriptor Fill(uint64_t destination, uint32_t length, uint64_t pattern) {
    DmaDescriptor descriptor = With(DmaOpcode::kFill, 0, destination, length);
    descriptor.operand = pattern;
    return descriptor;
  }

  std::span<std::byte> Bytes(uint64_t address, uint64_t size) {
    return port_.Bytes(GuestAddress(address), size);
  }
  void Randomize(uint64_t address, uint64_t size) {
    for (std::byte& byte : Bytes(address, size)) byte = static_cast<std::byte>(random_());
  }
  std::vector<std::byte> Saved(uint64_t address, uint64_t size) {
    const std::span<std::byte> bytes = Bytes(address, size);
    return {bytes.begin(), bytes.end()};
  }
  void PutList(uint64_t address, const std::vector<DmaSegment>& list) {
    const auto bytes = std::as_bytes(std::span(list));
    std::copy(bytes.begin(), bytes.end(), Bytes(address, bytes.size()).begin());
  }

  FakeDmaPort port_;
  const std::atomic<bool> never_ = false;
  std::mt19937 random_{20250402};
};

}  // namespace vmwire

#endif  // VMWIRE_TESTS_DEVICES_DMA_ENGINE_OPERATION_FIXTURE_H_
