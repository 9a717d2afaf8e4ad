// Moves megabytes with the DMA engine and checks them: copies, fills, comparisons, checksums,
// scatter-gather lists, and the errors that the engine is to give.
#include "guests/dma/dma_driver.h"
#include "guests/runtime/memory.h"
#include "guests/runtime/timing.h"

VMWIRE_START_MODE(VMWIRE_LONG64_RING3);

#define WINDOW 0x200000
#define WINDOW_BYTES 0x110000
VMWIRE_DMA_WINDOW(WINDOW, WINDOW_BYTES);

#define EXIT_NO_ENGINE 1
#define EXIT_NO_MEMORY 2
#define EXIT_ENGINE 3     // It refuses something, or does not answer.
#define EXIT_STATUS 10    // A completion does not say what it must.
#define EXIT_MISMATCH 11  // Memory does not hold what it must.

#define BUFFER_BYTES 0x80000u
#define BUFFER_WORDS (BUFFER_BYTES / 8)
#define COPIES 128u
#define SEGMENTS 64u
#define SEGMENT_BYTES (BUFFER_BYTES / SEGMENTS)
#define FILL_PATTERN UINT64_C(0x0123456789abcdef)

struct shared {
  struct dma_ring_memory ring;
  struct dma_segment segments[SEGMENTS];
  uint64_t source[BUFFER_WORDS];
  uint64_t destination[BUFFER_WORDS];
};
_Static_assert(sizeof(struct shared) <= WINDOW_BYTES, "the window is too small");
static struct shared* const shared = (struct shared*)WINDOW;

static struct dma_engine engine;

static uint32_t fail(const char* problem, uint32_t code) {
  guest_print("dma: ");
  guest_print(problem);
  guest_print("\n");
  return code;
}

static struct dma_descriptor describe(uint16_t opcode, const void* source, const void* destination,
                                      uint32_t length) {
  return (struct dma_descriptor){.opcode = opcode,
                                 .length = length,
                                 .source = (uintptr_t)source,
                                 .destination = (uintptr_t)destination};
}

// Waits for the oldest descriptor; it must end with `status`.
static uint32_t expect(const char* name, uint32_t status, uint64_t* result) {
  struct dma_completion completion;
  const char* problem = dma_wait(&engine, &completion);
  if (problem != 0) return fail(problem, EXIT_ENGINE);
  if (result != 0) *result = completion.result;
  if (completion.status == status) return 0;
  guest_print("dma: ");
  guest_print(name);
  guest_print(": status ");
  guest_print_decimal(completion.status);
  guest_print(", expected ");
  guest_print_decimal(status);
  guest_print("\n");
  return EXIT_STATUS;
}

static uint32_t run(const char* name, struct dma_descriptor descriptor, uint32_t status,
                    uint64_t* result) {
  dma_submit(&engine, &descriptor);  // There is room: nothing is in flight.
  return expect(name, status, result);
}

// Another one for each round, so that what an earlier copy left is not taken for this one's.
static uint64_t pattern(uint64_t round, uint64_t word) {
  uint64_t value = (round * BUFFER_WORDS + word + 1) * UINT64_C(0x9e3779b97f4a7c15);
  return value ^ value >> 29;
}

static void write_source(uint64_t round) {
  for (uint64_t i = 0; i < BUFFER_WORDS; ++i) shared->source[i] = pattern(round, i);
}

static uint32_t check_destination(const char* name, uint64_t round) {
  const volatile uint64_t* words = shared->destination;
  for (uint64_t i = 0; i < BUFFER_WORDS; ++i) {
    if (words[i] == pattern(round, i)) continue;
    guest_print("dma: ");
    guest_print(name);
    guest_print(": the word at offset ");
    guest_print_hex(i * 8);
    guest_print(" is wrong\n");
    return EXIT_MISMATCH;
  }
  return 0;
}

static uint32_t test_fill(void) {
  struct dma_descriptor fill = describe(DMA_FILL, 0, shared->destination, BUFFER_BYTES);
  fill.operand = FILL_PATTERN;
  uint32_t code = run("fill", fill, DMA_OK, 0);
  if (code != 0) return code;
  const volatile uint64_t* words = shared->destination;
  for (uint64_t i = 0; i < BUFFER_WORDS; ++i) {
    if (words[i] != FILL_PATTERN) return fail("fill: a word is wrong", EXIT_MISMATCH);
  }
  return 0;
}

// COPIES times the buffer, as many at once as the ring holds; then a look at each byte.
static uint32_t test_copy(const struct vmwire_boot_info* info) {
  write_source(1);
  struct dma_descriptor copy =
      describe(DMA_COPY, shared->source, shared->destination, BUFFER_BYTES);
  uint64_t begin = guest_read_tsc();
  uint32_t submitted = 0;
  for (uint32_t completed = 0; completed < COPIES; ++completed) {
    while (submitted < COPIES && dma_submit(&engine, &copy)) ++submitted;
    uint32_t code = expect("copy", DMA_OK, 0);
    if (code != 0) return code;
  }
  uint64_t end = guest_read_tsc();
  uint32_t code = check_destination("copy", 1);
  if (code != 0) return code;
  guest_print("dma: copied ");
  guest_print_decimal((uint64_t)COPIES * BUFFER_BYTES);
  guest_print(" bytes\n");
  guest_print_speed(info, "dma: copy", (uint64_t)COPIES * BUFFER_BYTES, end - begin);
  return 0;
}

static uint32_t test_compare(void) {
  struct dma_descriptor compare =
      describe(DMA_COMPARE, shared->source, shared->destination, BUFFER_BYTES);
  uint32_t code = run("compare", compare, DMA_OK, 0);
  if (code != 0) return code;
  const uint64_t offset = BUFFER_BYTES / 3;
  volatile uint8_t* byte = (volatile uint8_t*)shared->destination + offset;
  *byte = (uint8_t) ~*byte;
  uint64_t result;
  code = run("compare", compare, DMA_MISMATCH, &result);
  *byte = (uint8_t) ~*byte;
  if (code == 0 && result != offset) code = fail("compare: the offset is wrong", EXIT_STATUS);
  return code;
}

// CRC32C (RFC 3720), bit by bit.
static uint32_t crc32c(const uint8_t* bytes, uint32_t count) {
  uint32_t crc = ~0u;
  for (uint32_t i = 0; i < count; ++i) {
    crc ^= bytes[i];
    for (int bit = 0; bit < 8; ++bit) crc = crc >> 1 ^ (0x82f63b78u & (0u - (crc & 1)));
  }
  return ~crc;
}

static uint32_t test_checksum(void) {
  uint64_t result;
  uint32_t code =
      run("checksum", describe(DMA_CHECKSUM, shared->source, 0, BUFFER_BYTES), DMA_OK, &result);
  if (code != 0) return code;
  if (result != crc32c((const uint8_t*)shared->source, BUFFER_BYTES)) {
    return fail("checksum: the sum is wrong", EXIT_MISMATCH);
  }
  guest_print("dma: checksum ");
  guest_print_hex(result);
  guest_print("\n");
  return 0;
}

// The source scattered over the destination backwards, and gathered in order again.
static uint32_t test_lists(void) {
  write_source(2);
  for (uint32_t i = 0; i < SEGMENTS; ++i) {
    shared->segments[i].address =
        (uintptr_t)shared->destination + (SEGMENTS - 1 - i) * SEGMENT_BYTES;
    shared->segments[i].length = SEGMENT_BYTES;
    shared->segments[i].reserved = 0;
  }
  struct dma_descriptor scatter =
      describe(DMA_COPY, shared->source, shared->segments, BUFFER_BYTES);
  scatter.flags = DMA_DESTINATION_LIST;
  scatter.destination_segments = SEGMENTS;
  uint32_t code = run("scatter", scatter, DMA_OK, 0);
  if (code != 0) return code;
  const uint64_t last = (SEGMENTS - 1) * (SEGMENT_BYTES / 8);
  if (*(volatile uint64_t*)&shared->destination[last] != pattern(2, 0)) {
    return fail("scatter: a segment is not where it must be", EXIT_MISMATCH);
  }

  memset(shared->source, 0, BUFFER_BYTES);
  struct dma_descriptor gather = describe(DMA_COPY, shared->segments, shared->source, BUFFER_BYTES);
  gather.flags = DMA_SOURCE_LIST;
  gather.source_segments = SEGMENTS;
  code = run("gather", gather, DMA_OK, 0);
  if (code != 0) return code;
  code =
      run("copy", describe(DMA_COPY, shared->source, shared->destination, BUFFER_BYTES), DMA_OK, 0);
  return code != 0 ? code : check_destination("gather", 2);
}

// What must be refused, and harm nothing.
static uint32_t test_errors(void) {
  // In the hole below 4 GiB there is no memory; the engine's own registers are not memory either.
  const void* hole = (const void*)(uintptr_t)0xc0000000u;
  const void* registers = (const void*)(uintptr_t)engine.base;
  uint32_t code = run("copy from nowhere", describe(DMA_COPY, hole, shared->destination, 64),
                      DMA_BAD_SOURCE, 0);
  if (code == 0) {
    code = run("copy to a device", describe(DMA_COPY, shared->source, registers, 64),
               DMA_BAD_DESTINATION, 0);
  }
  if (code == 0) {
    code = run("copy of too much", describe(DMA_COPY, shared->source, shared->destination, ~0u),
               DMA_BAD_LENGTH, 0);
  }
  if (code == 0) code = run("no operation", describe(99, 0, 0, 0), DMA_BAD_OPCODE, 0);
  if (code == 0) code = check_destination("errors", 2);
  if (code == 0 && dma_read(&engine, DMA_ERROR_COUNT) != 4) {
    code = fail("the engine miscounts its errors", EXIT_STATUS);
  }
  return code;
}

uint32_t guest_main(const struct vmwire_boot_info* info) {
  if (!dma_find(info, &engine)) {
    return fail("no DMA engine; run with --dma-engine", EXIT_NO_ENGINE);
  }
  if (!guest_is_free_memory(info, WINDOW, WINDOW_BYTES)) {
    return fail("too little memory; run with --memory size=4M or more", EXIT_NO_MEMORY);
  }
  const char* problem = dma_start(&engine, &shared->ring);
  if (problem != 0) return fail(problem, EXIT_ENGINE);

  uint32_t code = test_fill();
  if (code == 0) code = test_copy(info);
  if (code == 0) code = test_compare();
  if (code == 0) code = test_checksum();
  if (code == 0) code = test_lists();
  if (code == 0) code = test_errors();
  dma_reset(&engine);
  if (code == 0) guest_print("dma: copy, fill, compare, checksum, lists and errors are right\n");
  return code;
}
