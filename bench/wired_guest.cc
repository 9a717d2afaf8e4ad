#include "bench/wired_guest.h"

#include <cstdio>
#include <cstdlib>
#include <thread>
#include <utility>

#include "memory/mlock_pinner.h"
#include "memory/uring_pinner.h"

namespace vmwire::bench {
namespace {

void Require(const absl::Status& status) {
  if (status.ok()) return;
  std::fprintf(stderr, "%s\n", status.ToString().c_str());
  std::exit(1);
}

std::unique_ptr<Pinner> MakePinner(HostMemory& host, PinLevel level) {
  const PopulateOptions populate{.max_threads = std::thread::hardware_concurrency()};
  if (level == PinLevel::kPinned) return std::make_unique<UringPinner>(host, populate);
  return std::make_unique<MlockPinner>(host, populate);
}

}  // namespace

WiredGuest::WiredGuest(uint64_t bytes, MemoryBacking backing, HugePages pages, PinLevel level)
    : budget_({}), pinner_(MakePinner(host_, level)) {
  pins_.emplace(*pinner_, budget_);
  map_.emplace(*pins_, VmMap::Options{});
  auto range = GuestRange::Create(GuestAddress(0), bytes);
  Require(range.status());
  range_ = *range;
  auto object = VmObject::Create(host_, {.size = bytes, .backing = backing, .huge_pages = pages});
  Require(object.status());
  Require(map_->Map(*range_, *std::move(object), 0, Protection::kAll));
}

}  // namespace vmwire::bench
