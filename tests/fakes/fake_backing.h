// What lies behind a mapping of the fake host: bytes, which are real, and frames, which are
// numbers.
//
// Invariants: a page of which `frames` has no number reads as zeroes.
// Thread safety: guarded by the mutex of the FakeHostMemory that has it.
#ifndef VMWIRE_TESTS_FAKES_FAKE_BACKING_H_
#define VMWIRE_TESTS_FAKES_FAKE_BACKING_H_

#include <unistd.h>

#include <cstdint>
#include <map>
#include <memory>
#include <set>
#include <vector>

#include "memory/host_memory.h"

namespace vmwire {

// Of one anonymous mapping, or of a memory file.
struct FakeBacking {
  explicit FakeBacking(int real_file, uint64_t bytes_of_page)
      : file(real_file), page_bytes(bytes_of_page) {}
  FakeBacking(const FakeBacking&) = delete;
  FakeBacking& operator=(const FakeBacking&) = delete;
  ~FakeBacking() {
    if (file >= 0) close(file);
  }

  bool is_hugetlb() const { return page_bytes > kPageSize; }
  // The frame of a page of kPageSize; 0: none.
  uint64_t FrameOf(uint64_t page) const {
    const auto found = frames.find(page);
    return found == frames.end() ? 0 : found->second;
  }

  const int file;             // A real memory file of small pages; -1: anonymous.
  const uint64_t page_bytes;  // What the fake takes it for.
  uint64_t size = 0;          // Of the file.
  FileSeals seals;
  uint64_t reserved_pages = 0;          // Of the hugetlb pool.
  std::map<uint64_t, uint64_t> frames;  // By page of kPageSize.
};

// One mapping. Pages are counted in kPageSize from its start, which is that of its backing.
struct FakeMapping {
  HostRange range;
  HostRange reserved;  // What the real mmap gave.
  std::shared_ptr<FakeBacking> backing;
  std::set<uint64_t> locked;
  std::set<uint64_t> mapped;  // In the page table: what the kernel counts as resident.
};

// A registered buffer: where it was, and the frames that it keeps.
struct FakeBuffer {
  HostRange range;
  std::vector<uint64_t> frames;
};

}  // namespace vmwire

#endif  // VMWIRE_TESTS_FAKES_FAKE_BACKING_H_
