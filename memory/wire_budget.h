// How many bytes may be pinned. Bytes are reserved before the host is asked, so that a request
// which cannot fit fails before its first fault, with a message that says what is needed, used and
// allowed, by which limit, and how to raise it.
//
// Invariants: used() is the sum of the live reservations, and never above the lowest limit.
// Thread safety: thread-safe.
#ifndef VMWIRE_MEMORY_WIRE_BUDGET_H_
#define VMWIRE_MEMORY_WIRE_BUDGET_H_

#include <atomic>
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace vmwire {

class WireBudget {
 public:
  struct Limit {
    std::string name;  // "RLIMIT_MEMLOCK"
    uint64_t bytes =
        0;  // What may be pinned under this limit, what others use of it already taken off.
    std::string remedy;  // "raise it with ulimit -l, or ..."
  };

  // Reserved bytes; given back when it dies.
  class [[nodiscard]] Reservation {
   public:
    Reservation() = default;
    Reservation(Reservation&& other) noexcept;
    Reservation& operator=(Reservation&& other) noexcept;
    ~Reservation();
    uint64_t bytes() const { return bytes_; }

   private:
    friend class WireBudget;
    Reservation(WireBudget* budget, uint64_t bytes) : budget_(budget), bytes_(bytes) {}
    void Release();

    WireBudget* budget_ = nullptr;
    uint64_t bytes_ = 0;
  };

  // Without a limit, everything fits.
  explicit WireBudget(std::vector<Limit> limits) : limits_(std::move(limits)) {}
  WireBudget(const WireBudget&) = delete;
  WireBudget& operator=(const WireBudget&) = delete;
  // REQUIRES: no reservation is left.
  ~WireBudget();

  // ResourceExhausted if `bytes` more do not fit, naming the lowest limit that is in the way;
  // `evictable` bytes of what is used count as free.
  absl::Status CheckFits(uint64_t bytes, uint64_t evictable = 0) const;

  // Takes `bytes` out of the budget. Errors as CheckFits.
  absl::StatusOr<Reservation> Reserve(uint64_t bytes);

  uint64_t used() const { return used_.load(std::memory_order_relaxed); }
  // What is left under the lowest limit.
  uint64_t available() const;

 private:
  absl::Status CheckFitsBeside(uint64_t bytes, uint64_t used) const;

  const std::vector<Limit> limits_;
  std::atomic<uint64_t> used_ = 0;
};

}  // namespace vmwire

#endif  // VMWIRE_MEMORY_WIRE_BUDGET_H_
