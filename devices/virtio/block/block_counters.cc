#include "devices/virtio/block/block_counters.h"

#include <algorithm>

namespace vmwire {

void BlockCounters::Count(uint32_t type, BlockStatus status, uint64_t bytes) {
  if (status == BlockStatus::kUnsupported) return unsupported.Add(1);
  if (status == BlockStatus::kIoError) errors.Add(1);
  const uint64_t done = status == BlockStatus::kOk ? bytes : 0;
  switch (type) {
    case kBlockIn:
      reads.Add(1);
      return bytes_read.Add(done);
    case kBlockOut:
      writes.Add(1);
      return bytes_written.Add(done);
    case kBlockFlush:
      return flushes.Add(1);
    case kBlockGetId:
      return ids.Add(1);
    case kBlockDiscard:
      return discards.Add(1);
    default:
      return write_zeroes.Add(1);
  }
}

std::vector<DeviceCounter> BlockCounters::List() const {
  // In this order, and never below 0: the device's thread may count meanwhile.
  const uint64_t all_submits = submits.Get();
  const uint64_t all_operations = std::max(operations.Get(), all_submits);
  return {
      {"reads", reads.Get()},
      {"writes", writes.Get()},
      {"flushes", flushes.Get()},
      {"discards", discards.Get()},
      {"write_zeroes", write_zeroes.Get()},
      {"ids", ids.Get()},
      {"unsupported", unsupported.Get()},
      {"errors", errors.Get()},
      {"bytes_read", bytes_read.Get()},
      {"bytes_written", bytes_written.Get()},
      {"fixed_transfers", fixed.Get()},
      {"plain_transfers", plain.Get()},
      {"vectored_transfers", vectored.Get()},
      {"direct_transfers", direct.Get()},
      {"operations", all_operations},
      {"submits", all_submits},
      {"merged_submits", all_operations - all_submits},
  };
}

}  // namespace vmwire
