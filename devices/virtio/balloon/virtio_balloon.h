// virtio-balloon: the guest gives memory that it does not need back to the host (OASIS virtio 1.2,
// 5.5).
//
//   inflateq      page numbers of the balloon --> PageDiscarder --> DmaPort::Discard
//   deflateq      page numbers that leave it      counted: the pages come back when touched
//   statsq        what the guest says of its memory; its one buffer is kept until RequestStats
//   reporting_vq  free pages, as writable buffers --> PageDiscarder
//
// A page that is wired or held for DMA is never discarded; the refusal is counted, and the driver
// does not learn of it.
//
// Invariants: no set of pages is kept. Memory named by the guest is never mapped, save the buffers
// that hold the page numbers and the statistics.
// Thread safety: as VirtioDevice; SetTarget and RequestStats from any thread.
#ifndef VMWIRE_DEVICES_VIRTIO_BALLOON_VIRTIO_BALLOON_H_
#define VMWIRE_DEVICES_VIRTIO_BALLOON_VIRTIO_BALLOON_H_

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "devices/dma_port.h"
#include "devices/event_fd.h"
#include "devices/virtio/balloon/balloon_stats.h"
#include "devices/virtio/balloon/page_discarder.h"
#include "devices/virtio/queue_loop.h"
#include "devices/virtio/virtio_device.h"

namespace vmwire {

class VirtioBalloon final : public VirtioDevice {
 public:
  static constexpr uint16_t kQueueSize = 128;
  // 5.5.3.
  static constexpr uint64_t kFeatureStats = uint64_t{1} << 1;
  static constexpr uint64_t kFeatureDeflateOnOom = uint64_t{1} << 2;
  static constexpr uint64_t kFeatureReporting = uint64_t{1} << 5;
  // 5.5.2. The free_page_vq, 3, is of a feature that is not offered.
  static constexpr size_t kInflateQueue = 0;
  static constexpr size_t kDeflateQueue = 1;
  static constexpr size_t kStatsQueue = 2;
  static constexpr size_t kReportingQueue = 4;

  // ResourceExhausted: no descriptor for the wake-up. REQUIRES: `port` outlives the device.
  static absl::StatusOr<std::unique_ptr<VirtioBalloon>> Create(DmaPort& port);
  VirtioBalloon(const VirtioBalloon&) = delete;
  VirtioBalloon& operator=(const VirtioBalloon&) = delete;

  std::string Name() const override { return "virtio-balloon"; }
  uint32_t DeviceId() const override { return 5; }
  uint64_t Features() const override {
    return kFeatureStats | kFeatureDeflateOnOom | kFeatureReporting;
  }
  std::vector<uint16_t> QueueSizes() const override {
    return std::vector<uint16_t>(kReportingQueue + 1, kQueueSize);
  }

  // u32 num_pages, the target; u32 actual.
  void ReadConfig(uint64_t offset, std::span<std::byte> data) const override;
  // `actual`, as a whole. All else is read-only.
  void WriteConfig(uint64_t offset, std::span<const std::byte> data) override;

  // How many pages of 4 KiB the guest is asked to have in the balloon. A wish: the driver is told
  // while Serve runs, or when it next does, and follows when it can.
  void SetTarget(uint32_t pages);
  // How many it says that there are.
  uint32_t actual() const { return actual_.load(std::memory_order_relaxed); }

  // Asks the driver for new statistics; see Counters for them. Once it has given a buffer.
  void RequestStats();

  // InvalidArgument: a writable buffer where page numbers or statistics belong, a readable one
  // in a report, a second buffer in the statsq (5.5.6.3.1), or a report that wraps. NotFound: a
  // report of what is no memory. Otherwise as Virtqueue::Pop and DmaPort::Map.
  absl::Status Serve(const VirtioSession& session) override;

  // "target_pages" and "actual_pages"; so far: "inflated_pages", "deflated_pages" and
  // "reported_pages" as the guest named them, "discarded_pages", "refused_pages" and
  // "outside_pages" as it went (PageDiscarder); then those of BalloonStats.
  std::vector<DeviceCounter> Counters() const override;

 private:
  using PageNumbers = std::span<uint32_t>;

  // Of one session.
  struct Session {
    const VirtioSession& virtio;
    StopSign stop;
    std::optional<uint16_t> stats_head;  // The statsq's buffer that is kept.
  };

  VirtioBalloon(DmaPort& port, EventFd wake)
      : port_(port), discarder_(port), wake_(std::move(wake)) {}

  absl::StatusOr<QueuePass> Pass(Session& session);
  absl::StatusOr<bool> ServePageNumbers(const Session& session, size_t queue, const char* what,
                                        absl::FunctionRef<void(PageNumbers)> take);
  absl::StatusOr<bool> ServeStats(Session& session);
  absl::StatusOr<bool> ServeReports(const Session& session);
  void Inflate(PageNumbers numbers);
  absl::Status TakeStats(const DescriptorChain& chain);
  absl::StatusOr<uint32_t> TakeReport(const DescriptorChain& chain, const StopSign& stop);
  absl::Status DiscardReported(const VirtqueueBuffer& buffer, const StopSign& stop);

  DmaPort& port_;
  PageDiscarder discarder_;
  BalloonStats stats_;
  const EventFd wake_;  // Of the two flags.
  std::atomic<bool> target_changed_ = false;
  std::atomic<bool> stats_requested_ = false;
  std::atomic<uint32_t> target_ = 0;
  std::atomic<uint32_t> actual_ = 0;
  std::atomic<uint64_t> inflated_ = 0;
  std::atomic<uint64_t> deflated_ = 0;
  std::atomic<uint64_t> reported_ = 0;
};

}  // namespace vmwire

#endif  // VMWIRE_DEVICES_VIRTIO_BALLOON_VIRTIO_BALLOON_H_
