// Gives back each line that comes from a virtio console, until "quit", Ctrl-D, or no line for a
// while (the console does not tell that its input has ended).
#include "guests/runtime/memory.h"
#include "guests/runtime/timing.h"
#include "guests/virtio/virtio.h"

VMWIRE_START_MODE(VMWIRE_LONG64_RING3);

#define WINDOW 0x200000
#define WINDOW_BYTES 0x8000
VMWIRE_DMA_WINDOW(WINDOW, WINDOW_BYTES);

#define EXIT_NO_INPUT 10

// virtio 1.2, 5.3.
#define FEATURE_SIZE (UINT64_C(1) << 0)
#define CONFIG_COLUMNS_AND_ROWS 0
#define RECEIVE_QUEUE 0
#define TRANSMIT_QUEUE 1

#define BUFFERS 8u
#define BUFFER_BYTES 256u
#define LINE_BYTES 1024u  // A longer one is given back in parts.
#define INPUT_SECONDS 10
#define END_OF_TRANSMISSION 4

struct shared {
  struct virtio_queue_memory receive;
  struct virtio_queue_memory transmit;
  char input[BUFFERS][BUFFER_BYTES];
  char output[LINE_BYTES];
};
_Static_assert(sizeof(struct shared) <= WINDOW_BYTES, "the window is too small");
static struct shared* const shared = (struct shared*)WINDOW;

static struct virtio_device device;
static struct virtio_queue receive;
static struct virtio_queue transmit;
static uint32_t line_length;  // Of what stands in shared->output.
static uint64_t lines;
static uint64_t bytes;
static bool had_input;

static void give_buffer(uint32_t index) {
  struct virtio_buffer buffer = {shared->input[index], BUFFER_BYTES};
  virtio_add(&receive, &buffer, 0, 1, index);
}

static const char* start(void) {
  const char* problem = virtio_start(&device, VIRTIO_EVENT_INDEX | FEATURE_SIZE);
  if (problem == 0) {
    problem = virtio_start_queue(&device, RECEIVE_QUEUE, &shared->receive, &receive);
  }
  if (problem == 0) {
    problem = virtio_start_queue(&device, TRANSMIT_QUEUE, &shared->transmit, &transmit);
  }
  if (problem == 0) problem = virtio_run(&device);
  if (problem != 0) return problem;
  for (uint32_t i = 0; i < BUFFERS && receive.free_count > 0; ++i) give_buffer(i);
  virtio_kick(&receive);
  return 0;
}

// Sends what stands in shared->output and waits until it is out.
static const char* send(void) {
  struct virtio_buffer buffer = {shared->output, line_length};
  line_length = 0;
  bytes += buffer.bytes;
  if (buffer.bytes == 0) return 0;
  virtio_add(&transmit, &buffer, 1, 0, 0);
  virtio_kick(&transmit);
  struct virtio_used used;
  return virtio_wait(&transmit, &used);
}

static void append(const char* text) {
  for (; *text != '\0' && line_length < LINE_BYTES; ++text) shared->output[line_length++] = *text;
}

static void append_decimal(uint32_t value) {
  char digits[11];
  char* digit = &digits[10];
  *digit = '\0';
  do {
    *--digit = (char)('0' + value % 10);
    value /= 10;
  } while (value != 0);
  append(digit);
}

static const char* greet(void) {
  append("console: send lines, and quit");
  if ((device.features & FEATURE_SIZE) != 0) {
    uint32_t size = virtio_config32(&device, CONFIG_COLUMNS_AND_ROWS);
    append(" (");
    append_decimal(size & 0xffff);
    append(" columns, ");
    append_decimal(size >> 16);
    append(" rows)");
  }
  append("\n");
  const char* problem = send();
  bytes = 0;  // Of what is echoed.
  return problem;
}

static bool line_is_quit(void) {
  uint32_t length = line_length - 1;
  if (length > 0 && shared->output[length - 1] == '\r') --length;
  return length == 4 && memcmp(shared->output, "quit", 4) == 0;
}

// Takes one character. True: it was the end.
static bool take(char c, const char** problem) {
  if (c == END_OF_TRANSMISSION) {
    *problem = send();
    return true;
  }
  shared->output[line_length++] = c;
  if (c == '\n') {
    if (line_is_quit()) return true;
    ++lines;
  }
  if (c == '\n' || line_length == LINE_BYTES) *problem = send();
  return false;
}

// Until the end of input. `problem` becomes the failure of the device, if there is one.
static void echo(const struct vmwire_boot_info* info, const char** problem) {
  uint64_t deadline = guest_deadline(info, INPUT_SECONDS);
  while (!guest_is_past(deadline)) {
    struct virtio_used used = {0, 0};
    if (!virtio_poll(&receive, &used)) {
      if (used.token == VIRTIO_NO_TOKEN) *problem = "the device gives back what it was not given";
      if (*problem != 0) return;
      continue;
    }
    had_input = true;
    uint32_t count = used.written < BUFFER_BYTES ? used.written : BUFFER_BYTES;
    for (uint32_t i = 0; i < count; ++i) {
      bool end = take(*(volatile char*)&shared->input[used.token][i], problem);
      if (end || *problem != 0) return;
    }
    give_buffer(used.token);
    virtio_kick(&receive);
    deadline = guest_deadline(info, INPUT_SECONDS);
  }
  *problem = send();
}

uint32_t guest_main(const struct vmwire_boot_info* info) {
  if (!virtio_find(info, VIRTIO_CONSOLE, 0, &device)) {
    return virtio_fail("console", "no virtio console; run with --console", VIRTIO_EXIT_NO_DEVICE);
  }
  if (!guest_is_free_memory(info, WINDOW, WINDOW_BYTES)) {
    return virtio_fail("console", "too little memory; run with --memory size=4M or more",
                       VIRTIO_EXIT_NO_MEMORY);
  }
  const char* problem = start();
  if (problem == 0) problem = greet();
  if (problem == 0) echo(info, &problem);
  if (problem != 0) return virtio_fail("console", problem, VIRTIO_EXIT_DEVICE);
  virtio_reset(&device);
  if (!had_input) return virtio_fail("console", "there was no input", EXIT_NO_INPUT);
  guest_print("console: echoed ");
  guest_print_decimal(lines);
  guest_print(" lines, ");
  guest_print_decimal(bytes);
  guest_print(" bytes\n");
  return 0;
}
