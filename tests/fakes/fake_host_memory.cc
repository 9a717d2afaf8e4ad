#include "tests/fakes/fake_host_memory.h"

#include <gtest/gtest.h>
#include <sys/mman.h>

#include <algorithm>
#include <cerrno>
#include <cstddef>

#include "absl/strings/str_format.h"
#include "memory/errno_status.h"
#include "memory/status_macros.h"

namespace vmwire {
namespace {

uint64_t FirstPage(const HostRange& mapping, const HostRange& range) {
  return (range.start().value() - mapping.start().value()) / kPageSize;
}

const char* Name(HostAdvice advice) {
  switch (advice) {
    case HostAdvice::kHugePages:
      return "huge";
    case HostAdvice::kNoHugePages:
      return "no-huge";
    case HostAdvice::kDontFork:
      return "dont-fork";
    case HostAdvice::kPopulateWrite:
      return "populate";
  }
  return "?";
}

}  // namespace

FakeHostMemory::~FakeHostMemory() {
  const MutexLock lock(mutex_);
  EXPECT_TRUE(mappings_.empty()) << mappings_.size() << " mappings are left";
  EXPECT_TRUE(files_.empty()) << files_.size() << " files are left";
  EXPECT_TRUE(tables_.empty()) << tables_.size() << " buffer tables are left";
}

void FakeHostMemory::SetMemlockLimit(uint64_t bytes) {
  const MutexLock lock(mutex_);
  memlock_limit_ = bytes;
}

FakeHostMemory::Mapping* FakeHostMemory::Find(const HostRange& range) {
  auto it = mappings_.upper_bound(range.start());
  if (it == mappings_.begin()) return nullptr;
  --it;
  return it->second.range.Contains(range) ? &it->second : nullptr;
}

const FakeHostMemory::Mapping* FakeHostMemory::Find(const HostRange& range) const {
  auto it = mappings_.upper_bound(range.start());
  if (it == mappings_.begin()) return nullptr;
  --it;
  return it->second.range.Contains(range) ? &it->second : nullptr;
}

uint64_t FakeHostMemory::LockedPages() const {
  uint64_t pages = 0;
  for (const auto& [start, mapping] : mappings_) pages += mapping.locked.size();
  return pages;
}

uint64_t FakeHostMemory::BufferBytesLocked() const {
  uint64_t bytes = 0;
  for (const auto& [number, table] : tables_) {
    for (const auto& [slot, range] : table.buffers) bytes += range.size();
  }
  return bytes;
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
  for (const auto& [start, mapping] : mappings_) pages += mapping.resident.size();
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

bool FakeHostMemory::IsLocked(const HostRange& range) const {
  const MutexLock lock(mutex_);
  const Mapping* mapping = Find(range);
  if (mapping == nullptr) return false;
  const uint64_t first = FirstPage(mapping->range, range);
  for (uint64_t page = first; page < first + range.pages(); ++page) {
    if (mapping->locked.count(page) == 0 || mapping->resident.count(page) == 0) return false;
  }
  return true;
}

bool FakeHostMemory::IsInBuffers(const HostRange& range) const {
  const MutexLock lock(mutex_);
  std::vector<bool> covered(range.pages());
  for (const auto& [number, table] : tables_) {
    for (const auto& [slot, buffer] : table.buffers) {
      const auto part = buffer.Intersect(range);
      if (!part.has_value()) continue;
      const uint64_t first = FirstPage(range, *part);
      std::fill_n(covered.begin() + static_cast<ptrdiff_t>(first), part->pages(), true);
    }
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
      if (mapping.resident.count(page) != 0) add(start.value() + page * kPageSize);
    }
  }
  for (const auto& [number, table] : tables_) {
    for (const auto& [slot, buffer] : table.buffers) {
      for (uint64_t page = 0; page < buffer.pages(); ++page)
        add(buffer.start().value() + page * kPageSize);
    }
  }
  return pinned;
}

absl::StatusOr<int> FakeHostMemory::CreateMemfd(const std::string& name) {
  const JournalScope scope(journal_);
  VMWIRE_RETURN_IF_ERROR(journal_.Enter("memfd " + name));
  const MutexLock lock(mutex_);
  files_[next_number_] = 0;
  return next_number_++;
}

absl::Status FakeHostMemory::ResizeFile(int file, uint64_t size) {
  const JournalScope scope(journal_);
  VMWIRE_RETURN_IF_ERROR(journal_.Enter(absl::StrFormat("resize %d to 0x%x", file, size)));
  const MutexLock lock(mutex_);
  if (size > INT64_MAX) return absl::InvalidArgumentError("larger than a file can be");
  files_.at(file) = size;
  return absl::OkStatus();
}

void FakeHostMemory::CloseFile(int file) {
  const JournalScope scope(journal_);
  journal_.Note(absl::StrFormat("close %d", file));
  const MutexLock lock(mutex_);
  EXPECT_EQ(files_.erase(file), 1u) << "file " << file << " is not open";
}

absl::StatusOr<HostRange> FakeHostMemory::Map(const HostMapRequest& request) {
  const JournalScope scope(journal_);
  VMWIRE_RETURN_IF_ERROR(journal_.Enter(absl::StrFormat("map 0x%x", request.size)));
  const MutexLock lock(mutex_);
  const uint64_t reserved = request.size + kHugePageSize;
  void* base = reserved < request.size ? MAP_FAILED
                                       : mmap(nullptr, reserved, PROT_READ | PROT_WRITE,
                                              MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (base == MAP_FAILED) return ErrnoStatus(ENOMEM, "mapping");
  const uint64_t low = reinterpret_cast<uint64_t>(base);
  const HostAddress start(low + (request.congruent_to - low) % kHugePageSize);
  VMWIRE_ASSIGN_OR_RETURN(const HostRange range, HostRange::Create(start, request.size));
  VMWIRE_ASSIGN_OR_RETURN(const HostRange whole, HostRange::Create(HostAddress(low), reserved));
  mappings_.emplace(start, Mapping{range, whole, {}, {}});
  return range;
}

void FakeHostMemory::Unmap(const HostRange& range) {
  const JournalScope scope(journal_);
  journal_.Note(absl::StrFormat("unmap 0x%x", range.size()));
  const MutexLock lock(mutex_);
  const auto it = mappings_.find(range.start());
  ASSERT_TRUE(it != mappings_.end() && it->second.range == range)
      << range.ToString() << " is not a mapping";
  munmap(HostPointer(it->second.reserved.start()), it->second.reserved.size());
  mappings_.erase(it);
}

absl::Status FakeHostMemory::Advise(const HostRange& range, HostAdvice advice) {
  const JournalScope scope(journal_);
  const absl::Status entered =
      journal_.Enter(absl::StrFormat("%s 0x%x", Name(advice), range.size()));
  const MutexLock lock(mutex_);
  Mapping* mapping = Find(range);
  if (mapping == nullptr) return ErrnoStatus(ENOMEM, "advising what is not mapped");
  if (advice != HostAdvice::kPopulateWrite) return entered;
  // As the kernel's, a call that fails may have done a part.
  const uint64_t pages = entered.ok() ? range.pages() : range.pages() / 2;
  const uint64_t first = FirstPage(mapping->range, range);
  for (uint64_t page = first; page < first + pages; ++page) mapping->resident.insert(page);
  return entered;
}

absl::Status FakeHostMemory::Lock(const HostRange& range) {
  const JournalScope scope(journal_);
  const absl::Status entered = journal_.Enter(absl::StrFormat("lock 0x%x", range.size()));
  const MutexLock lock(mutex_);
  Mapping* mapping = Find(range);
  if (mapping == nullptr) return ErrnoStatus(ENOMEM, "locking what is not mapped");
  // As the kernel's, a call that fails may have done a part.
  const uint64_t pages = entered.ok() ? range.pages() : range.pages() / 2;
  std::set<uint64_t> locked = mapping->locked;
  const uint64_t first = FirstPage(mapping->range, range);
  for (uint64_t page = first; page < first + pages; ++page) locked.insert(page);
  const uint64_t more = locked.size() - mapping->locked.size();
  if ((LockedPages() + more) * kPageSize > memlock_limit_)
    return ErrnoStatus(ENOMEM, "RLIMIT_MEMLOCK");
  mapping->locked = std::move(locked);
  return entered;
}

void FakeHostMemory::Unlock(const HostRange& range) {
  const JournalScope scope(journal_);
  journal_.Note(absl::StrFormat("unlock 0x%x", range.size()));
  const MutexLock lock(mutex_);
  Mapping* mapping = Find(range);
  ASSERT_NE(mapping, nullptr) << range.ToString() << " is not mapped";
  const uint64_t first = FirstPage(mapping->range, range);
  for (uint64_t page = first; page < first + range.pages(); ++page) mapping->locked.erase(page);
}

absl::StatusOr<BufferTable> FakeHostMemory::CreateBufferTable(uint32_t slots) {
  const JournalScope scope(journal_);
  VMWIRE_RETURN_IF_ERROR(journal_.Enter("create buffer table"));
  const MutexLock lock(mutex_);
  tables_[next_number_] = Table{slots, {}};
  return next_number_++;
}

void FakeHostMemory::DestroyBufferTable(BufferTable table) {
  const JournalScope scope(journal_);
  journal_.Note("destroy buffer table");
  const MutexLock lock(mutex_);
  EXPECT_EQ(tables_.erase(table), 1u) << "no buffer table " << table;
}

absl::Status FakeHostMemory::SetBuffer(BufferTable table, uint32_t slot, const HostRange& range) {
  const JournalScope scope(journal_);
  VMWIRE_RETURN_IF_ERROR(journal_.Enter(absl::StrFormat("set buffer %d 0x%x", slot, range.size())));
  const MutexLock lock(mutex_);
  Table& found = tables_.at(table);
  if (slot >= found.slots) return ErrnoStatus(EINVAL, "slot");
  if (range.size() > kMaxBufferBytes || Find(range) == nullptr)
    return ErrnoStatus(EFAULT, "buffer");
  if (BufferBytesLocked() + range.size() > memlock_limit_)
    return ErrnoStatus(ENOMEM, "RLIMIT_MEMLOCK");
  EXPECT_TRUE(found.buffers.emplace(slot, range).second) << "slot " << slot << " is not empty";
  return absl::OkStatus();
}

void FakeHostMemory::ClearBuffer(BufferTable table, uint32_t slot) {
  const JournalScope scope(journal_);
  journal_.Note(absl::StrFormat("clear buffer %d", slot));
  const MutexLock lock(mutex_);
  EXPECT_EQ(tables_.at(table).buffers.erase(slot), 1u) << "slot " << slot << " is empty";
}

absl::StatusOr<HostUsage> FakeHostMemory::Usage(const HostRange& range) const {
  const MutexLock lock(mutex_);
  HostUsage usage;
  for (const auto& [start, mapping] : mappings_) {
    if (!range.Contains(mapping.range)) continue;
    usage.resident_bytes += mapping.resident.size() * kPageSize;
    for (const uint64_t page : mapping.locked)
      usage.locked_bytes += mapping.resident.count(page) * kPageSize;
  }
  return usage;
}

}  // namespace vmwire
