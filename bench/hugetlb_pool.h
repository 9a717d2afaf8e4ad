// A pool of 2 MiB hugetlb pages for a part of a run, given back whatever becomes of that part.
//
// What needs the pool runs in a child process; this one makes the pool larger before, and as it was
// afterwards. An interrupt from the terminal ends the child only, so it cannot leave a larger pool.
//
// Invariants: the pool's size is afterwards what it was before.
// Thread safety: from the main thread only, which must be alone.
#ifndef VMWIRE_BENCH_HUGETLB_POOL_H_
#define VMWIRE_BENCH_HUGETLB_POOL_H_

#include <cstdint>
#include <functional>

#include "absl/status/status.h"

namespace vmwire::bench {

// Makes the pool larger by `pages`, and runs `body` in a child. Unavailable: the pool cannot be
// made that large, or only root may; `body` was not run. Ends this process if the child fails.
absl::Status RunWithHugetlbPool(uint64_t pages, const std::function<void()>& body);

}  // namespace vmwire::bench

#endif  // VMWIRE_BENCH_HUGETLB_POOL_H_
