#include "memory/read_section.h"

#include <chrono>
#include <thread>

#include "memory/check.h"

namespace vmwire {
namespace {

// A section takes some 10 ns. Whoever is still inside one after so many looks was preempted, first
// perhaps by this thread.
constexpr int kSpins = 200;
constexpr int kYields = 64;
constexpr auto kNap = std::chrono::microseconds(50);

void WaitForSection(const ThreadRecord& record) {
  const uint64_t section = record.section.load(kObserve);
  if (section % 2 == 0) return;
  // A later section of the same thread began after the fence: it need not be waited for.
  for (int looks = 0; record.section.load(std::memory_order_acquire) == section; ++looks) {
    if (looks < kSpins) {
      __builtin_ia32_pause();
    } else if (looks < kSpins + kYields) {
      std::this_thread::yield();
    } else {
      std::this_thread::sleep_for(kNap);
    }
  }
}

}  // namespace

void SynchronizeReaders() {
  const ThreadRecord* const self = ThreadRecord::CurrentIfAny();
  VMWIRE_CHECK(self == nullptr || !self->InSection(),
               "a thread waits for its own read section to end");
  FenceOtherThreads();
  for (const ThreadRecord* record = ThreadRecord::All(); record != nullptr; record = record->next) {
    WaitForSection(*record);
  }
}

}  // namespace vmwire
