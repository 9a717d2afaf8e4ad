// The driver's side of a split queue (OASIS virtio 1.2, 2.7).
#include "guests/runtime/timing.h"
#include "guests/virtio/virtio.h"
#include "guests/virtio/virtio_registers.h"

// Flags of a descriptor, of the available ring and of the used ring.
#define DESCRIPTOR_NEXT 1
#define DESCRIPTOR_WRITE 2
#define NO_INTERRUPT 1
#define NO_NOTIFY 1

static bool has_event_index(const struct virtio_queue* queue) {
  return (queue->device->features & VIRTIO_EVENT_INDEX) != 0;
}

// The two events stand right behind the rings, which are as long as the queue.
static volatile uint16_t* used_event(const struct virtio_queue* queue) {
  return &queue->memory->available.ring[queue->size];
}
static volatile uint16_t* available_event(const struct virtio_queue* queue) {
  return (volatile uint16_t*)(volatile void*)((uintptr_t)&queue->memory->used.ring +
                                              queue->size * sizeof(uint64_t));
}

void virtio_quiet_interrupts(struct virtio_queue* queue) {
  if (has_event_index(queue)) {
    // An entry that was used already; the flag must stay 0 (2.7.7.1).
    *used_event(queue) = (uint16_t)(queue->used_index - 1);
  } else {
    queue->memory->available.flags = NO_INTERRUPT;
  }
}

static uint16_t take_descriptor(struct virtio_queue* queue) {
  uint16_t taken = queue->first_free;
  queue->first_free = queue->next[taken];
  --queue->free_count;
  return taken;
}

static void free_chain(struct virtio_queue* queue, uint16_t head) {
  uint16_t last = head;
  for (uint16_t i = 1; i < queue->lengths[head]; ++i) last = queue->next[last];
  queue->next[last] = queue->first_free;
  queue->first_free = head;
  queue->free_count = (uint16_t)(queue->free_count + queue->lengths[head]);
  queue->lengths[head] = 0;
}

bool virtio_add(struct virtio_queue* queue, const struct virtio_buffer* buffers, uint16_t readable,
                uint16_t writable, uint32_t token) {
  uint16_t count = (uint16_t)(readable + writable);
  if (count == 0 || count > queue->free_count) return false;
  uint16_t head = queue->first_free;
  for (uint16_t i = 0; i < count; ++i) {
    uint16_t index = take_descriptor(queue);
    bool last = i + 1 == count;
    queue->memory->descriptors[index].address = (uintptr_t)buffers[i].data;
    queue->memory->descriptors[index].length = buffers[i].bytes;
    queue->memory->descriptors[index].flags =
        (uint16_t)((i < readable ? 0 : DESCRIPTOR_WRITE) | (last ? 0 : DESCRIPTOR_NEXT));
    queue->memory->descriptors[index].next = last ? 0 : queue->first_free;
  }
  queue->tokens[head] = token;
  queue->lengths[head] = count;
  queue->memory->available.ring[queue->available_index % queue->size] = head;
  ++queue->available_index;
  // Release: a device that sees the index sees the chain.
  __atomic_store_n(&queue->memory->available.index, queue->available_index, __ATOMIC_RELEASE);
  return true;
}

void virtio_kick(struct virtio_queue* queue) {
  // The index is to be seen by the device before its wish is looked at (2.7.13.4.1).
  __atomic_thread_fence(__ATOMIC_SEQ_CST);
  uint16_t now = queue->available_index;
  uint16_t before = queue->kicked_index;
  queue->kicked_index = now;
  if (now == before) return;
  if (has_event_index(queue)) {
    uint16_t event = *available_event(queue);
    if ((uint16_t)(now - event - 1) >= (uint16_t)(now - before)) return;  // 2.7.10
  } else if ((queue->memory->used.flags & NO_NOTIFY) != 0) {
    return;
  }
  virtio_write(queue->device, VIRTIO_QUEUE_NOTIFY, queue->number);
}

bool virtio_poll(struct virtio_queue* queue, struct virtio_used* used) {
  uint16_t device_index = __atomic_load_n(&queue->memory->used.index, __ATOMIC_ACQUIRE);
  if (device_index == queue->used_index) return false;
  uint16_t slot = queue->used_index % queue->size;
  uint32_t head = queue->memory->used.ring[slot].head;
  used->written = queue->memory->used.ring[slot].written;
  ++queue->used_index;
  virtio_quiet_interrupts(queue);
  if (head >= queue->size || queue->lengths[head] == 0) {
    used->token = VIRTIO_NO_TOKEN;
    return false;
  }
  used->token = queue->tokens[head];
  free_chain(queue, (uint16_t)head);
  return true;
}

const char* virtio_wait(struct virtio_queue* queue, struct virtio_used* used) {
  used->token = 0;
  if (virtio_poll(queue, used)) return 0;
  uint64_t deadline = guest_deadline(queue->device->info, VIRTIO_WAIT_SECONDS);
  do {
    if (used->token == VIRTIO_NO_TOKEN) return "the device gives back what it was not given";
    if (virtio_poll(queue, used)) return 0;
  } while (!guest_is_past(deadline));
  return "the device does not answer";
}
