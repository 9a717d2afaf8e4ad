// The modules of boot_plan.h: they go as high as they may, the last one first.

#include <algorithm>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/str_format.h"
#include "memory/address.h"
#include "vmm/boot/boot_plan.h"
#include "vmm/guest_layout.h"

namespace vmwire {
namespace {

// The highest start of `size` bytes, whole pages, in [kImageAddress, end) that is clear of the
// pages of the segments; nullopt if there is none.
std::optional<uint64_t> HighestRoom(const std::vector<ImageSegment>& segments, uint64_t size,
                                    uint64_t end) {
  end = AlignDown(end, kPageSize);
  // Segments ascend: what lies above the segment that is looked at has been tried.
  for (auto segment = segments.rbegin(); segment != segments.rend(); ++segment) {
    const uint64_t start = AlignDown(segment->address.value(), kPageSize);
    if (end <= start) continue;
    const uint64_t room_start = CheckedAlignUp(segment->end().value(), kPageSize).value_or(end);
    if (room_start <= end && size <= end - room_start) return end - size;
    end = start;
  }
  if (end < kImageAddress.value() || size > end - kImageAddress.value()) return std::nullopt;
  return end - size;
}

// Where the modules lie, from the last one on, that have room below `end`: all of them, or as many
// as were placed before one had none.
std::vector<GuestAddress> PlaceFromTheLast(const GuestImage& image, uint64_t end) {
  std::vector<GuestAddress> placed;
  for (auto module = image.modules.rbegin(); module != image.modules.rend(); ++module) {
    // An empty module has an address of its own too.
    const uint64_t size = std::max<uint64_t>(module->bytes.size(), 1);
    const std::optional<uint64_t> pages = CheckedAlignUp(size, kPageSize);
    const std::optional<uint64_t> start =
        pages.has_value() ? HighestRoom(image.segments, *pages, end) : std::nullopt;
    if (!start.has_value()) return placed;
    placed.push_back(GuestAddress(*start));
    end = *start;
  }
  return placed;
}

bool AllHaveRoom(const GuestImage& image, uint64_t end) {
  return PlaceFromTheLast(image, end).size() == image.modules.size();
}

absl::Status NoRoom(const GuestImage& image, const ImageModule& module, uint64_t end) {
  const std::string reason = absl::StrFormat(
      "%s: the module %s (%d bytes) has no room below 0x%x beside the image and the modules after "
      "it",
      image.path, module.path, module.bytes.size(), end);
  const std::optional<uint64_t> needed = MemoryNeededByModules(image);
  if (!needed.has_value()) {
    return absl::InvalidArgumentError(
        absl::StrFormat("%s: no memory size will do, for the image takes modules below 0x%x only",
                        reason, ModulesEnd(image)));
  }
  return absl::InvalidArgumentError(
      absl::StrFormat("%s: it needs --memory size=%dM or more", reason, *needed / kMiB));
}

}  // namespace

uint64_t ModulesEnd(const GuestImage& image) {
  if (ProtocolOf(image.format) != BootProtocol::kLinux) return kMmioHoleStart.value();
  return std::min(uint64_t{image.linux_setup.initrd_address_max} + 1, kMmioHoleStart.value());
}

std::optional<uint64_t> MemoryNeededByModules(const GuestImage& image) {
  const uint64_t limit = ModulesEnd(image);
  if (!AllHaveRoom(image, limit)) return std::nullopt;
  // With more memory each module lies as high or higher, so that halving finds the least.
  uint64_t enough = CheckedAlignUp(limit, kMiB).value_or(limit) / kMiB;
  uint64_t too_little = 0;
  while (enough - too_little > 1) {
    const uint64_t middle = too_little + (enough - too_little) / 2;
    (AllHaveRoom(image, std::min(middle * kMiB, limit)) ? enough : too_little) = middle;
  }
  return enough * kMiB;
}

absl::StatusOr<std::vector<GuestAddress>> PlaceModules(const GuestImage& image,
                                                       const GuestLayout& layout) {
  const uint64_t end = std::min(layout.ram().front().end().value(), ModulesEnd(image));
  std::vector<GuestAddress> placed = PlaceFromTheLast(image, end);
  if (placed.size() < image.modules.size()) {
    return NoRoom(image, image.modules[image.modules.size() - 1 - placed.size()], end);
  }
  std::reverse(placed.begin(), placed.end());
  return placed;
}

}  // namespace vmwire
