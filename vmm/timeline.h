// When a launch reached each of its steps.
//
// Invariants: a step is marked once; the first mark stays.
// Thread safety: none; used by the thread that launches and runs the machine.
#ifndef VMWIRE_VMM_TIMELINE_H_
#define VMWIRE_VMM_TIMELINE_H_

#include <array>
#include <chrono>
#include <cstddef>
#include <optional>

namespace vmwire {

// In the order of the data path.
enum class Step { kOpen, kMap, kWire, kLoad, kSlot, kFirstExit, kExit };
inline constexpr size_t kStepCount = 7;
inline constexpr std::array<const char*, kStepCount> kStepNames = {
    "open", "map", "wire", "load", "slot", "first exit", "exit"};

class Timeline {
 public:
  using Clock = std::chrono::steady_clock;

  Timeline() : start_(Clock::now()) {}

  // `step` is done, now or at `when`.
  void Mark(Step step, Clock::time_point when = Clock::now()) {
    std::optional<Clock::time_point>& mark = marks_[static_cast<size_t>(step)];
    if (!mark.has_value()) mark = when;
  }

  // From the start of the timeline to the end of `step`; nullopt if it was not reached.
  std::optional<Clock::duration> Elapsed(Step step) const {
    const std::optional<Clock::time_point>& mark = marks_[static_cast<size_t>(step)];
    if (!mark.has_value()) return std::nullopt;
    return *mark - start_;
  }

 private:
  const Clock::time_point start_;
  std::array<std::optional<Clock::time_point>, kStepCount> marks_;
};

}  // namespace vmwire

#endif  // VMWIRE_VMM_TIMELINE_H_
