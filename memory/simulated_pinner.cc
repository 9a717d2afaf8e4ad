#include "memory/simulated_pinner.h"

#include <algorithm>
#include <string>
#include <vector>

#include "absl/strings/str_format.h"

namespace vmwire {
namespace {

// 2 MiB: a stop is asked for between chunks, as the real pinners do.
constexpr uint64_t kChunkPages = 512;

}  // namespace

absl::StatusOr<PinnedExtent> SimulatedPinner::Pin(const HostRange& range,
                                                  const PinControl& control) {
  const PageRun pages = PagesOf(range);
  for (uint64_t page = pages.first; page < pages.end;) {
    const PageRun chunk{page, std::min(page + kChunkPages, pages.end)};
    absl::Status failure;
    uint64_t end = 0;
    {
      const MutexLock lock(mutex_);
      end = FaultIn(chunk, failure);
    }
    if (!failure.ok()) {
      if (control.failed_at != nullptr) {
        *control.failed_at = HostAddress(memory_.start().value() + end * kPageSize);
      }
      return failure;
    }
    page = chunk.end;
    if (control.progress && !control.progress((page - pages.first) * kPageSize)) {
      return absl::CancelledError(absl::StrFormat(
          "stopped after faulting in %d of %d simulated pages", page - pages.first, pages.pages()));
    }
  }
  return PinnedExtent{range, {}};
}

void SimulatedPinner::Unpin(const PinnedExtent&) {}

void SimulatedPinner::FailFaultAt(uint64_t page, const absl::Status& status) {
  const MutexLock lock(mutex_);
  if (status.ok()) {
    failures_.erase(page);
  } else {
    failures_[page] = status;
  }
}

uint64_t SimulatedPinner::fault_calls() const {
  const MutexLock lock(mutex_);
  return fault_calls_;
}

bool SimulatedPinner::IsResident(uint64_t page) const {
  const MutexLock lock(mutex_);
  return resident_.CountOf(page) != 0;
}

void SimulatedPinner::Discard(const PageRun& run) {
  const MutexLock lock(mutex_);
  std::vector<PageRun> gone;
  resident_.ForEachWithCount(run, 1, [&gone](const PageRun& piece) { gone.push_back(piece); });
  for (const PageRun& piece : gone) resident_.Decrement(piece);
}

PageRun SimulatedPinner::PagesOf(const HostRange& range) const {
  const uint64_t first = (range.start().value() - memory_.start().value()) / kPageSize;
  return {first, first + range.pages()};
}

uint64_t SimulatedPinner::FaultIn(const PageRun& run, absl::Status& failure) {
  uint64_t end = run.end;
  const auto fails = failures_.lower_bound(run.first);
  if (fails != failures_.end() && fails->first < run.end && resident_.CountOf(fails->first) == 0) {
    end = fails->first;
    failure = fails->second;
    ++fault_calls_;
  }
  std::vector<PageRun> missing;
  resident_.ForEachWithCount({run.first, end}, 0,
                             [&missing](const PageRun& piece) { missing.push_back(piece); });
  for (const PageRun& piece : missing) {
    fault_calls_ += piece.pages();
    resident_.Increment(piece);
  }
  return end;
}

}  // namespace vmwire
