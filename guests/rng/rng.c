// Draws random bytes from a virtio entropy device, and checks that they look like some.
#include "guests/runtime/memory.h"
#include "guests/virtio/virtio.h"

VMWIRE_START_MODE(VMWIRE_LONG64_RING3);

#define WINDOW 0x200000
#define WINDOW_BYTES 0x4000
VMWIRE_DMA_WINDOW(WINDOW, WINDOW_BYTES);

#define EXIT_NOT_RANDOM 10

#define BYTES 4096u
// Of 4096 random bytes all 256 values are expected, and fewer than these practically never.
#define LEAST_VALUES 200u

struct shared {
  struct virtio_queue_memory queue;
  uint8_t data[2][BYTES];
};
_Static_assert(sizeof(struct shared) <= WINDOW_BYTES, "the window is too small");
static struct shared* const shared = (struct shared*)WINDOW;

static struct virtio_device device;
static struct virtio_queue queue;

static const char* start(void) {
  const char* problem = virtio_start(&device, VIRTIO_EVENT_INDEX);
  if (problem == 0) problem = virtio_start_queue(&device, 0, &shared->queue, &queue);
  if (problem == 0) problem = virtio_run(&device);
  return problem;
}

// Fills `data`; a device may give less than was asked for at a time (virtio 1.2, 5.4.6.1).
static const char* draw(volatile uint8_t* data) {
  for (uint32_t have = 0; have < BYTES;) {
    struct virtio_buffer buffer = {data + have, BYTES - have};
    virtio_add(&queue, &buffer, 0, 1, 0);
    virtio_kick(&queue);
    struct virtio_used used;
    const char* problem = virtio_wait(&queue, &used);
    if (problem != 0) return problem;
    if (used.written == 0 || used.written > BYTES - have) return "the device gave no bytes";
    have += used.written;
  }
  return 0;
}

static uint32_t count_values(const volatile uint8_t* data) {
  bool seen[256] = {false};
  uint32_t count = 0;
  for (uint32_t i = 0; i < BYTES; ++i) {
    if (!seen[data[i]]) ++count;
    seen[data[i]] = true;
  }
  return count;
}

uint32_t guest_main(const struct vmwire_boot_info* info) {
  if (!virtio_find(info, VIRTIO_RNG, 0, &device)) {
    return virtio_fail("rng", "no virtio entropy device; run with --rng", VIRTIO_EXIT_NO_DEVICE);
  }
  if (!guest_is_free_memory(info, WINDOW, WINDOW_BYTES)) {
    return virtio_fail("rng", "too little memory; run with --memory size=4M or more",
                       VIRTIO_EXIT_NO_MEMORY);
  }
  const char* problem = start();
  if (problem == 0) problem = draw(shared->data[0]);
  if (problem == 0) problem = draw(shared->data[1]);
  if (problem != 0) return virtio_fail("rng", problem, VIRTIO_EXIT_DEVICE);

  uint32_t values = count_values(shared->data[0]);
  if (values < LEAST_VALUES || memcmp(shared->data[0], shared->data[1], BYTES) == 0) {
    return virtio_fail("rng", "the bytes are not random", EXIT_NOT_RANDOM);
  }
  guest_print("rng: drew ");
  guest_print_decimal(2 * BYTES);
  guest_print(" bytes; the first ");
  guest_print_decimal(BYTES);
  guest_print(" have ");
  guest_print_decimal(values);
  guest_print(" different values\n");
  virtio_reset(&device);
  return 0;
}
