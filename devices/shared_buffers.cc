#include "devices/shared_buffers.h"

#include <algorithm>
#include <optional>

#include "devices/dma_mapping.h"
#include "memory/pin_table.h"
#include "memory/status_macros.h"
#include "memory/vm_map_entry.h"

namespace vmwire {
namespace {

// Appends the buffers that hold pages of `entry`, once each.
void AppendBuffersOf(const VmMapEntry& entry, std::vector<PinnedBuffer>& buffers) {
  const PageRun pages = entry.Pages();
  for (uint64_t page = pages.first; page < pages.end;) {
    const std::optional<PinnedBuffer> buffer = PinTable::BufferOf(*entry.object, page);
    if (!buffer.has_value()) {
      ++page;
      continue;
    }
    buffers.push_back(*buffer);
    const uint64_t object_start = entry.object->host_range().start().value();
    page = std::max(page + 1, (buffer->range.end().value() - object_start) / kPageSize);
  }
}

bool IsBelow(const PinnedBuffer& a, const PinnedBuffer& b) {
  return a.range.start() < b.range.start();
}

}  // namespace

absl::StatusOr<std::unique_ptr<SharedBuffers>> SharedBuffers::Create(HostMemory& host, VmMap& map,
                                                                     int ring) {
  std::vector<PinnedBuffer> buffers;
  std::optional<VmMapEntry> entry = map.LookupFrom(GuestAddress(0));
  while (entry.has_value()) {
    if (entry->IsWired()) AppendBuffersOf(*entry, buffers);
    entry = map.LookupFrom(entry->range.end());
  }
  if (buffers.empty()) {
    return absl::UnimplementedError("no registered buffer holds guest memory that is wired now");
  }
  // An extent may reach over several entries.
  std::sort(buffers.begin(), buffers.end(), IsBelow);
  const auto same = [](const PinnedBuffer& a, const PinnedBuffer& b) { return a.slot == b.slot; };
  buffers.erase(std::unique(buffers.begin(), buffers.end(), same), buffers.end());
  const BufferTable table = buffers.front().table;
  for (const PinnedBuffer& buffer : buffers) {
    if (buffer.table != table) {
      return absl::UnimplementedError("guest memory was pinned by more than one table of buffers");
    }
  }
  VMWIRE_RETURN_IF_ERROR(host.CloneIntoRing(table, ring));
  return std::unique_ptr<SharedBuffers>(new SharedBuffers(host, ring, std::move(buffers)));
}

SharedBuffers::~SharedBuffers() { host_.ClearRing(ring_); }

int32_t SharedBuffers::Find(std::span<const std::byte> bytes) const {
  const auto start = reinterpret_cast<uintptr_t>(bytes.data());
  const auto above = std::upper_bound(buffers_.begin(), buffers_.end(), start,
                                      [](uintptr_t address, const PinnedBuffer& buffer) {
                                        return address < buffer.range.start().value();
                                      });
  if (above == buffers_.begin()) return DmaPiece::kNoBuffer;
  const PinnedBuffer& buffer = *std::prev(above);
  const bool whole = start + bytes.size() <= buffer.range.end().value();
  return whole ? static_cast<int32_t>(buffer.slot) : DmaPiece::kNoBuffer;
}

}  // namespace vmwire
