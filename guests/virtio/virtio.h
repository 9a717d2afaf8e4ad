// A small driver for virtio-mmio devices, version 2, with split queues (OASIS virtio 1.2, 2.7 and
// 4.2), for a guest in C at ring 3: it polls, and allocates nothing.
//
//   virtio_find, virtio_start, virtio_start_queue for each queue, virtio_run;
//   then virtio_add, virtio_kick, virtio_wait for each request
//
// A function that can fail says so in words, and null means that all went well: what it gives is
// for virtio_fail. The memory of queues and buffers is the guest's, and belongs into a
// VMWIRE_DMA_WINDOW.
#ifndef VMWIRE_GUESTS_VIRTIO_VIRTIO_H_
#define VMWIRE_GUESTS_VIRTIO_VIRTIO_H_

#include <stdbool.h>
#include <stdint.h>

#include "guests/runtime/vmwire_guest.h"

// Device types (virtio 1.2, 5).
#define VIRTIO_BLOCK 2
#define VIRTIO_CONSOLE 3
#define VIRTIO_RNG 4
#define VIRTIO_BALLOON 5

// Features of all devices (6).
#define VIRTIO_EVENT_INDEX (UINT64_C(1) << 29)
#define VIRTIO_VERSION_1 (UINT64_C(1) << 32)

#define VIRTIO_MAX_QUEUE_SIZE 64
#define VIRTIO_NO_TOKEN UINT32_MAX

// How long virtio_wait waits.
#define VIRTIO_WAIT_SECONDS 20

// What guests with virtio devices end with, beside 0; from 10 on they have codes of their own.
#define VIRTIO_EXIT_NO_DEVICE 1
#define VIRTIO_EXIT_NO_MEMORY 2  // Where the guest's buffers are to be.
#define VIRTIO_EXIT_DEVICE 3     // It refuses something, or does not answer.

struct virtio_device {
  const struct vmwire_boot_info* info;
  uint64_t base;
  uint64_t features;  // Those that were negotiated.
};

struct virtio_buffer {
  const volatile void* data;
  uint32_t bytes;
};

// The shared part of a queue, 2.7.
struct virtio_queue_memory {
  struct {
    uint64_t address;
    uint32_t length;
    uint16_t flags;
    uint16_t next;
  } descriptors[VIRTIO_MAX_QUEUE_SIZE];
  struct {
    uint16_t flags;
    uint16_t index;
    uint16_t ring[VIRTIO_MAX_QUEUE_SIZE];
    uint16_t used_event;
  } available;
  struct {
    uint16_t flags;
    uint16_t index;
    struct {
      uint32_t head;
      uint32_t written;
    } ring[VIRTIO_MAX_QUEUE_SIZE];
    uint16_t available_event;
  } used __attribute__((aligned(4)));
} __attribute__((aligned(4096)));

struct virtio_queue {
  const struct virtio_device* device;
  uint16_t number;
  uint16_t size;
  volatile struct virtio_queue_memory* memory;
  uint16_t first_free;  // A list through `next`.
  uint16_t free_count;
  uint16_t next[VIRTIO_MAX_QUEUE_SIZE];
  uint32_t tokens[VIRTIO_MAX_QUEUE_SIZE];   // By the head of a chain.
  uint16_t lengths[VIRTIO_MAX_QUEUE_SIZE];  // Descriptors of the chain; 0: none in flight.
  uint16_t available_index;                 // What the device was told of.
  uint16_t kicked_index;                    // available_index at the last kick.
  uint16_t used_index;                      // What was taken.
};

// A chain that the device gave back.
struct virtio_used {
  uint32_t token;
  uint32_t written;  // Bytes of its writable buffers.
};

// The device of type `type` that `index` others come before. False: there is none.
bool virtio_find(const struct vmwire_boot_info* info, uint32_t type, uint32_t index,
                 struct virtio_device* device);

// Resets the device and settles on those of `wanted` that it offers, and VIRTIO_VERSION_1.
const char* virtio_start(struct virtio_device* device, uint64_t wanted);

// Sets queue `number` up, with as many descriptors as the device and `memory` have room for.
const char* virtio_start_queue(const struct virtio_device* device, uint16_t number,
                               volatile struct virtio_queue_memory* memory,
                               struct virtio_queue* queue);

// The queues are set up: the device begins.
const char* virtio_run(const struct virtio_device* device);

// Makes a chain of `readable` buffers for the device to read, then `writable` ones for it to write,
// available. False: there are not enough free descriptors now. The device need not look before
// virtio_kick. `token` is what virtio_poll gives back.
bool virtio_add(struct virtio_queue* queue, const struct virtio_buffer* buffers, uint16_t readable,
                uint16_t writable, uint32_t token);

// Notifies the device, unless it does not want that.
void virtio_kick(struct virtio_queue* queue);

// The next chain that was given back; false: none was yet, or the device gave what it never had:
// then token is VIRTIO_NO_TOKEN.
bool virtio_poll(struct virtio_queue* queue, struct virtio_used* used);

// Waits for one.
const char* virtio_wait(struct virtio_queue* queue, struct virtio_used* used);

// Numbers in the configuration space.
uint32_t virtio_config32(const struct virtio_device* device, uint64_t offset);
uint64_t virtio_config64(const struct virtio_device* device, uint64_t offset);
void virtio_set_config32(const struct virtio_device* device, uint64_t offset, uint32_t value);

// The device is to forget all: nothing is written any more once this returns.
void virtio_reset(const struct virtio_device* device);

// Prints "NAME: PROBLEM", and gives `code`: for `return virtio_fail(...)`.
uint32_t virtio_fail(const char* name, const char* problem, uint32_t code);

#endif  // VMWIRE_GUESTS_VIRTIO_VIRTIO_H_
