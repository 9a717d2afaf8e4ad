// An InterruptLine that counts its edges.
//
// Thread safety: thread-safe.
#ifndef VMWIRE_TESTS_FAKES_RECORDING_LINE_H_
#define VMWIRE_TESTS_FAKES_RECORDING_LINE_H_

#include <atomic>
#include <cstdint>

#include "devices/interrupt_line.h"

namespace vmwire {

class RecordingLine final : public InterruptLine {
 public:
  void Raise() override { edges_.fetch_add(1); }
  uint64_t edges() const { return edges_.load(); }

 private:
  std::atomic<uint64_t> edges_ = 0;
};

}  // namespace vmwire

#endif  // VMWIRE_TESTS_FAKES_RECORDING_LINE_H_
