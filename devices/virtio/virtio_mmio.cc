#include "devices/virtio/virtio_mmio.h"

#include <algorithm>
#include <cstring>
#include <system_error>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/str_format.h"
#include "memory/errno_status.h"
#include "memory/status_macros.h"

namespace vmwire {
namespace {

// Registers (virtio 1.2, 4.2.2). Those that are not named, as those of shared memory, of which
// there is none, read all ones (4.2.2, SHMLen).
enum Register : uint64_t {
  kMagicValue = 0x000,
  kVersion = 0x004,
  kDeviceId = 0x008,
  kVendorId = 0x00c,
  kDeviceFeatures = 0x010,
  kDeviceFeaturesSel = 0x014,
  kDriverFeatures = 0x020,
  kDriverFeaturesSel = 0x024,
  kQueueSel = 0x030,
  kQueueNumMax = 0x034,
  kQueueNum = 0x038,
  kQueueReady = 0x044,
  kQueueNotify = VirtioMmio::kNotifyOffset,
  kInterruptStatus = 0x060,
  kInterruptAck = 0x064,
  kStatus = 0x070,
  kQueueDescLow = 0x080,
  kQueueDescHigh = 0x084,
  kQueueDriverLow = 0x090,
  kQueueDriverHigh = 0x094,
  kQueueDeviceLow = 0x0a0,
  kQueueDeviceHigh = 0x0a4,
  kConfigGeneration = 0x0fc,
  kConfig = 0x100,
};

constexpr uint32_t kMagic = 0x74726976;   // "virt"
constexpr uint32_t kVendor = 0x52574d56;  // "VMWR"
constexpr uint32_t kAllOnes = 0xffffffff;

// Status bits (2.1).
constexpr uint32_t kAcknowledge = 1;
constexpr uint32_t kDriver = 2;
constexpr uint32_t kDriverOk = 4;
constexpr uint32_t kFeaturesOk = 8;
constexpr uint32_t kNeedsReset = 64;
constexpr uint32_t kFailed = 128;

// Interrupt reasons (4.2.2, InterruptStatus).
constexpr uint32_t kUsedBufferReason = 1;
constexpr uint32_t kConfigReason = 2;

bool IsConfigAccess(size_t size) { return size == 1 || size == 2 || size == 4 || size == 8; }

bool IsRegisterAccess(uint64_t offset, size_t size) {
  return size == sizeof(uint32_t) && IsAligned(offset, sizeof(uint32_t));
}

void SetLow(uint64_t& word, uint32_t value) { word = (word >> 32 << 32) | value; }
void SetHigh(uint64_t& word, uint32_t value) { word = (word & kAllOnes) | uint64_t{value} << 32; }

// Word `select` of `features`; there are but two.
uint32_t FeatureWord(uint64_t features, uint32_t select) {
  return select < 2 ? static_cast<uint32_t>(features >> (32 * select)) : 0;
}

}  // namespace

absl::StatusOr<std::unique_ptr<VirtioMmio>> VirtioMmio::Create(VirtioDevice& device, DmaPort& port,
                                                               InterruptLine& line,
                                                               DeviceLog& log) {
  VMWIRE_ASSIGN_OR_RETURN(EventFd doorbell, EventFd::Create());
  VMWIRE_ASSIGN_OR_RETURN(EventFd stop, EventFd::Create());
  std::unique_ptr<VirtioMmio> transport(
      new VirtioMmio(device, port, line, log, std::move(doorbell), std::move(stop)));
  port.SetRevokeListener(
      [transport = transport.get()](const GuestRange& range) { transport->Revoke(range); });
  return transport;
}

VirtioMmio::VirtioMmio(VirtioDevice& device, DmaPort& port, InterruptLine& line, DeviceLog& log,
                       EventFd doorbell, EventFd stop)
    : device_(device),
      port_(port),
      line_(line),
      log_(log),
      doorbell_(std::move(doorbell)),
      stop_(std::move(stop)),
      offered_features_(device.Features() | kVirtioFeatureEventIndex | kVirtioFeatureVersion1) {
  const MutexLock lock(mutex_);
  for (const uint16_t max_size : device.QueueSizes()) queues_.push_back({.max_size = max_size});
}

VirtioMmio::~VirtioMmio() {
  port_.SetRevokeListener({});
  const MutexLock lock(lifecycle_mutex_);
  Reset();
}

void VirtioMmio::Read(uint64_t offset, std::span<std::byte> data) {
  if (offset >= kConfig && IsConfigAccess(data.size())) {
    device_.ReadConfig(offset - kConfig, data);
  } else if (offset < kConfig && IsRegisterAccess(offset, data.size())) {
    const uint32_t value = ReadRegister(offset);
    std::memcpy(data.data(), &value, sizeof(value));
  } else {
    std::fill(data.begin(), data.end(), std::byte{0xff});
  }
}

void VirtioMmio::Write(uint64_t offset, std::span<const std::byte> data) {
  if (offset >= kConfig && IsConfigAccess(data.size())) {
    device_.WriteConfig(offset - kConfig, data);
  } else if (offset < kConfig && IsRegisterAccess(offset, data.size())) {
    uint32_t value;
    std::memcpy(&value, data.data(), sizeof(value));
    WriteRegister(offset, value);
  }
}

uint32_t VirtioMmio::ReadRegister(uint64_t offset) {
  const MutexLock lock(mutex_);
  const Queue* const queue = SelectedQueue();
  switch (offset) {
    case kMagicValue:
      return kMagic;
    case kVersion:
      return 2;
    case kDeviceId:
      return device_.DeviceId();
    case kVendorId:
      return kVendor;
    case kDeviceFeatures:
      return FeatureWord(offered_features_, device_features_select_);
    case kQueueNumMax:
      return queue == nullptr ? 0 : queue->max_size;
    case kQueueReady:
      return queue != nullptr && queue->ready ? 1 : 0;
    case kInterruptStatus:
      return interrupt_status_.load();
    case kStatus:
      return status_.load();
    case kConfigGeneration:
      return config_generation_.load();
    default:
      return kAllOnes;
  }
}

void VirtioMmio::WriteRegister(uint64_t offset, uint32_t value) {
  switch (offset) {
    case kQueueNotify:
      return Notify(value);
    case kInterruptAck:
      interrupt_status_.fetch_and(~value);
      return;
    case kStatus:
      return WriteStatus(value);
    case kQueueReady:
      return WriteQueueReady(value);
    default:
      break;
  }
  const MutexLock lock(mutex_);
  switch (offset) {
    case kDeviceFeaturesSel:
      device_features_select_ = value;
      return;
    case kDriverFeaturesSel:
      driver_features_select_ = value;
      return;
    case kDriverFeatures:
      return WriteDriverFeatures(value);
    case kQueueSel:
      queue_select_ = value;
      return;
    default:
      return WriteQueueRegister(offset, value);
  }
}

void VirtioMmio::WriteDriverFeatures(uint32_t value) {
  if ((status_.load() & kFeaturesOk) != 0) return;
  switch (driver_features_select_) {
    case 0:
      return SetLow(driver_features_, value);
    case 1:
      return SetHigh(driver_features_, value);
    default:
      unknown_features_ |= value != 0;
  }
}

VirtioMmio::Queue* VirtioMmio::SelectedQueue() {
  return queue_select_ < queues_.size() ? &queues_[queue_select_] : nullptr;
}

void VirtioMmio::WriteQueueRegister(uint64_t offset, uint32_t value) {
  Queue* const queue = SelectedQueue();
  if (queue == nullptr || queue->ready || (status_.load() & kDriverOk) != 0) return;
  switch (offset) {
    case kQueueNum:
      queue->size = value;
      return;
    case kQueueDescLow:
      return SetLow(queue->descriptors, value);
    case kQueueDescHigh:
      return SetHigh(queue->descriptors, value);
    case kQueueDriverLow:
      return SetLow(queue->driver, value);
    case kQueueDriverHigh:
      return SetHigh(queue->driver, value);
    case kQueueDeviceLow:
      return SetLow(queue->device, value);
    case kQueueDeviceHigh:
      return SetHigh(queue->device, value);
    default:
      return;
  }
}

void VirtioMmio::WriteQueueReady(uint32_t value) {
  const MutexLock lifecycle_lock(lifecycle_mutex_);
  absl::Status refused;
  {
    const MutexLock lock(mutex_);
    Queue* const queue = SelectedQueue();
    if (queue == nullptr || value > 1 || (status_.load() & kDriverOk) != 0) return;
    if (queue->ready == (value == 1)) return;
    // Whether the queue can be is found by making it. It is not kept: event index or not is known
    // at DRIVER_OK.
    if (value == 1) {
      const absl::StatusOr<VirtqueueConfig> config = ConfigOf(*queue);
      refused = config.ok() ? Virtqueue::Create(port_, *config, /*event_index=*/false).status()
                            : config.status();
    }
    if (refused.ok()) queue->ready = value == 1;
  }
  if (!refused.ok()) log_.Report(device_.Name(), refused);
}

absl::StatusOr<VirtqueueConfig> VirtioMmio::ConfigOf(const Queue& queue) {
  if (queue.size > queue.max_size) {
    return absl::InvalidArgumentError(
        absl::StrFormat("the driver asks for a virtqueue of %d descriptors; at most %d are served",
                        queue.size, queue.max_size));
  }
  return VirtqueueConfig{.size = static_cast<uint16_t>(queue.size),
                         .descriptors = GuestAddress(queue.descriptors),
                         .driver = GuestAddress(queue.driver),
                         .device = GuestAddress(queue.device)};
}

void VirtioMmio::Notify(uint32_t queue) {
  {
    const MutexLock lock(mutex_);
    if ((status_.load() & kDriverOk) == 0) return;
    if (queue >= queues_.size() || !queues_[queue].ready) return;
  }
  doorbell_.Signal();
}

void VirtioMmio::WriteStatus(uint32_t value) {
  const MutexLock lock(lifecycle_mutex_);
  if (value == 0) return Reset();
  // A driver cannot clear a bit but by a reset (2.1.1).
  status_.fetch_or(value & (kAcknowledge | kDriver | kFailed));
  if ((value & kFeaturesOk) != 0 && (status_.load() & kFeaturesOk) == 0) AcceptFeatures();
  const uint32_t now = status_.load();
  if ((value & kDriverOk) == 0 || (now & kFeaturesOk) == 0 || (now & kDriverOk) != 0) return;
  if (const absl::Status started = Start(); !started.ok()) Fail(started);
}

void VirtioMmio::AcceptFeatures() {
  const MutexLock lock(mutex_);
  const bool only_offered = (driver_features_ & ~offered_features_) == 0 && !unknown_features_;
  // 6.1: a device may refuse a driver that does not accept VERSION_1; this one has no other ways.
  if (!only_offered || (driver_features_ & kVirtioFeatureVersion1) == 0) return;
  status_.fetch_or(kFeaturesOk);
}

absl::Status VirtioMmio::Start() {
  VirtioSession session;
  std::vector<Queue> queues;
  {
    const MutexLock lock(mutex_);
    status_.fetch_or(kDriverOk);
    session.features = driver_features_;
    queues = queues_;
  }
  VMWIRE_RETURN_IF_ERROR(CreateQueues(queues, (session.features & kVirtioFeatureEventIndex) != 0));
  for (std::optional<Virtqueue>& queue : running_) {
    session.queues.push_back(queue.has_value() ? &*queue : nullptr);
  }
  session.doorbell = doorbell_.fd();
  session.stop = stop_.fd();
  session.events = this;
  // Of notifications that came too early; Serve looks at the queues at once.
  doorbell_.Drain();
  try {
    thread_ = std::thread([this, session = std::move(session)] {
      if (const absl::Status served = device_.Serve(session); !served.ok()) Fail(served);
    });
  } catch (const std::system_error& error) {
    running_.clear();
    return ErrnoStatus(error.code().value(), "starting the thread of a device");
  }
  return absl::OkStatus();
}

absl::Status VirtioMmio::CreateQueues(const std::vector<Queue>& queues, bool event_index) {
  std::vector<std::optional<Virtqueue>> running;
  for (const Queue& queue : queues) {
    running.emplace_back();
    if (!queue.ready) continue;
    VMWIRE_ASSIGN_OR_RETURN(const VirtqueueConfig config, ConfigOf(queue));
    VMWIRE_ASSIGN_OR_RETURN(running.back(), Virtqueue::Create(port_, config, event_index));
  }
  running_ = std::move(running);
  return absl::OkStatus();
}

void VirtioMmio::Stop() {
  if (thread_.joinable()) {
    stop_.Signal();
    thread_.join();
    stop_.Drain();
  }
  running_.clear();
  port_.SetQuiet();
}

void VirtioMmio::Revoke(const GuestRange& range) {
  const MutexLock lock(lifecycle_mutex_);
  const bool concerned = std::any_of(running_.begin(), running_.end(), [&](const auto& queue) {
    return queue.has_value() && queue->LiesIn(range);
  });
  if (!concerned) return;
  Stop();
  Fail(absl::UnavailableError(absl::StrFormat(
      "guest memory %s, which holds a virtqueue, is taken back", range.ToString())));
}

void VirtioMmio::Reset() {
  Stop();
  const MutexLock lock(mutex_);
  for (Queue& queue : queues_) queue = {.max_size = queue.max_size};
  device_features_select_ = 0;
  driver_features_select_ = 0;
  driver_features_ = 0;
  unknown_features_ = false;
  queue_select_ = 0;
  interrupt_status_.store(0);
  status_.store(0);
}

void VirtioMmio::UsedBuffers() { Interrupt(kUsedBufferReason); }

void VirtioMmio::ConfigChanged() {
  config_generation_.fetch_add(1);
  // 2.1.2, 3.1.1: a driver that has not said DRIVER_OK is not to be interrupted; it will read all
  // of the configuration yet.
  if ((status_.load() & kDriverOk) != 0) Interrupt(kConfigReason);
}

void VirtioMmio::Fail(const absl::Status& error) {
  resets_needed_.fetch_add(1, std::memory_order_relaxed);
  log_.Report(device_.Name(), error);
  status_.fetch_or(kNeedsReset);
  Interrupt(kConfigReason);
}

void VirtioMmio::Interrupt(uint32_t reason) {
  interrupt_status_.fetch_or(reason);
  // Raised even if the reason is there already: the driver may have read it, and not yet have
  // acknowledged it.
  line_.Raise();
}

}  // namespace vmwire
