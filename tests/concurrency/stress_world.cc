#include "tests/concurrency/stress_world.h"

#include <gtest/gtest.h>

#include <utility>

#include "memory/guarded_pinner.h"
#include "memory/host_memory_linux.h"
#include "tests/fakes/fake_host_memory.h"
#include "tests/fakes/journal.h"
#include "tests/support/eventually.h"
#include "tests/support/map_fixture.h"
#include "tests/support/status_matchers.h"

namespace vmwire {
namespace {

class FakeStressHost final : public StressHost {
 public:
  HostMemory& memory() override { return host_; }
  void MoveFrames(const HostRange& range) override { host_.MoveFrames(range); }
  void ComparePins(const std::vector<std::shared_ptr<VmObject>>& objects,
                   uint64_t pinned_bytes) override {
    // Its entries would fill the memory.
    journal_.Clear();
    EXPECT_EQ(host_.locked_bytes(), pinned_bytes);
    EXPECT_EQ(host_.buffer_bytes(), pinned_bytes);
    for (const std::shared_ptr<VmObject>& object : objects) {
      for (uint64_t page = 0; page < kObjectPages; ++page) {
        const HostRange at = *object->HostSlice(page * kPageSize, kPageSize);
        const bool pinned = PinTable::IsPinned(*object, page);
        EXPECT_EQ(host_.IsLocked(at), pinned) << page;
        EXPECT_EQ(host_.IsInBuffers(at), pinned) << page;
      }
    }
  }

 private:
  Journal journal_;
  FakeHostMemory host_{journal_};
};

class RealStressHost final : public StressHost {
 public:
  HostMemory& memory() override { return host_; }
  void MoveFrames(const HostRange&) override {}
  void ComparePins(const std::vector<std::shared_ptr<VmObject>>&, uint64_t pinned_bytes) override {
    // io_uring takes a buffer off VmPin in its own time.
    const auto pins = Eventually([this] { return *host_.Pins(); },
                                 [&](const ProcessPins& now) {
                                   return now.pinned_bytes == before_.pinned_bytes + pinned_bytes;
                                 });
    EXPECT_EQ(pins.pinned_bytes, before_.pinned_bytes + pinned_bytes);
    EXPECT_EQ(pins.locked_bytes, before_.locked_bytes + pinned_bytes);
  }

 private:
  HostMemoryLinux host_;
  const ProcessPins before_ = host_.Pins().value_or(ProcessPins{});
};

MemoryBacking BackingOf(size_t object) {
  return object == 1 ? MemoryBacking::kMemfd : MemoryBacking::kAnonymous;
}

}  // namespace

std::unique_ptr<StressHost> NewFakeStressHost() { return std::make_unique<FakeStressHost>(); }
std::unique_ptr<StressHost> NewRealStressHost() { return std::make_unique<RealStressHost>(); }

ObjectPage PlaceOf(size_t map, uint64_t guest_page) {
  return {(guest_page / kObjectPages + map) % kStressObjects, guest_page % kObjectPages};
}

StressWorld::StressWorld(std::unique_ptr<StressHost> host)
    : host_(std::move(host)),
      pinner_(std::make_unique<GuardedPinner>(host_->memory(), PopulateOptions{})),
      budget_(
          {{"the stress's budget", kStressBudgetPages * kPageSize, "it is meant to be short"}}) {
  pins_.emplace(*pinner_, budget_,
                PinCacheOptions{.capacity_bytes = kStressCachePages * kPageSize});
  for (size_t i = 0; i < kStressObjects; ++i) {
    auto object = VmObject::Create(host_->memory(), {.size = kObjectPages * kPageSize,
                                                     .backing = BackingOf(i),
                                                     .huge_pages = HugePages::kNone});
    EXPECT_THAT(object, IsOk());
    objects_.push_back(*std::move(object));
  }
  for (size_t i = 0; i < kStressMaps; ++i) {
    maps_.push_back(std::make_unique<VmMap>(
        *pins_,
        VmMap::Options{.max = Page(kGuestPages), .user_wire_limit = kStressUserLimitPages}));
    for (uint64_t first = 0; first < kGuestPages; first += kObjectPages) {
      EXPECT_THAT(MapPages(i, first, first + kObjectPages), IsOk());
    }
  }
}

absl::Status StressWorld::CheckHostPins() { return maps_[0]->Wire(Pages(0, 1)).status(); }

absl::Status StressWorld::MapPages(size_t map, uint64_t first, uint64_t end) {
  const ObjectPage place = PlaceOf(map, first);
  return maps_[map]->Map(Pages(first, end), objects_[place.object], place.page * kPageSize,
                         Protection::kReadWrite);
}

uint64_t& StressWorld::WordOf(const ObjectPage& page, size_t word) const {
  const HostAddress start = objects_[page.object]->host_range().start();
  return static_cast<uint64_t*>(
      static_cast<void*>(HostPointer(HostAddress(start.value() + page.page * kPageSize))))[word];
}

void StressWorld::CompareEntries(size_t map, const StressBook& book, Wires& wires) {
  EXPECT_THAT(maps_[map]->CheckInvariants(), IsOk());
  EXPECT_LE(maps_[map]->user_wired_pages(), kStressUserLimitPages);
  for (uint64_t guest = 0; guest < kGuestPages; ++guest) {
    const StressBook::GuestPage& expected = book.guest[map][guest];
    const std::optional<VmMapEntry> entry = maps_[map]->Lookup(Page(guest));
    if (!entry.has_value()) {
      EXPECT_EQ(expected.tokens + expected.counted + expected.mapped, 0u) << guest;
      continue;
    }
    EXPECT_EQ(entry->transition, nullptr) << guest;
    EXPECT_EQ(entry->token_wires, expected.tokens) << guest;
    EXPECT_EQ(entry->system_wires, expected.tokens + expected.counted) << guest;
    EXPECT_EQ(entry->mapped_tokens, expected.mapped) << guest;
    const ObjectPage place = PlaceOf(map, guest);
    EXPECT_EQ(entry->object, objects_[place.object]) << guest;
    EXPECT_EQ(entry->OffsetOf(Page(guest)), place.page * kPageSize) << guest;
    if (entry->IsWired()) ++wires[place.object][place.page];
  }
}

void StressWorld::CompareExtents(size_t index, const StressBook& book, const Wires& wires) {
  VmObject& object = *objects_[index];
  for (uint64_t page = 0; page < kObjectPages; ++page) {
    const StressBook::OfObject& of_page = book.object[index][page];
    EXPECT_EQ(object.pages().WireCount(page), wires[index][page] + of_page.by_itself) << page;
    EXPECT_TRUE(PinTable::IsPinned(object, page) ||
                object.pages().WireCount(page) + of_page.holds == 0)
        << "page " << page << " of object " << index << " is wired or held, and not pinned";
  }
  const MutexLock lock(object.pins().mutex);
  uint64_t last_end = 0;
  for (const auto& [first, extent] : object.pins().extents) {
    EXPECT_GE(first, last_end);
    EXPECT_FALSE(extent.IsBusy());
    last_end = extent.end;
    uint64_t wired = 0;
    uint64_t held = 0;
    for (uint64_t page = first; page < extent.end; ++page) {
      wired += object.pages().WireCount(page) != 0 ? 1 : 0;
      held += book.object[index][page].holds;
    }
    EXPECT_EQ(extent.wired_pages, wired);
    EXPECT_EQ(extent.state == PinExtent::State::kPinned, wired != 0);
    EXPECT_TRUE(extent.state != PinExtent::State::kHeld || held != 0);
    pinned_bytes_ += (extent.end - first) * kPageSize;
    if (extent.state != PinExtent::State::kCached) continue;
    cached_bytes_ += (extent.end - first) * kPageSize;
    ++cached_extents_;
  }
}

void StressWorld::CompareAtRest(const StressBook& book) {
  Wires wires = {};
  for (size_t map = 0; map < kStressMaps; ++map) CompareEntries(map, book, wires);
  pinned_bytes_ = cached_bytes_ = cached_extents_ = 0;
  for (size_t object = 0; object < kStressObjects; ++object) CompareExtents(object, book, wires);
  EXPECT_EQ(pins_->pinned_bytes(), pinned_bytes_);
  EXPECT_EQ(budget_.used(), pinned_bytes_);
  const PinCacheStats cache = pins_->cache_stats();
  EXPECT_EQ(cache.cached_bytes, cached_bytes_);
  EXPECT_EQ(cache.cached_extents, cached_extents_);
  EXPECT_LE(cached_bytes_, kStressCachePages * kPageSize);
  host_->ComparePins(objects_, pinned_bytes_);
}

void StressWorld::Finish() {
  for (const std::unique_ptr<VmMap>& map : maps_) {
    EXPECT_THAT(map->Remove(Pages(0, kGuestPages)), IsOk());
    EXPECT_EQ(map->entry_count(), 0u);
    EXPECT_EQ(map->user_wired_pages(), 0u);
  }
  pins_->DropCache();
  CompareAtRest({});
  EXPECT_EQ(pins_->pinned_bytes(), 0u);
}

}  // namespace vmwire
