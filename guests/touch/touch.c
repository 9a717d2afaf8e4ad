// Uses all of its memory: writes a pattern that depends on the address, reads it back, checks it,
// and says how fast that was. Ends with 1 at the first mismatch.
#include "guests/runtime/vmwire_guest.h"

VMWIRE_START_MODE(VMWIRE_LONG64_RING3);

struct span {
  uint64_t start;
  uint64_t end;
};

// What one pass over memory did.
struct result {
  uint64_t bytes;
  uint64_t checksum;  // The sum of what was read.
  uint64_t mismatch;  // The first address that did not hold what was written; 0: none.
};

// One-to-one (the multiplier is odd), so that memory that appears at a second address is found.
static uint64_t pattern(uint64_t address) {
  uint64_t value = address * 0x9e3779b97f4a7c15u;
  return value ^ value >> 29;
}

static void write_span(struct span span, struct result* result) {
  for (uint64_t address = span.start; address < span.end; address += 8) {
    *(volatile uint64_t*)address = pattern(address);
  }
  result->bytes += span.end - span.start;
}

static void check_span(struct span span, struct result* result) {
  for (uint64_t address = span.start; address < span.end; address += 8) {
    uint64_t value = *(volatile uint64_t*)address;
    result->checksum += value;
    if (value != pattern(address) && result->mismatch == 0) result->mismatch = address;
  }
  result->bytes += span.end - span.start;
}

static uint64_t min(uint64_t a, uint64_t b) { return a < b ? a : b; }
static uint64_t max(uint64_t a, uint64_t b) { return a > b ? a : b; }

// Gives `visit` what of each range of memory is neither below 1 MiB nor in the image's pages.
static struct result for_each_free_span(const struct vmwire_boot_info* info,
                                        void (*visit)(struct span, struct result*)) {
  struct span image = {info->image_start & ~UINT64_C(4095),
                       (info->image_end + 4095) & ~UINT64_C(4095)};
  struct result result = {0, 0, 0};
  for (uint32_t i = 0; i < info->range_count; ++i) {
    uint64_t start = max(info->ranges[i].start, VMWIRE_IMAGE_ADDRESS);
    uint64_t end = info->ranges[i].start + info->ranges[i].size;
    struct span below = {start, min(end, image.start)};
    struct span above = {max(start, image.end), end};
    if (below.start < below.end) visit(below, &result);
    if (above.start < above.end) visit(above, &result);
  }
  return result;
}

// Prints "NAME N bytes per second", or the cycles a KiB takes if the frequency is not known.
static void print_speed(const char* name, uint64_t bytes, uint64_t cycles, uint64_t tsc_khz) {
  if (cycles == 0) cycles = 1;
  guest_print(name);
  if (tsc_khz == 0) {
    guest_print_decimal(bytes < 1024 ? cycles : cycles / (bytes / 1024));
    guest_print(" cycles per KiB\n");
    return;
  }
  // Bytes a cycle with 16 binary places: 128 GiB are 37 bits, so nothing overflows.
  guest_print_decimal(((bytes << 16) / cycles * tsc_khz >> 16) * 1000);
  guest_print(" bytes per second\n");
}

uint32_t guest_main(const struct vmwire_boot_info* info) {
  uint64_t start = guest_read_tsc();
  struct result written = for_each_free_span(info, write_span);
  uint64_t middle = guest_read_tsc();
  struct result read = for_each_free_span(info, check_span);
  uint64_t end = guest_read_tsc();

  if (read.mismatch != 0) {
    guest_print("touch: memory at ");
    guest_print_hex(read.mismatch);
    guest_print(" does not hold what was written\n");
    return 1;
  }
  guest_print("touch: wrote and checked ");
  guest_print_decimal(read.bytes);
  guest_print(" bytes, checksum ");
  guest_print_hex(read.checksum);
  guest_print("\n");
  print_speed("write: ", written.bytes, middle - start, info->tsc_khz);
  print_speed("read:  ", read.bytes, end - middle, info->tsc_khz);
  return 0;
}
