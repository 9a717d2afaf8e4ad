#include "memory/populate.h"

#include <algorithm>
#include <atomic>
#include <optional>
#include <system_error>
#include <thread>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/strings/str_format.h"
#include "memory/mutex.h"
#include "memory/retry.h"

namespace vmwire {
namespace {

// Below this a thread costs more than it saves.
constexpr uint64_t kBytesPerThread = 32 * kHugePageSize;

class Population {
 public:
  // `find_page`: whether a failure must name its page.
  Population(HostMemory& host, const HostRange& range, uint64_t chunk_bytes, bool find_page)
      : host_(host),
        range_(range),
        chunk_bytes_(chunk_bytes),
        find_page_(find_page),
        next_(range.start().value()) {}

  // Takes chunks until none is left or somebody stopped.
  void Work(const PinProgress& progress) {
    while (!stopped_.load(std::memory_order_relaxed)) {
      const std::optional<HostRange> chunk = Take();
      if (!chunk.has_value()) return;
      if (const absl::Status done = FaultIn(*chunk); !done.ok()) return Fail(*chunk, done);
      const uint64_t bytes =
          done_.fetch_add(chunk->size(), std::memory_order_relaxed) + chunk->size();
      if (progress && !progress(bytes)) return Cancel(bytes);
    }
  }

  // Tells `progress` that every chunk is done, if that is so.
  void ReportAll(const PinProgress& progress) {
    if (progress && !stopped_.load(std::memory_order_relaxed) && !progress(range_.size())) {
      Cancel(range_.size());
    }
  }

  // To be called when every thread is done.
  absl::Status Result(HostAddress* failed_at) {
    const MutexLock lock(mutex_);
    if (failed_at != nullptr && failed_at_.has_value()) *failed_at = *failed_at_;
    return result_;
  }

 private:
  // The next chunk: up to the next chunk boundary of the address space, so that every thread's
  // chunks end on huge pages.
  std::optional<HostRange> Take() {
    uint64_t start = next_.load(std::memory_order_relaxed);
    uint64_t end;
    do {
      if (start >= range_.end().value()) return std::nullopt;
      end = std::min(AlignDown(start, chunk_bytes_) + chunk_bytes_, range_.end().value());
    } while (!next_.compare_exchange_weak(start, end, std::memory_order_relaxed));
    return HostRange::Between(HostAddress(start), HostAddress(end));
  }

  absl::Status FaultIn(const HostRange& part) {
    return RetryTransient([&] { return host_.Advise(part, HostAdvice::kPopulateWrite); });
  }

  void Fail(const HostRange& chunk, const absl::Status& why) {
    stopped_.store(true, std::memory_order_relaxed);
    HostAddress page = chunk.start();
    absl::Status status = why;
    if (find_page_) {
      for (uint64_t at = page.value(); at < chunk.end().value(); at += kPageSize) {
        const absl::Status done =
            FaultIn(HostRange::Between(HostAddress(at), HostAddress(at + kPageSize)));
        if (done.ok()) continue;
        page = HostAddress(at);
        status = done;
        break;
      }
    }
    const MutexLock lock(mutex_);
    // Another thread may have failed too, or been told to stop.
    if (!result_.ok() && (!failed_at_.has_value() || *failed_at_ < page)) return;
    result_ = status;
    failed_at_ = page;
  }

  void Cancel(uint64_t bytes) {
    stopped_.store(true, std::memory_order_relaxed);
    const MutexLock lock(mutex_);
    if (!result_.ok()) return;
    result_ = absl::CancelledError(
        absl::StrFormat("stopped after faulting in %d of %d bytes of host memory %s", bytes,
                        range_.size(), range_.ToString()));
  }

  HostMemory& host_;
  const HostRange range_;
  const uint64_t chunk_bytes_;
  const bool find_page_;
  std::atomic<uint64_t> next_;
  std::atomic<uint64_t> done_ = 0;
  std::atomic<bool> stopped_ = false;
  Mutex mutex_;
  absl::Status result_ ABSL_GUARDED_BY(mutex_);
  std::optional<HostAddress> failed_at_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace

absl::Status Populate(HostMemory& host, const HostRange& range, const PopulateOptions& options,
                      const PinControl& control) {
  Population population(host, range, options.chunk_bytes, control.failed_at != nullptr);
  const uint64_t useful = std::max<uint64_t>(1, range.size() / kBytesPerThread);
  const uint64_t helpers = std::clamp<uint64_t>(options.max_threads, 1, useful) - 1;
  std::vector<std::thread> threads;
  threads.reserve(helpers);
  for (uint64_t i = 0; i < helpers; ++i) {
    try {
      threads.emplace_back([&population] { population.Work(nullptr); });
    } catch (const std::system_error&) {
      break;  // The host has no thread to give; this one does all the work.
    }
  }
  population.Work(control.progress);
  for (std::thread& thread : threads) thread.join();
  // The last chunks may have been those of other threads, of which nobody was told yet.
  if (!threads.empty()) population.ReportAll(control.progress);
  return population.Result(control.failed_at);
}

}  // namespace vmwire
