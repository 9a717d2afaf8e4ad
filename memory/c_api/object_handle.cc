#include "memory/c_api/object_handle.h"

#include <utility>

#include "absl/strings/str_format.h"
#include "memory/c_api/handle_table.h"
#include "memory/c_api/last_error.h"
#include "memory/c_api/wire_runtime.h"
#include "memory/mutex.h"

namespace vmwire {
namespace {

struct ObjectRecord {
  Mutex mutex;
  uint64_t references ABSL_GUARDED_BY(mutex) = 0;
  // Not null while the program has a reference.
  std::shared_ptr<VmObject> kept ABSL_GUARDED_BY(mutex);
  std::weak_ptr<VmObject> object;  // Set once, before the handle is given out.
};

using ObjectTable = HandleTable<vm_object_t, ObjectRecord>;

ObjectTable& Objects() {
  static ObjectTable& table = *new ObjectTable(HandleKind::kObject);
  return table;
}

// What ends the pointer that handle and maps share: the handle first, then the object.
struct EndHandle {
  vm_object_t handle;
  std::shared_ptr<VmObject> object;

  void operator()(VmObject*) {
    ObjectRecord* const record = Objects().Find(handle);
    Objects().Remove(handle);
    delete record;
    object.reset();
  }
};

}  // namespace

absl::StatusOr<std::shared_ptr<VmObject>> CreateObject(VmObjectOptions options) {
  HostMemory& host = WireRuntime::Get().host();
  auto object = VmObject::Create(host, options);
  if (!absl::IsUnimplemented(object.status()) || options.huge_pages == HugePages::kNone) {
    return object;
  }
  options.huge_pages = HugePages::kNone;
  return VmObject::Create(host, options);
}

absl::StatusOr<NewObject> AddObject(std::shared_ptr<VmObject> object) {
  auto record = std::make_unique<ObjectRecord>();
  const vm_object_t handle = Objects().Add(record.get());
  if (handle == nullptr) {
    return absl::ResourceExhaustedError("there are as many vm_object_t as there can be");
  }
  VmObject* const address = object.get();
  const std::shared_ptr<VmObject> shared(address, EndHandle{handle, std::move(object)});
  record->object = shared;
  record.release();
  return NewObject{handle, shared};
}

std::shared_ptr<VmObject> FindObject(vm_object_t handle) {
  ObjectRecord* const record = Objects().Find(handle);
  return record == nullptr ? nullptr : record->object.lock();
}

int FailNoObject(vm_object_t handle) {
  return Fail(
      KERN_INVALID_ARGUMENT,
      absl::StrFormat("%p is no object: it is NULL, is gone, or is the handle of something else",
                      static_cast<const void*>(handle)));
}

vm_object_t HandleOf(const std::shared_ptr<VmObject>& object) {
  const EndHandle* const end = std::get_deleter<EndHandle>(object);
  return end == nullptr ? nullptr : end->handle;
}

bool ReferenceObject(vm_object_t handle) {
  ObjectRecord* const record = Objects().Find(handle);
  if (record == nullptr) return false;
  std::shared_ptr<VmObject> object = record->object.lock();
  if (object == nullptr) return false;
  const MutexLock lock(record->mutex);
  ++record->references;
  record->kept = std::move(object);
  return true;
}

bool DropObject(vm_object_t handle) {
  ObjectRecord* const record = Objects().Find(handle);
  if (record == nullptr) return false;
  // Outlives the lock: with the last reference the record goes too.
  std::shared_ptr<VmObject> last;
  const MutexLock lock(record->mutex);
  if (record->references == 0) return false;
  if (--record->references == 0) last = std::move(record->kept);
  return true;
}

}  // namespace vmwire
