#include "tests/kernel/disturbance/wired_region.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <cstring>

#include "absl/strings/str_format.h"
#include "memory/status_macros.h"
#include "tests/kernel/disturbance/host_settings.h"
#include "tests/support/map_fixture.h"
#include "tests/support/status_matchers.h"

namespace vmwire {
namespace {

constexpr uint64_t kPages = WiredRegion::kSize / kPageSize;
constexpr uint64_t kTransfers = 16;

MemoryBacking ObjectBacking(RegionKind kind) {
  switch (BackingOf(kind)) {
    case PinBacking::kAnonymous:
      return MemoryBacking::kAnonymous;
    case PinBacking::kMemfd:
      return MemoryBacking::kMemfd;
    case PinBacking::kHugetlbMemfd:
      return MemoryBacking::kHugetlb;
    case PinBacking::kGuestMemfd:
      break;
  }
  return MemoryBacking::kGuestMemfd;
}

}  // namespace

PinBacking BackingOf(RegionKind kind) {
  switch (kind) {
    case RegionKind::kAnonymousSmall:
    case RegionKind::kAnonymousHuge:
      return PinBacking::kAnonymous;
    case RegionKind::kMemfd:
    case RegionKind::kMemfdSealed:
      return PinBacking::kMemfd;
    case RegionKind::kHugetlb:
      return PinBacking::kHugetlbMemfd;
    case RegionKind::kGuestMemfd:
      break;
  }
  return PinBacking::kGuestMemfd;
}

std::string ToString(RegionKind kind) {
  constexpr std::array kNames = {"anonymous_4k", "anonymous_thp", "memfd",
                                 "memfd_sealed", "hugetlb",       "guest_memfd"};
  return kNames[static_cast<size_t>(kind)];
}

std::string RegionChange::ToString() const {
  return absl::StrFormat("of %d pages %d gone, %d moved, %d lost; transfers seen %d/%d", pages,
                         gone, moved, lost, seen, transfers);
}

WiredRegion::WiredRegion(PinLevel level, RegionKind kind)
    : kind_(kind),
      pinner_(MakePinner(level, host_)),
      budget_({}),
      pins_(*pinner_, budget_),
      map_(pins_, {}) {}

absl::StatusOr<std::unique_ptr<WiredRegion>> WiredRegion::Create(PinLevel level, RegionKind kind) {
  std::unique_ptr<WiredRegion> region(new WiredRegion(level, kind));
  VMWIRE_RETURN_IF_ERROR(region->MakeObject());
  VMWIRE_RETURN_IF_ERROR(AsMissing(region->Wire()));
  return region;
}

GuestRange WiredRegion::guest() const { return Pages(0, kPages); }

absl::Status WiredRegion::MakeObject() {
  if (kind_ == RegionKind::kGuestMemfd) {
    VMWIRE_ASSIGN_OR_RETURN(guest_memfd_, GuestMemfd::Create(kSize));
    auto object = VmObject::FromFile(host_, guest_memfd_->file(), MemoryBacking::kGuestMemfd, kSize,
                                     GuestAddress(0));
    if (!object.ok()) return AsMissing(object.status());
    object_ = *std::move(object);
    return absl::OkStatus();
  }
  auto object = VmObject::Create(
      host_, {.size = kSize,
              .backing = ObjectBacking(kind_),
              .huge_pages =
                  kind_ == RegionKind::kAnonymousHuge ? HugePages::kTransparent : HugePages::kNone,
              .sealed = kind_ == RegionKind::kMemfdSealed});
  if (!object.ok()) return AsMissing(object.status());
  object_ = *std::move(object);
  return absl::OkStatus();
}

absl::Status WiredRegion::Wire() {
  VMWIRE_RETURN_IF_ERROR(map_.Map(guest(), object_, 0, Protection::kReadWrite));
  VMWIRE_ASSIGN_OR_RETURN(wired_, map_.Wire(guest()));
  if (kind_ == RegionKind::kAnonymousHuge) {
    VMWIRE_ASSIGN_OR_RETURN(const HostUsage usage, host_.Usage(host()));
    if (usage.huge_bytes != kSize) return absl::UnavailableError("no transparent huge pages here");
  }
  Rewrite(/*same_pages=*/false);
  VMWIRE_ASSIGN_OR_RETURN(frames_, host_.Frames(host()));
  EXPECT_EQ(std::count(frames_.begin(), frames_.end(), 0u), 0);
  return absl::OkStatus();
}

void WiredRegion::Rewrite(bool same_pages) {
  ++version_;
  bytes_.resize(kSize);
  for (uint64_t page = 0; page < kPages; ++page) {
    for (uint64_t i = 0; i < kPageSize; ++i) {
      const uint64_t salt = same_pages ? 0 : page * 31 + page / 256;
      bytes_[page * kPageSize + i] = static_cast<std::byte>(i + i / 256 + salt + version_);
    }
  }
  std::memcpy(data(), bytes_.data(), kSize);
}

RegionChange WiredRegion::Look() {
  RegionChange change = {.pages = kPages};
  const auto before_touch = host_.Frames(host());
  EXPECT_THAT(before_touch, IsOk());
  // This is the touch.
  for (uint64_t offset = 0; offset < kSize; offset += kPageSize) {
    if (std::memcmp(data() + offset, &bytes_[offset], kPageSize) != 0) ++change.lost;
  }
  const auto after_touch = host_.Frames(host());
  EXPECT_THAT(after_touch, IsOk());
  if (!before_touch.ok() || !after_touch.ok()) return change;
  for (uint64_t page = 0; page < kPages; ++page) {
    if ((*before_touch)[page] == 0) ++change.gone;
    if ((*after_touch)[page] != frames_[page]) ++change.moved;
  }
  Transfer(change);
  return change;
}

void WiredRegion::Transfer(RegionChange& change) {
  if (level() == PinLevel::kResident) return;
  for (uint64_t i = 0; i < kTransfers; ++i) {
    const uint64_t page = i * (kPages / kTransfers) + i;
    const uint64_t offset = page * kPageSize + i * 64;
    const auto buffer = PinTable::BufferOf(*object_, page);
    ASSERT_TRUE(buffer.has_value()) << "page " << page << " is in no buffer";
    std::array<std::byte, 64> bytes;
    bytes.fill(static_cast<std::byte>(0xa0 + i + version_));
    const HostAddress to(host().start().value() + offset);
    ASSERT_THAT(host_.TransferIn(buffer->table, buffer->slot, to, bytes), IsOk());
    ++change.transfers;
    if (std::memcmp(data() + offset, bytes.data(), bytes.size()) == 0) ++change.seen;
    std::memcpy(&bytes_[offset], bytes.data(), bytes.size());
  }
}

}  // namespace vmwire
