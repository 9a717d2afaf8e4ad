// Objects that are no longer published, to be freed when no reader can still be looking at them.
//
// They are freed in batches: one wait for the readers (read_section.h) serves many, so that a
// writer of many small changes does not pay a membarrier for each.
//
// Invariants: an object is freed after a SynchronizeReaders that began after it was retired; at the
// latest with the list.
// Thread safety: thread-compatible. Callers must not be inside a read section.
#ifndef VMWIRE_MEMORY_RETIRE_LIST_H_
#define VMWIRE_MEMORY_RETIRE_LIST_H_

#include <cstddef>
#include <memory>
#include <vector>

namespace vmwire {

class RetireList {
 public:
  RetireList() = default;
  RetireList(const RetireList&) = delete;
  RetireList& operator=(const RetireList&) = delete;
  ~RetireList() { Flush(); }

  // Frees `object` in good time; all of the batch now, if that makes it a full one.
  // REQUIRES: no reader that begins now can find it. The calling thread is in no read section.
  template <typename T>
  void Retire(std::unique_ptr<T> object) {
    Add({.object = object.release(),
         .destroy = [](const void* retired) { delete static_cast<const T*>(retired); }},
        sizeof(T));
  }

  // Waits for the readers and frees everything. REQUIRES: as Retire.
  void Flush();

  size_t pending() const { return items_.size(); }

  // A batch is full at either.
  static constexpr size_t kBatchItems = 256;
  static constexpr size_t kBatchBytes = 256 * 1024;

 private:
  struct Item {
    const void* object;
    void (*destroy)(const void*);
  };

  void Add(const Item& item, size_t bytes);

  std::vector<Item> items_;
  size_t bytes_ = 0;
};

}  // namespace vmwire

#endif  // VMWIRE_MEMORY_RETIRE_LIST_H_
