#include "memory/guest_memory.h"

#include <algorithm>
#include <cstring>
#include <memory>
#include <optional>
#include <utility>
#include <vector>

#include "absl/container/inlined_vector.h"
#include "absl/strings/str_format.h"
#include "memory/read_section.h"
#include "memory/status_macros.h"

namespace vmwire {
namespace {

// OK if `address`, which `entry` holds (nullopt: none does), may be accessed; else why not.
absl::Status CheckAccess(const std::optional<VmMapEntry>& entry, GuestAddress address,
                         Protection access) {
  if (!entry.has_value()) {
    return absl::NotFoundError(
        absl::StrFormat("nothing is mapped at guest address 0x%x", address.value()));
  }
  if (entry->IsGuard() || !Allows(entry->protection, access)) {
    return absl::PermissionDeniedError(
        absl::StrFormat("access %s to guest address 0x%x is not allowed by entry %s",
                        ToString(access), address.value(), ToString(*entry)));
  }
  if (entry->object->simulation() != nullptr) {
    return absl::FailedPreconditionError(
        absl::StrFormat("guest address 0x%x has no host memory: its object is simulated, entry %s",
                        address.value(), ToString(*entry)));
  }
  if (entry->OffsetOf(address) < entry->object->size()) return absl::OkStatus();
  return absl::OutOfRangeError(
      absl::StrFormat("guest address 0x%x lies past the end of its object, entry %s",
                      address.value(), ToString(*entry)));
}

using Spans = absl::InlinedVector<std::span<std::byte>, 2>;

// The host bytes of [address, end) by the map's translations. False: the map has to be asked.
bool FindSpans(const TranslationTable& translations, GuestAddress address, GuestAddress end,
               Protection access, Spans& spans) {
  while (address < end) {
    Translation found;
    if (!translations.Lookup(address, 1, found) || !Allows(found.protection, access)) return false;
    const uint64_t size = std::min(found.bytes_left, end.value() - address.value());
    spans.emplace_back(HostPointer(found.host), size);
    address = GuestAddress(address.value() + size);
  }
  return true;
}

// The same by the map's entries, which `objects` keeps alive; or why not.
absl::Status AskMap(const VmMap& map, GuestAddress address, GuestAddress end, Protection access,
                    Spans& spans, std::vector<std::shared_ptr<VmObject>>& objects) {
  while (address < end) {
    std::optional<VmMapEntry> entry = map.Lookup(address);
    VMWIRE_RETURN_IF_ERROR(CheckAccess(entry, address, access));
    const uint64_t offset = entry->OffsetOf(address);
    const uint64_t size =
        std::min({end.value() - address.value(), entry->range.end().value() - address.value(),
                  entry->object->size() - offset});
    spans.emplace_back(HostPointer(entry->object->host_range().start()) + offset, size);
    objects.push_back(std::move(entry->object));
    address = GuestAddress(address.value() + size);
  }
  return absl::OkStatus();
}

}  // namespace

absl::Status GuestMemory::ForEachSpan(
    GuestAddress address, uint64_t size, Protection access,
    const std::function<void(std::span<std::byte>)>& visit) const {
  const std::optional<GuestAddress> end = address.CheckedAdd(size);
  if (!end.has_value()) {
    return absl::OutOfRangeError(
        absl::StrFormat("guest range 0x%x+0x%x wraps", address.value(), size));
  }
  Spans spans;
  {
    const ReadGuard guard;
    if (FindSpans(map_.translations(), address, *end, access, spans)) {
      for (const std::span<std::byte> bytes : spans) visit(bytes);
      return absl::OkStatus();
    }
  }
  spans.clear();
  std::vector<std::shared_ptr<VmObject>> objects;
  VMWIRE_RETURN_IF_ERROR(AskMap(map_, address, *end, access, spans, objects));
  for (const std::span<std::byte> bytes : spans) visit(bytes);
  return absl::OkStatus();
}

absl::Status GuestMemory::Read(GuestAddress address, std::span<std::byte> out) const {
  return ForEachSpan(address, out.size(), Protection::kRead, [&out](std::span<std::byte> bytes) {
    std::memcpy(out.data(), bytes.data(), bytes.size());
    out = out.subspan(bytes.size());
  });
}

absl::Status GuestMemory::Write(GuestAddress address, std::span<const std::byte> in) const {
  return ForEachSpan(address, in.size(), Protection::kWrite, [&in](std::span<std::byte> bytes) {
    std::memcpy(bytes.data(), in.data(), bytes.size());
    in = in.subspan(bytes.size());
  });
}

absl::Status GuestMemory::Zero(GuestAddress address, uint64_t size) const {
  return ForEachSpan(address, size, Protection::kWrite, [](std::span<std::byte> bytes) {
    std::memset(bytes.data(), 0, bytes.size());
  });
}

}  // namespace vmwire
