#include "tests/fakes/journal.h"

#include <algorithm>
#include <iterator>
#include <utility>

#include "memory/errno_status.h"

namespace vmwire {

absl::Status Journal::Enter(const std::string& entry) {
  const MutexLock lock(mutex_);
  if (fail_in_ != 1) {
    if (fail_in_ != 0) --fail_in_;
    entries_.push_back(entry);
    return absl::OkStatus();
  }
  if (--fail_times_ == 0) fail_in_ = 0;
  failed_ = true;
  entries_.push_back(entry + " FAILED");
  return ErrnoStatus(error_, "made to fail: " + entry);
}

void Journal::Note(const std::string& entry) {
  const MutexLock lock(mutex_);
  entries_.push_back(entry);
}

void Journal::Leave() {
  for (const auto& observer : observers_) observer();
}

void Journal::FailNth(uint64_t n, int error, uint64_t times) {
  const MutexLock lock(mutex_);
  fail_in_ = n;
  fail_times_ = times;
  error_ = error;
  failed_ = false;
}

bool Journal::failed() const {
  const MutexLock lock(mutex_);
  return failed_;
}

void Journal::AddObserver(std::function<void()> observer) {
  observers_.push_back(std::move(observer));
}

std::vector<std::string> Journal::entries() const {
  const MutexLock lock(mutex_);
  return entries_;
}

std::vector<std::string> Journal::EntriesWith(const std::string& prefix) const {
  const std::vector<std::string> all = entries();
  std::vector<std::string> some;
  std::copy_if(all.begin(), all.end(), std::back_inserter(some),
               [&](const std::string& entry) { return entry.rfind(prefix, 0) == 0; });
  return some;
}

void Journal::Clear() {
  const MutexLock lock(mutex_);
  entries_.clear();
}

}  // namespace vmwire
