// A driver of the DMA engine for a guest in C at ring 3: it polls, and allocates nothing. The other
// side of it is devices/dma_engine/; a test compares the two.
//
//   dma_find, dma_start; then dma_submit and dma_wait for each descriptor; dma_reset
//
// A function that can fail says so in words; null means that all went well.
#ifndef VMWIRE_GUESTS_DMA_DMA_DRIVER_H_
#define VMWIRE_GUESTS_DMA_DMA_DRIVER_H_

#include <stdbool.h>
#include <stdint.h>

#include "guests/runtime/vmwire_guest.h"

// Registers.
#define DMA_ID 0x00
#define DMA_VERSION 0x04
#define DMA_MAX_RING_SIZE 0x08
#define DMA_MAX_SEGMENTS 0x0c
#define DMA_MAX_LENGTH 0x10
#define DMA_CONTROL 0x14
#define DMA_STATUS 0x18
#define DMA_RING_SIZE 0x1c
#define DMA_RING_BASE 0x20
#define DMA_COMPLETION_BASE 0x28
#define DMA_DOORBELL 0x30
#define DMA_INTERRUPT_STATUS 0x34
#define DMA_INTERRUPT_ACK 0x38
#define DMA_ERROR_COUNT 0x3c

#define DMA_ID_VALUE 0x414d4456u
#define DMA_VERSION_VALUE 1u

#define DMA_CONTROL_RUN 1u
#define DMA_CONTROL_INTERRUPT 2u
#define DMA_CONTROL_RESET 4u
#define DMA_STATUS_RUNNING 1u
#define DMA_STATUS_NEEDS_RESET 2u

#define DMA_NONE 0
#define DMA_COPY 1
#define DMA_FILL 2
#define DMA_COMPARE 3
#define DMA_CHECKSUM 4

#define DMA_SOURCE_LIST 1
#define DMA_DESTINATION_LIST 2
#define DMA_NO_INTERRUPT 4

#define DMA_OK 0
#define DMA_MISMATCH 1
#define DMA_BAD_OPCODE 2
#define DMA_BAD_FLAGS 3
#define DMA_BAD_LENGTH 4
#define DMA_BAD_SOURCE 5
#define DMA_BAD_DESTINATION 6
#define DMA_BUSY 7

struct dma_descriptor {
  uint16_t opcode;
  uint16_t flags;
  uint32_t length;
  uint64_t id;
  uint64_t source;
  uint64_t destination;
  uint64_t operand;
  uint32_t source_segments;
  uint32_t destination_segments;
  uint64_t reserved[2];
};

struct dma_segment {
  uint64_t address;
  uint32_t length;
  uint32_t reserved;
};

struct dma_completion {
  uint64_t id;
  uint64_t result;
  uint32_t status;
  uint32_t reserved0;
  uint64_t reserved1;
};

#define DMA_DRIVER_RING_SIZE 16u

// What driver and engine share.
struct dma_ring_memory {
  uint32_t tail;
  uint32_t unused0[15];
  struct dma_descriptor descriptors[DMA_DRIVER_RING_SIZE];
  uint32_t head;
  uint32_t unused1[15];
  struct dma_completion completions[DMA_DRIVER_RING_SIZE];
} __attribute__((aligned(64)));

struct dma_engine {
  const struct vmwire_boot_info* info;
  uint64_t base;
  struct dma_ring_memory* memory;
  uint32_t submitted;
  uint32_t completed;
};

#ifdef __cplusplus
extern "C" {
#endif

// False: there is none.
bool dma_find(const struct vmwire_boot_info* info, struct dma_engine* engine);

// Resets the engine and starts it with rings in `memory`.
const char* dma_start(struct dma_engine* engine, struct dma_ring_memory* memory);

uint32_t dma_read(const struct dma_engine* engine, uint64_t offset);

// Hands `descriptor` over. False: as many as the ring holds are in flight.
bool dma_submit(struct dma_engine* engine, const struct dma_descriptor* descriptor);

// Waits for the completion of the oldest descriptor in flight.
const char* dma_wait(struct dma_engine* engine, struct dma_completion* completion);

// Nothing is written any more once this returns.
void dma_reset(struct dma_engine* engine);

#ifdef __cplusplus
}
#endif

#endif  // VMWIRE_GUESTS_DMA_DMA_DRIVER_H_
