// The depth-first search over the schedules of a scenario: it knows of each schedule only which
// choices there were, and which was taken.
//
// A choice is one character: '0' + i lets thread i run, 'a' + i lets the wait of thread i time out.
// A schedule is the text of its choices, in order, where there was more than one.
//
// Invariants: no schedule comes twice; all come that keep the bounds.
// Thread safety: none; the threads of a scenario use it one at a time.
#ifndef VMWIRE_TESTS_SUPPORT_SCHEDULE_SEARCH_H_
#define VMWIRE_TESTS_SUPPORT_SCHEDULE_SEARCH_H_

#include <cstddef>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace vmwire {

class ScheduleSearch {
 public:
  // How often a schedule may go against what comes by itself.
  struct Bounds {
    int preemptions;     // A thread that could have gone on was kept from it.
    int early_timeouts;  // A wait timed out while a thread could have run.
  };

  // All schedules within `bounds`.
  explicit ScheduleSearch(Bounds bounds) : bounds_(bounds), left_(bounds) {}
  // The one schedule whose choices begin with `replay`, and which then goes on by itself.
  explicit ScheduleSearch(std::string replay)
      : bounds_{0, 0}, left_{0, 0}, replay_(std::move(replay)), prescribed_(replay_->size()) {}

  // One of `options`: threads first, then time-outs. The first is what comes by itself.
  // `preempts`: that first one is the thread that ran last.
  char Choose(const std::string& options, bool preempts);

  // To be called when a run is over.
  void EndRun();
  // Turns to the next schedule. False: there is none. REQUIRES: the run is over.
  bool Next();

  // The schedule so far.
  std::string Taken() const;

  // Empty, or how this run left the path that its earlier choices had led to before: then the
  // scenario depends on more than the schedule.
  const std::string& divergence() const { return divergence_; }

 private:
  struct Place {
    std::string options;
    bool preempts;
    Bounds left;  // Before this choice.
    std::size_t taken = 0;
  };

  // What of the bounds is left after the option `index` of `place`; negative: not to be taken.
  static Bounds LeftAfter(const Place& place, std::size_t index);
  // The first option from `index` on that keeps the bounds; the number of options if none does.
  static std::size_t NextAffordable(const Place& place, std::size_t index);
  std::size_t Prescribed(const std::string& options);
  void Diverge(const std::string& expected, const std::string& options);

  Bounds bounds_;
  Bounds left_;
  std::optional<std::string> replay_;
  std::vector<Place> places_;  // Of the present schedule; beyond depth_: of the one to repeat.
  std::size_t depth_ = 0;
  std::size_t prescribed_ = 0;  // How many choices of this run are a repetition.
  std::string divergence_;
};

}  // namespace vmwire

#endif  // VMWIRE_TESTS_SUPPORT_SCHEDULE_SEARCH_H_
