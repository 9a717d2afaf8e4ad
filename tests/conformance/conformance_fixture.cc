#include "tests/conformance/conformance_fixture.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>

#include "absl/strings/str_cat.h"

namespace vmwire::conformance {
namespace {

// Above this size the pages of an object are not part of the state that is compared.
constexpr uint64_t kComparedPages = 8192;

struct PageState {
  uint32_t count = 0;
  bool pinned = false;
  bool operator==(const PageState& other) const {
    return count == other.count && pinned == other.pinned;
  }
};

PageState StateOf(vm_object_t object, uint64_t page) {
  const vm_page_t found = vm_page_lookup(object, page);
  if (found == nullptr) {
    return PageState{};
  }
  return PageState{vm_page_wire_count(found), vm_page_is_pinned(found)};
}

std::string Runs(vm_object_t object, uint64_t pages,
                 const std::function<std::string(const PageState&)>& text) {
  std::string runs;
  uint64_t start = 0;
  std::string current;
  for (uint64_t page = 0; page <= pages; ++page) {
    const std::string next = page < pages ? text(StateOf(object, page)) : std::string();
    if (next == current) {
      continue;
    }
    if (!current.empty()) {
      absl::StrAppend(&runs, runs.empty() ? "" : " ", "[", start, ",", page, ")", current);
    }
    start = page;
    current = next;
  }
  return runs;
}

std::string Rights(vm_prot_t protection) {
  return std::string() + ((protection & VM_PROT_READ) != 0 ? 'r' : '-') +
         ((protection & VM_PROT_WRITE) != 0 ? 'w' : '-') +
         ((protection & VM_PROT_EXECUTE) != 0 ? 'x' : '-');
}

}  // namespace

std::string BackingName(const testing::TestParamInfo<Backing>& info) {
  switch (info.param) {
    case Backing::kSimulated:
      return "Simulated";
    case Backing::kResident:
      return "Resident";
    case Backing::kGuarded:
      return "Guarded";
  }
  return "";
}

std::string Pages(vm_object_t object, uint64_t pages) {
  return Runs(object, pages, [](const PageState& state) {
    return state == PageState{} ? std::string()
                                : absl::StrCat(state.count, state.pinned ? "p" : "");
  });
}

std::string Counts(vm_object_t object, uint64_t pages) {
  return Runs(object, pages, [](const PageState& state) {
    return state.count == 0 ? std::string() : absl::StrCat(state.count);
  });
}

uint64_t ResidentPages(vm_object_t object, uint64_t pages) {
  uint64_t resident = 0;
  for (uint64_t page = 0; page < pages; ++page) {
    resident += vm_page_lookup(object, page) != nullptr ? 1 : 0;
  }
  return resident;
}

vm_page_t PageOf(vm_object_t object, uint64_t page) {
  const vm_page_t found = vm_page_lookup(object, page);
  EXPECT_NE(found, nullptr) << "page " << page << " is not resident";
  return found;
}

uint64_t FrameOf(const void* address) {
  constexpr uint64_t kFrameBits = (uint64_t{1} << 55) - 1;
  constexpr uint64_t kPresent = uint64_t{1} << 63;
  const int pagemap = open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC);
  uint64_t entry = 0;
  const uint64_t page = reinterpret_cast<uintptr_t>(address) / kPage;
  const ssize_t size =
      pread(pagemap, &entry, sizeof(entry), static_cast<off_t>(page * sizeof(entry)));
  close(pagemap);
  if (size != sizeof(entry)) {
    return 0;
  }
  EXPECT_NE(entry & kPresent, 0u) << "no page is mapped at " << address;
  return entry & kFrameBits;
}

ObjectSet::~ObjectSet() {
  EXPECT_EQ(State(), "") << "pages stay wired or pinned after the test";
  for (const Known& known : objects_) {
    vm_object_deallocate(known.object);
  }
}

vm_object_t ObjectSet::New(uint64_t pages) {
  const int type = backing_ == Backing::kSimulated ? OBJT_SIMULATED : OBJT_DEFAULT;
  const vm_object_t object = vm_object_allocate(type, pages);
  EXPECT_NE(object, nullptr) << vm_map_last_error();
  return Add(object, pages);
}

vm_object_t ObjectSet::Add(vm_object_t object, uint64_t pages) {
  if (object != nullptr) {
    objects_.push_back({object, pages});
  }
  return object;
}

void ObjectSet::Drop(vm_object_t object) {
  const auto is_it = [object](const Known& known) { return known.object == object; };
  objects_.erase(std::remove_if(objects_.begin(), objects_.end(), is_it), objects_.end());
  vm_object_deallocate(object);
}

std::string ObjectSet::State() const {
  std::string state;
  for (size_t i = 0; i < objects_.size(); ++i) {
    if (objects_[i].pages > kComparedPages) {
      continue;
    }
    const std::string pages = Pages(objects_[i].object, objects_[i].pages);
    if (!pages.empty()) {
      absl::StrAppend(&state, "object ", i, ": ", pages, "\n");
    }
  }
  return state;
}

TestMap::TestMap(ObjectSet* objects, uint64_t first, uint64_t end)
    : objects_(objects), handle_(vm_map_create(first * kPage, end * kPage)) {
  EXPECT_NE(handle_, nullptr) << vm_map_last_error();
}

TestMap::~TestMap() {
  if (handle_ != nullptr) {
    UnwireEverything();
    EXPECT_EQ(Destroy(), KERN_SUCCESS) << error_;
  }
}

vm_object_t TestMap::Map(uint64_t start, uint64_t end, vm_prot_t protection,
                         vm_prot_t max_protection) {
  const vm_object_t object = objects_->New(end - start);
  EXPECT_EQ(Insert(object, 0, start, end, protection, max_protection), KERN_SUCCESS) << error_;
  return object;
}

void TestMap::Guard(uint64_t start, uint64_t end) {
  EXPECT_EQ(InsertGuard(start, end), KERN_SUCCESS) << error_;
}

int TestMap::Run(const std::function<int()>& call) {
  const std::string before = State();
  const int code = call();
  error_ = vm_map_last_error();
  if (code == KERN_SUCCESS) {
    EXPECT_EQ(error_, "") << "a call that succeeded left a sentence";
  } else {
    EXPECT_NE(error_, "") << "a call that failed with " << code << " said nothing";
    EXPECT_EQ(State(), before) << "a call that failed with " << code << " changed something";
  }
  EXPECT_EQ(vm_map_check(handle_), KERN_SUCCESS) << vm_map_last_error();
  return code;
}

int TestMap::Insert(vm_object_t object, uint64_t offset, uint64_t start, uint64_t end,
                    vm_prot_t protection, vm_prot_t max_protection) {
  return Run([&] {
    return vm_map_insert(handle_, object, offset * kPage, start * kPage, end * kPage, protection,
                         max_protection);
  });
}

int TestMap::InsertGuard(uint64_t start, uint64_t end) {
  return Run([&] { return vm_map_insert_guard(handle_, start * kPage, end * kPage); });
}

int TestMap::Wire(uint64_t start, uint64_t end, int flags) {
  return Run([&] { return vm_map_wire(handle_, start * kPage, end * kPage, flags); });
}

int TestMap::Unwire(uint64_t start, uint64_t end, int flags) {
  return Run([&] { return vm_map_unwire(handle_, start * kPage, end * kPage, flags); });
}

int TestMap::Remove(uint64_t start, uint64_t end) {
  return Run([&] { return vm_map_remove(handle_, start * kPage, end * kPage); });
}

int TestMap::RemoveWait(uint64_t start, uint64_t end, int64_t timeout_ns) {
  return Run([&] { return vm_map_remove_wait(handle_, start * kPage, end * kPage, timeout_ns); });
}

int TestMap::Protect(uint64_t start, uint64_t end, vm_prot_t protection) {
  return Run([&] { return vm_map_protect(handle_, start * kPage, end * kPage, protection); });
}

int TestMap::Clip(uint64_t at) {
  return Run([&] { return vm_map_clip(handle_, at * kPage); });
}

int TestMap::WireAll() {
  return Run([&] { return vm_map_wire_all(handle_); });
}

int TestMap::UnwireAll() {
  return Run([&] { return vm_map_unwire_all(handle_); });
}

int TestMap::Discard(vm_object_t object, uint64_t start, uint64_t end) {
  return Run([&] { return vm_object_discard(object, start, end); });
}

int TestMap::WireEx(uint64_t start, uint64_t end, int flags, vm_wire_result* result,
                    int64_t timeout_ns, const std::function<bool(uint64_t, uint64_t)>& keep_going) {
  using KeepGoing = std::function<bool(uint64_t, uint64_t)>;
  KeepGoing function = keep_going;
  bool (*const call)(void*, uint64_t, uint64_t) = [](void* ctx, uint64_t done, uint64_t total) {
    return (*static_cast<KeepGoing*>(ctx))(done, total);
  };
  return Run([&] {
    return vm_map_wire_ex(handle_, start * kPage, end * kPage, flags, timeout_ns,
                          keep_going ? call : nullptr, &function, result);
  });
}

int TestMap::Hold(uint64_t addr, uint64_t len, vm_prot_t protection, void** host, vm_hold_t* hold) {
  return Run([&] { return vm_map_hold(handle_, addr, len, protection, host, hold); });
}

int TestMap::Destroy() {
  const std::string before = State();
  const int code = vm_map_destroy(handle_);
  error_ = vm_map_last_error();
  if (code == KERN_SUCCESS) {
    handle_ = nullptr;
    EXPECT_EQ(error_, "");
  } else {
    EXPECT_NE(error_, "");
    EXPECT_EQ(State(), before) << "a destroy that failed changed something";
    EXPECT_EQ(vm_map_check(handle_), KERN_SUCCESS) << vm_map_last_error();
  }
  return code;
}

void TestMap::ForEachEntry(const std::function<void(const vm_map_entry_info&)>& visit) const {
  vm_map_entry_info entry = {};
  vm_offset_t at = 0;
  while (vm_map_entry_at(handle_, at, &entry) == KERN_SUCCESS) {
    visit(entry);
    if (entry.end <= at) {
      ADD_FAILURE() << "the entry at " << at << " ends at " << entry.end;
      return;
    }
    at = entry.end;
  }
}

std::string TestMap::Entries() const {
  std::string entries;
  ForEachEntry([&](const vm_map_entry_info& entry) {
    absl::StrAppend(&entries, entries.empty() ? "" : " ", "[", entry.start / kPage, ",",
                    entry.end / kPage, ")");
    if (entry.guard) {
      absl::StrAppend(&entries, "guard");
    } else {
      absl::StrAppend(&entries, "w", entry.system_wires + (entry.user_wired ? 1u : 0u),
                      entry.user_wired ? "U" : "");
    }
    EXPECT_FALSE(entry.in_transition) << "no call is under way";
  });
  return entries;
}

std::string TestMap::State() const {
  std::string state = Entries();
  ForEachEntry([&](const vm_map_entry_info& entry) {
    absl::StrAppend(&state, "\n", absl::Hex(entry.start), "-", absl::Hex(entry.end), " object ",
                    absl::Hex(reinterpret_cast<uintptr_t>(entry.object)), "+",
                    absl::Hex(entry.offset), " ", Rights(entry.protection), "/",
                    Rights(entry.max_protection), " s", entry.system_wires);
  });
  return absl::StrCat(state, "\nuser pages ", UserPages(), "\n", objects_->State());
}

vm_map_entry_info TestMap::EntryAt(uint64_t page) const {
  vm_map_entry_info entry = {};
  EXPECT_EQ(vm_map_entry_at(handle_, page * kPage, &entry), KERN_SUCCESS) << vm_map_last_error();
  return entry;
}

void TestMap::UnwireEverything() {
  std::vector<vm_map_entry_info> entries;
  ForEachEntry([&](const vm_map_entry_info& entry) { entries.push_back(entry); });
  for (const vm_map_entry_info& entry : entries) {
    for (uint32_t i = 0; i < entry.system_wires; ++i) {
      EXPECT_EQ(vm_map_unwire(handle_, entry.start, entry.end, kS), KERN_SUCCESS)
          << vm_map_last_error();
    }
  }
}

void ConformanceTest::SetUp() {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  if (!simulated()) {
    TestMap* const probe = (map_ = NewMap(0, 1000)).get();
    probe->Map(0, 1);
    if (vm_map_wire(probe->handle(), 0, kPage, kS) != KERN_SUCCESS) {
      GTEST_SKIP() << "this host does not pin at this level: " << vm_map_last_error();
    }
  }
  map_ = NewMap(0, 1000);
}

void ConformanceTest::TearDown() { map_ = nullptr; }

std::unique_ptr<TestMap> ConformanceTest::NewMap(uint64_t first, uint64_t end) {
  auto map = std::make_unique<TestMap>(&objects_, first, end);
  if (!simulated()) {
    const int level = GetParam() == Backing::kResident ? VM_PIN_RESIDENT : VM_PIN_GUARDED;
    EXPECT_EQ(vm_map_set_pin_level(map->handle(), level), KERN_SUCCESS) << vm_map_last_error();
  }
  return map;
}

void ConformanceTest::ExpectFaults(vm_object_t object, uint64_t faults) const {
  if (simulated()) {
    EXPECT_EQ(vm_object_fault_calls(object), faults);
  }
}

HeldRange::HeldRange(TestMap* map, uint64_t start, uint64_t end, vm_prot_t protection) {
  EXPECT_EQ(map->Hold(start * kPage, (end - start) * kPage, protection, &host_, &hold_),
            KERN_SUCCESS)
      << map->error();
}

void HeldRange::Release() {
  if (hold_ != nullptr) {
    vm_hold_release(hold_);
    hold_ = nullptr;
  }
}

}  // namespace vmwire::conformance
