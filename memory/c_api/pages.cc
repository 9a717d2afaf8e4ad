// vm_map_wire.h: pages, and holds of them.
#include <cstdint>
#include <memory>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "memory/c_api/exported.h"
#include "memory/c_api/handle_table.h"
#include "memory/c_api/last_error.h"
#include "memory/c_api/map_handle.h"
#include "memory/c_api/object_handle.h"
#include "memory/c_api/wire_runtime.h"
#include "memory/check.h"
#include "memory/hold_table.h"
#include "memory/page_wiring.h"
#include "memory/pin_table.h"
#include "memory/vm_object.h"
#include "memory/vm_page.h"

namespace vmwire {
namespace {

// A vm_page_t is the address of a VmPage, a vm_hold_t that of a HoldSlot: their functions are too
// short for a look into a table. A handle of the other kinds is found out all the same.
VmPage* PageOf(vm_page_t handle) {
  if (MayBeAddress(handle, alignof(VmPage))) return reinterpret_cast<VmPage*>(handle);
  Fail(KERN_INVALID_ARGUMENT,
       absl::StrFormat("%p is no page: it is NULL, or the handle of something else",
                       static_cast<const void*>(handle)));
  return nullptr;
}

// For functions without a status.
VmPage& CheckedPageOf(vm_page_t handle) {
  VmPage* const page = PageOf(handle);
  VMWIRE_CHECK(page != nullptr, LastError());
  return *page;
}

// Pins the first page of an object of which nobody ever pinned one.
PinTable& DefaultTable() { return WireRuntime::Get().table(PinLevel::kGuarded); }

int HoldCode(const absl::Status& status) {
  switch (status.code()) {
    case absl::StatusCode::kNotFound:
      return KERN_INVALID_ADDRESS;
    case absl::StatusCode::kPermissionDenied:
      return KERN_PROTECTION_FAILURE;
    case absl::StatusCode::kOutOfRange:
      return KERN_NO_SPACE;
    case absl::StatusCode::kInvalidArgument:
      return KERN_INVALID_ARGUMENT;
    default:
      return KERN_FAILURE;
  }
}

}  // namespace
}  // namespace vmwire

using vmwire::Fail;
using vmwire::Succeed;
using vmwire::VmPage;

void vm_page_wire(vm_page_t m) {
  const absl::Status wired = vmwire::WirePage(vmwire::CheckedPageOf(m), vmwire::DefaultTable());
  VMWIRE_CHECK(wired.ok(), "vm_page_wire: " + std::string(wired.message()));
  Succeed();
}

bool vm_page_wire_mapped(vm_page_t m) {
  VmPage* const page = vmwire::PageOf(m);
  if (page == nullptr) return false;
  const absl::Status wired = vmwire::WirePageMapped(*page, vmwire::DefaultTable());
  if (wired.ok()) {
    Succeed();
  } else {
    Fail(KERN_FAILURE, wired);
  }
  return wired.ok();
}

void vm_page_unwire(vm_page_t m, int queue) {
  VMWIRE_CHECK(
      queue == PQ_INACTIVE || queue == PQ_ACTIVE || queue == PQ_LAUNDRY || queue == PQ_UNSWAPPABLE,
      absl::StrCat("vm_page_unwire: ", queue,
                   " is no queue that a page can be put on (PQ_INACTIVE, PQ_ACTIVE, "
                   "PQ_LAUNDRY or PQ_UNSWAPPABLE)"));
  vmwire::UnwirePage(vmwire::CheckedPageOf(m), static_cast<vmwire::PageQueue>(queue));
  Succeed();
}

bool vm_page_unwire_noq(vm_page_t m) {
  const bool last = vmwire::UnwirePageNoQueue(vmwire::CheckedPageOf(m));
  Succeed();
  return last;
}

vm_page_t vm_page_lookup(vm_object_t handle, vm_pindex_t page) {
  const std::shared_ptr<vmwire::VmObject> object = vmwire::FindObject(handle);
  if (object == nullptr) {
    vmwire::FailNoObject(handle);
    return nullptr;
  }
  if (page >= object->pages().size()) {
    Fail(KERN_OUT_OF_BOUNDS, absl::StrFormat("page 0x%x of the object: it has 0x%x pages", page,
                                             object->pages().size()));
    return nullptr;
  }
  const absl::StatusOr<VmPage*> found = object->FindResident(page);
  if (!found.ok()) {
    Fail(KERN_FAILURE, found.status());
    return nullptr;
  }
  Succeed();
  return reinterpret_cast<vm_page_t>(*found);
}

uint32_t vm_page_wire_count(vm_page_t m) {
  VmPage* const page = vmwire::PageOf(m);
  if (page == nullptr) return 0;
  Succeed();
  return page->wire_count();
}

int vm_page_queue(vm_page_t m) {
  VmPage* const page = vmwire::PageOf(m);
  if (page == nullptr) return PQ_NONE;
  Succeed();
  return static_cast<int>(page->queue());
}

bool vm_page_is_pinned(vm_page_t m) {
  VmPage* const page = vmwire::PageOf(m);
  if (page == nullptr) return false;
  Succeed();
  return vmwire::PinTable::IsPinned(vmwire::ObjectOf(*page), vmwire::PageIndexOf(*page));
}

// Of a simulated object `*host` is an address at which nothing lies: whoever follows it faults.
int vm_map_hold(vm_map_t handle, vm_offset_t addr, vm_size_t len, vm_prot_t prot, void** host,
                vm_hold_t* hold) {
  vmwire::MapHandle* const map = vmwire::FindMap(handle);
  if (map == nullptr) return KERN_INVALID_ARGUMENT;
  if (host == nullptr || hold == nullptr) {
    return Fail(KERN_INVALID_ARGUMENT, "host or hold is NULL: no place for the result");
  }
  if (prot == VM_PROT_NONE || (prot & ~unsigned{VM_PROT_ALL}) != 0) {
    return Fail(
        KERN_INVALID_ARGUMENT,
        absl::StrFormat("cannot hold 0x%x for 0x%x: that is no VM_PROT_*", addr, unsigned{prot}));
  }
  auto held = map->map.Hold(vmwire::GuestAddress(addr), len, vmwire::Protection(prot));
  if (!held.ok()) return Fail(vmwire::HoldCode(held.status()), held.status());
  *host = held->bytes().data();
  *hold = reinterpret_cast<vm_hold_t>((*std::move(held)).Detach());
  return Succeed();
}

void vm_hold_release(vm_hold_t hold) {
  if (hold != nullptr) {
    if (!vmwire::MayBeAddress(hold, alignof(vmwire::HoldSlot))) {
      Fail(KERN_INVALID_ARGUMENT,
           absl::StrFormat("%p is no hold: it is the handle of something else",
                           static_cast<const void*>(hold)));
      return;
    }
    vmwire::HoldTable::Release(reinterpret_cast<vmwire::HoldSlot*>(hold));
  }
  Succeed();
}
