#include "tests/fakes/fake_host_memory.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <linux/falloc.h>
#include <sys/mman.h>

#include <algorithm>
#include <cerrno>
#include <cstddef>
#include <utility>

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

void InsertRun(std::set<uint64_t>& pages, uint64_t first, uint64_t end) {
  auto hint = pages.lower_bound(first);
  for (uint64_t page = first; page < end; ++page) hint = std::next(pages.insert(hint, page));
}

}  // namespace

FakeHostMemory::~FakeHostMemory() {
  const MutexLock lock(mutex_);
  EXPECT_TRUE(mappings_.empty()) << mappings_.size() << " mappings are left";
  EXPECT_TRUE(files_.empty()) << files_.size() << " files are left";
  EXPECT_TRUE(tables_.empty()) << tables_.size() << " buffer tables are left";
}

absl::StatusOr<int> FakeHostMemory::CreateMemfd(const MemfdRequest& request) {
  const JournalScope scope(journal_);
  VMWIRE_RETURN_IF_ERROR(journal_.Enter("memfd " + request.name));
  const uint64_t page_bytes = std::max(kPageSize, request.huge_page_bytes);
  if (page_bytes != kPageSize && page_bytes != kHugePageSize && page_bytes != kGigaPageSize) {
    return absl::UnimplementedError("no hugetlb pages of that size");
  }
  const int real = memfd_create("vmwire-fake", MFD_CLOEXEC);
  if (real < 0) return ErrnoStatus(errno, "creating a memory file");
  const MutexLock lock(mutex_);
  files_[next_file_] = std::make_shared<FakeBacking>(real, page_bytes);
  return next_file_++;
}

absl::Status FakeHostMemory::ResizeFile(int file, uint64_t size) {
  const JournalScope scope(journal_);
  VMWIRE_RETURN_IF_ERROR(journal_.Enter(absl::StrFormat("resize %d to 0x%x", file, size)));
  const MutexLock lock(mutex_);
  FakeBacking& backing = *files_.at(file);
  if (size > INT64_MAX) return absl::InvalidArgumentError("larger than a file can be");
  if (!IsAligned(size, backing.is_hugetlb() ? backing.page_bytes : 1)) {
    return ErrnoStatus(EINVAL, "resizing to a part of a hugetlb page");
  }
  if (backing.seals.resize && size != backing.size) return ErrnoStatus(EPERM, "resizing");
  if (ftruncate(backing.file, static_cast<off_t>(size)) != 0) return ErrnoStatus(errno, "resizing");
  const uint64_t kept = CheckedAlignUp(size, kPageSize).value_or(size) / kPageSize;
  DropFrames(backing, kept, UINT64_MAX);
  backing.size = size;
  return absl::OkStatus();
}

absl::Status FakeHostMemory::SealFile(int file, FileSeals seals) {
  const JournalScope scope(journal_);
  VMWIRE_RETURN_IF_ERROR(journal_.Enter(absl::StrFormat("seal %d", file)));
  const MutexLock lock(mutex_);
  FileSeals& all = files_.at(file)->seals;
  all.resize |= seals.resize;
  all.discard |= seals.discard;
  return absl::OkStatus();
}

absl::StatusOr<int> FakeHostMemory::DuplicateFile(int file) {
  const JournalScope scope(journal_);
  VMWIRE_RETURN_IF_ERROR(journal_.Enter(absl::StrFormat("duplicate %d", file)));
  const MutexLock lock(mutex_);
  files_[next_file_] = files_.at(file);
  return next_file_++;
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
  std::shared_ptr<FakeBacking> backing;
  if (request.file.has_value()) {
    backing = files_.at(*request.file);
    EXPECT_EQ(request.page_bytes, backing->page_bytes) << "not the page size of the file";
    if (backing->seals.discard) return ErrnoStatus(EPERM, "mapping a sealed file for writing");
  } else {
    EXPECT_EQ(request.page_bytes, kPageSize) << "hugetlb pages are those of a file";
    backing = std::make_shared<FakeBacking>(-1, kPageSize);
  }
  if (!IsAligned(request.size, request.page_bytes) ||
      !IsAligned(request.congruent_to, request.page_bytes)) {
    return ErrnoStatus(EINVAL, "mapping a part of a page");
  }
  const uint64_t wanted = backing->is_hugetlb() ? request.size / backing->page_bytes : 0;
  const uint64_t more = wanted - std::min(wanted, backing->reserved_pages);
  if (more > 0 && more > FreeHugetlbPages(backing->page_bytes)) {
    return ErrnoStatus(ENOMEM, "mapping more than /proc/sys/vm/nr_hugepages gives");
  }
  VMWIRE_ASSIGN_OR_RETURN(FakeMapping mapping, MapBytes(request, backing));
  backing->reserved_pages += more;
  const HostRange range = mapping.range;
  mappings_.emplace(range.start(), std::move(mapping));
  return range;
}

absl::StatusOr<FakeMapping> FakeHostMemory::MapBytes(const HostMapRequest& request,
                                                     std::shared_ptr<FakeBacking> backing) {
  const uint64_t alignment = std::max(kHugePageSize, request.page_bytes);
  const uint64_t reserved = request.size + alignment;
  void* base = reserved < request.size ? MAP_FAILED
                                       : mmap(nullptr, reserved, PROT_NONE,
                                              MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (base == MAP_FAILED) return ErrnoStatus(ENOMEM, "mapping");
  const uint64_t low = reinterpret_cast<uint64_t>(base);
  const HostAddress start(low + (request.congruent_to - low) % alignment);
  const int flags =
      MAP_FIXED | MAP_NORESERVE | (backing->file >= 0 ? MAP_SHARED : MAP_PRIVATE | MAP_ANONYMOUS);
  // SAFETY: MAP_FIXED replaces only what the reservation above owns.
  if (mmap(HostPointer(start), request.size, PROT_READ | PROT_WRITE, flags, backing->file, 0) ==
      MAP_FAILED) {
    const int error = errno;
    munmap(base, reserved);
    return ErrnoStatus(error, "mapping");
  }
  VMWIRE_ASSIGN_OR_RETURN(const HostRange range, HostRange::Create(start, request.size));
  VMWIRE_ASSIGN_OR_RETURN(const HostRange whole, HostRange::Create(HostAddress(low), reserved));
  return FakeMapping{range, whole, std::move(backing), {}, {}};
}

void FakeHostMemory::Unmap(const HostRange& range) {
  const JournalScope scope(journal_);
  journal_.Note(absl::StrFormat("unmap 0x%x", range.size()));
  const MutexLock lock(mutex_);
  const auto it = mappings_.find(range.start());
  ASSERT_TRUE(it != mappings_.end() && it->second.range == range)
      << range.ToString() << " is not a mapping";
  munmap(HostPointer(it->second.reserved.start()), it->second.reserved.size());
  broken_pages_.erase(broken_pages_.lower_bound(range.start()),
                      broken_pages_.lower_bound(range.end()));
  mappings_.erase(it);
}

absl::Status FakeHostMemory::Advise(const HostRange& range, HostAdvice advice) {
  const JournalScope scope(journal_);
  const absl::Status entered =
      journal_.Enter(absl::StrFormat("%s 0x%x", Name(advice), range.size()));
  const MutexLock lock(mutex_);
  FakeMapping* mapping = Find(range);
  if (mapping == nullptr) return ErrnoStatus(ENOMEM, "advising what is not mapped");
  if (advice != HostAdvice::kPopulateWrite) return entered;
  // As the kernel's, a call that fails may have done a part.
  const uint64_t pages = entered.ok() ? range.pages() : range.pages() / 2;
  const bool all = FaultIn(*mapping, FirstPage(mapping->range, range), pages);
  if (entered.ok() && !all) {
    return absl::ResourceExhaustedError("faulting in " + range.ToString() + ": no such page");
  }
  return entered;
}

bool FakeHostMemory::FaultIn(FakeMapping& mapping, uint64_t first, uint64_t pages) {
  FakeBacking& backing = *mapping.backing;
  // A fault brings a whole hugetlb page.
  const uint64_t grain = backing.page_bytes / kPageSize;
  const uint64_t begin = AlignDown(first, grain);
  const uint64_t end =
      pages == 0 ? begin : CheckedAlignUp(first + pages, grain).value_or(first + pages);
  auto frame = backing.frames.lower_bound(begin);
  auto mapped = mapping.mapped.lower_bound(begin);
  for (uint64_t page = begin; page < end; ++page) {
    const HostAddress address(mapping.range.start().value() + page * kPageSize);
    if (backing.file >= 0 && page * kPageSize >= backing.size) return false;
    if (broken_pages_.count(address) != 0) return false;
    frame = backing.frames.try_emplace(frame, page, next_frame_);
    if (frame->second == next_frame_) ++next_frame_;
    ++frame;
    mapped = std::next(mapping.mapped.insert(mapped, page));
  }
  return true;
}

absl::Status FakeHostMemory::Discard(const HostRange& range, std::optional<FilePlace> file) {
  const JournalScope scope(journal_);
  VMWIRE_RETURN_IF_ERROR(journal_.Enter(absl::StrFormat("discard 0x%x", range.size())));
  const MutexLock lock(mutex_);
  return file.has_value() ? DiscardFile(range, *file) : DiscardAnonymous(range);
}

absl::Status FakeHostMemory::DiscardAnonymous(const HostRange& range) {
  FakeMapping* mapping = Find(range);
  if (mapping == nullptr) return ErrnoStatus(ENOMEM, "discarding what is not mapped");
  EXPECT_LT(mapping->backing->file, 0) << "a file is discarded through the file";
  const uint64_t first = FirstPage(mapping->range, range);
  const auto locked = mapping->locked.lower_bound(first);
  const bool refused = locked != mapping->locked.end() && *locked < first + range.pages();
  const uint64_t end = refused ? *locked : first + range.pages();
  DropFrames(*mapping->backing, first, end);
  if (end > first) madvise(HostPointer(range.start()), (end - first) * kPageSize, MADV_DONTNEED);
  return refused ? ErrnoStatus(EINVAL, "discarding locked memory") : absl::OkStatus();
}

absl::Status FakeHostMemory::DiscardFile(const HostRange& range, const FilePlace& place) {
  FakeBacking& backing = *files_.at(place.file);
  if (backing.seals.discard) return ErrnoStatus(EPERM, "punching a hole");
  if (fallocate(backing.file, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
                static_cast<off_t>(place.offset), static_cast<off_t>(range.size())) != 0) {
    return ErrnoStatus(errno, "punching a hole");
  }
  const uint64_t first = CheckedAlignUp(place.offset, backing.page_bytes).value_or(UINT64_MAX);
  const uint64_t end = AlignDown(place.offset + range.size(), backing.page_bytes);
  if (first < end) DropFrames(backing, first / kPageSize, end / kPageSize);
  return absl::OkStatus();
}

void FakeHostMemory::DropFrames(FakeBacking& backing, uint64_t first, uint64_t end) {
  backing.frames.erase(backing.frames.lower_bound(first), backing.frames.lower_bound(end));
  for (auto& [start, mapping] : mappings_) {
    if (mapping.backing.get() != &backing) continue;
    mapping.mapped.erase(mapping.mapped.lower_bound(first), mapping.mapped.lower_bound(end));
  }
}

absl::Status FakeHostMemory::Lock(const HostRange& range) {
  const JournalScope scope(journal_);
  const absl::Status entered = journal_.Enter(absl::StrFormat("lock 0x%x", range.size()));
  const MutexLock lock(mutex_);
  FakeMapping* mapping = Find(range);
  if (mapping == nullptr) return ErrnoStatus(ENOMEM, "locking what is not mapped");
  // As the kernel's, a call that fails may have done a part.
  const uint64_t pages = entered.ok() ? range.pages() : range.pages() / 2;
  const uint64_t first = FirstPage(mapping->range, range);
  const auto already =
      std::distance(mapping->locked.lower_bound(first), mapping->locked.lower_bound(first + pages));
  const uint64_t more = pages - static_cast<uint64_t>(already);
  if ((LockedPages() + more) * kPageSize > memlock_limit_)
    return ErrnoStatus(ENOMEM, "RLIMIT_MEMLOCK");
  if (mapping->backing->is_hugetlb()) {
    FaultIn(*mapping, first, pages);
  } else {
    InsertRun(mapping->locked, first, first + pages);
  }
  return entered;
}

void FakeHostMemory::Unlock(const HostRange& range) {
  const JournalScope scope(journal_);
  journal_.Note(absl::StrFormat("unlock 0x%x", range.size()));
  const MutexLock lock(mutex_);
  FakeMapping* mapping = Find(range);
  ASSERT_NE(mapping, nullptr) << range.ToString() << " is not mapped";
  const uint64_t first = FirstPage(mapping->range, range);
  mapping->locked.erase(mapping->locked.lower_bound(first),
                        mapping->locked.lower_bound(first + range.pages()));
}

}  // namespace vmwire
