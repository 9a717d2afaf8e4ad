// Fills a virtio block device with a pattern and reads it all back, several requests in flight.
//
// Each sector says by itself which sector it is and of which generation (of a run of this guest):
// what an earlier run left is found, and checked for torn or misplaced sectors, before this run
// writes the next generation. A device that is read-only is only looked through.
#include "guests/runtime/memory.h"
#include "guests/runtime/timing.h"
#include "guests/virtio/virtio.h"

VMWIRE_START_MODE(VMWIRE_LONG64_RING3);

#define WINDOW 0x200000
#define WINDOW_BYTES 0x90000
VMWIRE_DMA_WINDOW(WINDOW, WINDOW_BYTES);

#define EXIT_IO 10        // A request failed.
#define EXIT_MISMATCH 11  // A sector does not hold what was written.

#define SECTOR_BYTES 512u
#define SECTOR_WORDS (SECTOR_BYTES / 8)
#define REQUESTS 8u  // In flight.
#define REQUEST_SECTORS 128u
#define SECTORS_PER_FLUSH 16384u

// virtio 1.2, 5.2.
#define FEATURE_READ_ONLY (UINT64_C(1) << 5)
#define FEATURE_FLUSH (UINT64_C(1) << 9)
#define CONFIG_CAPACITY 0
#define REQUEST_IN 0
#define REQUEST_OUT 1
#define REQUEST_FLUSH 4

#define MAGIC UINT64_C(0x4b4c422d45524957)

struct request {
  struct {
    uint32_t type;
    uint32_t reserved;
    uint64_t sector;
  } header;
  uint8_t status;
  uint32_t sectors;
};

struct shared {
  struct virtio_queue_memory queue;
  uint64_t data[REQUESTS][REQUEST_SECTORS * SECTOR_WORDS];
  struct request requests[REQUESTS];
};
_Static_assert(sizeof(struct shared) <= WINDOW_BYTES, "the window is too small");
static struct shared* const shared = (struct shared*)WINDOW;

static struct virtio_device device;
static struct virtio_queue queue;
static uint64_t capacity;  // Sectors.

// What was found in the image.
static uint64_t found_sectors;
static uint64_t highest_generation;

static uint64_t word(uint64_t sector, uint64_t generation, uint64_t index) {
  uint64_t value =
      (sector * SECTOR_WORDS + index + (generation << 48)) * UINT64_C(0x9e3779b97f4a7c15);
  return value ^ value >> 29;
}

// A sector is its magic, its generation, and words that follow from number and generation.
static void write_sector(uint64_t* words, uint64_t sector, uint64_t generation) {
  words[0] = MAGIC;
  words[1] = generation;
  for (uint64_t i = 2; i < SECTOR_WORDS; ++i) words[i] = word(sector, generation, i);
}

static bool is_sector(const uint64_t* words, uint64_t sector, uint64_t generation) {
  uint64_t wrong = (words[0] ^ MAGIC) | (words[1] ^ generation);
  for (uint64_t i = 2; i < SECTOR_WORDS; ++i) wrong |= words[i] ^ word(sector, generation, i);
  return wrong == 0;
}

static uint32_t mismatch(uint64_t sector) {
  guest_print("blk: sector ");
  guest_print_decimal(sector);
  guest_print(" does not hold what was written\n");
  return EXIT_MISMATCH;
}

// Looks at what a read brought. Of the generation 0, any is right.
static uint32_t check_sectors(const uint64_t* words, uint64_t first, uint32_t count,
                              uint64_t generation) {
  for (uint64_t sector = first; sector < first + count; ++sector, words += SECTOR_WORDS) {
    if (generation == 0) {
      if (words[0] != MAGIC) continue;  // Never written by this guest.
      if (!is_sector(words, sector, words[1])) return mismatch(sector);
      ++found_sectors;
      if (words[1] > highest_generation) highest_generation = words[1];
    } else if (!is_sector(words, sector, generation)) {
      return mismatch(sector);
    }
  }
  return 0;
}

static void submit(uint32_t slot, uint32_t type, uint64_t sector, uint32_t sectors) {
  struct request* request = &shared->requests[slot];
  request->header.type = type;
  request->header.reserved = 0;
  request->header.sector = sector;
  request->status = 0xff;
  request->sectors = sectors;
  struct virtio_buffer buffers[3] = {{&request->header, sizeof(request->header)}};
  uint16_t count = 1;
  if (sectors != 0) {
    buffers[count++] = (struct virtio_buffer){shared->data[slot], sectors * SECTOR_BYTES};
  }
  buffers[count++] = (struct virtio_buffer){&request->status, 1};
  uint16_t readable = type == REQUEST_OUT ? 2 : 1;
  // There is always room: the queue has three descriptors for each slot, or fewer slots are used.
  virtio_add(&queue, buffers, readable, (uint16_t)(count - readable), slot);
}

// Waits for any request; `slot` tells which.
static uint32_t complete(uint32_t* slot) {
  struct virtio_used used;
  const char* problem = virtio_wait(&queue, &used);
  if (problem != 0) return virtio_fail("blk", problem, VIRTIO_EXIT_DEVICE);
  *slot = used.token;
  const struct request* request = &shared->requests[used.token];
  uint8_t status = *(const volatile uint8_t*)&request->status;
  if (status == 0) return 0;
  guest_print("blk: request of type ");
  guest_print_decimal(request->header.type);
  guest_print(" at sector ");
  guest_print_decimal(request->header.sector);
  guest_print(" failed with status ");
  guest_print_decimal(status);
  guest_print("\n");
  return EXIT_IO;
}

static void fill(uint32_t slot, uint64_t sector, uint32_t sectors, uint64_t generation) {
  for (uint32_t i = 0; i < sectors; ++i) {
    write_sector(&shared->data[slot][i * SECTOR_WORDS], sector + i, generation);
  }
}

// Reads (and checks) or writes the sectors from `next` up to `end`.
static uint32_t transfer(uint32_t type, uint64_t next, uint64_t end, uint64_t generation) {
  uint32_t slots = queue.size / 3u < REQUESTS ? queue.size / 3u : REQUESTS;
  uint32_t in_flight = 0;
  uint32_t slot = 0;
  while (next < end || in_flight > 0) {
    // The first requests go to slots in turn, every later one to the slot that became free.
    if (in_flight == slots || next == end) {
      uint32_t code = complete(&slot);
      if (code != 0) return code;
      --in_flight;
      const struct request* request = &shared->requests[slot];
      if (type == REQUEST_IN) {
        code =
            check_sectors(shared->data[slot], request->header.sector, request->sectors, generation);
        if (code != 0) return code;
      }
    } else {
      slot = in_flight;
    }
    if (next == end) continue;
    uint32_t sectors = end - next < REQUEST_SECTORS ? (uint32_t)(end - next) : REQUEST_SECTORS;
    if (type == REQUEST_OUT) fill(slot, next, sectors, generation);
    submit(slot, type, next, sectors);
    virtio_kick(&queue);
    next += sectors;
    ++in_flight;
  }
  return 0;
}

static uint32_t flush(uint64_t sectors) {
  if ((device.features & FEATURE_FLUSH) == 0) return 0;
  submit(0, REQUEST_FLUSH, 0, 0);
  virtio_kick(&queue);
  uint32_t slot;
  uint32_t code = complete(&slot);
  if (code != 0) return code;
  guest_print("blk: flushed ");
  guest_print_decimal(sectors);
  guest_print(" sectors\n");
  return 0;
}

static uint32_t write_all(uint64_t generation) {
  for (uint64_t start = 0; start < capacity; start += SECTORS_PER_FLUSH) {
    uint64_t end = capacity - start < SECTORS_PER_FLUSH ? capacity : start + SECTORS_PER_FLUSH;
    uint32_t code = transfer(REQUEST_OUT, start, end, generation);
    if (code == 0) code = flush(end);
    if (code != 0) return code;
  }
  return 0;
}

static const char* start(void) {
  const char* problem =
      virtio_start(&device, VIRTIO_EVENT_INDEX | FEATURE_READ_ONLY | FEATURE_FLUSH);
  if (problem == 0) problem = virtio_start_queue(&device, 0, &shared->queue, &queue);
  if (problem == 0 && queue.size < 3) problem = "the queue has room for no request";
  if (problem == 0) problem = virtio_run(&device);
  return problem;
}

static uint32_t look_through(void) {
  uint32_t code = transfer(REQUEST_IN, 0, capacity, 0);
  if (code != 0) return code;
  guest_print("blk: found ");
  guest_print_decimal(found_sectors);
  guest_print(" of ");
  guest_print_decimal(capacity);
  guest_print(" sectors written by an earlier run, the last of generation ");
  guest_print_decimal(highest_generation);
  guest_print("\n");
  return 0;
}

static uint32_t write_and_check(const struct vmwire_boot_info* info) {
  uint64_t generation = highest_generation + 1;
  uint64_t begin = guest_read_tsc();
  uint32_t code = write_all(generation);
  uint64_t middle = guest_read_tsc();
  if (code == 0) code = transfer(REQUEST_IN, 0, capacity, generation);
  uint64_t end = guest_read_tsc();
  if (code != 0) return code;
  guest_print("blk: wrote and checked ");
  guest_print_decimal(capacity);
  guest_print(" sectors\n");
  guest_print_speed(info, "blk: write", capacity * SECTOR_BYTES, middle - begin);
  guest_print_speed(info, "blk: read ", capacity * SECTOR_BYTES, end - middle);
  return 0;
}

uint32_t guest_main(const struct vmwire_boot_info* info) {
  if (!virtio_find(info, VIRTIO_BLOCK, 0, &device)) {
    return virtio_fail("blk", "no virtio block device; run with --disk path=FILE",
                       VIRTIO_EXIT_NO_DEVICE);
  }
  if (!guest_is_free_memory(info, WINDOW, WINDOW_BYTES)) {
    return virtio_fail("blk", "too little memory; run with --memory size=4M or more",
                       VIRTIO_EXIT_NO_MEMORY);
  }
  const char* problem = start();
  if (problem != 0) return virtio_fail("blk", problem, VIRTIO_EXIT_DEVICE);
  capacity = virtio_config64(&device, CONFIG_CAPACITY);

  uint32_t code = look_through();
  if (code == 0) {
    if ((device.features & FEATURE_READ_ONLY) != 0) {
      guest_print("blk: the device is read-only: nothing was written\n");
    } else {
      code = write_and_check(info);
    }
  }
  virtio_reset(&device);
  return code;
}
