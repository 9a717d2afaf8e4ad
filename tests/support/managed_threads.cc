#include "tests/support/managed_threads.h"

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <exception>

#include "memory/check.h"

namespace vmwire {
namespace {

// Of the thread that asks; null: it is not managed.
thread_local ManagedThreads* manager = nullptr;
thread_local std::size_t self_of_manager = 0;

// The number from 1 of `object` among those that `member` of `steps` names, in order of appearance.
template <typename Step>
std::size_t NumberOf(const std::vector<Step>& steps, const void* Step::*member,
                     const void* object) {
  std::vector<const void*> seen;
  for (const Step& step : steps) {
    const void* other = step.*member;
    if (other == object) break;
    if (other != nullptr && std::find(seen.begin(), seen.end(), other) == seen.end()) {
      seen.push_back(other);
    }
  }
  return seen.size() + 1;
}

}  // namespace

void Baton::Give() {
  // Under the mutex, since the taker may end, and the baton with it, as soon as it is given.
  const std::lock_guard<std::mutex> lock(mutex_);
  given_ = true;
  condition_.notify_one();
}

void Baton::Take() {
  std::unique_lock<std::mutex> lock(mutex_);
  condition_.wait(lock, [this] { return given_; });
  given_ = false;
}

bool Baton::TakeWithin(std::chrono::seconds time) {
  std::unique_lock<std::mutex> lock(mutex_);
  if (!condition_.wait_for(lock, time, [this] { return given_; })) return false;
  given_ = false;
  return true;
}

ManagedThreads::~ManagedThreads() {
  stopping_ = true;
  for (Managed& managed : managed_) {
    if (!managed.thread.joinable()) continue;
    managed.baton.Give();
    managed.thread.join();
  }
}

void ManagedThreads::Run(const Scenario& scenario) {
  VMWIRE_CHECK(scenario.threads.size() <= kMaxScenarioThreads, "a scenario has too many threads");
  scenario_ = &scenario;
  count_ = scenario.threads.size();
  held_.clear();
  steps_.clear();
  failure_.clear();
  for (std::size_t i = 0; i < count_; ++i) {
    Managed& managed = managed_[i];
    managed.state = State::kReady;
    managed.next = {.thread = i};
    if (!managed.thread.joinable()) managed.thread = std::thread([this, i] { Work(i); });
  }
  running_ = true;
  const std::optional<std::size_t> first = PickNext(count_);
  if (first.has_value()) {
    managed_[*first].baton.Give();
    std::size_t steps_seen = steps_taken_;
    while (!done_.TakeWithin(options_.stuck_after)) {
      if (steps_taken_ == steps_seen) DieStuck();
      steps_seen = steps_taken_;
    }
  }
  running_ = false;
}

std::string ManagedThreads::Steps() const {
  std::string text;
  for (const Step& step : steps_) text += "  " + NameOf(step.thread) + ": " + Describe(step) + "\n";
  return text;
}

void ManagedThreads::Point(const char* name) {
  const std::size_t self = self_of_manager;
  Reach(self, {.thread = self, .action = Action::kPoint, .name = name});
}

void ManagedThreads::Stall(const char* name) {
  const std::size_t self = self_of_manager;
  managed_[self].next = {.thread = self, .action = Action::kStall, .name = name};
  Sleep(self, true);
}

void ManagedThreads::Lock(const void* mutex) {
  if (manager == nullptr) {
    VMWIRE_CHECK(!running_, "a thread of no scenario locks a mutex while one runs");
    return;
  }
  const std::size_t self = self_of_manager;
  Reach(self, {.thread = self, .action = Action::kLock, .mutex = mutex});
  held_.push_back({mutex, self});
}

void ManagedThreads::Unlock(const void* mutex) {
  if (manager == nullptr) return;
  VMWIRE_CHECK(OwnerOf(mutex) == self_of_manager, "a mutex is unlocked by who does not hold it");
  std::erase_if(held_, [mutex](const HeldMutex& held) { return held.mutex == mutex; });
}

bool ManagedThreads::Wait(const void* condition, const void* mutex, bool has_deadline) {
  if (manager == nullptr) {
    VMWIRE_CHECK(!running_ && has_deadline, "a wait where no other thread runs would never end");
    return false;
  }
  const std::size_t self = self_of_manager;
  Reach(self, {.thread = self, .action = Action::kWait, .mutex = mutex, .condition = condition});
  Unlock(mutex);
  Sleep(self, has_deadline);
  held_.push_back({mutex, self});
  return !managed_[self].timed_out;
}

void ManagedThreads::NotifyAll(const void* condition) {
  if (manager == nullptr) {
    VMWIRE_CHECK(!running_, "a thread of no scenario notifies while one runs");
    return;
  }
  const std::size_t self = self_of_manager;
  Reach(self, {.thread = self, .action = Action::kNotify, .condition = condition});
  for (std::size_t i = 0; i < count_; ++i) {
    Managed& waiter = managed_[i];
    if (waiter.state != State::kWaiting || waiter.next.condition != condition) continue;
    waiter.state = State::kReady;
    waiter.next.action = Action::kRelock;
  }
}

void ManagedThreads::Work(std::size_t self) {
  manager = this;
  self_of_manager = self;
  while (true) {
    managed_[self].baton.Take();
    if (stopping_) break;
    RunBody(self);
    managed_[self].state = State::kEnded;
    PassOn(self);
  }
  manager = nullptr;
}

void ManagedThreads::RunBody(std::size_t self) {
  try {
    scenario_->threads[self].body();
  } catch (const std::exception& error) {
    AddFailure(NameOf(self) + " threw: " + error.what());
  } catch (...) {
    AddFailure(NameOf(self) + " threw what is no std::exception");
  }
  for (const HeldMutex& held : held_) {
    if (held.owner != self) continue;
    AddFailure(NameOf(self) + " ended and holds mutex " +
               std::to_string(NumberOf(steps_, &Step::mutex, held.mutex)));
  }
}

void ManagedThreads::AddFailure(const std::string& text) { failure_ += text + "\n"; }

void ManagedThreads::DieStuck() const {
  // The baton is with a thread that sleeps, so this reads the state as that thread left it.
  const std::string last = steps_.empty() ? "" : NameOf(steps_.back().thread);
  std::fprintf(stderr,
               "the scenario is stuck: %s sleeps on what is no Mutex or Condition, or spins\n"
               "schedule \"%s\"\n%s",
               last.c_str(), search_.Taken().c_str(), Steps().c_str());
  std::abort();
}

void ManagedThreads::Reach(std::size_t self, const Step& step) {
  managed_[self].next = step;
  if (PassOn(self)) managed_[self].baton.Take();
}

void ManagedThreads::Sleep(std::size_t self, bool has_deadline) {
  Managed& managed = managed_[self];
  managed.state = State::kWaiting;
  managed.has_deadline = has_deadline;
  managed.timed_out = false;
  if (PassOn(self)) managed.baton.Take();
}

bool ManagedThreads::PassOn(std::size_t self) {
  const std::optional<std::size_t> next = PickNext(self);
  if (next == self) return false;
  Baton& baton = next.has_value() ? managed_[*next].baton : done_;
  baton.Give();
  return true;
}

std::optional<std::size_t> ManagedThreads::PickNext(std::size_t self) {
  while (true) {
    const std::string options = Options(self);
    if (options.empty() || steps_.size() >= options_.max_steps) break;
    const bool preempts = self < count_ && CanRun(self);
    const char choice = options.size() == 1 ? options[0] : search_.Choose(options, preempts);
    if (choice >= 'a') {
      TimeOut(static_cast<std::size_t>(choice - 'a'));
      continue;
    }
    const auto next = static_cast<std::size_t>(choice - '0');
    steps_.push_back(managed_[next].next);
    steps_taken_.fetch_add(1, std::memory_order_relaxed);
    return next;
  }
  Finish();
  return std::nullopt;
}

void ManagedThreads::Finish() {
  const auto end = managed_.begin() + static_cast<std::ptrdiff_t>(count_);
  abandoned_ = std::any_of(managed_.begin(), end,
                           [](const Managed& managed) { return managed.state != State::kEnded; });
  if (!abandoned_) return;
  AddFailure(steps_.size() >= options_.max_steps
                 ? "the threads did not end within " + std::to_string(steps_.size()) + " steps"
                 : "deadlock:" + DescribeBlocked());
}

void ManagedThreads::TimeOut(std::size_t thread) {
  Managed& managed = managed_[thread];
  steps_.push_back(managed.next);
  steps_.back().action = Action::kTimeout;
  managed.state = State::kReady;
  managed.timed_out = true;
  managed.next.action = managed.next.mutex == nullptr ? Action::kPoint : Action::kRelock;
}

std::string ManagedThreads::Options(std::size_t self) const {
  std::string options;
  if (self < count_ && CanRun(self)) options += static_cast<char>('0' + self);
  for (std::size_t i = 0; i < count_; ++i) {
    if (i != self && CanRun(i)) options += static_cast<char>('0' + i);
  }
  for (std::size_t i = 0; i < count_; ++i) {
    const Managed& managed = managed_[i];
    if (managed.state == State::kWaiting && managed.has_deadline) {
      options += static_cast<char>('a' + i);
    }
  }
  return options;
}

bool ManagedThreads::CanRun(std::size_t thread) const {
  const Managed& managed = managed_[thread];
  if (managed.state != State::kReady) return false;
  const bool locks = managed.next.action == Action::kLock || managed.next.action == Action::kRelock;
  return !locks || !OwnerOf(managed.next.mutex).has_value();
}

std::optional<std::size_t> ManagedThreads::OwnerOf(const void* mutex) const {
  for (const HeldMutex& held : held_) {
    if (held.mutex == mutex) return held.owner;
  }
  return std::nullopt;
}

std::string ManagedThreads::Describe(const Step& step) const {
  const std::string mutex = "mutex " + std::to_string(NumberOf(steps_, &Step::mutex, step.mutex));
  const std::string condition =
      "condition " + std::to_string(NumberOf(steps_, &Step::condition, step.condition));
  switch (step.action) {
    case Action::kStart:
      return "starts";
    case Action::kPoint:
      return std::string("goes on at \"") + step.name + "\"";
    case Action::kStall:
      return std::string("stalls at \"") + step.name + "\"";
    case Action::kLock:
      return "locks " + mutex;
    case Action::kWait:
      return "waits for " + condition + " without " + mutex;
    case Action::kRelock:
      return "wakes up at " + condition + " with " + mutex;
    case Action::kTimeout:
      return step.name != nullptr ? std::string("has no other to wait for at \"") + step.name + "\""
                                  : "has no more time to wait for " + condition;
    case Action::kNotify:
      return "notifies " + condition;
  }
  return "";
}

std::string ManagedThreads::DescribeBlocked() const {
  std::string text;
  for (std::size_t i = 0; i < count_; ++i) {
    const Managed& managed = managed_[i];
    if (managed.state == State::kEnded) continue;
    text += "\n  " + NameOf(i) + " waits for ";
    if (managed.state == State::kWaiting) {
      text +=
          "condition " + std::to_string(NumberOf(steps_, &Step::condition, managed.next.condition));
      continue;
    }
    text += "mutex " + std::to_string(NumberOf(steps_, &Step::mutex, managed.next.mutex));
    const std::optional<std::size_t> owner = OwnerOf(managed.next.mutex);
    if (owner.has_value()) text += ", which " + NameOf(*owner) + " holds";
  }
  return text;
}

std::string ManagedThreads::NameOf(std::size_t thread) const {
  return scenario_->threads[thread].name;
}

void SchedulePoint(const char* name) {
  if (manager != nullptr) manager->Point(name);
}

void ScheduleStall(const char* name) {
  if (manager != nullptr) manager->Stall(name);
}

}  // namespace vmwire
