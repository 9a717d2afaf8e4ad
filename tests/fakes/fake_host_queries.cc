// FakeHostMemory: what the tests set and ask, and what the host tells of memory.
#include <algorithm>
#include <cerrno>
#include <cstddef>
#include <map>

#include "memory/errno_status.h"
#include "tests/fakes/fake_host_memory.h"

namespace vmwire {
namespace {

uint64_t FirstPage(const HostRange& mapping, const HostRange& range) {
  return (range.start().value() - mapping.start().value()) / kPageSize;
}

template <typename Map>
auto* FindIn(Map& mappings, const HostRange& range) {
  auto it = mappings.upper_bound(range.start());
  using Result = decltype(&it->second);
  if (it == mappings.begin()) return Result{nullptr};
  --it;
  return it->second.range.Contains(range) ? &it->second : Result{nullptr};
}

}  // namespace

FakeMapping* FakeHostMemory::Find(const HostRange& range) { return FindIn(mappings_, range); }

const FakeMapping* FakeHostMemory::Find(const HostRange& range) const {
  return FindIn(mappings_, range);
}

void FakeHostMemory::SetMemlockLimit(uint64_t bytes) {
  const MutexLock lock(mutex_);
  memlock_limit_ = bytes;
}

void FakeHostMemory::SetHugetlbPool(uint64_t page_bytes, uint64_t pages) {
  const MutexLock lock(mutex_);
  hugetlb_pools_[page_bytes] = pages;
}

void FakeHostMemory::SetFramesReadable(bool readable) {
  const MutexLock lock(mutex_);
  frames_readable_ = readable;
}

void FakeHostMemory::BreakPage(HostAddress page) {
  const MutexLock lock(mutex_);
  broken_pages_.insert(page);
}

void FakeHostMemory::MoveFrames(const HostRange& range) {
  const MutexLock lock(mutex_);
  std::set<uint64_t> kept;
  for (const FakeBuffer* buffer : Buffers())
    kept.insert(buffer->frames.begin(), buffer->frames.end());
  FakeMapping* mapping = Find(range);
  if (mapping == nullptr) return;
  const uint64_t first = FirstPage(mapping->range, range);
  std::map<uint64_t, uint64_t>& frames = mapping->backing->frames;
  const auto end = frames.lower_bound(first + range.pages());
  for (auto it = frames.lower_bound(first); it != end; ++it) {
    if (kept.count(it->second) == 0) it->second = next_frame_++;
  }
}

void FakeHostMemory::MergePages(const HostRange& range) {
  const MutexLock lock(mutex_);
  const FakeMapping* mapping = Find(range);
  if (mapping == nullptr) return;
  const uint64_t first = FirstPage(mapping->range, range);
  for (uint64_t page = first; page < first + range.pages(); ++page) {
    merged_frames_.insert(mapping->backing->FrameOf(page));
  }
}

uint64_t FakeHostMemory::LockedPages() const {
  uint64_t pages = 0;
  for (const auto& [start, mapping] : mappings_) pages += mapping.locked.size();
  return pages;
}

std::set<const FakeBuffer*> FakeHostMemory::Buffers() const {
  std::set<const FakeBuffer*> buffers;
  for (const auto& [handle, table] : tables_) {
    for (const auto& [slot, buffer] : table->buffers) buffers.insert(buffer.get());
  }
  return buffers;
}

uint64_t FakeHostMemory::BufferBytesLocked() const {
  uint64_t bytes = 0;
  for (const FakeBuffer* buffer : Buffers()) bytes += buffer->range.size();
  return bytes;
}

uint64_t FakeHostMemory::FreeHugetlbPages(uint64_t page_bytes) const {
  std::set<const FakeBacking*> backings;
  for (const auto& [number, backing] : files_) backings.insert(backing.get());
  for (const auto& [start, mapping] : mappings_) backings.insert(mapping.backing.get());
  uint64_t used = 0;
  for (const FakeBacking* backing : backings) {
    if (backing->page_bytes == page_bytes) used += backing->reserved_pages;
  }
  const auto pool = hugetlb_pools_.find(page_bytes);
  const uint64_t all = pool == hugetlb_pools_.end() ? 0 : pool->second;
  return all - std::min(all, used);
}

uint64_t FakeHostMemory::locked_bytes() const {
  const MutexLock lock(mutex_);
  return LockedPages() * kPageSize;
}

uint64_t FakeHostMemory::buffer_bytes() const {
  const MutexLock lock(mutex_);
  return BufferBytesLocked();
}

uint64_t FakeHostMemory::resident_bytes() const {
  const MutexLock lock(mutex_);
  uint64_t pages = 0;
  for (const auto& [start, mapping] : mappings_) pages += mapping.mapped.size();
  return pages * kPageSize;
}

size_t FakeHostMemory::mappings() const {
  const MutexLock lock(mutex_);
  return mappings_.size();
}

size_t FakeHostMemory::files() const {
  const MutexLock lock(mutex_);
  return files_.size();
}

size_t FakeHostMemory::tables() const {
  const MutexLock lock(mutex_);
  return tables_.size();
}

bool FakeHostMemory::IsLocked(const HostRange& range) const {
  const MutexLock lock(mutex_);
  const FakeMapping* mapping = Find(range);
  if (mapping == nullptr) return false;
  const uint64_t first = FirstPage(mapping->range, range);
  for (uint64_t page = first; page < first + range.pages(); ++page) {
    if (mapping->locked.count(page) == 0 || mapping->mapped.count(page) == 0) return false;
  }
  return true;
}

bool FakeHostMemory::IsInBuffers(const HostRange& range) const {
  const MutexLock lock(mutex_);
  std::vector<bool> covered(range.pages());
  for (const FakeBuffer* buffer : Buffers()) {
    const auto part = buffer->range.Intersect(range);
    if (!part.has_value()) continue;
    const uint64_t first = FirstPage(range, *part);
    std::fill_n(covered.begin() + static_cast<ptrdiff_t>(first), part->pages(), true);
  }
  return std::all_of(covered.begin(), covered.end(), [](bool page) { return page; });
}

std::vector<bool> FakeHostMemory::PinnedPages(const HostRange& range) const {
  const MutexLock lock(mutex_);
  std::vector<bool> pinned(range.pages());
  const auto add = [&](uint64_t address) {
    if (range.Contains(HostAddress(address)))
      pinned[(address - range.start().value()) / kPageSize] = true;
  };
  for (const auto& [start, mapping] : mappings_) {
    for (const uint64_t page : mapping.locked) {
      if (mapping.mapped.count(page) != 0) add(start.value() + page * kPageSize);
    }
  }
  for (const FakeBuffer* buffer : Buffers()) {
    for (uint64_t page = 0; page < buffer->range.pages(); ++page)
      add(buffer->range.start().value() + page * kPageSize);
  }
  return pinned;
}

absl::StatusOr<uint64_t> FakeHostMemory::FileSize(int file) const {
  const MutexLock lock(mutex_);
  return files_.at(file)->size;
}

absl::StatusOr<HostUsage> FakeHostMemory::Usage(const HostRange& range) const {
  const MutexLock lock(mutex_);
  HostUsage usage;
  for (const auto& [start, mapping] : mappings_) {
    if (!range.Contains(mapping.range)) continue;
    const uint64_t resident = mapping.mapped.size() * kPageSize;
    usage.resident_bytes += resident;
    if (mapping.backing->is_hugetlb()) usage.huge_bytes += resident;
    for (const uint64_t page : mapping.locked)
      usage.locked_bytes += mapping.mapped.count(page) * kPageSize;
  }
  return usage;
}

absl::StatusOr<std::vector<bool>> FakeHostMemory::Residency(const HostRange& range) const {
  const MutexLock lock(mutex_);
  const FakeMapping* mapping = Find(range);
  if (mapping == nullptr) return absl::FailedPreconditionError(range.ToString() + " is not mapped");
  const uint64_t first = FirstPage(mapping->range, range);
  std::vector<bool> resident(range.pages());
  for (uint64_t i = 0; i < range.pages(); ++i)
    resident[i] = mapping->backing->FrameOf(first + i) != 0;
  return resident;
}

absl::StatusOr<std::vector<uint64_t>> FakeHostMemory::Frames(const HostRange& range) const {
  const MutexLock lock(mutex_);
  std::vector<uint64_t> frames(range.pages());
  const FakeMapping* mapping = Find(range);
  if (mapping == nullptr) return frames;
  const uint64_t first = FirstPage(mapping->range, range);
  for (uint64_t i = 0; i < range.pages(); ++i) {
    if (mapping->mapped.count(first + i) == 0) continue;
    if (!frames_readable_) return ErrnoStatus(EPERM, "frame numbers");
    frames[i] = mapping->backing->FrameOf(first + i);
  }
  return frames;
}

absl::StatusOr<std::vector<uint64_t>> FakeHostMemory::FrameFlags(
    absl::Span<const uint64_t> frames) const {
  const MutexLock lock(mutex_);
  if (!frames_readable_) return ErrnoStatus(EPERM, "frame flags");
  std::map<uint64_t, uint64_t> known = {{0, 0}};
  for (const auto& [start, mapping] : mappings_) {
    for (const auto& [page, frame] : mapping.backing->frames) {
      uint64_t& flags = known[frame];
      if (mapping.backing->is_hugetlb()) flags |= kFrameHugetlb;
      if (mapping.locked.count(page) != 0) flags |= kFrameUnevictable;
      if (merged_frames_.count(frame) != 0) flags |= kFrameMerged;
    }
  }
  std::vector<uint64_t> flags;
  for (const uint64_t frame : frames) {
    const auto found = known.find(frame);
    flags.push_back(found == known.end() ? kFrameAbsent : found->second);
  }
  return flags;
}

absl::StatusOr<ProcessPins> FakeHostMemory::Pins() const {
  const MutexLock lock(mutex_);
  return ProcessPins{LockedPages() * kPageSize, BufferBytesLocked()};
}

}  // namespace vmwire
