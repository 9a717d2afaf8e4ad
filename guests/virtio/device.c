// Finding a device, negotiation, set-up and reset: everything but the work of a queue.
#include "guests/runtime/memory.h"
#include "guests/runtime/timing.h"
#include "guests/virtio/virtio.h"
#include "guests/virtio/virtio_registers.h"

#define MAGIC 0x74726976  // "virt"
#define MMIO_VERSION 2

// Status bits (2.1).
#define ACKNOWLEDGE 1u
#define DRIVER 2u
#define DRIVER_OK 4u
#define FEATURES_OK 8u
#define NEEDS_RESET 64u

bool virtio_find(const struct vmwire_boot_info* info, uint32_t type, uint32_t index,
                 struct virtio_device* device) {
  const struct vmwire_device* entry;
  for (uint32_t i = 0; (entry = guest_device(info, VMWIRE_DEVICE_VIRTIO_MMIO, i)) != 0; ++i) {
    device->info = info;
    device->base = entry->base;
    device->features = 0;
    if (virtio_read(device, VIRTIO_MAGIC) != MAGIC) continue;
    if (virtio_read(device, VIRTIO_MMIO_VERSION) != MMIO_VERSION) continue;
    if (virtio_read(device, VIRTIO_DEVICE_ID) != type) continue;
    if (index-- == 0) return true;
  }
  return false;
}

static uint64_t offered_features(const struct virtio_device* device) {
  virtio_write(device, VIRTIO_DEVICE_FEATURES_SELECT, 1);
  uint64_t high = virtio_read(device, VIRTIO_DEVICE_FEATURES);
  virtio_write(device, VIRTIO_DEVICE_FEATURES_SELECT, 0);
  return high << 32 | virtio_read(device, VIRTIO_DEVICE_FEATURES);
}

const char* virtio_start(struct virtio_device* device, uint64_t wanted) {
  virtio_reset(device);
  if (virtio_read(device, VIRTIO_STATUS) != 0) return "the device does not reset";
  virtio_write(device, VIRTIO_STATUS, ACKNOWLEDGE | DRIVER);
  device->features = offered_features(device) & (wanted | VIRTIO_VERSION_1);
  if ((device->features & VIRTIO_VERSION_1) == 0) return "the device is older than virtio 1.0";
  virtio_write(device, VIRTIO_DRIVER_FEATURES_SELECT, 0);
  virtio_write(device, VIRTIO_DRIVER_FEATURES, (uint32_t)device->features);
  virtio_write(device, VIRTIO_DRIVER_FEATURES_SELECT, 1);
  virtio_write(device, VIRTIO_DRIVER_FEATURES, (uint32_t)(device->features >> 32));
  virtio_write(device, VIRTIO_STATUS, ACKNOWLEDGE | DRIVER | FEATURES_OK);
  if ((virtio_read(device, VIRTIO_STATUS) & FEATURES_OK) == 0) {
    return "the device refuses the features that it offered";
  }
  return 0;
}

static void write_address(const struct virtio_device* device, uint64_t offset,
                          const volatile void* address) {
  virtio_write(device, offset, (uint32_t)(uintptr_t)address);
  virtio_write(device, offset + 4, (uint32_t)((uintptr_t)address >> 32));
}

const char* virtio_start_queue(const struct virtio_device* device, uint16_t number,
                               volatile struct virtio_queue_memory* memory,
                               struct virtio_queue* queue) {
  virtio_write(device, VIRTIO_QUEUE_SELECT, number);
  uint32_t size = virtio_read(device, VIRTIO_QUEUE_SIZE_MAX);
  if (size == 0) return "the device lacks a queue";
  if (size > VIRTIO_MAX_QUEUE_SIZE) size = VIRTIO_MAX_QUEUE_SIZE;

  memset((void*)memory, 0, sizeof(*memory));
  memset(queue, 0, sizeof(*queue));
  queue->device = device;
  queue->number = number;
  queue->size = (uint16_t)size;
  queue->memory = memory;
  queue->free_count = queue->size;
  for (uint16_t i = 0; i < queue->size; ++i) queue->next[i] = (uint16_t)(i + 1);
  virtio_quiet_interrupts(queue);

  virtio_write(device, VIRTIO_QUEUE_SIZE, size);
  write_address(device, VIRTIO_QUEUE_DESCRIPTORS, &memory->descriptors);
  write_address(device, VIRTIO_QUEUE_DRIVER, &memory->available);
  write_address(device, VIRTIO_QUEUE_DEVICE, &memory->used);
  virtio_write(device, VIRTIO_QUEUE_READY, 1);
  if (virtio_read(device, VIRTIO_QUEUE_READY) != 1) return "the device refuses a queue";
  return 0;
}

const char* virtio_run(const struct virtio_device* device) {
  virtio_write(device, VIRTIO_STATUS, ACKNOWLEDGE | DRIVER | FEATURES_OK | DRIVER_OK);
  if ((virtio_read(device, VIRTIO_STATUS) & NEEDS_RESET) != 0) return "the device needs a reset";
  return 0;
}

uint32_t virtio_config32(const struct virtio_device* device, uint64_t offset) {
  return virtio_read(device, VIRTIO_CONFIG + offset);
}

uint64_t virtio_config64(const struct virtio_device* device, uint64_t offset) {
  for (;;) {  // Until both halves are of one generation (4.2.2.2).
    uint32_t before = virtio_read(device, VIRTIO_CONFIG_GENERATION);
    uint64_t high = virtio_config32(device, offset + 4);
    uint64_t value = high << 32 | virtio_config32(device, offset);
    if (virtio_read(device, VIRTIO_CONFIG_GENERATION) == before) return value;
  }
}

void virtio_set_config32(const struct virtio_device* device, uint64_t offset, uint32_t value) {
  virtio_write(device, VIRTIO_CONFIG + offset, value);
}

void virtio_reset(const struct virtio_device* device) {
  virtio_write(device, VIRTIO_STATUS, 0);
  // The status reads 0 once the device is reset (4.2.3.1).
  uint64_t deadline = guest_deadline(device->info, VIRTIO_WAIT_SECONDS);
  while (virtio_read(device, VIRTIO_STATUS) != 0 && !guest_is_past(deadline)) {
  }
}

uint32_t virtio_fail(const char* name, const char* problem, uint32_t code) {
  guest_print(name);
  guest_print(": ");
  guest_print(problem);
  guest_print("\n");
  return code;
}
