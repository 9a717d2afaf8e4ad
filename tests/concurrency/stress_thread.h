// One thread of the stress: draws operations, does them on the shared memory, and keeps book of
// what it has, so that all of it can be compared when every thread is at rest.
//
// What it has wired or holds it marks with a word of its own in each page, and it looks at the
// words and at the frames again before it lets go: neither may have changed.
//
// Invariants: whatever it takes it gives back, or has in its book.
// Thread safety: one thread; AddTo and Finish while that is at rest.
#ifndef VMWIRE_TESTS_CONCURRENCY_STRESS_THREAD_H_
#define VMWIRE_TESTS_CONCURRENCY_STRESS_THREAD_H_

#include <array>
#include <cstdint>
#include <initializer_list>
#include <map>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "memory/held_range.h"
#include "memory/mapped_range.h"
#include "memory/vm_page.h"
#include "memory/wired_range.h"
#include "tests/concurrency/stress_world.h"

namespace vmwire {

class StressThread {
 public:
  // `number` of several threads.
  StressThread(StressWorld& world, size_t number, uint64_t seed)
      : world_(world), number_(number), random_(seed) {}
  StressThread(const StressThread&) = delete;
  StressThread& operator=(const StressThread&) = delete;

  void Step();
  void AddTo(StressBook& book) const;
  // Gives everything back.
  void Finish();

  // How often each operation ended how: "wire a token: OK".
  const std::map<std::string, uint64_t>& outcomes() const { return outcomes_; }

 private:
  struct Range {
    size_t map;
    uint64_t first;
    uint64_t end;
  };
  // Pages that must keep their bytes and frames.
  struct Kept {
    std::vector<ObjectPage> pages;
    std::vector<uint64_t> frames;  // Empty: not asked for.
  };
  struct Token {
    size_t map;
    WiredRange token;
    Kept kept;
  };
  struct Counted {
    Range range;
    Kept kept;
  };
  struct Hold {
    HeldRange token;
    Kept kept;
  };
  struct Mapped {
    Range range;
    MappedRange token;
  };
  struct PageWiring {
    ObjectPage place;
    VmPage* page;
    Kept kept;
  };

  uint64_t Below(uint64_t limit) { return random_() % limit; }
  bool OneIn(uint64_t n) { return Below(n) == 0; }
  Range AnyRange();
  // In one object.
  Range AnyPiece();
  GuestRange GuestOf(const Range& range) const;
  WaitLimits AnyLimits();

  void WireToken();
  void DropToken();
  void WireCounted();
  void UnwireCounted();
  void WireUser();
  void UnwireUser();
  void TakeHold();
  void DropHold();
  void KeepMapped();
  void WirePageByItself();
  void UnwirePageByItself();
  void Remove();
  void Map();
  void Protect();
  void Clip();
  void Discard();
  void Evict();
  void Access();
  void MoveFrames();

  // Counts the outcome, and expects it to be one of `codes`.
  bool Expect(const char* operation, const absl::Status& status,
              std::initializer_list<absl::StatusCode> codes);
  Kept Keep(size_t map, const GuestRange& range);
  Kept Keep(std::vector<ObjectPage> pages);
  void LetGo(const Kept& kept);
  std::vector<uint64_t> FramesOf(const std::vector<ObjectPage>& pages);

  StressWorld& world_;
  const size_t number_;
  std::mt19937_64 random_;
  std::vector<Token> tokens_;
  std::vector<Counted> counted_;
  std::vector<Hold> holds_;
  std::vector<Mapped> mapped_;
  std::vector<PageWiring> page_wirings_;
  // The word of this thread in a page, and how many reasons there are for the page to keep it.
  struct Mark {
    uint64_t word = 0;
    uint32_t reasons = 0;
  };
  std::array<std::array<Mark, kObjectPages>, kStressObjects> marks_ = {};
  uint64_t next_word_ = 1;
  std::map<std::string, uint64_t> outcomes_;
};

}  // namespace vmwire

#endif  // VMWIRE_TESTS_CONCURRENCY_STRESS_THREAD_H_
