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

namespace vmwire {
namespace {

// Small enough that a stop is prompt (some milliseconds) and large enough that the calls cost
// nothing.
constexpr uint64_t kChunkBytes = 8 * kHugePageSize;
// Below this a thread costs more than it saves.
constexpr uint64_t kBytesPerThread = 32 * kHugePageSize;
// A signal that comes again and again must not keep a chunk from ever being done, nor must one end
// a wiring.
constexpr int kMaxInterruptions = 100;

class Population {
 public:
  Population(HostMemory& host, const HostRange& range)
      : host_(host), range_(range), next_(range.start().value()) {}

  // Takes chunks until none is left or somebody stopped.
  void Work(const PinProgress& progress) {
    while (!stopped_.load(std::memory_order_relaxed)) {
      const std::optional<HostRange> chunk = Take();
      if (!chunk.has_value()) return;
      if (absl::Status done = PopulateChunk(*chunk); !done.ok()) return Stop(done);
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

  absl::Status Result() {
    const MutexLock lock(mutex_);
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
      end = std::min(AlignDown(start, kChunkBytes) + kChunkBytes, range_.end().value());
    } while (!next_.compare_exchange_weak(start, end, std::memory_order_relaxed));
    return HostRange::Between(HostAddress(start), HostAddress(end));
  }

  absl::Status PopulateChunk(const HostRange& chunk) {
    absl::Status advised;
    for (int i = 0; i < kMaxInterruptions; ++i) {
      advised = host_.Advise(chunk, HostAdvice::kPopulateWrite);
      if (!absl::IsUnavailable(advised)) break;
    }
    return advised;
  }

  void Cancel(uint64_t bytes) {
    Stop(absl::CancelledError(
        absl::StrFormat("stopped after faulting in %d of %d bytes of host memory %s", bytes,
                        range_.size(), range_.ToString())));
  }

  void Stop(const absl::Status& why) {
    stopped_.store(true, std::memory_order_relaxed);
    const MutexLock lock(mutex_);
    if (result_.ok()) result_ = why;
  }

  HostMemory& host_;
  const HostRange range_;
  std::atomic<uint64_t> next_;
  std::atomic<uint64_t> done_ = 0;
  std::atomic<bool> stopped_ = false;
  Mutex mutex_;
  absl::Status result_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace

absl::Status Populate(HostMemory& host, const HostRange& range, const PopulateOptions& options,
                      const PinProgress& progress) {
  Population population(host, range);
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
  population.Work(progress);
  for (std::thread& thread : threads) thread.join();
  // The last chunks may have been those of other threads, of which nobody was told yet.
  if (!threads.empty()) population.ReportAll(progress);
  return population.Result();
}

}  // namespace vmwire
