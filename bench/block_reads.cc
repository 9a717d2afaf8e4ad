#include "bench/block_reads.h"

#include <utility>

#include "absl/strings/str_format.h"
#include "devices/virtio/block/disk_file.h"

namespace vmwire::bench {
namespace {

constexpr uint16_t kQueueSize = 256;
constexpr uint32_t kPerRequest = 3;
static_assert(BlockReads::kMostDepth * kPerRequest <= kQueueSize);

// Where things are in the memory of the queue.
constexpr uint64_t kDriverArea = 0x1000;
constexpr uint64_t kAvailableIndex = kDriverArea + 2;
constexpr uint64_t kAvailableRing = kDriverArea + 4;
constexpr uint64_t kUsedEvent = kAvailableRing + 2 * kQueueSize;
constexpr uint64_t kDeviceArea = 0x2000;
constexpr uint64_t kUsedIndex = kDeviceArea + 2;
constexpr uint64_t kUsedRing = kDeviceArea + 4;
constexpr uint64_t kAvailableEvent = kUsedRing + 8 * kQueueSize;
constexpr uint64_t kHeaders = 0x4000;
constexpr uint64_t kStatuses = 0x5000;

constexpr uint16_t kNext = 1;
constexpr uint16_t kWrite = 2;
constexpr uint8_t kNoStatus = 0xff;

struct Descriptor {
  uint64_t address;
  uint32_t length;
  uint16_t flags;
  uint16_t next;
};
struct Used {
  uint32_t head;
  uint32_t written;
};

VirtqueueConfig ConfigAt(GuestAddress base) {
  return {.size = kQueueSize,
          .descriptors = base,
          .driver = GuestAddress(base.value() + kDriverArea),
          .device = GuestAddress(base.value() + kDeviceArea)};
}

DiskFile OpenDisk(const std::string& path) {
  return Require(DiskFile::Open(path, {.read_only = true, .direct = true}));
}

}  // namespace

BlockReads::BlockReads(DmaSpace& space, const std::string& path, const Options& options)
    : options_(options),
      port_(space.CreatePort("disk")),
      device_(Require(VirtioBlock::Create(OpenDisk(path), *port_,
                                          {.registered_buffers = options.registered_buffers}))),
      queue_(Require(Virtqueue::Create(*port_, ConfigAt(options.queue), /*event_index=*/true))) {
  LayOut();
  session_ = {.queues = {&queue_},
              .features = device_->Features() | kVirtioFeatureVersion1 | kVirtioFeatureEventIndex,
              .doorbell = doorbell_.fd(),
              .stop = stop_.fd(),
              .events = &interrupt_};
  thread_ = std::thread([this] { Require(device_->Serve(session_)); });
}

BlockReads::~BlockReads() {
  stop_.Signal();
  thread_.join();
  port_->SetQuiet();
}

void BlockReads::LayOut() {
  const uint64_t base = options_.queue.value();
  for (uint32_t slot = 0; slot < kMostDepth; ++slot) {
    const auto first = static_cast<uint16_t>(slot * kPerRequest);
    Descriptor* const chain = At<Descriptor>(0) + first;
    chain[0] = {base + kHeaders + slot * sizeof(BlockHeader), sizeof(BlockHeader), kNext,
                static_cast<uint16_t>(first + 1)};
    chain[1] = {0, 0, kNext | kWrite, static_cast<uint16_t>(first + 2)};
    chain[2] = {base + kStatuses + slot, 1, kWrite, 0};
  }
}

void BlockReads::Begin(uint32_t slot, const Place& place, uint32_t bytes) {
  const auto head = static_cast<uint16_t>(slot * kPerRequest);
  At<BlockHeader>(kHeaders)[slot] = {.type = kBlockIn, .sector = place.file / kSectorSize};
  At<uint8_t>(kStatuses)[slot] = kNoStatus;
  Descriptor& data = At<Descriptor>(0)[head + 1];
  data.address = options_.data.value() + place.memory;
  data.length = bytes;
  At<uint16_t>(kAvailableRing)[available_ % kQueueSize] = head;
  // Sequentially consistent: the device asks for a doorbell before it looks whether there is more,
  // and this is stored before we look whether it asked.
  __atomic_store_n(At<uint16_t>(kAvailableIndex), ++available_, __ATOMIC_SEQ_CST);
}

void BlockReads::RingDoorbell() {
  const uint16_t before = std::exchange(notified_, available_);
  const uint16_t event = __atomic_load_n(At<uint16_t>(kAvailableEvent), __ATOMIC_SEQ_CST);
  // vring_need_event of virtio 1.2, 2.7.10.
  const bool wanted =
      static_cast<uint16_t>(available_ - event - 1) < static_cast<uint16_t>(available_ - before);
  if (wanted) doorbell_.Signal();
}

void BlockReads::Wait(absl::FunctionRef<void(uint32_t slot)> done) {
  RingDoorbell();
  while (true) {
    bool any = false;
    while (TakeOne(done)) any = true;
    if (any) return;
    // An interrupt for the next one; unless it came before the device could see that.
    __atomic_store_n(At<uint16_t>(kUsedEvent), used_, __ATOMIC_SEQ_CST);
    if (__atomic_load_n(At<uint16_t>(kUsedIndex), __ATOMIC_SEQ_CST) != used_) continue;
    WaitReadable({interrupt_.event.fd()});
    interrupt_.event.Drain();
  }
}

bool BlockReads::TakeOne(absl::FunctionRef<void(uint32_t slot)> done) {
  if (__atomic_load_n(At<uint16_t>(kUsedIndex), __ATOMIC_ACQUIRE) == used_) return false;
  const Used used = At<Used>(kUsedRing)[used_ % kQueueSize];
  ++used_;
  const uint32_t slot = used.head / kPerRequest;
  if (const uint8_t status = At<uint8_t>(kStatuses)[slot]; status != 0)
    Require(absl::InternalError(absl::StrFormat("a read ended with status %d", status)));
  done(slot);
  return true;
}

uint64_t BlockReads::Counter(const std::string& name) const {
  for (const DeviceCounter& counter : device_->Counters()) {
    if (counter.first == name) return counter.second;
  }
  Require(absl::NotFoundError("a block device has no counter of " + name));
  return 0;
}

}  // namespace vmwire::bench
