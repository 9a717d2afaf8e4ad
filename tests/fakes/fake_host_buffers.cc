// FakeHostMemory: registered buffers and the transfers through them.
#include <gtest/gtest.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <utility>

#include "absl/strings/str_format.h"
#include "memory/errno_status.h"
#include "memory/status_macros.h"
#include "tests/fakes/fake_host_memory.h"

namespace vmwire {
namespace {

struct Piece {
  HostAddress at;
  uint64_t offset;  // From the start of the bytes.
  uint64_t size;
};

// [start, start + size), cut at page boundaries.
std::vector<Piece> CutAtPages(HostAddress start, uint64_t size) {
  std::vector<Piece> pieces;
  for (uint64_t done = 0; done < size; done += pieces.back().size) {
    const uint64_t at = start.value() + done;
    pieces.push_back({HostAddress(at), done, std::min(size - done, kPageSize - at % kPageSize)});
  }
  return pieces;
}

}  // namespace

FakeHostMemory::Table& FakeHostMemory::Of(BufferTable table) { return *tables_.at(table); }

absl::StatusOr<BufferTable> FakeHostMemory::CreateBufferTable(uint32_t slots) {
  const JournalScope scope(journal_);
  VMWIRE_RETURN_IF_ERROR(journal_.Enter("create buffer table"));
  const MutexLock lock(mutex_);
  auto table = std::make_unique<Table>();
  table->slots = slots;
  const BufferTable handle = table.get();
  tables_[handle] = std::move(table);
  return handle;
}

absl::StatusOr<BufferTable> FakeHostMemory::CloneBufferTable(BufferTable table) {
  const JournalScope scope(journal_);
  VMWIRE_RETURN_IF_ERROR(journal_.Enter("clone buffer table"));
  const MutexLock lock(mutex_);
  auto clone = std::make_unique<Table>(Of(table));
  const BufferTable handle = clone.get();
  tables_[handle] = std::move(clone);
  return handle;
}

absl::Status FakeHostMemory::CloneIntoRing(BufferTable table, int ring) {
  const JournalScope scope(journal_);
  VMWIRE_RETURN_IF_ERROR(journal_.Enter("clone buffers into ring"));
  const MutexLock lock(mutex_);
  if (rings_.contains(ring)) return absl::AlreadyExistsError("the ring has registered buffers");
  auto clone = std::make_unique<Table>(Of(table));
  rings_[ring] = clone.get();
  const BufferTable handle = clone.get();
  tables_[handle] = std::move(clone);
  return absl::OkStatus();
}

void FakeHostMemory::ClearRing(int ring) {
  BufferTable table = nullptr;
  {
    const MutexLock lock(mutex_);
    const auto found = rings_.find(ring);
    ASSERT_NE(found, rings_.end()) << "ring " << ring << " was given no buffers";
    table = found->second;
    rings_.erase(found);
  }
  DestroyBufferTable(table);
}

absl::Status FakeHostMemory::ShareBuffer(BufferTable from, uint32_t from_slot, BufferTable to,
                                         uint32_t to_slot) {
  const JournalScope scope(journal_);
  VMWIRE_RETURN_IF_ERROR(journal_.Enter(absl::StrFormat("share buffer %d", from_slot)));
  const MutexLock lock(mutex_);
  Table& target = Of(to);
  EXPECT_LT(to_slot, target.slots);
  EXPECT_TRUE(target.buffers.emplace(to_slot, Of(from).buffers.at(from_slot)).second)
      << "slot " << to_slot << " is not empty";
  return absl::OkStatus();
}

void FakeHostMemory::DestroyBufferTable(BufferTable table) {
  const JournalScope scope(journal_);
  journal_.Note("destroy buffer table");
  const MutexLock lock(mutex_);
  EXPECT_EQ(tables_.erase(table), 1u) << "no such buffer table";
}

absl::Status FakeHostMemory::SetBuffer(BufferTable table, uint32_t slot, const HostRange& range) {
  const JournalScope scope(journal_);
  VMWIRE_RETURN_IF_ERROR(journal_.Enter(absl::StrFormat("set buffer %d 0x%x", slot, range.size())));
  const MutexLock lock(mutex_);
  return Register(Of(table), slot, range);
}

absl::Status FakeHostMemory::SetBuffers(BufferTable table, uint32_t first_slot,
                                        absl::Span<const HostRange> ranges, size_t* failed) {
  const JournalScope scope(journal_);
  VMWIRE_RETURN_IF_ERROR(
      journal_.Enter(absl::StrFormat("set buffers %d+%d", first_slot, ranges.size())));
  const MutexLock lock(mutex_);
  Table& found = Of(table);
  for (size_t i = 0; i < ranges.size(); ++i) {
    const absl::Status set = Register(found, static_cast<uint32_t>(first_slot + i), ranges[i]);
    if (set.ok()) continue;
    for (size_t j = 0; j < i; ++j) found.buffers.erase(static_cast<uint32_t>(first_slot + j));
    if (failed != nullptr) *failed = i;
    return set;
  }
  return absl::OkStatus();
}

absl::Status FakeHostMemory::Register(Table& table, uint32_t slot, const HostRange& range) {
  if (slot >= table.slots) return ErrnoStatus(EINVAL, "slot");
  FakeMapping* mapping = Find(range);
  if (range.size() > kMaxBufferBytes || mapping == nullptr) return ErrnoStatus(EFAULT, "buffer");
  const uint64_t first = (range.start().value() - mapping->range.start().value()) / kPageSize;
  if (!FaultIn(*mapping, first, range.pages())) return ErrnoStatus(EFAULT, "buffer");
  // As the kernel, which charges what it has pinned already.
  if (BufferBytesLocked() + range.size() > memlock_limit_)
    return ErrnoStatus(ENOMEM, "RLIMIT_MEMLOCK");
  auto buffer = std::make_shared<FakeBuffer>(FakeBuffer{range, {}});
  buffer->frames.reserve(range.pages());
  auto frame = mapping->backing->frames.find(first);
  for (uint64_t i = 0; i < range.pages(); ++i) buffer->frames.push_back((frame++)->second);
  EXPECT_TRUE(table.buffers.emplace(slot, std::move(buffer)).second)
      << "slot " << slot << " is not empty";
  return absl::OkStatus();
}

void FakeHostMemory::ClearBuffer(BufferTable table, uint32_t slot) {
  const JournalScope scope(journal_);
  journal_.Note(absl::StrFormat("clear buffer %d", slot));
  const MutexLock lock(mutex_);
  EXPECT_EQ(Of(table).buffers.erase(slot), 1u) << "slot " << slot << " is empty";
}

const FakeBuffer* FakeHostMemory::BufferOf(BufferTable table, uint32_t slot, HostAddress start,
                                           uint64_t size) {
  const Table& found = Of(table);
  const auto buffer = found.buffers.find(slot);
  if (buffer == found.buffers.end()) return nullptr;
  const HostRange& range = buffer->second->range;
  const std::optional<uint64_t> offset = start.OffsetFrom(range.start());
  const bool inside =
      offset.has_value() && *offset <= range.size() && size <= range.size() - *offset;
  return inside ? buffer->second.get() : nullptr;
}

bool FakeHostMemory::StillThere(const FakeBuffer& buffer, HostAddress address) const {
  const HostAddress start(AlignDown(address.value(), kPageSize));
  const HostRange page = HostRange::Between(start, HostAddress(start.value() + kPageSize));
  const FakeMapping* mapping = Find(page);
  if (mapping == nullptr) return false;
  const uint64_t index = (start.value() - mapping->range.start().value()) / kPageSize;
  const uint64_t in_buffer = (start.value() - buffer.range.start().value()) / kPageSize;
  return mapping->backing->FrameOf(index) == buffer.frames[in_buffer];
}

absl::Status FakeHostMemory::TransferIn(BufferTable table, uint32_t slot, HostAddress to,
                                        absl::Span<const std::byte> bytes) {
  const JournalScope scope(journal_);
  VMWIRE_RETURN_IF_ERROR(journal_.Enter(absl::StrFormat("transfer in 0x%x", bytes.size())));
  const MutexLock lock(mutex_);
  const FakeBuffer* buffer = BufferOf(table, slot, to, bytes.size());
  if (buffer == nullptr) return ErrnoStatus(EFAULT, "transfer");
  for (const Piece& piece : CutAtPages(to, bytes.size())) {
    // What the address no longer leads to gets the bytes, and nobody sees them.
    if (!StillThere(*buffer, piece.at)) continue;
    std::memcpy(HostPointer(piece.at), bytes.data() + piece.offset, piece.size);
  }
  return absl::OkStatus();
}

absl::Status FakeHostMemory::TransferOut(BufferTable table, uint32_t slot, HostAddress from,
                                         absl::Span<std::byte> bytes) {
  const JournalScope scope(journal_);
  VMWIRE_RETURN_IF_ERROR(journal_.Enter(absl::StrFormat("transfer out 0x%x", bytes.size())));
  const MutexLock lock(mutex_);
  const FakeBuffer* buffer = BufferOf(table, slot, from, bytes.size());
  if (buffer == nullptr) return ErrnoStatus(EFAULT, "transfer");
  for (const Piece& piece : CutAtPages(from, bytes.size())) {
    std::byte* to = bytes.data() + piece.offset;
    // What a frame without an address held is not kept here.
    if (StillThere(*buffer, piece.at)) {
      std::memcpy(to, HostPointer(piece.at), piece.size);
    } else {
      std::memset(to, 0, piece.size);
    }
  }
  return absl::OkStatus();
}

}  // namespace vmwire
