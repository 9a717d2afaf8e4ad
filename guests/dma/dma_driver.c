#include "guests/dma/dma_driver.h"

#include "guests/runtime/memory.h"
#include "guests/runtime/timing.h"

#define WAIT_SECONDS 20

// In assembler: a KVM that emulates the access knows a plain move.
uint32_t dma_read(const struct dma_engine* engine, uint64_t offset) {
  uint32_t value;
  __asm__ volatile("movl (%1), %0" : "=r"(value) : "r"(engine->base + offset) : "memory");
  return value;
}

static void write_register(const struct dma_engine* engine, uint64_t offset, uint32_t value) {
  __asm__ volatile("movl %0, (%1)" : : "r"(value), "r"(engine->base + offset) : "memory");
}

static void write_address(const struct dma_engine* engine, uint64_t offset, const void* address) {
  write_register(engine, offset, (uint32_t)(uintptr_t)address);
  write_register(engine, offset + 4, (uint32_t)((uintptr_t)address >> 32));
}

bool dma_find(const struct vmwire_boot_info* info, struct dma_engine* engine) {
  const struct vmwire_device* device = guest_device(info, VMWIRE_DEVICE_DMA_ENGINE, 0);
  if (device == 0) return false;
  engine->info = info;
  engine->base = device->base;
  return dma_read(engine, DMA_ID) == DMA_ID_VALUE &&
         dma_read(engine, DMA_VERSION) == DMA_VERSION_VALUE;
}

const char* dma_start(struct dma_engine* engine, struct dma_ring_memory* memory) {
  dma_reset(engine);
  memset(memory, 0, sizeof(*memory));
  engine->memory = memory;
  engine->submitted = 0;
  engine->completed = 0;
  write_register(engine, DMA_RING_SIZE, DMA_DRIVER_RING_SIZE);
  write_address(engine, DMA_RING_BASE, &memory->tail);
  write_address(engine, DMA_COMPLETION_BASE, &memory->head);
  write_register(engine, DMA_CONTROL, DMA_CONTROL_RUN);
  if (dma_read(engine, DMA_STATUS) != DMA_STATUS_RUNNING) return "the engine does not start";
  return 0;
}

bool dma_submit(struct dma_engine* engine, const struct dma_descriptor* descriptor) {
  if (engine->submitted - engine->completed == DMA_DRIVER_RING_SIZE) return false;
  engine->memory->descriptors[engine->submitted % DMA_DRIVER_RING_SIZE] = *descriptor;
  ++engine->submitted;
  // Release: an engine that sees the tail sees the descriptor.
  __atomic_store_n(&engine->memory->tail, engine->submitted, __ATOMIC_RELEASE);
  write_register(engine, DMA_DOORBELL, 0);
  return true;
}

const char* dma_wait(struct dma_engine* engine, struct dma_completion* completion) {
  uint64_t deadline = guest_deadline(engine->info, WAIT_SECONDS);
  while (__atomic_load_n(&engine->memory->head, __ATOMIC_ACQUIRE) == engine->completed) {
    if (!guest_is_past(deadline)) continue;
    if ((dma_read(engine, DMA_STATUS) & DMA_STATUS_NEEDS_RESET) != 0) {
      return "the engine needs a reset";
    }
    return "the engine does not answer";
  }
  *completion = engine->memory->completions[engine->completed % DMA_DRIVER_RING_SIZE];
  ++engine->completed;
  return 0;
}

void dma_reset(struct dma_engine* engine) {
  write_register(engine, DMA_CONTROL, DMA_CONTROL_RESET);
}
