// The guests' own header of the DMA engine says what the engine does.
#include <gtest/gtest.h>

#include <cstddef>
#include <cstdint>

#include "devices/dma_engine/dma_descriptor.h"
#include "guests/dma/dma_driver.h"
#include "tests/devices/dma_engine_fixture.h"

namespace vmwire {
namespace {

static_assert(sizeof(dma_descriptor) == sizeof(DmaDescriptor));
static_assert(offsetof(dma_descriptor, opcode) == offsetof(DmaDescriptor, opcode));
static_assert(offsetof(dma_descriptor, flags) == offsetof(DmaDescriptor, flags));
static_assert(offsetof(dma_descriptor, length) == offsetof(DmaDescriptor, length));
static_assert(offsetof(dma_descriptor, id) == offsetof(DmaDescriptor, id));
static_assert(offsetof(dma_descriptor, source) == offsetof(DmaDescriptor, source));
static_assert(offsetof(dma_descriptor, destination) == offsetof(DmaDescriptor, destination));
static_assert(offsetof(dma_descriptor, operand) == offsetof(DmaDescriptor, operand));
static_assert(offsetof(dma_descriptor, source_segments) ==
              offsetof(DmaDescriptor, source_segments));
static_assert(offsetof(dma_descriptor, destination_segments) ==
              offsetof(DmaDescriptor, destination_segments));

static_assert(sizeof(dma_segment) == sizeof(DmaSegment));
static_assert(offsetof(dma_segment, length) == offsetof(DmaSegment, length));

static_assert(sizeof(dma_completion) == sizeof(DmaCompletion));
static_assert(offsetof(dma_completion, result) == offsetof(DmaCompletion, result));
static_assert(offsetof(dma_completion, status) == offsetof(DmaCompletion, status));

static_assert(offsetof(dma_ring_memory, descriptors) == kDmaRingHeaderSize);
static_assert(offsetof(dma_ring_memory, completions) - offsetof(dma_ring_memory, head) ==
              kDmaRingHeaderSize);
static_assert(offsetof(dma_ring_memory, head) % kDmaRingAlignment == 0);

static_assert(DMA_COPY == static_cast<int>(DmaOpcode::kCopy));
static_assert(DMA_FILL == static_cast<int>(DmaOpcode::kFill));
static_assert(DMA_COMPARE == static_cast<int>(DmaOpcode::kCompare));
static_assert(DMA_CHECKSUM == static_cast<int>(DmaOpcode::kChecksum));

static_assert(DMA_SOURCE_LIST == kDmaSourceList);
static_assert(DMA_DESTINATION_LIST == kDmaDestinationList);
static_assert(DMA_NO_INTERRUPT == kDmaNoInterrupt);

static_assert(DMA_MISMATCH == static_cast<int>(DmaStatus::kMismatch));
static_assert(DMA_BAD_OPCODE == static_cast<int>(DmaStatus::kBadOpcode));
static_assert(DMA_BAD_FLAGS == static_cast<int>(DmaStatus::kBadFlags));
static_assert(DMA_BAD_LENGTH == static_cast<int>(DmaStatus::kBadLength));
static_assert(DMA_BAD_SOURCE == static_cast<int>(DmaStatus::kBadSource));
static_assert(DMA_BAD_DESTINATION == static_cast<int>(DmaStatus::kBadDestination));
static_assert(DMA_BUSY == static_cast<int>(DmaStatus::kBusy));

static_assert(DMA_DOORBELL == DmaEngine::kDoorbellOffset);

class DmaEngineGuestDriverTest : public DmaEngineFixture {};

TEST_F(DmaEngineGuestDriverTest, RegistersAreWhereTheGuestsHeaderSays) {
  EXPECT_EQ(Get(DMA_ID), DMA_ID_VALUE);
  EXPECT_EQ(Get(DMA_VERSION), DMA_VERSION_VALUE);
  EXPECT_EQ(Get(DMA_MAX_RING_SIZE), kMaxDmaRingSize);
  EXPECT_EQ(Get(DMA_MAX_SEGMENTS), kMaxDmaSegments);
  EXPECT_EQ(Get(DMA_MAX_LENGTH), kMaxDmaLength);

  Set(DMA_RING_SIZE, kRingSize);
  Set(DMA_RING_BASE, kDescriptors);
  Set(DMA_COMPLETION_BASE, kCompletions);
  Set(DMA_CONTROL, DMA_CONTROL_RUN | DMA_CONTROL_INTERRUPT);
  EXPECT_EQ(Get(DMA_STATUS), DMA_STATUS_RUNNING);
  Submit(Fill(0, 8, 0));
  WaitDone();
  EXPECT_EQ(Get(DMA_ERROR_COUNT), 1u);
  ASSERT_TRUE(WaitFor([&] { return Get(DMA_INTERRUPT_STATUS) == 1; }));
  Set(DMA_INTERRUPT_ACK, 1);
  EXPECT_EQ(Get(DMA_INTERRUPT_STATUS), 0u);
  Counter(kDescriptors).store(1000);
  Set(DMA_DOORBELL, 1);
  EXPECT_TRUE(WaitFor([&] { return Get(DMA_STATUS) == DMA_STATUS_NEEDS_RESET; }));
  Set(DMA_CONTROL, DMA_CONTROL_RESET);
  EXPECT_EQ(Get(DMA_STATUS), 0u);
}

}  // namespace
}  // namespace vmwire
