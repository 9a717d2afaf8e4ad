#include "devices/dma_engine/dma_operation.h"

#include <algorithm>
#include <cstddef>
#include <cstring>
#include <span>
#include <utility>

#include "absl/strings/str_format.h"
#include "devices/dma_engine/crc32c.h"
#include "devices/dma_engine/dma_buffer.h"

namespace vmwire {
namespace {

using Abort = std::atomic<bool>;

bool IsSet(const Abort& abort) { return abort.load(std::memory_order_relaxed); }

// Calls visit(offset, bytes) for each run of `buffer` that is one piece and at most a chunk. False:
// aborted.
template <typename Visit>
bool ForEachRun(const DmaBuffer& buffer, const Abort& abort, const Visit& visit) {
  for (uint64_t offset = 0; offset < buffer.size();) {
    if (IsSet(abort)) return false;
    const std::span<std::byte> from = buffer.From(offset);
    const std::span<std::byte> run = from.first(std::min<uint64_t>(from.size(), kDmaChunk));
    visit(offset, run);
    offset += run.size();
  }
  return true;
}

bool CopyUpwards(const DmaBuffer& source, const DmaBuffer& destination, const Abort& abort) {
  return ForEachRun(destination, abort, [&source](uint64_t offset, std::span<std::byte> to) {
    while (!to.empty()) {
      const std::span<const std::byte> from = source.From(offset);
      const size_t count = std::min(from.size(), to.size());
      std::memmove(to.data(), from.data(), count);
      offset += count;
      to = to.subspan(count);
    }
  });
}

bool CopyDownwards(const DmaBuffer& source, const DmaBuffer& destination, const Abort& abort) {
  for (uint64_t end = destination.size(); end > 0;) {
    if (IsSet(abort)) return false;
    const std::span<std::byte> to = destination.Before(end);
    const std::span<const std::byte> from = source.Before(end);
    const size_t count = std::min({to.size(), from.size(), size_t{kDmaChunk}});
    std::memmove(to.last(count).data(), from.last(count).data(), count);
    end -= count;
  }
  return true;
}

bool Fill(const DmaBuffer& destination, uint64_t pattern, const Abort& abort) {
  return ForEachRun(destination, abort, [pattern](uint64_t offset, std::span<std::byte> to) {
    // A run may begin anywhere in the pattern; seen from there it is the pattern turned.
    const auto shift = static_cast<int>(offset % sizeof(pattern)) * 8;
    const uint64_t turned = shift == 0 ? pattern : pattern >> shift | pattern << (64 - shift);
    while (to.size() >= sizeof(turned)) {
      std::memcpy(to.data(), &turned, sizeof(turned));
      to = to.subspan(sizeof(turned));
    }
    if (!to.empty()) std::memcpy(to.data(), &turned, to.size());
  });
}

// Fills `outcome`. False: aborted.
bool Compare(const DmaBuffer& source, const DmaBuffer& destination, const Abort& abort,
             DmaOutcome& outcome) {
  for (uint64_t offset = 0; offset < source.size();) {
    if (IsSet(abort)) return false;
    const std::span<const std::byte> a = source.From(offset);
    const std::span<const std::byte> b = destination.From(offset);
    const size_t count = std::min({a.size(), b.size(), size_t{kDmaChunk}});
    if (std::memcmp(a.data(), b.data(), count) != 0) {
      const auto differ =
          std::mismatch(a.begin(), a.begin() + static_cast<ptrdiff_t>(count), b.begin());
      outcome.status = DmaStatus::kMismatch;
      // The guest may write meanwhile: if they are equal by now, the difference was in this run.
      const auto equal = static_cast<uint64_t>(differ.first - a.begin());
      outcome.result = offset + (equal < count ? equal : 0);
      return true;
    }
    offset += count;
  }
  return true;
}

bool Checksum(const DmaBuffer& source, uint64_t operand, const Abort& abort, DmaOutcome& outcome) {
  auto crc = static_cast<uint32_t>(operand);
  if (!ForEachRun(source, abort,
                  [&crc](uint64_t, std::span<const std::byte> from) { crc = Crc32c(crc, from); })) {
    return false;
  }
  outcome.result = crc;
  return true;
}

// What is wrong with the fields of `descriptor` by themselves.
DmaOutcome CheckFields(const DmaDescriptor& descriptor) {
  const auto error = [&descriptor](DmaStatus status, std::string what) {
    return DmaOutcome{.status = status,
                      .result = 0,
                      .cause = absl::InvalidArgumentError(
                          absl::StrFormat("descriptor 0x%x: %s", descriptor.id, std::move(what)))};
  };
  if (descriptor.opcode > static_cast<uint16_t>(DmaOpcode::kChecksum)) {
    return error(DmaStatus::kBadOpcode,
                 absl::StrFormat("there is no operation %d", descriptor.opcode));
  }
  if ((descriptor.flags & ~kDmaKnownFlags) != 0) {
    return error(DmaStatus::kBadFlags, absl::StrFormat("unknown flags 0x%x", descriptor.flags));
  }
  if (descriptor.reserved[0] != 0 || descriptor.reserved[1] != 0) {
    return error(DmaStatus::kBadFlags, "a reserved field is not 0");
  }
  if (descriptor.length > kMaxDmaLength) {
    return error(DmaStatus::kBadLength, absl::StrFormat("0x%x bytes; one descriptor may have 0x%x",
                                                        descriptor.length, kMaxDmaLength));
  }
  return {};
}

absl::StatusOr<DmaBuffer> MapSource(DmaPort& port, const DmaDescriptor& descriptor) {
  const GuestAddress address(descriptor.source);
  constexpr DmaDirection kDirection = DmaDirection::kToDevice;
  if ((descriptor.flags & kDmaSourceList) == 0) {
    return DmaBuffer::MapRun(port, address, descriptor.length, kDirection);
  }
  return DmaBuffer::MapList(port, address, descriptor.source_segments, descriptor.length,
                            kDirection);
}

absl::StatusOr<DmaBuffer> MapDestination(DmaPort& port, const DmaDescriptor& descriptor,
                                         DmaDirection direction) {
  const GuestAddress address(descriptor.destination);
  if ((descriptor.flags & kDmaDestinationList) == 0) {
    return DmaBuffer::MapRun(port, address, descriptor.length, direction);
  }
  return DmaBuffer::MapList(port, address, descriptor.destination_segments, descriptor.length,
                            direction);
}

// The outcome of a descriptor of which one side could not be mapped; `bad_address` names the side.
DmaOutcome Unmappable(const DmaDescriptor& descriptor, const absl::Status& error,
                      DmaStatus bad_address) {
  DmaStatus status = bad_address;
  if (absl::IsInvalidArgument(error)) status = DmaStatus::kBadLength;
  if (absl::IsResourceExhausted(error) || absl::IsUnavailable(error)) status = DmaStatus::kBusy;
  return {.status = status,
          .result = 0,
          .cause = absl::Status(error.code(), absl::StrFormat("descriptor 0x%x: %s", descriptor.id,
                                                              std::string(error.message())))};
}

// Whether an upward copy would overwrite what it has still to read.
bool MustGoDownwards(const DmaDescriptor& descriptor) {
  constexpr uint16_t kLists = kDmaSourceList | kDmaDestinationList;
  return (descriptor.flags & kLists) == 0 && descriptor.destination > descriptor.source &&
         descriptor.destination - descriptor.source < descriptor.length;
}

}  // namespace

std::optional<DmaOutcome> ExecuteDma(DmaPort& port, const DmaDescriptor& descriptor,
                                     const std::atomic<bool>& abort) {
  DmaOutcome outcome = CheckFields(descriptor);
  if (outcome.status != DmaStatus::kOk) return outcome;
  const auto opcode = static_cast<DmaOpcode>(descriptor.opcode);
  if (opcode == DmaOpcode::kNone) return outcome;

  std::optional<DmaBuffer> source;
  if (opcode != DmaOpcode::kFill) {
    absl::StatusOr<DmaBuffer> mapped = MapSource(port, descriptor);
    if (!mapped.ok()) return Unmappable(descriptor, mapped.status(), DmaStatus::kBadSource);
    source = *std::move(mapped);
  }
  std::optional<DmaBuffer> destination;
  if (opcode != DmaOpcode::kChecksum) {
    absl::StatusOr<DmaBuffer> mapped = MapDestination(
        port, descriptor,
        opcode == DmaOpcode::kCompare ? DmaDirection::kToDevice : DmaDirection::kFromDevice);
    if (!mapped.ok()) return Unmappable(descriptor, mapped.status(), DmaStatus::kBadDestination);
    destination = *std::move(mapped);
  }

  bool finished = true;
  switch (opcode) {
    case DmaOpcode::kNone:
      break;
    case DmaOpcode::kCopy:
      finished = MustGoDownwards(descriptor) ? CopyDownwards(*source, *destination, abort)
                                             : CopyUpwards(*source, *destination, abort);
      break;
    case DmaOpcode::kFill:
      finished = Fill(*destination, descriptor.operand, abort);
      break;
    case DmaOpcode::kCompare:
      finished = Compare(*source, *destination, abort, outcome);
      break;
    case DmaOpcode::kChecksum:
      finished = Checksum(*source, descriptor.operand, abort, outcome);
      break;
  }
  if (!finished) return std::nullopt;
  return outcome;
}

}  // namespace vmwire
