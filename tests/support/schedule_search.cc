#include "tests/support/schedule_search.h"

namespace vmwire {
namespace {

bool IsTimeout(char option) { return option >= 'a'; }

}  // namespace

char ScheduleSearch::Choose(const std::string& options, bool preempts) {
  if (depth_ < places_.size() && places_[depth_].options != options) {
    Diverge(places_[depth_].options, options);
    places_.resize(depth_);
  }
  if (depth_ == places_.size()) {
    places_.push_back({options, preempts, left_, Prescribed(options)});
  }
  const Place& place = places_[depth_++];
  left_ = LeftAfter(place, place.taken);
  return place.options[place.taken];
}

void ScheduleSearch::EndRun() {
  if (depth_ < prescribed_) Diverge("more", "nothing");
}

bool ScheduleSearch::Next() {
  if (replay_.has_value()) return false;
  places_.resize(depth_);
  while (!places_.empty()) {
    Place& last = places_.back();
    last.taken = NextAffordable(last, last.taken + 1);
    if (last.taken < last.options.size()) break;
    places_.pop_back();
  }
  prescribed_ = places_.size();
  depth_ = 0;
  left_ = bounds_;
  return !places_.empty();
}

std::string ScheduleSearch::Taken() const {
  std::string taken;
  for (std::size_t i = 0; i < depth_; ++i) taken += places_[i].options[places_[i].taken];
  return taken;
}

ScheduleSearch::Bounds ScheduleSearch::LeftAfter(const Place& place, std::size_t index) {
  Bounds left = place.left;
  if (index == 0) return left;
  if (!IsTimeout(place.options[index])) {
    left.preemptions -= place.preempts ? 1 : 0;
  } else {
    left.early_timeouts -= IsTimeout(place.options[0]) ? 0 : 1;
  }
  return left;
}

std::size_t ScheduleSearch::NextAffordable(const Place& place, std::size_t index) {
  for (; index < place.options.size(); ++index) {
    const Bounds left = LeftAfter(place, index);
    if (left.preemptions >= 0 && left.early_timeouts >= 0) break;
  }
  return index;
}

std::size_t ScheduleSearch::Prescribed(const std::string& options) {
  if (!replay_.has_value() || depth_ >= replay_->size()) return 0;
  const std::size_t found = options.find((*replay_)[depth_]);
  if (found != std::string::npos) return found;
  Diverge(std::string(1, (*replay_)[depth_]), options);
  return 0;
}

void ScheduleSearch::Diverge(const std::string& expected, const std::string& options) {
  if (!divergence_.empty()) return;
  divergence_ = "after the choices \"" + Taken() + "\" there was a choice of \"" + expected +
                "\" before, and of \"" + options +
                "\" now: the scenario depends on more than the schedule";
}

}  // namespace vmwire
