// The vm_object_t handles: an object, and how many references the C program has to it.
//
// A handle lives as long as the object is referenced by anybody, maps included: the pointer that
// maps share carries the handle, and ends it when it dies.
//
// Invariants: while the program has a reference, so has the handle.
// Thread safety: thread-safe. No lock of memory/ may be held.
#ifndef VMWIRE_MEMORY_C_API_OBJECT_HANDLE_H_
#define VMWIRE_MEMORY_C_API_OBJECT_HANDLE_H_

#include <memory>

#include "absl/status/status.h"
#include "memory/vm_map_wire.h"
#include "memory/vm_object.h"

namespace vmwire {

struct NewObject {
  vm_object_t handle;
  std::shared_ptr<VmObject> object;  // Ends the handle with its last copy, unless it is referenced.
};

// VmObject::Create on the host of the C API; where the host has no transparent huge pages, without.
absl::StatusOr<std::shared_ptr<VmObject>> CreateObject(VmObjectOptions options);

// Gives a new object its handle, without a reference of the program's.
// ResourceExhausted: too many handles.
absl::StatusOr<NewObject> AddObject(std::shared_ptr<VmObject> object);

// Null: it is no object's handle, or not any more.
std::shared_ptr<VmObject> FindObject(vm_object_t handle);

// The failure KERN_INVALID_ARGUMENT of a handle that FindObject did not find.
int FailNoObject(vm_object_t handle);

// The handle of an object that FindObject or AddObject gave, or a map has; null for null.
vm_object_t HandleOf(const std::shared_ptr<VmObject>& object);

// Adds, or drops, a reference of the program's. False: it is no handle, or it has none to drop.
bool ReferenceObject(vm_object_t handle);
bool DropObject(vm_object_t handle);

}  // namespace vmwire

#endif  // VMWIRE_MEMORY_C_API_OBJECT_HANDLE_H_
