#include "devices/virtio/block/virtio_block.h"

#include <signal.h>
#include <time.h>

#include <algorithm>
#include <bit>
#include <utility>

#include "absl/strings/str_format.h"
#include "devices/virtio/block/block_request.h"
#include "devices/virtio/block/block_ring.h"
#include "devices/virtio/block/block_session.h"
#include "devices/virtio/config_space.h"
#include "memory/address.h"
#include "memory/status_macros.h"

namespace vmwire {
namespace {

// The smallest queue that has room for a header, data and a status.
constexpr uint16_t kLeastQueueSize = 4;

absl::Status CheckOptions(const VirtioBlockOptions& options) {
  if (options.queues == 0 || options.queues > VirtioBlock::kMostQueues) {
    return absl::InvalidArgumentError(absl::StrFormat("a disk has 1 to %d queues, not %d",
                                                      VirtioBlock::kMostQueues, options.queues));
  }
  if (!std::has_single_bit(options.queue_size) || options.queue_size < kLeastQueueSize ||
      options.queue_size > kMaxQueueSize) {
    return absl::InvalidArgumentError(
        absl::StrFormat("the queue size of a disk is a power of two from %d to %d, not %d",
                        kLeastQueueSize, kMaxQueueSize, options.queue_size));
  }
  if (options.serial.size() > kBlockIdBytes) {
    return absl::InvalidArgumentError(
        absl::StrFormat("the serial number \"%s\" has %d characters; a disk has room for %d",
                        options.serial, options.serial.size(), kBlockIdBytes));
  }
  return absl::OkStatus();
}

BlockConfig MakeConfig(const DiskFile& disk, const VirtioBlockOptions& options) {
  // What the host reads and writes as a whole: the page cache's pages, or what direct I/O takes.
  const uint64_t block = disk.direct() ? disk.alignment().offset : kPageSize;
  const auto block_sectors = static_cast<uint32_t>(std::max(block / kSectorSize, uint64_t{1}));
  BlockConfig config;
  config.capacity = disk.sectors();
  config.size_max = static_cast<uint32_t>(BlockRing::kMostBytes);
  config.seg_max = options.queue_size - 2u;  // A descriptor each for the header and the status.
  config.block_size = kSectorSize;
  config.physical_block_exponent = static_cast<uint8_t>(std::bit_width(block_sectors) - 1);
  config.minimum_io_size = static_cast<uint16_t>(std::min(block_sectors, 0x8000u));
  config.queues = options.queues;
  config.max_discard_sectors = BlockRequest::kMostDiscardSectors;
  config.max_discard_segments = BlockRequest::kMostRanges;
  config.discard_sector_alignment = block_sectors;
  config.max_write_zeroes_sectors = BlockRequest::kMostZeroSectors;
  config.max_write_zeroes_segments = BlockRequest::kMostRanges;
  config.write_zeroes_may_unmap = 1;
  return config;
}

// Keeps SIGXFSZ from this thread, and with it the death of the process, where a write exceeds
// RLIMIT_FSIZE: that write fails with EFBIG, which is all that is wanted.
class FileSizeSignalHeld {
 public:
  FileSizeSignalHeld() {
    sigemptyset(&signal_);
    sigaddset(&signal_, SIGXFSZ);
    pthread_sigmask(SIG_BLOCK, &signal_, &before_);
  }
  FileSizeSignalHeld(const FileSizeSignalHeld&) = delete;
  FileSizeSignalHeld& operator=(const FileSizeSignalHeld&) = delete;
  ~FileSizeSignalHeld() {
    if (sigismember(&before_, SIGXFSZ) == 1) return;
    const timespec at_once = {};
    sigtimedwait(&signal_, nullptr, &at_once);  // One that came in the meantime.
    pthread_sigmask(SIG_SETMASK, &before_, nullptr);
  }

 private:
  sigset_t signal_;
  sigset_t before_;
};

}  // namespace

absl::StatusOr<std::unique_ptr<VirtioBlock>> VirtioBlock::Create(
    DiskFile disk, DmaPort& port, const VirtioBlockOptions& options) {
  VMWIRE_RETURN_IF_ERROR(CheckOptions(options));
  // Made and dropped: a host without io_uring is to be told of now, and not to the guest later.
  VMWIRE_RETURN_IF_ERROR(BlockRing::Create(disk).status());
  return std::unique_ptr<VirtioBlock>(new VirtioBlock(std::move(disk), port, options));
}

VirtioBlock::VirtioBlock(DiskFile disk, DmaPort& port, const VirtioBlockOptions& options)
    : disk_(std::move(disk)), port_(port), options_(options), config_(MakeConfig(disk_, options)) {}

uint64_t VirtioBlock::Features() const {
  uint64_t features = kBlockFeatureSizeMax | kBlockFeatureSegMax | kBlockFeatureBlockSize |
                      kBlockFeatureFlush | kBlockFeatureTopology;
  if (options_.queues > 1) features |= kBlockFeatureMultiQueue;
  features |=
      disk_.read_only() ? kBlockFeatureReadOnly : kBlockFeatureDiscard | kBlockFeatureWriteZeroes;
  return features;
}

std::vector<uint16_t> VirtioBlock::QueueSizes() const {
  return std::vector<uint16_t>(options_.queues, options_.queue_size);
}

void VirtioBlock::ReadConfig(uint64_t offset, std::span<std::byte> data) const {
  ReadConfigSpace(config_, offset, data);
}

absl::Status VirtioBlock::Serve(const VirtioSession& session) {
  const FileSizeSignalHeld held;
  const BlockRequestContext context = {
      .port = port_, .disk = disk_, .serial = options_.serial, .features = session.features};
  VMWIRE_ASSIGN_OR_RETURN(
      const std::unique_ptr<BlockSession> made,
      BlockSession::Create(context, session, options_.registered_buffers, counters_));
  return made->Run();
}

}  // namespace vmwire
