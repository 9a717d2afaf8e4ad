#include "memory/retire_list.h"

#include "memory/read_section.h"

namespace vmwire {

void RetireList::Add(const Item& item, size_t bytes) {
  items_.push_back(item);
  bytes_ += bytes;
  if (items_.size() >= kBatchItems || bytes_ >= kBatchBytes) Flush();
}

void RetireList::Flush() {
  if (items_.empty()) return;
  SynchronizeReaders();
  for (const Item& item : items_) item.destroy(item.object);
  items_.clear();
  bytes_ = 0;
}

}  // namespace vmwire
