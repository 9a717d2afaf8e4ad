// InterruptPins that remember each change of a level.
//
// Thread safety: none.
#ifndef VMWIRE_TESTS_FAKES_RECORDING_PINS_H_
#define VMWIRE_TESTS_FAKES_RECORDING_PINS_H_

#include <cstdint>
#include <utility>
#include <vector>

#include "devices/interrupt_pins.h"

namespace vmwire {

class RecordingPins final : public InterruptPins {
 public:
  using Change = std::pair<uint32_t, bool>;  // Pin and level.

  void SetLevel(uint32_t pin, bool high) override { changes_.emplace_back(pin, high); }
  const std::vector<Change>& changes() const { return changes_; }

 private:
  std::vector<Change> changes_;
};

}  // namespace vmwire

#endif  // VMWIRE_TESTS_FAKES_RECORDING_PINS_H_
