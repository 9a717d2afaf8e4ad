// A C++ program of the installed package: wires 16 GiB of simulated memory from four threads.
#include <vmwire/vm_map_wire.h>

#include <cstdio>
#include <cstdlib>
#include <thread>
#include <vector>

namespace {

constexpr vm_offset_t kPage = 4096;
constexpr vm_offset_t kPart = (vm_offset_t{4} << 30);
constexpr vm_offset_t kThreads = 4;

void Expect(bool condition, const char* what) {
  if (condition) return;
  std::fprintf(stderr, "%s: %s\n", what, vm_map_last_error());
  std::exit(1);
}

}  // namespace

int main() {
  const vm_map_t map = vm_map_create(0, kThreads * kPart);
  Expect(map != nullptr, "vm_map_create");
  const vm_object_t object = vm_object_allocate(OBJT_SIMULATED, kThreads * kPart / kPage);
  Expect(object != nullptr, "vm_object_allocate");
  Expect(
      vm_map_insert(map, object, 0, 0, kThreads * kPart, VM_PROT_READ, VM_PROT_ALL) == KERN_SUCCESS,
      "vm_map_insert");
  vm_object_deallocate(object);

  std::vector<std::thread> threads;
  for (vm_offset_t i = 0; i < kThreads; ++i) {
    threads.emplace_back([map, i] {
      Expect(vm_map_wire(map, i * kPart, (i + 1) * kPart, VM_MAP_WIRE_USER) == KERN_SUCCESS,
             "vm_map_wire");
    });
  }
  for (std::thread& thread : threads) thread.join();

  Expect(vm_map_user_wired_pages(map) == kThreads * kPart / kPage, "vm_map_user_wired_pages");
  Expect(vm_map_check(map) == KERN_SUCCESS, "vm_map_check");
  Expect(vm_map_destroy(map) == KERN_SUCCESS, "vm_map_destroy");
  return 0;
}
