#include "tests/devices/driver_queue.h"

#include <algorithm>
#include <utility>

#include "gtest/gtest.h"

namespace vmwire {
namespace {

// Sizes of virtio 1.2, 2.7.
constexpr uint64_t kDescriptorBytes = 16;
constexpr uint64_t kRingHeader = 4;  // flags, idx
constexpr uint64_t kAvailableEntryBytes = 2;
constexpr uint64_t kUsedEntryBytes = 8;
constexpr uint64_t kEventBytes = 2;

uint64_t AvailableOffset(uint16_t size) { return size * kDescriptorBytes; }
uint64_t DeviceAreaOffset(uint16_t size) {
  const uint64_t end =
      AvailableOffset(size) + kRingHeader + size * kAvailableEntryBytes + kEventBytes;
  return (end + 3) / 4 * 4;
}

}  // namespace

uint64_t DriverQueue::Bytes(uint16_t size) {
  return DeviceAreaOffset(size) + kRingHeader + size * kUsedEntryBytes + kEventBytes;
}

DriverQueue::DriverQueue(FakeDmaPort& port, GuestAddress base, uint16_t size)
    : base_(base),
      size_(size),
      available_(AvailableOffset(size)),
      used_(DeviceAreaOffset(size)),
      memory_(port.Bytes(base, Bytes(size)).data()),
      chains_(size) {
  std::fill_n(memory_, Bytes(size), std::byte{0});
  for (uint16_t i = size; i > 0; --i) free_.push_back(static_cast<uint16_t>(i - 1));
}

VirtqueueConfig DriverQueue::config() const {
  return VirtqueueConfig{.size = size_,
                         .descriptors = base_,
                         .driver = GuestAddress(base_.value() + available_),
                         .device = GuestAddress(base_.value() + used_)};
}

uint16_t DriverQueue::Add(const std::vector<VirtqueueBuffer>& readable,
                          const std::vector<VirtqueueBuffer>& writable) {
  const uint16_t head = Build(readable, writable);
  MakeAvailable(head);
  return head;
}

uint16_t DriverQueue::Build(const std::vector<VirtqueueBuffer>& readable,
                            const std::vector<VirtqueueBuffer>& writable) {
  const size_t count = readable.size() + writable.size();
  if (count == 0 || count > free_.size()) {
    ADD_FAILURE() << "a chain of " << count << " with " << free_.size() << " free descriptors";
    return 0;
  }
  std::vector<uint16_t> chain;
  for (size_t i = 0; i < count; ++i) {
    chain.push_back(free_.back());
    free_.pop_back();
  }
  for (size_t i = 0; i < count; ++i) {
    const bool writes = i >= readable.size();
    const bool last = i + 1 == count;
    const VirtqueueBuffer& buffer = writes ? writable[i - readable.size()] : readable[i];
    SetDescriptor(chain[i],
                  {.address = buffer.address.value(),
                   .length = buffer.length,
                   .flags = static_cast<uint16_t>((writes ? kWrite : 0) | (last ? 0 : kNext)),
                   .next = last ? uint16_t{0} : chain[i + 1]});
  }
  const uint16_t head = chain[0];
  chains_[head] = std::move(chain);
  return head;
}

void DriverQueue::MakeAvailable(uint16_t head) {
  const uint16_t index = available_index();
  SetAvailableEntry(index, head);
  SetAvailableIndex(static_cast<uint16_t>(index + 1));
}

std::optional<DriverQueue::Used> DriverQueue::TakeUsed() {
  if (used_index() == next_used_) return std::nullopt;
  const Used used = used_entry(next_used_++);
  if (used.head >= size_ || chains_[used.head].empty()) {
    ADD_FAILURE() << "the device gave back " << used.head << ", which it does not have";
    return used;
  }
  std::vector<uint16_t> chain = std::exchange(chains_[used.head], {});
  free_.insert(free_.end(), chain.rbegin(), chain.rend());
  return used;
}

bool DriverQueue::NeedsNotification(bool event_index) {
  const uint16_t index = available_index();
  const uint16_t before = std::exchange(notified_, index);
  // Stored and loaded sequentially consistently: the device asks before it looks whether there is
  // more, we add before we look whether it asked, and one of the two sees the other.
  if (!event_index) return (used_flags() & 1) == 0 && index != before;
  // vring_need_event of virtio 1.2, 2.7.10.
  return static_cast<uint16_t>(index - available_event() - 1) <
         static_cast<uint16_t>(index - before);
}

void DriverQueue::SetDescriptor(uint16_t index, const Descriptor& descriptor) {
  const uint64_t offset = DescriptorOffset(index);
  Set<uint64_t>(offset, descriptor.address);
  Set<uint32_t>(offset + 8, descriptor.length);
  Set<uint16_t>(offset + 12, descriptor.flags);
  Set<uint16_t>(offset + 14, descriptor.next);
}

DriverQueue::Descriptor DriverQueue::descriptor(uint16_t index) const {
  const uint64_t offset = DescriptorOffset(index);
  return {.address = Get<uint64_t>(offset),
          .length = Get<uint32_t>(offset + 8),
          .flags = Get<uint16_t>(offset + 12),
          .next = Get<uint16_t>(offset + 14)};
}

void DriverQueue::SetAvailableFlags(uint16_t flags) { Set<uint16_t>(available_, flags); }
void DriverQueue::SetAvailableIndex(uint16_t index) { Set<uint16_t>(available_ + 2, index); }
uint16_t DriverQueue::available_index() const { return Get<uint16_t>(available_ + 2); }

void DriverQueue::SetAvailableEntry(uint16_t slot, uint16_t head) {
  Set<uint16_t>(available_ + kRingHeader + slot % size_ * kAvailableEntryBytes, head);
}

void DriverQueue::SetUsedEvent(uint16_t index) {
  Set<uint16_t>(available_ + kRingHeader + size_ * kAvailableEntryBytes, index);
}

uint16_t DriverQueue::used_flags() const { return Get<uint16_t>(used_); }
uint16_t DriverQueue::used_index() const { return Get<uint16_t>(used_ + 2); }

DriverQueue::Used DriverQueue::used_entry(uint16_t slot) const {
  const uint64_t offset = UsedOffset(slot);
  return {.head = Get<uint32_t>(offset), .written = Get<uint32_t>(offset + 4)};
}

uint16_t DriverQueue::available_event() const {
  return Get<uint16_t>(UsedOffset(0) + size_ * kUsedEntryBytes);
}

template <typename T>
T DriverQueue::Get(uint64_t offset) const {
  return __atomic_load_n(reinterpret_cast<const T*>(memory_ + offset), __ATOMIC_SEQ_CST);
}

template <typename T>
void DriverQueue::Set(uint64_t offset, T value) {
  __atomic_store_n(reinterpret_cast<T*>(memory_ + offset), value, __ATOMIC_SEQ_CST);
}

uint64_t DriverQueue::DescriptorOffset(uint16_t index) const {
  return index % size_ * kDescriptorBytes;
}

uint64_t DriverQueue::UsedOffset(uint16_t slot) const {
  return used_ + kRingHeader + slot % size_ * kUsedEntryBytes;
}

}  // namespace vmwire
