// The registers of virtio-mmio version 2 (OASIS virtio 1.2, 4.2.2), for the library's own files.
#ifndef VMWIRE_GUESTS_VIRTIO_VIRTIO_REGISTERS_H_
#define VMWIRE_GUESTS_VIRTIO_VIRTIO_REGISTERS_H_

#include <stdint.h>

#include "guests/virtio/virtio.h"

#define VIRTIO_MAGIC 0x000
#define VIRTIO_MMIO_VERSION 0x004
#define VIRTIO_DEVICE_ID 0x008
#define VIRTIO_DEVICE_FEATURES 0x010
#define VIRTIO_DEVICE_FEATURES_SELECT 0x014
#define VIRTIO_DRIVER_FEATURES 0x020
#define VIRTIO_DRIVER_FEATURES_SELECT 0x024
#define VIRTIO_QUEUE_SELECT 0x030
#define VIRTIO_QUEUE_SIZE_MAX 0x034
#define VIRTIO_QUEUE_SIZE 0x038
#define VIRTIO_QUEUE_READY 0x044
#define VIRTIO_QUEUE_NOTIFY 0x050
#define VIRTIO_STATUS 0x070
#define VIRTIO_QUEUE_DESCRIPTORS 0x080  // Addresses of 64 bits, the low half first.
#define VIRTIO_QUEUE_DRIVER 0x090
#define VIRTIO_QUEUE_DEVICE 0x0a0
#define VIRTIO_CONFIG_GENERATION 0x0fc
#define VIRTIO_CONFIG 0x100

// In assembler: a KVM that emulates the access knows a plain move.
static inline uint32_t virtio_read(const struct virtio_device* device, uint64_t offset) {
  uint32_t value;
  __asm__ volatile("movl (%1), %0" : "=r"(value) : "r"(device->base + offset) : "memory");
  return value;
}

static inline void virtio_write(const struct virtio_device* device, uint64_t offset,
                                uint32_t value) {
  __asm__ volatile("movl %0, (%1)" : : "r"(value), "r"(device->base + offset) : "memory");
}

// This driver polls: the device is asked for as few interrupts as can be.
void virtio_quiet_interrupts(struct virtio_queue* queue);

#endif  // VMWIRE_GUESTS_VIRTIO_VIRTIO_REGISTERS_H_
