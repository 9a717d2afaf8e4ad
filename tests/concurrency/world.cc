#include "tests/concurrency/world.h"

#include <gtest/gtest.h>

#include <chrono>
#include <random>
#include <thread>

#include "tests/support/map_fixture.h"
#include "tests/support/scheduler.h"
#include "tests/support/status_matchers.h"

namespace vmwire {
namespace {

constexpr uint64_t kEndPage = 1000;

// The world whose FaultStop this thread has; it stops at its next call of the host.
thread_local World* stop_in = nullptr;

std::vector<WireBudget::Limit> Limits(const WorldOptions& options) {
  if (!options.budget_pages.has_value()) return {};
  return {{"the test's limit", *options.budget_pages * kPageSize, "raise it in the test"}};
}

bool HasSystemWires(const VmMap& map) {
  for (auto entry = map.LookupFrom(Page(0)); entry.has_value();
       entry = map.LookupFrom(entry->range.end())) {
    if (entry->system_wires != 0) return true;
  }
  return false;
}

bool UnderScheduler() { return SyncHooks::Installed() != nullptr; }

void WaitAMoment() {
  thread_local std::minstd_rand random(std::random_device{}());
  std::this_thread::sleep_for(std::chrono::microseconds(random() % 100));
}

}  // namespace

void Event::Set() {
  const MutexLock lock(mutex_);
  set_ = true;
  condition_.NotifyAll();
}

void Event::Await() {
  const MutexLock lock(mutex_);
  while (!set_) condition_.Wait(mutex_, std::nullopt);
}

bool Event::IsSet() const {
  const MutexLock lock(mutex_);
  return set_;
}

World::World(const WorldOptions& options)
    : options_(options),
      host_(journal_),
      pinner_(MakePinner(options.level, host_)),
      budget_(Limits(options)) {
  pins_.emplace(*pinner_, budget_,
                PinCacheOptions{.capacity_bytes = options.cache_pages * kPageSize});
  for (size_t i = 0; i < options.maps; ++i) {
    maps_.push_back(std::make_unique<VmMap>(
        *pins_,
        VmMap::Options{.max = Page(kEndPage), .user_wire_limit = options.user_limit_pages}));
  }
  journal_.AddObserver([this] { OnHostCall(); });
}

World::~World() { GiveBack(); }

void World::GiveBack() {
  const WireFlags all = WireFlags::kSystem | WireFlags::kHolesOk;
  for (const std::unique_ptr<VmMap>& map : maps_) {
    while (HasSystemWires(*map) && map->UnwireRange(Pages(0, kEndPage), all).ok()) {
    }
    EXPECT_THAT(map->Remove(Pages(0, kEndPage)), IsOk());
  }
}

std::shared_ptr<VmObject> World::NewObject(uint64_t pages) {
  auto object = VmObject::Create(host_, {.size = pages * kPageSize});
  EXPECT_THAT(object, IsOk());
  objects_.push_back(*object);
  return *std::move(object);
}

void World::Forget(const std::shared_ptr<VmObject>& object) { std::erase(objects_, object); }

std::shared_ptr<VmObject> World::Add(uint64_t first, uint64_t end, size_t map) {
  std::shared_ptr<VmObject> object = NewObject(end - first);
  EXPECT_THAT(MapPages(first, end, object, 0, map), IsOk());
  return object;
}

absl::Status World::MapPages(uint64_t first, uint64_t end, std::shared_ptr<VmObject> object,
                             uint64_t object_page, size_t map) {
  return maps_[map]->Map(Pages(first, end), std::move(object), object_page * kPageSize,
                         Protection::kReadWrite);
}

absl::Status World::Wire(uint64_t first, uint64_t end, WireFlags flags, const WireOptions& options,
                         size_t map) {
  return maps_[map]->WireRange(Pages(first, end), flags, options);
}

absl::Status World::Unwire(uint64_t first, uint64_t end, WireFlags flags, size_t map) {
  return maps_[map]->UnwireRange(Pages(first, end), flags);
}

absl::Status World::Remove(uint64_t first, uint64_t end, size_t map) {
  return maps_[map]->Remove(Pages(first, end));
}

World::FaultStop::FaultStop(World& world) {
  if (world.options_.stops_in_faults) stop_in = &world;
}

World::FaultStop::~FaultStop() {
  if (stop_in == nullptr) return;
  // It made no call of the host: nobody is to wait for one.
  World& world = *std::exchange(stop_in, nullptr);
  world.went_on_ = true;
  world.stopped_.Set();
}

void World::OnHostCall() {
  if (stop_in != this) return;
  stop_in = nullptr;
  stopped_.Set();
  if (UnderScheduler()) {
    ScheduleStall("the fault");
  } else {
    WaitAMoment();
  }
  went_on_ = true;
}

void World::AwaitFault() {
  if (options_.stops_in_faults) stopped_.Await();
}

void World::ExpectBlocked() const { EXPECT_TRUE(went_on_ || !options_.stops_in_faults); }

void World::ExpectNotBlocked() const {
  if (options_.stops_in_faults && UnderScheduler()) {
    EXPECT_FALSE(went_on_);
  }
}

std::string World::Wires(uint64_t first, uint64_t end, size_t map) const {
  std::string text;
  for (uint64_t page = first; page < end; ++page) {
    const std::optional<VmMapEntry> entry = maps_[map]->Lookup(Page(page));
    if (!entry.has_value()) {
      text += '.';
    } else {
      text += static_cast<char>((entry->user_wired ? 'u' : '0') + entry->system_wires);
    }
  }
  return text;
}

std::string World::Pinned(const VmObject& object) const {
  std::string text;
  for (const bool pinned : host_.PinnedPages(object.host_range())) text += pinned ? '1' : '0';
  return text;
}

bool World::IsAnythingPinned() const {
  return host_.locked_bytes() != 0 || host_.buffer_bytes() != 0;
}

size_t World::Faults() const {
  return options_.level == PinLevel::kResident ? journal_.EntriesWith("populate").size()
                                               : journal_.EntriesWith("set buffer").size();
}

void World::NotePageWires(const VmObject& object, uint64_t page, uint32_t wires) {
  page_wires_[{&object, page}] = wires;
}

void World::CountWires(const VmMap& map,
                       std::map<const VmObject*, std::vector<uint32_t>>& counts) const {
  for (auto entry = map.LookupFrom(Page(0)); entry.has_value();
       entry = map.LookupFrom(entry->range.end())) {
    if (!entry->IsWired()) continue;
    std::vector<uint32_t>& of_object = counts[entry->object.get()];
    of_object.resize(entry->object->pages().size());
    for (uint64_t page = entry->Pages().first; page < entry->Pages().end; ++page) ++of_object[page];
  }
}

void World::CheckMap(const VmMap& map) {
  EXPECT_THAT(map.CheckInvariants(), IsOk());
  for (auto entry = map.LookupFrom(Page(0)); entry.has_value();
       entry = map.LookupFrom(entry->range.end())) {
    EXPECT_EQ(entry->transition, nullptr) << ToString(*entry);
  }
}

// Returns how many pages are pinned.
uint64_t World::CheckObject(VmObject& object, const std::vector<uint32_t>& counts) {
  const std::vector<bool> on_host = host_.PinnedPages(object.host_range());
  uint64_t pinned = 0;
  bool any_wired = false;
  for (uint64_t page = 0; page < object.pages().size(); ++page) {
    const auto by_itself = page_wires_.find({&object, page});
    const uint32_t wires = (page < counts.size() ? counts[page] : 0) +
                           (by_itself == page_wires_.end() ? 0 : by_itself->second);
    EXPECT_EQ(object.pages().WireCount(page), wires) << "page " << page;
    EXPECT_EQ(PinTable::IsPinned(object, page), on_host[page]) << "page " << page;
    EXPECT_TRUE(on_host[page] || wires == 0) << "page " << page;
    any_wired |= wires != 0;
    pinned += on_host[page] ? 1 : 0;
  }
  if (options_.cache_pages == 0) {
    EXPECT_TRUE(any_wired || pinned == 0) << "pinned without a wiring";
  }
  return pinned;
}

void World::CheckQuiet() {
  std::map<const VmObject*, std::vector<uint32_t>> counts;
  for (const std::unique_ptr<VmMap>& map : maps_) {
    CheckMap(*map);
    CountWires(*map, counts);
  }
  uint64_t pinned = 0;
  for (const std::shared_ptr<VmObject>& object : objects_) {
    pinned += CheckObject(*object, counts[object.get()]);
  }
  EXPECT_EQ(budget_.used(), pinned * kPageSize);
  EXPECT_EQ(pins_->pinned_bytes(), pinned * kPageSize);
  EXPECT_LE(pins_->cache_stats().cached_bytes, options_.cache_pages * kPageSize);
}

void World::ExpectNothingLeft() {
  GiveBack();
  pins_->DropCache();
  EXPECT_FALSE(IsAnythingPinned());
  EXPECT_EQ(budget_.used(), 0u);
  for (const std::unique_ptr<VmMap>& map : maps_) EXPECT_EQ(map->user_wired_pages(), 0u);
}

std::shared_ptr<World> NewWorld(const Setting& setting, WorldOptions options) {
  options.stops_in_faults = setting.stopped;
  return std::make_shared<World>(options);
}

void AddWirer(Scenario& scenario, const std::shared_ptr<World>& world, uint64_t first, uint64_t end,
              WireFlags flags) {
  scenario.AddThread("T1", [=] {
    const World::FaultStop stop(*world);
    world->result[0] = world->Wire(first, end, flags);
  });
}

}  // namespace vmwire
