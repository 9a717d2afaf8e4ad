// Memory of this process that nothing holds: what a disturbance does to it shows that the
// disturbance took place.
//
// Thread safety: none.
#ifndef VMWIRE_TESTS_KERNEL_DISTURBANCE_UNHELD_MEMORY_H_
#define VMWIRE_TESTS_KERNEL_DISTURBANCE_UNHELD_MEMORY_H_

#include <cstddef>
#include <cstdint>
#include <vector>

#include "absl/status/status.h"
#include "memory/host_memory_linux.h"
#include "memory/page_range.h"

namespace vmwire {

// Unavailable: the kernel does not tell this process the numbers of its frames.
absl::Status CheckFramesAreTold();

class UnheldMemory {
 public:
  // `size` bytes of resident, private anonymous memory in small pages, all with the same bytes.
  // REQUIRES: CheckFramesAreTold.
  explicit UnheldMemory(uint64_t size);
  UnheldMemory(const UnheldMemory&) = delete;
  UnheldMemory& operator=(const UnheldMemory&) = delete;
  ~UnheldMemory() { host_.Unmap(range_); }

  const HostRange& range() const { return range_; }
  std::byte* data() const { return HostPointer(range_.start()); }

  // Gives all pages back but each `nth`, so that there are holes which compaction fills.
  void KeepEach(uint64_t nth);
  void WriteEachPage();

  // Pages that were resident when the frames were last noted, and now have none, or another.
  void NoteFrames();
  uint64_t PagesGone() const { return Count(/*gone=*/true); }
  uint64_t PagesMoved() const { return Count(/*gone=*/false); }
  // Pages that KSM has saved: all but one of each frame.
  uint64_t PagesMerged() const;

 private:
  uint64_t Count(bool gone) const;
  std::vector<uint64_t> Frames() const;

  HostMemoryLinux host_;
  HostRange range_;
  std::vector<uint64_t> frames_;
};

}  // namespace vmwire

#endif  // VMWIRE_TESTS_KERNEL_DISTURBANCE_UNHELD_MEMORY_H_
