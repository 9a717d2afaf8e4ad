// What a guest says of its own memory through the statsq of a balloon (OASIS virtio 1.2, 5.5.6.3).
//
// Invariants: nothing that the guest says is used for anything but to be shown.
// Thread safety: thread-safe.
#ifndef VMWIRE_DEVICES_VIRTIO_BALLOON_BALLOON_STATS_H_
#define VMWIRE_DEVICES_VIRTIO_BALLOON_BALLOON_STATS_H_

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "devices/virtio/virtio_device.h"
#include "memory/mutex.h"

namespace vmwire {

class BalloonStats {
 public:
  // Bytes of an entry: u16 tag, u64 value, packed and little-endian.
  static constexpr size_t kEntryBytes = 10;
  // Entries of a buffer that are looked at; more than there are tags.
  static constexpr size_t kMaxEntries = 64;

  // Takes a buffer of entries in place of what was known. Tags that are not known and what is no
  // whole entry are left out; of a tag that comes twice the last counts.
  void Update(std::span<const std::byte> entries) ABSL_LOCKS_EXCLUDED(mutex_);

  // Adds {"guest_free_bytes", n} and the like, of the tags that were in the last buffer, and
  // "stats_updates": how many there were.
  void AppendTo(std::vector<DeviceCounter>& counters) const ABSL_LOCKS_EXCLUDED(mutex_);

 private:
  // 5.5.6.4.
  static constexpr size_t kTags = 10;

  mutable Mutex mutex_;
  std::array<std::optional<uint64_t>, kTags> values_ ABSL_GUARDED_BY(mutex_);
  uint64_t updates_ ABSL_GUARDED_BY(mutex_) = 0;
};

}  // namespace vmwire

#endif  // VMWIRE_DEVICES_VIRTIO_BALLOON_BALLOON_STATS_H_
