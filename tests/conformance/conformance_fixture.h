// What the conformance tests of vm_map_wire.h share: maps and objects counted in pages, their whole
// state as text, and the rules that hold for every call.
//
// Every operation of TestMap checks them: a call that fails leaves the state as it was and a
// sentence in vm_map_last_error, one that succeeds leaves "", and vm_map_check holds after both.
//
// Invariants: a TestMap that goes away has no wirings left; an object that goes away has no page
// that is wired or pinned.
// Thread safety: none; a thread of a test calls the C API directly.
#ifndef VMWIRE_TESTS_CONFORMANCE_CONFORMANCE_FIXTURE_H_
#define VMWIRE_TESTS_CONFORMANCE_CONFORMANCE_FIXTURE_H_

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "memory/vm_map_wire.h"

namespace vmwire::conformance {

inline constexpr uint64_t kPage = 4096;
inline constexpr uint64_t kPagesPer2MiB = 512;

// The flags of the cases: S, U, SH and UH.
inline constexpr int kS = VM_MAP_WIRE_SYSTEM | VM_MAP_WIRE_NOHOLES;
inline constexpr int kU = VM_MAP_WIRE_USER | VM_MAP_WIRE_NOHOLES;
inline constexpr int kSH = VM_MAP_WIRE_SYSTEM | VM_MAP_WIRE_HOLESOK;
inline constexpr int kUH = VM_MAP_WIRE_USER | VM_MAP_WIRE_HOLESOK;

inline constexpr vm_prot_t kNone = VM_PROT_NONE;
inline constexpr vm_prot_t kRead = VM_PROT_READ;
inline constexpr vm_prot_t kReadWrite = VM_PROT_READ | VM_PROT_WRITE;
inline constexpr vm_prot_t kReadExecute = VM_PROT_READ | VM_PROT_EXECUTE;
inline constexpr vm_prot_t kExecute = VM_PROT_EXECUTE;
inline constexpr vm_prot_t kAll = VM_PROT_READ | VM_PROT_WRITE | VM_PROT_EXECUTE;

// What a test's objects are made of, and how firmly its maps pin.
enum class Backing {
  kSimulated,  // OBJT_SIMULATED.
  kResident,   // Anonymous memory, level 0.
  kGuarded,    // Anonymous memory, level 2.
};
std::string BackingName(const testing::TestParamInfo<Backing>& info);

// The objects of a test.
class ObjectSet {
 public:
  explicit ObjectSet(Backing backing) : backing_(backing) {}
  ObjectSet(const ObjectSet&) = delete;
  ObjectSet& operator=(const ObjectSet&) = delete;
  ~ObjectSet();

  // An object of the test's backing.
  vm_object_t New(uint64_t pages);
  // Takes over a reference to an object that the test made; a null one is let be.
  vm_object_t Add(vm_object_t object, uint64_t pages);
  // Drops the reference of this set, and what it knows of the object.
  void Drop(vm_object_t object);
  // Of every page that is wired or pinned: its count, and "p" if it is pinned.
  std::string State() const;
  Backing backing() const { return backing_; }

 private:
  struct Known {
    vm_object_t object;
    uint64_t pages;
  };
  Backing backing_;
  std::vector<Known> objects_;
};

// Runs of pages of `object`, out of [0, pages), that are wired or pinned: "[0,3)1p [3,6)0p".
std::string Pages(vm_object_t object, uint64_t pages = 64);
// The same of wire counts alone, which is what a partial unwiring leaves no doubt about.
std::string Counts(vm_object_t object, uint64_t pages = 64);
uint64_t ResidentPages(vm_object_t object, uint64_t pages = 64);
vm_page_t PageOf(vm_object_t object, uint64_t page);
// The number of the page frame that is mapped at `address`; 0: the kernel does not tell.
uint64_t FrameOf(const void* address);

// A map, with pages as the unit of all arguments.
class TestMap {
 public:
  TestMap(ObjectSet* objects, uint64_t first, uint64_t end);
  TestMap(const TestMap&) = delete;
  TestMap& operator=(const TestMap&) = delete;
  ~TestMap();

  vm_map_t handle() const { return handle_; }

  // E[start, end): an entry over an object of its own, which is returned.
  vm_object_t Map(uint64_t start, uint64_t end, vm_prot_t protection = kReadWrite,
                  vm_prot_t max_protection = kAll);
  void Guard(uint64_t start, uint64_t end);

  int Insert(vm_object_t object, uint64_t offset, uint64_t start, uint64_t end,
             vm_prot_t protection = kReadWrite, vm_prot_t max_protection = kAll);
  int InsertGuard(uint64_t start, uint64_t end);
  int Wire(uint64_t start, uint64_t end, int flags);
  int Unwire(uint64_t start, uint64_t end, int flags);
  int Remove(uint64_t start, uint64_t end);
  int RemoveWait(uint64_t start, uint64_t end, int64_t timeout_ns);
  int Protect(uint64_t start, uint64_t end, vm_prot_t protection);
  int Clip(uint64_t at);
  int WireAll();
  int UnwireAll();
  int Discard(vm_object_t object, uint64_t start, uint64_t end);
  int WireEx(uint64_t start, uint64_t end, int flags, vm_wire_result* result,
             int64_t timeout_ns = -1,
             const std::function<bool(uint64_t, uint64_t)>& keep_going = {});
  // In bytes.
  int Hold(uint64_t addr, uint64_t len, vm_prot_t protection, void** host, vm_hold_t* hold);
  int Destroy();
  // Any call of the API on this map, with the checks that all of them get.
  int Run(const std::function<int()>& call);

  void LimitUserPages(uint64_t pages) { vm_map_set_user_wire_limit(handle_, pages); }
  void SetWireFuture(bool on) { vm_map_set_wire_future(handle_, on); }
  uint64_t UserPages() const { return vm_map_user_wired_pages(handle_); }

  // What vm_map_last_error said after the last operation.
  const std::string& error() const { return error_; }
  // "[10,13)w0 [13,16)w2U [16,17)guard": w and the total of the wirings, U if one is a user's.
  std::string Entries() const;
  // All that a failed call must leave alone: entries, user pages, the pages of all objects.
  std::string State() const;
  vm_map_entry_info EntryAt(uint64_t page) const;

 private:
  void ForEachEntry(const std::function<void(const vm_map_entry_info&)>& visit) const;
  void UnwireEverything();

  ObjectSet* objects_;
  vm_map_t handle_;
  std::string error_;
};

class ConformanceTest : public testing::TestWithParam<Backing> {
 protected:
  void SetUp() override;
  void TearDown() override;

  // A map of the pages [first, end), with the test's pin level.
  std::unique_ptr<TestMap> NewMap(uint64_t first, uint64_t end);
  bool simulated() const { return GetParam() == Backing::kSimulated; }
  // On simulated memory: so many pages were faulted so far.
  void ExpectFaults(vm_object_t object, uint64_t faults) const;

  ObjectSet objects_{GetParam()};
  std::unique_ptr<TestMap> map_;  // [0, 1000)
};

// One entry that is held for a test's length.
class HeldRange {
 public:
  HeldRange(TestMap* map, uint64_t start, uint64_t end, vm_prot_t protection = kRead);
  HeldRange(const HeldRange&) = delete;
  HeldRange& operator=(const HeldRange&) = delete;
  ~HeldRange() { Release(); }

  void Release();
  unsigned char* bytes() const { return static_cast<unsigned char*>(host_); }

 private:
  void* host_ = nullptr;
  vm_hold_t hold_ = nullptr;
};

// On simulated memory, and on the host's at levels 0 and 2.
#define VMWIRE_ON_EACH_BACKING(suite)                                                       \
  INSTANTIATE_TEST_SUITE_P(                                                                 \
      , suite, testing::Values(Backing::kSimulated, Backing::kResident, Backing::kGuarded), \
      BackingName)
#define VMWIRE_ON_SIMULATED_MEMORY(suite) \
  INSTANTIATE_TEST_SUITE_P(, suite, testing::Values(Backing::kSimulated), BackingName)
#define VMWIRE_ON_HOST_MEMORY(suite)                                                        \
  INSTANTIATE_TEST_SUITE_P(, suite, testing::Values(Backing::kResident, Backing::kGuarded), \
                           BackingName)

}  // namespace vmwire::conformance

#endif  // VMWIRE_TESTS_CONFORMANCE_CONFORMANCE_FIXTURE_H_
