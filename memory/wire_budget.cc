#include "memory/wire_budget.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_format.h"
#include "memory/check.h"
#include "memory/status_macros.h"

namespace vmwire {

WireBudget::Reservation::Reservation(Reservation&& other) noexcept
    : budget_(std::exchange(other.budget_, nullptr)), bytes_(std::exchange(other.bytes_, 0)) {}

WireBudget::Reservation& WireBudget::Reservation::operator=(Reservation&& other) noexcept {
  if (this != &other) {
    Release();
    budget_ = std::exchange(other.budget_, nullptr);
    bytes_ = std::exchange(other.bytes_, 0);
  }
  return *this;
}

WireBudget::Reservation::~Reservation() { Release(); }

void WireBudget::Reservation::Release() {
  if (budget_ != nullptr) budget_->used_.fetch_sub(bytes_, std::memory_order_relaxed);
  budget_ = nullptr;
}

WireBudget::~WireBudget() {
  VMWIRE_CHECK(used() == 0, absl::StrFormat("%d bytes are still reserved", used()));
}

absl::Status WireBudget::CheckFits(uint64_t bytes, uint64_t evictable) const {
  const uint64_t now = used();
  return CheckFitsBeside(bytes, now - std::min(now, evictable));
}

absl::Status WireBudget::CheckFitsBeside(uint64_t bytes, uint64_t used) const {
  const Limit* lowest = nullptr;
  for (const Limit& limit : limits_) {
    const bool fits = used <= limit.bytes && bytes <= limit.bytes - used;
    if (!fits && (lowest == nullptr || limit.bytes < lowest->bytes)) lowest = &limit;
  }
  if (lowest == nullptr) return absl::OkStatus();
  return absl::ResourceExhaustedError(
      absl::StrFormat("wiring needs %d bytes, %d are in use, and %s allows %d; %s", bytes, used,
                      lowest->name, lowest->bytes, lowest->remedy));
}

absl::StatusOr<WireBudget::Reservation> WireBudget::Reserve(uint64_t bytes) {
  uint64_t now = used();
  do {
    VMWIRE_RETURN_IF_ERROR(CheckFitsBeside(bytes, now));
    // Without a limit nothing else keeps the sum from wrapping.
    if (bytes > UINT64_MAX - now) {
      return absl::ResourceExhaustedError(absl::StrFormat(
          "wiring needs %d bytes, %d are in use: together beyond 64 bits", bytes, now));
    }
  } while (!used_.compare_exchange_weak(now, now + bytes, std::memory_order_relaxed));
  return Reservation(this, bytes);
}

uint64_t WireBudget::available() const {
  uint64_t lowest = UINT64_MAX;
  for (const Limit& limit : limits_) lowest = std::min(lowest, limit.bytes);
  const uint64_t now = used();
  return now < lowest ? lowest - now : 0;
}

}  // namespace vmwire
