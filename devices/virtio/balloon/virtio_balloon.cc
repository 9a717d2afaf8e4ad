#include "devices/virtio/balloon/virtio_balloon.h"

#include <algorithm>
#include <array>
#include <cstring>

#include "absl/strings/str_format.h"
#include "devices/virtio/chain_cursor.h"
#include "devices/virtio/config_space.h"
#include "memory/address.h"
#include "memory/status_macros.h"

namespace vmwire {
namespace {

// Page numbers that are looked at together.
constexpr size_t kBatch = 256;
static_assert(kBatch <= PageDiscarder::kMaxRun);

// 5.5.4; little-endian, as is the host.
struct Config {
  uint32_t target;
  uint32_t actual;
};
static_assert(sizeof(Config) == 8);

}  // namespace

absl::StatusOr<std::unique_ptr<VirtioBalloon>> VirtioBalloon::Create(DmaPort& port) {
  VMWIRE_ASSIGN_OR_RETURN(EventFd wake, EventFd::Create());
  return std::unique_ptr<VirtioBalloon>(new VirtioBalloon(port, std::move(wake)));
}

void VirtioBalloon::ReadConfig(uint64_t offset, std::span<std::byte> data) const {
  const Config config = {.target = target_.load(std::memory_order_relaxed), .actual = actual()};
  ReadConfigSpace(config, offset, data);
}

void VirtioBalloon::WriteConfig(uint64_t offset, std::span<const std::byte> data) {
  uint32_t actual;
  if (offset != offsetof(Config, actual) || data.size() != sizeof(actual)) return;
  std::memcpy(&actual, data.data(), sizeof(actual));
  actual_.store(actual, std::memory_order_relaxed);
}

void VirtioBalloon::SetTarget(uint32_t pages) {
  target_.store(pages, std::memory_order_relaxed);
  target_changed_.store(true);
  wake_.Signal();
}

void VirtioBalloon::RequestStats() {
  stats_requested_.store(true);
  wake_.Signal();
}

absl::Status VirtioBalloon::Serve(const VirtioSession& virtio) {
  Session session = {.virtio = virtio, .stop = StopSign(virtio), .stats_head = std::nullopt};
  return RunQueueLoop(virtio, wake_.fd(), [&] { return Pass(session); });
}

absl::StatusOr<QueuePass> VirtioBalloon::Pass(Session& session) {
  wake_.Drain();
  if (target_changed_.exchange(false)) session.virtio.events->ConfigChanged();
  VMWIRE_ASSIGN_OR_RETURN(const bool more_inflates,
                          ServePageNumbers(session, kInflateQueue, "inflateq",
                                           [this](PageNumbers numbers) { Inflate(numbers); }));
  VMWIRE_ASSIGN_OR_RETURN(
      const bool more_deflates,
      ServePageNumbers(session, kDeflateQueue, "deflateq", [this](PageNumbers numbers) {
        deflated_.fetch_add(numbers.size(), std::memory_order_relaxed);
      }));
  VMWIRE_ASSIGN_OR_RETURN(const bool more_stats, ServeStats(session));
  VMWIRE_ASSIGN_OR_RETURN(const bool more_reports, ServeReports(session));
  return QueuePass{.more = more_inflates || more_deflates || more_stats || more_reports};
}

absl::StatusOr<bool> VirtioBalloon::ServePageNumbers(const Session& session, size_t queue,
                                                     const char* what,
                                                     absl::FunctionRef<void(PageNumbers)> take) {
  const auto handle = [&](const DescriptorChain& chain) -> absl::StatusOr<uint32_t> {
    VMWIRE_RETURN_IF_ERROR(CheckOnlyReadable(chain, what));
    ChainCursor cursor(port_, chain.readable());
    std::array<uint32_t, kBatch> numbers;
    for (;;) {
      VMWIRE_ASSIGN_OR_RETURN(const size_t bytes,
                              cursor.Read(std::as_writable_bytes(std::span(numbers))));
      take(PageNumbers(numbers).first(bytes / sizeof(uint32_t)));
      if (bytes < sizeof(numbers) || session.stop.Pending()) return 0;
    }
  };
  return ServeChains(QueueOf(session.virtio, queue), *session.virtio.events, handle);
}

void VirtioBalloon::Inflate(PageNumbers numbers) {
  inflated_.fetch_add(numbers.size(), std::memory_order_relaxed);
  std::sort(numbers.begin(), numbers.end());
  const auto end = std::unique(numbers.begin(), numbers.end());
  for (auto first = numbers.begin(); first != end;) {
    const auto gap = std::adjacent_find(
        first, end, [](uint32_t page, uint32_t next) { return next - page != 1; });
    const auto run_end = gap == end ? end : gap + 1;
    discarder_.Discard(*first, static_cast<uint64_t>(run_end - first));
    first = run_end;
  }
}

absl::StatusOr<bool> VirtioBalloon::ServeStats(Session& session) {
  Virtqueue* queue = QueueOf(session.virtio, kStatsQueue);
  if ((session.virtio.features & kFeatureStats) == 0 || queue == nullptr) return false;
  VMWIRE_ASSIGN_OR_RETURN(const std::optional<DescriptorChain> chain, queue->Pop());
  if (chain.has_value()) {
    if (session.stats_head.has_value()) {
      return absl::InvalidArgumentError(
          absl::StrFormat("chain %d of the statsq comes while the device has chain %d: one buffer "
                          "at most may be there",
                          chain->head(), *session.stats_head));
    }
    VMWIRE_RETURN_IF_ERROR(TakeStats(*chain));
    session.stats_head = chain->head();
  }
  if (session.stats_head.has_value() && stats_requested_.exchange(false)) {
    // Its return is the request (5.5.6.3).
    queue->Push(*session.stats_head, 0);
    session.stats_head.reset();
    if (queue->NeedsInterrupt()) session.virtio.events->UsedBuffers();
  }
  return chain.has_value() || !queue->EnableNotifications();
}

absl::Status VirtioBalloon::TakeStats(const DescriptorChain& chain) {
  VMWIRE_RETURN_IF_ERROR(CheckOnlyReadable(chain, "statsq"));
  std::array<std::byte, BalloonStats::kMaxEntries * BalloonStats::kEntryBytes> entries;
  ChainCursor cursor(port_, chain.readable());
  VMWIRE_ASSIGN_OR_RETURN(const size_t bytes, cursor.Read(entries));
  stats_.Update(std::span<const std::byte>(entries).first(bytes));
  return absl::OkStatus();
}

absl::StatusOr<bool> VirtioBalloon::ServeReports(const Session& session) {
  if ((session.virtio.features & kFeatureReporting) == 0) return false;
  const bool stats = (session.virtio.features & kFeatureStats) != 0;
  bool more = false;
  // By 5.5.2 it is queue 4. Linux numbers only the queues that it uses, and so comes to 3, or to 2
  // if it has no statistics. None of the three can be another queue then.
  for (size_t number = stats ? kStatsQueue + 1 : kStatsQueue; number <= kReportingQueue; ++number) {
    VMWIRE_ASSIGN_OR_RETURN(
        const bool more_here,
        ServeChains(QueueOf(session.virtio, number), *session.virtio.events,
                    [&](const DescriptorChain& chain) { return TakeReport(chain, session.stop); }));
    more = more || more_here;
  }
  return more;
}

absl::StatusOr<uint32_t> VirtioBalloon::TakeReport(const DescriptorChain& chain,
                                                   const StopSign& stop) {
  VMWIRE_RETURN_IF_ERROR(CheckOnlyWritable(chain, "reporting_vq"));
  for (const VirtqueueBuffer& buffer : chain.writable()) {
    VMWIRE_RETURN_IF_ERROR(DiscardReported(buffer, stop));
  }
  return 0;
}

absl::Status VirtioBalloon::DiscardReported(const VirtqueueBuffer& buffer, const StopSign& stop) {
  const std::optional<GuestAddress> end = buffer.address.CheckedAdd(buffer.length);
  if (!end.has_value()) {
    return absl::InvalidArgumentError(
        absl::StrFormat("the report of free memory 0x%x+0x%x ends beyond 64 bits",
                        buffer.address.value(), buffer.length));
  }
  const std::optional<uint64_t> start = CheckedAlignUp(buffer.address.value(), kPageSize);
  if (!start.has_value()) return absl::OkStatus();  // Less than a page.
  const uint64_t end_page = end->value() / kPageSize;
  for (uint64_t page = *start / kPageSize; page < end_page && !stop.Pending();) {
    const uint64_t pages = std::min(end_page - page, PageDiscarder::kMaxRun);
    reported_.fetch_add(pages, std::memory_order_relaxed);
    if (discarder_.Discard(page, pages) != 0) {
      return absl::NotFoundError(
          absl::StrFormat("the report of free memory 0x%x+0x%x leaves memory",
                          buffer.address.value(), buffer.length));
    }
    page += pages;
  }
  return absl::OkStatus();
}

std::vector<DeviceCounter> VirtioBalloon::Counters() const {
  std::vector<DeviceCounter> counters = {
      {"target_pages", target_.load(std::memory_order_relaxed)},
      {"actual_pages", actual()},
      {"inflated_pages", inflated_.load(std::memory_order_relaxed)},
      {"deflated_pages", deflated_.load(std::memory_order_relaxed)},
      {"reported_pages", reported_.load(std::memory_order_relaxed)},
      {"discarded_pages", discarder_.discarded()},
      {"refused_pages", discarder_.refused()},
      {"outside_pages", discarder_.outside()}};
  stats_.AppendTo(counters);
  return counters;
}

}  // namespace vmwire
