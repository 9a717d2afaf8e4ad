#include "memory/mapped_range.h"

#include <utility>

#include "memory/check.h"
#include "memory/vm_map.h"

namespace vmwire {

MappedRange::MappedRange(MappedRange&& other) noexcept
    : map_(std::exchange(other.map_, nullptr)), range_(other.range_) {}

MappedRange& MappedRange::operator=(MappedRange&& other) noexcept {
  if (this != &other) {
    Release();
    map_ = std::exchange(other.map_, nullptr);
    range_ = other.range_;
  }
  return *this;
}

MappedRange::~MappedRange() { Release(); }

void MappedRange::Release() {
  if (map_ != nullptr) map_->ReleaseMapped(range_);
  map_ = nullptr;
}

absl::StatusOr<HostBacking> MappedRange::Backing() const {
  VMWIRE_CHECK(map_ != nullptr, "a token that was moved from is used");
  return map_->BackingOf(range_);
}

}  // namespace vmwire
