#include "memory/wire_budget.h"

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
  if (budget_ != nullptr) budget_->used_ -= bytes_;
  budget_ = nullptr;
}

WireBudget::~WireBudget() {
  VMWIRE_CHECK(used_ == 0, absl::StrFormat("%d bytes are still reserved", used_));
}

absl::Status WireBudget::CheckFits(uint64_t bytes) const {
  const Limit* lowest = nullptr;
  for (const Limit& limit : limits_) {
    const bool fits = used_ <= limit.bytes && bytes <= limit.bytes - used_;
    if (!fits && (lowest == nullptr || limit.bytes < lowest->bytes)) lowest = &limit;
  }
  if (lowest == nullptr) return absl::OkStatus();
  return absl::ResourceExhaustedError(
      absl::StrFormat("wiring needs %d bytes, %d are in use, and %s allows %d; %s", bytes, used_,
                      lowest->name, lowest->bytes, lowest->remedy));
}

absl::StatusOr<WireBudget::Reservation> WireBudget::Reserve(uint64_t bytes) {
  VMWIRE_RETURN_IF_ERROR(CheckFits(bytes));
  // Without a limit nothing else keeps the sum from wrapping.
  if (bytes > UINT64_MAX - used_) {
    return absl::ResourceExhaustedError(absl::StrFormat(
        "wiring needs %d bytes, %d are in use: together beyond 64 bits", bytes, used_));
  }
  used_ += bytes;
  return Reservation(this, bytes);
}

}  // namespace vmwire
