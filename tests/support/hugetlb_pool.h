// A pool of hugetlb pages for one test on the real kernel, given back whatever becomes of the test.
//
// The test's body is to run in a child process; this one sets the pool before and back after it, so
// a body that dies leaves nothing. Tests that use a pool wait for each other, over all processes.
//
// Thread safety: from the test's main thread only, which must be alone.
#ifndef VMWIRE_TESTS_SUPPORT_HUGETLB_POOL_H_
#define VMWIRE_TESTS_SUPPORT_HUGETLB_POOL_H_

#include <cstdint>
#include <functional>
#include <optional>

#include "absl/status/status.h"
#include "tests/support/child.h"

namespace vmwire {

// A turn at the pool of 2 MiB pages: while it lives, no other process of the tests has one. For
// whoever takes pages from the pool, or counts on how many are free.
class HugetlbPoolTurn {
 public:
  HugetlbPoolTurn();
  HugetlbPoolTurn(const HugetlbPoolTurn&) = delete;
  HugetlbPoolTurn& operator=(const HugetlbPoolTurn&) = delete;
  ~HugetlbPoolTurn();

 private:
  // -1 where the kernel has no such pool.
  const int file_;
};

// The pool of 2 MiB pages, larger by `pages` while it lives.
class HugetlbPool {
 public:
  explicit HugetlbPool(uint64_t pages);
  HugetlbPool(const HugetlbPool&) = delete;
  HugetlbPool& operator=(const HugetlbPool&) = delete;
  // It fails the test if the pool cannot be set back.
  ~HugetlbPool();

  // Unavailable: the pool cannot be made that large here, or only root may.
  const absl::Status& status() const { return status_; }

 private:
  void Write(uint64_t pages) const;
  void PutBack() const;

  const SignalsHeld held_;
  const HugetlbPoolTurn turn_;
  const int file_;
  std::optional<uint64_t> before_;
  absl::Status status_;
};

// Makes the pool of 2 MiB pages larger by `pages`, runs `body` in a child, and sets the pool back.
// A failed expectation of the body, or its death, fails the test. Unavailable: as HugetlbPool;
// `body` was not run.
absl::Status RunWithHugetlbPool(uint64_t pages, const std::function<void()>& body);

// How many pages of that size are free in their pool; 0 where there is none.
uint64_t FreeHugetlbPages(uint64_t page_bytes);

// Waits until `pages` of 2 MiB are free: what a process had pinned that has ended may be free a
// moment later only (on Linux 6.1 up to a second). Fails the test if they never are.
void AwaitFreeHugetlbPages(uint64_t pages);

}  // namespace vmwire

#endif  // VMWIRE_TESTS_SUPPORT_HUGETLB_POOL_H_
