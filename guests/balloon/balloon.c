// Puts pages into a virtio balloon, takes them out again and looks at them: a page that the monitor
// gave back to its host reads as zero, one that it could not give back (it is wired) holds what it
// held. Either way it is usable memory again.
#include "guests/runtime/memory.h"
#include "guests/virtio/virtio.h"

VMWIRE_START_MODE(VMWIRE_LONG64_RING3);

// The queues and the page numbers are the target of DMA; the pages of the balloon are not.
#define WINDOW 0x200000
#define WINDOW_BYTES 0x4000
VMWIRE_DMA_WINDOW(WINDOW, WINDOW_BYTES);

#define PAGES_START 0x300000
#define PAGES 128u
#define PAGE_BYTES 4096u
#define PAGE_WORDS (PAGE_BYTES / 8)

#define EXIT_BAD_PAGE 10

// virtio 1.2, 5.5.
#define CONFIG_ACTUAL 4
#define INFLATE_QUEUE 0
#define DEFLATE_QUEUE 1

struct shared {
  struct virtio_queue_memory inflate;
  struct virtio_queue_memory deflate;
  uint32_t page_numbers[PAGES];
};
_Static_assert(sizeof(struct shared) <= WINDOW_BYTES, "the window is too small");
static struct shared* const shared = (struct shared*)WINDOW;

static struct virtio_device device;
static struct virtio_queue inflate;
static struct virtio_queue deflate;

static volatile uint64_t* page(uint64_t number) {
  return (volatile uint64_t*)(PAGES_START + number * PAGE_BYTES);
}

static uint64_t pattern(uint64_t number, uint64_t word) {
  return (number * PAGE_WORDS + word + 1) * UINT64_C(0x9e3779b97f4a7c15);
}

static void write_page(uint64_t number) {
  for (uint64_t i = 0; i < PAGE_WORDS; ++i) page(number)[i] = pattern(number, i);
}

static bool page_is_zero(uint64_t number) {
  uint64_t bits = 0;
  for (uint64_t i = 0; i < PAGE_WORDS; ++i) bits |= page(number)[i];
  return bits == 0;
}

static bool page_holds_pattern(uint64_t number) {
  uint64_t bits = 0;
  for (uint64_t i = 0; i < PAGE_WORDS; ++i) bits |= page(number)[i] ^ pattern(number, i);
  return bits == 0;
}

static const char* start(void) {
  const char* problem = virtio_start(&device, VIRTIO_EVENT_INDEX);
  if (problem == 0) {
    problem = virtio_start_queue(&device, INFLATE_QUEUE, &shared->inflate, &inflate);
  }
  if (problem == 0) {
    problem = virtio_start_queue(&device, DEFLATE_QUEUE, &shared->deflate, &deflate);
  }
  if (problem == 0) problem = virtio_run(&device);
  return problem;
}

// Gives all page numbers to `queue`, and says that `actual` pages are in the balloon then.
static const char* give_pages(struct virtio_queue* queue, uint32_t actual) {
  struct virtio_buffer buffer = {shared->page_numbers, sizeof(shared->page_numbers)};
  virtio_add(queue, &buffer, 1, 0, 0);
  virtio_kick(queue);
  struct virtio_used used;
  const char* problem = virtio_wait(queue, &used);
  if (problem == 0) virtio_set_config32(&device, CONFIG_ACTUAL, actual);
  return problem;
}

static uint32_t check_pages(void) {
  uint64_t zero = 0;
  for (uint64_t i = 0; i < PAGES; ++i) {
    if (page_is_zero(i)) {
      ++zero;
    } else if (!page_holds_pattern(i)) {
      guest_print("balloon: the page at ");
      guest_print_hex((uint64_t)(uintptr_t)page(i));
      guest_print(" is neither zero nor what it was\n");
      return EXIT_BAD_PAGE;
    }
  }
  guest_print("balloon: deflated ");
  guest_print_decimal(PAGES);
  guest_print(" pages: ");
  guest_print_decimal(zero);
  guest_print(" read as zero, ");
  guest_print_decimal(PAGES - zero);
  guest_print(" hold what they held\n");
  for (uint64_t i = 0; i < PAGES; ++i) write_page(i);
  for (uint64_t i = 0; i < PAGES; ++i) {
    if (!page_holds_pattern(i)) {
      return virtio_fail("balloon", "a page is not memory any more", EXIT_BAD_PAGE);
    }
  }
  return 0;
}

uint32_t guest_main(const struct vmwire_boot_info* info) {
  if (!virtio_find(info, VIRTIO_BALLOON, 0, &device)) {
    return virtio_fail("balloon", "no virtio balloon; run with --balloon", VIRTIO_EXIT_NO_DEVICE);
  }
  if (!guest_is_free_memory(info, WINDOW, WINDOW_BYTES) ||
      !guest_is_free_memory(info, PAGES_START, PAGES * PAGE_BYTES)) {
    return virtio_fail("balloon", "too little memory; run with --memory size=4M or more",
                       VIRTIO_EXIT_NO_MEMORY);
  }
  for (uint32_t i = 0; i < PAGES; ++i) {
    write_page(i);
    shared->page_numbers[i] = PAGES_START / PAGE_BYTES + i;
  }
  const char* problem = start();
  if (problem == 0) problem = give_pages(&inflate, PAGES);
  if (problem != 0) return virtio_fail("balloon", problem, VIRTIO_EXIT_DEVICE);
  guest_print("balloon: inflated ");
  guest_print_decimal(PAGES);
  guest_print(" pages\n");

  problem = give_pages(&deflate, 0);
  if (problem != 0) return virtio_fail("balloon", problem, VIRTIO_EXIT_DEVICE);
  uint32_t code = check_pages();
  virtio_reset(&device);
  return code;
}
