#include "devices/virtio/virtqueue.h"

#include <bit>
#include <cstring>
#include <string>

#include "absl/strings/str_format.h"
#include "memory/check.h"
#include "memory/status_macros.h"

namespace vmwire {
namespace {

// Virtio is little-endian, and its fields are accessed as they lie.
static_assert(std::endian::native == std::endian::little);

// Virtio 1.2, 2.7.5: of a descriptor.
constexpr uint16_t kFlagNext = 1;
constexpr uint16_t kFlagWrite = 2;
// 2.7.6 and 2.7.8: of the driver area, "no interrupts"; of the device area, "no notifications".
constexpr uint16_t kFlagQuiet = 1;

// Where the fields lie in the areas (2.7.5, 2.7.6, 2.7.8).
constexpr uint64_t kDescriptorBytes = 16;
constexpr uint64_t kFlagsOffset = 0;
constexpr uint64_t kIndexOffset = 2;
constexpr uint64_t kRingOffset = 4;
constexpr uint64_t kAvailableBytes = 2;
constexpr uint64_t kUsedBytes = 8;
constexpr uint64_t kEventBytes = 2;

constexpr uint64_t DriverEventOffset(uint16_t size) { return kRingOffset + size * kAvailableBytes; }
constexpr uint64_t DeviceEventOffset(uint16_t size) { return kRingOffset + size * kUsedBytes; }

// Where the byte at `offset` of the area is on the host. REQUIRES: it is inside.
std::byte* At(const DmaMapping& area, uint64_t offset) {
  for (const DmaPiece& piece : area.pieces()) {
    if (offset < piece.bytes.size()) return piece.bytes.data() + offset;
    offset -= piece.bytes.size();
  }
  VMWIRE_CHECK(false, "a field of a virtqueue is outside of its area");
  __builtin_unreachable();  // Not every build of GCC sees that the check does not come back.
}

// A field never straddles two pieces: pieces meet at the edges of pages, and fields are aligned.
template <typename T>
T LoadField(const DmaMapping& area, uint64_t offset, int order) {
  return __atomic_load_n(reinterpret_cast<const T*>(At(area, offset)), order);
}

template <typename T>
void StoreField(DmaMapping& area, uint64_t offset, T value, int order) {
  __atomic_store_n(reinterpret_cast<T*>(At(area, offset)), value, order);
}

absl::StatusOr<DmaMapping> MapArea(DmaPort& port, const char* name, GuestAddress address,
                                   uint64_t size, uint64_t alignment, DmaDirection direction) {
  if (!IsAligned(address.value(), alignment)) {
    return absl::InvalidArgumentError(
        absl::StrFormat("the %s of a virtqueue, at 0x%x, is not aligned to %d bytes", name,
                        address.value(), alignment));
  }
  absl::StatusOr<DmaMapping> mapping = port.Map(address, size, direction);
  if (mapping.ok()) return mapping;
  return absl::Status(mapping.status().code(),
                      absl::StrFormat("the %s of a virtqueue, 0x%x+0x%x: %s", name, address.value(),
                                      size, std::string(mapping.status().message())));
}

}  // namespace

// Virtio 1.2, 2.7.5.
struct Virtqueue::Descriptor {
  uint64_t address;
  uint32_t length;
  uint16_t flags;
  uint16_t next;
};

absl::StatusOr<Virtqueue> Virtqueue::Create(DmaPort& port, const VirtqueueConfig& config,
                                            bool event_index) {
  const uint16_t size = config.size;
  if (!std::has_single_bit(size) || size > kMaxQueueSize) {
    return absl::InvalidArgumentError(absl::StrFormat(
        "a virtqueue of %d descriptors: the size must be a power of two, at most %d", size,
        kMaxQueueSize));
  }
  VMWIRE_ASSIGN_OR_RETURN(DmaMapping descriptors,
                          MapArea(port, "descriptor table", config.descriptors,
                                  size * kDescriptorBytes, 16, DmaDirection::kToDevice));
  VMWIRE_ASSIGN_OR_RETURN(DmaMapping driver, MapArea(port, "driver area", config.driver,
                                                     DriverEventOffset(size) + kEventBytes, 2,
                                                     DmaDirection::kToDevice));
  VMWIRE_ASSIGN_OR_RETURN(DmaMapping device, MapArea(port, "device area", config.device,
                                                     DeviceEventOffset(size) + kEventBytes, 4,
                                                     DmaDirection::kFromDevice));
  return Virtqueue(config, event_index, std::move(descriptors), std::move(driver),
                   std::move(device));
}

bool Virtqueue::LiesIn(const GuestRange& range) const {
  const auto overlaps = [&](const DmaMapping& area) {
    return area.address() < range.end() &&
           area.address().value() + area.size() > range.start().value();
  };
  return overlaps(descriptors_) || overlaps(driver_) || overlaps(device_);
}

absl::StatusOr<std::optional<DescriptorChain>> Virtqueue::Pop() {
  if (!broken_.ok()) return broken_;
  absl::StatusOr<std::optional<DescriptorChain>> chain = PopNext();
  if (!chain.ok()) broken_ = chain.status();
  return chain;
}

absl::StatusOr<std::optional<DescriptorChain>> Virtqueue::PopNext() {
  VMWIRE_ASSIGN_OR_RETURN(const uint16_t available, CountAvailable());
  if (available == 0) return std::nullopt;
  const uint64_t slot = next_available_ % config_.size;
  const uint16_t head =
      LoadField<uint16_t>(driver_, kRingOffset + slot * kAvailableBytes, __ATOMIC_RELAXED);
  if (head >= config_.size) {
    return absl::InvalidArgumentError(absl::StrFormat(
        "the driver made descriptor %d of a virtqueue of %d available", head, config_.size));
  }
  if (in_flight_[head]) {
    return absl::InvalidArgumentError(
        absl::StrFormat("the driver made chain %d available while the device has it", head));
  }
  VMWIRE_ASSIGN_OR_RETURN(DescriptorChain chain, Walk(head));
  in_flight_[head] = true;
  ++next_available_;
  return chain;
}

absl::StatusOr<uint16_t> Virtqueue::CountAvailable() {
  // Acquires what the driver wrote before it moved its index.
  const uint16_t index = LoadField<uint16_t>(driver_, kIndexOffset, __ATOMIC_ACQUIRE);
  const auto available = static_cast<uint16_t>(index - next_available_);
  const auto seen = static_cast<uint16_t>(seen_available_ - next_available_);
  if (available > config_.size || available < seen) {
    return absl::InvalidArgumentError(absl::StrFormat(
        "the driver's index of a virtqueue of %d went from %d to %d while the device is at %d",
        config_.size, seen_available_, index, next_available_));
  }
  seen_available_ = index;
  return available;
}

absl::StatusOr<DescriptorChain> Virtqueue::Walk(uint16_t head) const {
  DescriptorChain chain;
  chain.head_ = head;
  uint16_t index = head;
  for (uint16_t count = 0; count < config_.size; ++count) {
    const Descriptor descriptor = CopyDescriptor(index);
    if ((descriptor.flags & ~(kFlagNext | kFlagWrite)) != 0) {
      return absl::InvalidArgumentError(absl::StrFormat(
          "descriptor %d of a virtqueue has the flags 0x%x; only NEXT and WRITE are served", index,
          descriptor.flags));
    }
    const bool writable = (descriptor.flags & kFlagWrite) != 0;
    if (!writable && chain.has_writable_) {
      return absl::InvalidArgumentError(absl::StrFormat(
          "descriptor %d of a virtqueue is for reading, after one for writing", index));
    }
    chain.Add(descriptor.address, descriptor.length, writable);
    if (chain.readable_bytes_ + chain.writable_bytes_ > UINT32_MAX) {
      return absl::InvalidArgumentError(
          absl::StrFormat("chain %d of a virtqueue has more than 4 GiB - 1 bytes", head));
    }
    if ((descriptor.flags & kFlagNext) == 0) return chain;
    if (descriptor.next >= config_.size) {
      return absl::InvalidArgumentError(
          absl::StrFormat("descriptor %d of a virtqueue of %d goes on at %d", index, config_.size,
                          descriptor.next));
    }
    index = descriptor.next;
  }
  return absl::InvalidArgumentError(absl::StrFormat(
      "chain %d of a virtqueue of %d descriptors does not end", head, config_.size));
}

Virtqueue::Descriptor Virtqueue::CopyDescriptor(uint16_t index) const {
  const uint64_t offset = index * kDescriptorBytes;
  const uint64_t words[] = {LoadField<uint64_t>(descriptors_, offset, __ATOMIC_RELAXED),
                            LoadField<uint64_t>(descriptors_, offset + 8, __ATOMIC_RELAXED)};
  Descriptor descriptor;
  static_assert(sizeof(descriptor) == sizeof(words));
  std::memcpy(&descriptor, words, sizeof(descriptor));
  return descriptor;
}

void DescriptorChain::Add(uint64_t address, uint32_t length, bool writable) {
  has_writable_ |= writable;
  if (length == 0) return;
  (writable ? writable_ : readable_).push_back({GuestAddress(address), length});
  (writable ? writable_bytes_ : readable_bytes_) += length;
}

void Virtqueue::Push(uint16_t head, uint32_t written) {
  VMWIRE_CHECK(head < config_.size && in_flight_[head],
               absl::StrFormat("chain %d is given back, but was not taken", head));
  in_flight_[head] = false;
  const uint64_t entry = kRingOffset + next_used_ % config_.size * kUsedBytes;
  StoreField<uint32_t>(device_, entry, head, __ATOMIC_RELAXED);
  StoreField<uint32_t>(device_, entry + 4, written, __ATOMIC_RELAXED);
  ++next_used_;
  ++unsignalled_;
  // Releases the entry, and what the device wrote to the buffers.
  StoreField<uint16_t>(device_, kIndexOffset, next_used_, __ATOMIC_RELEASE);
  device_.MarkWritten();
}

bool Virtqueue::NeedsInterrupt() {
  const uint64_t pushed = std::exchange(unsignalled_, 0);
  if (pushed == 0) return false;
  // The driver writes what it wants, then looks at our index; we write that, then look what it
  // wants. Sequentially consistent, one of the two sees the other; Push's store is not.
  StoreField<uint16_t>(device_, kIndexOffset, next_used_, __ATOMIC_SEQ_CST);
  if (!event_index_) {
    return (LoadField<uint16_t>(driver_, kFlagsOffset, __ATOMIC_SEQ_CST) & kFlagQuiet) == 0;
  }
  const auto event =
      LoadField<uint16_t>(driver_, DriverEventOffset(config_.size), __ATOMIC_SEQ_CST);
  // 2.7.7.2: the entry `event` is among the last `pushed`.
  return static_cast<uint16_t>(next_used_ - event - 1) < pushed;
}

bool Virtqueue::EnableNotifications() {
  if (event_index_) {
    StoreField<uint16_t>(device_, DeviceEventOffset(config_.size), next_available_,
                         __ATOMIC_SEQ_CST);
  } else {
    StoreField<uint16_t>(device_, kFlagsOffset, 0, __ATOMIC_SEQ_CST);
  }
  device_.MarkWritten();
  return LoadField<uint16_t>(driver_, kIndexOffset, __ATOMIC_SEQ_CST) == next_available_;
}

void Virtqueue::DisableNotifications() {
  // With the event index there is nothing to do: the event that was asked for last is past as soon
  // as it was taken, and the flags must be 0 (2.7.10.1).
  if (event_index_) return;
  StoreField<uint16_t>(device_, kFlagsOffset, kFlagQuiet, __ATOMIC_RELAXED);
  device_.MarkWritten();
}

}  // namespace vmwire
