#include "devices/dma_engine/dma_engine.h"

#include <cstring>
#include <system_error>

#include "absl/strings/str_format.h"
#include "memory/status_macros.h"

namespace vmwire {
namespace {

enum Register : uint64_t {
  kId = 0x00,
  kVersion = 0x04,
  kMaxRingSize = 0x08,
  kMaxSegments = 0x0c,
  kMaxLength = 0x10,
  kControl = 0x14,
  kStatus = 0x18,
  kRingSize = 0x1c,
  kRingBaseLow = 0x20,
  kRingBaseHigh = 0x24,
  kCompletionBaseLow = 0x28,
  kCompletionBaseHigh = 0x2c,
  kDoorbell = DmaEngine::kDoorbellOffset,
  kInterruptStatus = 0x34,
  kInterruptAck = 0x38,
  kErrorCount = 0x3c,
};

constexpr uint32_t kIdValue = 0x414d4456;
constexpr uint32_t kVersionValue = 1;

constexpr uint32_t kControlRun = 1 << 0;
constexpr uint32_t kControlInterrupt = 1 << 1;
constexpr uint32_t kControlReset = 1 << 2;

constexpr uint32_t kStatusRunning = 1 << 0;
constexpr uint32_t kStatusNeedsReset = 1 << 1;

constexpr uint32_t kInterruptCompletion = 1 << 0;
constexpr uint32_t kInterruptNeedsReset = 1 << 1;

constexpr uint32_t LowHalf(GuestAddress address) { return static_cast<uint32_t>(address.value()); }
constexpr uint32_t HighHalf(GuestAddress address) {
  return static_cast<uint32_t>(address.value() >> 32);
}
constexpr GuestAddress WithLowHalf(GuestAddress address, uint32_t low) {
  return GuestAddress(uint64_t{HighHalf(address)} << 32 | low);
}
constexpr GuestAddress WithHighHalf(GuestAddress address, uint32_t high) {
  return GuestAddress(uint64_t{high} << 32 | LowHalf(address));
}

bool IsRegisterAccess(uint64_t offset, size_t size) {
  return size == sizeof(uint32_t) && IsAligned(offset, sizeof(uint32_t));
}

}  // namespace

absl::StatusOr<std::unique_ptr<DmaEngine>> DmaEngine::Create(DmaPort& port, InterruptLine& line,
                                                             DeviceLog& log) {
  VMWIRE_ASSIGN_OR_RETURN(EventFd doorbell, EventFd::Create());
  VMWIRE_ASSIGN_OR_RETURN(EventFd stop, EventFd::Create());
  std::unique_ptr<DmaEngine> engine(
      new DmaEngine(port, line, log, std::move(doorbell), std::move(stop)));
  port.SetRevokeListener(
      [engine = engine.get()](const GuestRange& range) { engine->Revoke(range); });
  return engine;
}

DmaEngine::DmaEngine(DmaPort& port, InterruptLine& line, DeviceLog& log, EventFd doorbell,
                     EventFd stop)
    : port_(port), line_(line), log_(log), doorbell_(std::move(doorbell)), stop_(std::move(stop)) {}

DmaEngine::~DmaEngine() {
  port_.SetRevokeListener({});
  const MutexLock lock(mutex_);
  Reset();
}

void DmaEngine::Read(uint64_t offset, std::span<std::byte> data) {
  if (!IsRegisterAccess(offset, data.size())) {
    std::memset(data.data(), 0xff, data.size());
    return;
  }
  const MutexLock lock(mutex_);
  const uint32_t value = ReadRegister(offset);
  std::memcpy(data.data(), &value, sizeof(value));
}

void DmaEngine::Write(uint64_t offset, std::span<const std::byte> data) {
  if (!IsRegisterAccess(offset, data.size())) return;
  uint32_t value = 0;
  std::memcpy(&value, data.data(), sizeof(value));
  const MutexLock lock(mutex_);
  WriteRegister(offset, value);
}

uint32_t DmaEngine::ReadRegister(uint64_t offset) const {
  switch (offset) {
    case kId:
      return kIdValue;
    case kVersion:
      return kVersionValue;
    case kMaxRingSize:
      return kMaxDmaRingSize;
    case kMaxSegments:
      return kMaxDmaSegments;
    case kMaxLength:
      return kMaxDmaLength;
    case kControl:
      return (worker_ != nullptr ? kControlRun : 0) |
             (interrupt_allowed_.load() ? kControlInterrupt : 0);
    case kStatus:
      return status_.load();
    case kRingSize:
      return config_.size;
    case kRingBaseLow:
      return LowHalf(config_.descriptors);
    case kRingBaseHigh:
      return HighHalf(config_.descriptors);
    case kCompletionBaseLow:
      return LowHalf(config_.completions);
    case kCompletionBaseHigh:
      return HighHalf(config_.completions);
    case kInterruptStatus:
      return interrupt_status_.load();
    case kErrorCount:
      return error_count_.load();
    default:
      return UINT32_MAX;
  }
}

void DmaEngine::WriteRegister(uint64_t offset, uint32_t value) {
  switch (offset) {
    case kControl:
      WriteControl(value);
      break;
    case kDoorbell:
      doorbell_.Signal();
      break;
    case kInterruptAck:
      interrupt_status_.fetch_and(~value);
      break;
    default:
      if (status_.load() == 0) WriteSetup(offset, value);
      break;
  }
}

void DmaEngine::WriteSetup(uint64_t offset, uint32_t value) {
  switch (offset) {
    case kRingSize:
      config_.size = value;
      break;
    case kRingBaseLow:
      config_.descriptors = WithLowHalf(config_.descriptors, value);
      break;
    case kRingBaseHigh:
      config_.descriptors = WithHighHalf(config_.descriptors, value);
      break;
    case kCompletionBaseLow:
      config_.completions = WithLowHalf(config_.completions, value);
      break;
    case kCompletionBaseHigh:
      config_.completions = WithHighHalf(config_.completions, value);
      break;
    default:  // Read-only, or no register.
      break;
  }
}

void DmaEngine::WriteControl(uint32_t value) {
  if ((value & kControlReset) != 0) {
    Reset();
    return;
  }
  const bool allow = (value & kControlInterrupt) != 0;
  const bool newly_allowed = !interrupt_allowed_.exchange(allow) && allow;
  // What came before it was allowed is not lost.
  if (newly_allowed && interrupt_status_.load() != 0) line_.Raise();
  if ((value & kControlRun) != 0 && status_.load() == 0) Start();
}

void DmaEngine::Start() {
  // Before the thread exists, which may take RUNNING away again.
  status_.store(kStatusRunning);
  if (const absl::Status started = TryStart(); !started.ok()) NeedReset(started);
}

absl::Status DmaEngine::TryStart() {
  VMWIRE_ASSIGN_OR_RETURN(DmaRing ring, DmaRing::Create(port_, config_));
  DmaEvents& events = *this;
  worker_ = std::make_unique<DmaWorker>(port_, config_, std::move(ring), events, doorbell_, stop_);
  try {
    thread_ = std::thread([this, worker = worker_.get()] {
      if (const absl::Status served = worker->Serve(); !served.ok()) NeedReset(served);
    });
  } catch (const std::system_error& error) {
    worker_.reset();
    return absl::ResourceExhaustedError(
        absl::StrFormat("the host has no thread for it: %s", error.what()));
  }
  return absl::OkStatus();
}

void DmaEngine::Reset() {
  if (worker_ != nullptr) {
    worker_->Abort();
    thread_.join();
    worker_.reset();
  }
  stop_.Drain();
  config_ = {};
  interrupt_allowed_.store(false);
  status_.store(0);
  interrupt_status_.store(0);
  error_count_.store(0);
}

void DmaEngine::Revoke(const GuestRange& range) {
  const MutexLock lock(mutex_);
  if (worker_ != nullptr) worker_->Revoke(range);
}

void DmaEngine::NeedReset(const absl::Status& error) {
  resets_needed_.fetch_add(1, std::memory_order_relaxed);
  status_.store(kStatusNeedsReset);
  log_.Report(Name(), error);
  Interrupt(kInterruptNeedsReset);
}

void DmaEngine::Interrupt(uint32_t bit) {
  const uint32_t before = interrupt_status_.fetch_or(bit);
  if ((before & bit) == 0 && interrupt_allowed_.load()) line_.Raise();
}

void DmaEngine::Ended(const DmaDescriptor& descriptor, const DmaOutcome& outcome) {
  descriptors_.fetch_add(1, std::memory_order_relaxed);
  if (IsDmaError(outcome.status)) {
    error_count_.fetch_add(1);
    errors_.fetch_add(1, std::memory_order_relaxed);
    log_.Report(Name(), outcome.cause);
  } else {
    bytes_.fetch_add(descriptor.length, std::memory_order_relaxed);
  }
}

void DmaEngine::Completed(const DmaDescriptor& descriptor, const DmaOutcome& outcome) {
  const bool quiet = outcome.status == DmaStatus::kOk && (descriptor.flags & kDmaNoInterrupt) != 0;
  if (!quiet) Interrupt(kInterruptCompletion);
}

DmaEngineStats DmaEngine::stats() const {
  return {.descriptors = descriptors_.load(std::memory_order_relaxed),
          .bytes = bytes_.load(std::memory_order_relaxed),
          .errors = errors_.load(std::memory_order_relaxed),
          .resets_needed = resets_needed_.load(std::memory_order_relaxed)};
}

}  // namespace vmwire
