#include "devices/bus.h"

#include <algorithm>
#include <cstring>

#include "absl/strings/str_format.h"

namespace vmwire {
namespace {

bool Holds(uint64_t base, uint64_t window_size, uint64_t address, uint64_t size) {
  if (address < base) return false;
  const uint64_t offset = address - base;
  return offset < window_size && size <= window_size - offset;
}

}  // namespace

absl::Status Bus::Register(uint64_t base, uint64_t size, Device& device) {
  if (size == 0) {
    return absl::InvalidArgumentError(
        absl::StrFormat("%s: the window of %s at 0x%x is empty", name_, device.Name(), base));
  }
  if (base > UINT64_MAX - size) {
    return absl::InvalidArgumentError(absl::StrFormat("%s: the window of %s, 0x%x+0x%x, wraps",
                                                      name_, device.Name(), base, size));
  }
  if (base + size > size_) {
    return absl::OutOfRangeError(
        absl::StrFormat("%s: the window %s leaves the address space of 0x%x bytes", name_,
                        Describe(base, size, device), size_));
  }
  const MutexLock lock(mutex_);
  const auto next = std::find_if(windows_.begin(), windows_.end(), [&](const Window& window) {
    return window.base + window.size > base;
  });
  if (next != windows_.end() && next->base < base + size) {
    return absl::AlreadyExistsError(
        absl::StrFormat("%s: the window %s overlaps %s", name_, Describe(base, size, device),
                        Describe(next->base, next->size, *next->device)));
  }
  windows_.insert(next, Window{base, size, &device});
  return absl::OkStatus();
}

bool Bus::Read(uint64_t address, std::span<std::byte> data) {
  const MutexLock lock(mutex_);
  const Window* window = Find(address, data.size());
  if (window == nullptr) {
    std::fill(data.begin(), data.end(), std::byte{0xff});
    ++absent_reads_;
    RecordAbsent(address, data.size(), false, 0);
    return false;
  }
  window->device->Read(address - window->base, data);
  return true;
}

bool Bus::Write(uint64_t address, std::span<const std::byte> data) {
  const MutexLock lock(mutex_);
  const Window* window = Find(address, data.size());
  if (window == nullptr) {
    ++absent_writes_;
    uint64_t value = 0;
    std::memcpy(&value, data.data(), std::min(data.size(), sizeof(value)));
    RecordAbsent(address, data.size(), true, value);
    return false;
  }
  window->device->Write(address - window->base, data);
  return true;
}

const Bus::Window* Bus::Find(uint64_t address, uint64_t size) {
  if (size == 0) return nullptr;
  if (last_hit_ < windows_.size()) {
    const Window& window = windows_[last_hit_];
    if (Holds(window.base, window.size, address, size)) return &window;
  }
  const auto after =
      std::upper_bound(windows_.begin(), windows_.end(), address,
                       [](uint64_t value, const Window& w) { return value < w.base; });
  if (after == windows_.begin()) return nullptr;
  const auto window = after - 1;
  if (!Holds(window->base, window->size, address, size)) return nullptr;
  last_hit_ = static_cast<size_t>(window - windows_.begin());
  return &*window;
}

void Bus::RecordAbsent(uint64_t address, uint64_t size, bool is_write, uint64_t value) {
  const auto key = std::make_tuple(address, size, is_write);
  auto found = absent_.find(key);
  if (found == absent_.end()) {
    if (absent_.size() == kMaxAbsentAccesses) {
      ++absent_left_out_;
      return;
    }
    found = absent_.emplace(key, AbsentAccess{address, size, is_write, 0, value}).first;
  }
  ++found->second.count;
}

uint64_t Bus::absent_reads() const {
  const MutexLock lock(mutex_);
  return absent_reads_;
}

uint64_t Bus::absent_writes() const {
  const MutexLock lock(mutex_);
  return absent_writes_;
}

std::vector<AbsentAccess> Bus::AbsentAccesses() const {
  const MutexLock lock(mutex_);
  std::vector<AbsentAccess> accesses;
  accesses.reserve(absent_.size());
  for (const auto& [key, access] : absent_) accesses.push_back(access);
  return accesses;
}

uint64_t Bus::absent_left_out() const {
  const MutexLock lock(mutex_);
  return absent_left_out_;
}

std::string Bus::Describe(uint64_t base, uint64_t size, const Device& device) const {
  return absl::StrFormat("[0x%x, 0x%x) of %s", base, base + size, device.Name());
}

}  // namespace vmwire
