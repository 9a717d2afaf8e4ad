// A half-open run of pages of an object.
//
// Invariants: none of its own; an empty run has first == end.
// Thread safety: values.
#ifndef VMWIRE_MEMORY_PAGE_RUN_H_
#define VMWIRE_MEMORY_PAGE_RUN_H_

#include <cstdint>
#include <string>

#include "absl/strings/str_format.h"

namespace vmwire {

// The page indices [first, end) of an object.
struct PageRun {
  uint64_t first = 0;
  uint64_t end = 0;

  uint64_t pages() const { return end - first; }
  // "pages [0x0, 0x10) of the object"
  std::string ToString() const {
    return absl::StrFormat("pages [0x%x, 0x%x) of the object", first, end);
  }
  bool Overlaps(const PageRun& other) const { return first < other.end && other.first < end; }
  friend bool operator==(const PageRun&, const PageRun&) = default;
};

}  // namespace vmwire

#endif  // VMWIRE_MEMORY_PAGE_RUN_H_
