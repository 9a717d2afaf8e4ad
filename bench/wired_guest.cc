#include "bench/wired_guest.h"

#include <utility>

#include "memory/guarded_pinner.h"
#include "memory/host_limits.h"
#include "memory/mlock_pinner.h"
#include "memory/status_macros.h"
#include "memory/uring_pinner.h"

namespace vmwire::bench {
namespace {

std::unique_ptr<Pinner> MakePinner(HostMemory& host, const GuestOptions& options) {
  const PopulateOptions populate{.max_threads = options.threads != 0
                                                    ? options.threads
                                                    : static_cast<uint32_t>(CountUsableCpus())};
  switch (options.level) {
    case PinLevel::kPinned:
      return std::make_unique<UringPinner>(host, populate);
    case PinLevel::kGuarded:
      return std::make_unique<GuardedPinner>(host, populate);
    case PinLevel::kResident:
      break;
  }
  return std::make_unique<MlockPinner>(host, populate);
}

}  // namespace

absl::StatusOr<std::unique_ptr<WiredGuest>> WiredGuest::Create(const GuestOptions& options) {
  VMWIRE_ASSIGN_OR_RETURN(const GuestRange range,
                          GuestRange::Create(GuestAddress(0), options.bytes));
  std::unique_ptr<WiredGuest> guest(new WiredGuest(options, range));
  VMWIRE_ASSIGN_OR_RETURN(guest->object_, guest->Map(range, options));
  if (options.level != PinLevel::kResident) VMWIRE_RETURN_IF_ERROR(guest->WireScratchPage());
  return guest;
}

WiredGuest::WiredGuest(const GuestOptions& options, const GuestRange& range)
    : range_(range),
      budget_({}),
      pinner_(MakePinner(host_, options)),
      pins_(*pinner_, budget_, PinCacheOptions{.capacity_bytes = options.pin_cache_bytes}),
      map_(pins_, VmMap::Options{}) {}

absl::StatusOr<std::shared_ptr<VmObject>> WiredGuest::Map(const GuestRange& range,
                                                          const GuestOptions& options) {
  VMWIRE_ASSIGN_OR_RETURN(std::shared_ptr<VmObject> object,
                          VmObject::Create(host_, {.size = range.size(),
                                                   .congruent_to = range.start(),
                                                   .backing = options.backing,
                                                   .huge_pages = options.pages}));
  VMWIRE_RETURN_IF_ERROR(map_.Map(range, object, 0, Protection::kAll));
  return object;
}

absl::Status WiredGuest::WireScratchPage() {
  VMWIRE_ASSIGN_OR_RETURN(const GuestRange page, GuestRange::Create(range_.end(), kPageSize));
  VMWIRE_RETURN_IF_ERROR(Map(page, {.pages = HugePages::kNone}).status());
  VMWIRE_RETURN_IF_ERROR(map_.Wire(page).status());
  return map_.Remove(page);
}

absl::Status TryToWire(const GuestOptions& options) {
  VMWIRE_ASSIGN_OR_RETURN(const std::unique_ptr<WiredGuest> guest, WiredGuest::Create(options));
  return guest->map().Wire(guest->range()).status();
}

}  // namespace vmwire::bench
