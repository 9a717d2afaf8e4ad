#include "tests/support/map_fixture.h"

#include <gtest/gtest.h>

#include <chrono>
#include <utility>
#include <vector>

#include "absl/strings/str_format.h"
#include "memory/guarded_pinner.h"
#include "memory/mlock_pinner.h"
#include "memory/uring_pinner.h"

namespace vmwire {
namespace {

std::vector<WireBudget::Limit> Limits(const TestMapOptions& options) {
  if (!options.budget_pages.has_value()) return {};
  return {{"the test's limit", *options.budget_pages * kPageSize, "raise it in the test"}};
}

VmMap::Options MapOptions(const TestMapOptions& options) {
  return {.min = Page(options.first_page),
          .max = Page(options.end_page),
          .user_wire_limit = options.user_limit_pages,
          .max_system_wires = options.max_system_wires};
}

}  // namespace

GuestRange Pages(uint64_t first, uint64_t end) {
  return GuestRange::Between(Page(first), Page(end));
}

std::unique_ptr<Pinner> MakePinner(PinLevel level, HostMemory& host) {
  // The fake host un-charges at once.
  const BufferOptions buffers{.late_unpin = std::chrono::milliseconds(0)};
  switch (level) {
    case PinLevel::kResident:
      return std::make_unique<MlockPinner>(host, PopulateOptions{});
    case PinLevel::kPinned:
      return std::make_unique<UringPinner>(host, PopulateOptions{}, buffers);
    case PinLevel::kGuarded:
      break;
  }
  return std::make_unique<GuardedPinner>(host, PopulateOptions{}, UINT64_MAX, buffers);
}

TestMap::TestMap(const TestMapOptions& options)
    : host_(journal_),
      pinner_(MakePinner(options.level, host_)),
      budget_(Limits(options)),
      pins_(*pinner_, budget_, {.capacity_bytes = options.cache_pages * kPageSize}),
      map_(pins_, MapOptions(options)) {}

std::shared_ptr<VmObject> TestMap::NewObject(uint64_t pages, MemoryBacking backing) {
  auto object = VmObject::Create(host_, {.size = pages * kPageSize, .backing = backing});
  EXPECT_TRUE(object.ok()) << object.status();
  return *std::move(object);
}

absl::Status TestMap::MapPages(uint64_t first, uint64_t end, std::shared_ptr<VmObject> object,
                               uint64_t object_page, Protection protection) {
  return map_.Map(Pages(first, end), std::move(object), object_page * kPageSize, protection);
}

std::shared_ptr<VmObject> TestMap::Add(uint64_t first, uint64_t end, Protection protection) {
  std::shared_ptr<VmObject> object = NewObject(end - first);
  const absl::Status mapped = MapPages(first, end, object, 0, protection);
  EXPECT_TRUE(mapped.ok()) << mapped;
  return object;
}

std::string TestMap::Wires(uint64_t first, uint64_t end) const {
  std::string text;
  for (uint64_t page = first; page < end; ++page) {
    const std::optional<VmMapEntry> entry = map_.Lookup(Page(page));
    if (!entry.has_value()) {
      text += '.';
    } else {
      text += static_cast<char>((entry->user_wired ? 'u' : '0') + entry->system_wires);
    }
  }
  return text;
}

std::string TestMap::Pinned(const VmObject& object) const {
  std::string text;
  for (const bool pinned : host_.PinnedPages(object.host_range())) text += pinned ? '1' : '0';
  return text;
}

uint64_t TestMap::HostPinnedPages() const {
  return (pins_.level() == PinLevel::kResident ? host_.locked_bytes() : host_.buffer_bytes()) /
         kPageSize;
}

std::string TestMap::State() const {
  return absl::StrFormat("%slocked %d buffers %d budget %d user pages %d pinned %d",
                         map_.ToString(), host_.locked_bytes(), host_.buffer_bytes(),
                         budget_.used(), map_.user_wired_pages(), pins_.pinned_bytes());
}

}  // namespace vmwire
