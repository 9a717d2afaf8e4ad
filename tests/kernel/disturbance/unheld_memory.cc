#include "tests/kernel/disturbance/unheld_memory.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <string>

#include "tests/support/status_matchers.h"

namespace vmwire {
namespace {

HostRange MapSmall(HostMemory& host, uint64_t size) {
  const HostRange range = *host.Map({.size = size});
  // A kernel without huge pages refuses, and needs none of it.
  host.Advise(range, HostAdvice::kNoHugePages).IgnoreError();
  return range;
}

}  // namespace

absl::Status CheckFramesAreTold() {
  HostMemoryLinux host;
  const HostRange page = MapSmall(host, kPageSize);
  *HostPointer(page.start()) = std::byte{1};
  const auto frames = host.Frames(page);
  host.Unmap(page);
  return frames.ok() ? absl::OkStatus()
                     : absl::UnavailableError(std::string(frames.status().message()));
}

UnheldMemory::UnheldMemory(uint64_t size) : range_(MapSmall(host_, size)) {
  std::fill_n(data(), size, std::byte{0x5a});
  NoteFrames();
}

void UnheldMemory::KeepEach(uint64_t nth) {
  for (uint64_t page = 0; page < range_.pages(); page += nth) {
    const uint64_t dropped = std::min(nth, range_.pages() - page) - 1;
    if (dropped == 0) continue;
    EXPECT_THAT(
        host_.Discard(*range_.Slice((page + 1) * kPageSize, dropped * kPageSize), std::nullopt),
        IsOk());
  }
  NoteFrames();
}

void UnheldMemory::WriteEachPage() {
  for (uint64_t page = 0; page < range_.pages(); ++page) {
    data()[page * kPageSize] = static_cast<std::byte>(page);
  }
}

void UnheldMemory::NoteFrames() { frames_ = Frames(); }

uint64_t UnheldMemory::PagesMerged() const {
  const std::vector<uint64_t> frames = Frames();
  std::vector<uint64_t> distinct = frames;
  std::sort(distinct.begin(), distinct.end());
  const auto end = std::unique(distinct.begin(), distinct.end());
  return frames.size() - static_cast<uint64_t>(end - distinct.begin());
}

uint64_t UnheldMemory::Count(bool gone) const {
  const std::vector<uint64_t> now = Frames();
  uint64_t count = 0;
  for (size_t page = 0; page < now.size(); ++page) {
    if (frames_[page] == 0) continue;
    if (gone ? now[page] == 0 : now[page] != 0 && now[page] != frames_[page]) ++count;
  }
  return count;
}

std::vector<uint64_t> UnheldMemory::Frames() const {
  const auto frames = host_.Frames(range_);
  EXPECT_THAT(frames, IsOk());
  return frames.value_or(std::vector<uint64_t>(range_.pages()));
}

}  // namespace vmwire
