// What this host gives: the limits that a wiring runs into, read once from /proc and /sys.
//
// WireBudget subtracts from these numbers, `vmwire doctor` judges them, and messages quote them.
// Nothing here decides anything.
//
// Invariants: sizes are in bytes; what the host does not limit is kUnlimited or nullopt; what the
// kernel does not have is an empty string, 0 or nullopt, as each field says.
//
// Thread safety: values; the readers only read files.
#ifndef VMWIRE_MEMORY_HOST_LIMITS_H_
#define VMWIRE_MEMORY_HOST_LIMITS_H_

#include <cstdint>
#include <optional>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace vmwire {

// RLIM_INFINITY: no limit is set.
inline constexpr uint64_t kUnlimited = UINT64_MAX;

// The memory cgroup with the least room among that of this process and those above it.
struct CgroupMemory {
  uint64_t limit = 0;
  // What is charged and cannot simply be dropped: all but the file cache.
  uint64_t usage = 0;
  // The directory that holds the limit: "/sys/fs/cgroup/user.slice".
  std::string path;

  uint64_t room() const { return usage < limit ? limit - usage : 0; }
};

struct HostLimits {
  // RLIMIT_MEMLOCK of getrlimit(2).
  uint64_t memlock_soft = 0;
  uint64_t memlock_hard = 0;
  // CAP_IPC_LOCK is effective, and in the first user namespace, where mlock(2) looks for it:
  // RLIMIT_MEMLOCK does not bind.
  bool may_exceed_memlock = false;
  // VmLck and VmPin of this process, each held against RLIMIT_MEMLOCK on its own.
  uint64_t locked_bytes = 0;
  uint64_t pinned_bytes = 0;

  uint64_t memory_total = 0;
  uint64_t memory_available = 0;
  uint64_t swap_total = 0;
  // Nullopt: no memory cgroup limits this process.
  std::optional<CgroupMemory> cgroup;

  // vm.max_map_count: the mappings that one process may have.
  uint64_t max_map_count = 0;
  // Transparent huge pages of anonymous memory: "always", "madvise" or "never"; of memfd: "always",
  // "within_size", "advise", "never", "deny" or "force". Empty: the kernel has none.
  std::string thp_enabled;
  std::string thp_shmem_enabled;
  // The hugetlb pool of 2 MiB pages, in pages.
  uint64_t hugetlb_2m_total = 0;
  uint64_t hugetlb_2m_free = 0;
  // kernel.io_uring_disabled: 0 for all, 1 for members of io_uring_group only, 2 for none. Nullopt:
  // a kernel before 6.6.
  std::optional<uint64_t> io_uring_disabled;
  // The processors that this process may run on; at least 1.
  uint64_t usable_cpus = 1;
};

// Reads all of it. `root` stands before /proc and /sys in every path, so that a test can give files
// of its own; the processors come from sched_getaffinity(2). Unimplemented: /proc is not mounted,
// or one of its files lacks what proc(5) says it has.
absl::StatusOr<HostLimits> ReadHostLimits(const std::string& root = "");

// The readers, each for the fields that it names. Errors as ReadHostLimits.
absl::Status ReadMemlock(const std::string& root,
                         HostLimits& limits);  // memlock_*, may_exceed_memlock, *_bytes
absl::Status ReadMemoryTotals(const std::string& root, HostLimits& limits);  // memory_*, swap_total
// Cgroup v2 at /sys/fs/cgroup or (hybrid) /sys/fs/cgroup/unified, and v1 at /sys/fs/cgroup/memory.
// Whatever can't be read sets no limit, since a process may well be in a cgroup whose directory it
// does not see.
std::optional<CgroupMemory> ReadCgroupMemory(const std::string& root);
// The word in brackets of a file such as "always [madvise] never"; empty if there is no such file
// or word.
std::string ReadSelectedWord(const std::string& path);
uint64_t CountUsableCpus();

}  // namespace vmwire

#endif  // VMWIRE_MEMORY_HOST_LIMITS_H_
