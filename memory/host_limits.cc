#include "memory/host_limits.h"

#include <sched.h>

#include <array>
#include <fstream>
#include <sstream>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_split.h"
#include "memory/status_macros.h"

namespace vmwire {
namespace {

constexpr int kCapIpcLock = 14;  // <linux/capability.h>
// Cgroup v1 says "no limit" with the largest multiple of the page size below 2^63.
constexpr uint64_t kCgroupV1NoLimit = uint64_t{1} << 62;
// The kernel is never built for more (NR_CPUS of x86-64); a smaller mask makes sched_getaffinity
// fail there.
constexpr size_t kMaxCpus = 8192;

std::optional<std::string> ReadFile(const std::string& path) {
  std::ifstream file(path);
  if (!file) return std::nullopt;
  std::ostringstream text;
  text << file.rdbuf();
  return text.str();
}

absl::StatusOr<std::string> ReadProcFile(const std::string& path) {
  std::optional<std::string> text = ReadFile(path);
  if (!text.has_value()) {
    return absl::UnimplementedError(absl::StrFormat("cannot read %s; mount /proc", path));
  }
  return *std::move(text);
}

std::optional<uint64_t> ParseNumber(absl::string_view word) {
  uint64_t value = 0;
  if (!absl::SimpleAtoi(word, &value)) return std::nullopt;
  return value;
}

std::optional<uint64_t> ReadNumber(const std::string& path) {
  const std::optional<std::string> text = ReadFile(path);
  if (!text.has_value()) return std::nullopt;
  return ParseNumber(absl::StripAsciiWhitespace(*text));
}

// The words behind `key` in its line of `text`; empty if no line starts with it.
std::vector<std::string> WordsAfter(const std::string& text, const std::string& key) {
  for (absl::string_view line : absl::StrSplit(text, '\n')) {
    if (!absl::StartsWith(line, key)) continue;
    return absl::StrSplit(line.substr(key.size()), absl::ByAnyChar(" \t"), absl::SkipEmpty());
  }
  return {};
}

// The value of a line "Key:   123 kB", in bytes.
std::optional<uint64_t> KilobytesAfter(const std::string& text, const std::string& key) {
  const std::vector<std::string> words = WordsAfter(text, key);
  if (words.size() != 2 || words[1] != "kB") return std::nullopt;
  const std::optional<uint64_t> kilobytes = ParseNumber(words[0]);
  if (!kilobytes.has_value() || *kilobytes > UINT64_MAX / 1024) return std::nullopt;
  return *kilobytes * 1024;
}

absl::Status Lacks(const std::string& path, const std::string& key) {
  return absl::UnimplementedError(absl::StrFormat("%s has no usable line '%s'", path, key));
}

std::optional<uint64_t> ParseLimit(const std::string& word) {
  return word == "unlimited" ? kUnlimited : ParseNumber(word);
}

// A user namespace of one's own gives CAP_IPC_LOCK freely, but mlock(2) asks for it in the first
// one, where every id maps to itself.
bool IsFirstUserNamespace(const std::string& root) {
  const std::optional<std::string> text = ReadFile(root + "/proc/self/uid_map");
  if (!text.has_value()) return true;  // A kernel without user namespaces.
  return WordsAfter(*text, "") == std::vector<std::string>{"0", "0", "4294967295"};
}

// How the two versions of the memory controller name the same things.
struct CgroupFiles {
  const char* limit;
  const char* usage;
  const char* active_file;
  const char* inactive_file;
};
constexpr CgroupFiles kCgroupV2 = {"/memory.max", "/memory.current", "active_file ",
                                   "inactive_file "};
constexpr CgroupFiles kCgroupV1 = {"/memory.limit_in_bytes", "/memory.usage_in_bytes",
                                   "total_active_file ", "total_inactive_file "};

uint64_t FileCache(const std::string& stat, const CgroupFiles& files) {
  uint64_t bytes = 0;
  for (const char* key : {files.active_file, files.inactive_file}) {
    const std::vector<std::string> words = WordsAfter(stat, key);
    if (words.size() == 1) bytes += ParseNumber(words[0]).value_or(0);
  }
  return bytes;
}

// What the cgroup at `directory` itself sets; nullopt if that is nothing ("max").
std::optional<CgroupMemory> ReadOneCgroup(const std::string& directory, const CgroupFiles& files) {
  const std::optional<uint64_t> limit = ReadNumber(directory + files.limit);
  if (!limit.has_value() || *limit >= kCgroupV1NoLimit) return std::nullopt;
  const uint64_t charged = ReadNumber(directory + files.usage).value_or(0);
  const uint64_t cache = FileCache(ReadFile(directory + "/memory.stat").value_or(""), files);
  return CgroupMemory{*limit, charged > cache ? charged - cache : 0, directory};
}

void KeepTheShorter(std::optional<CgroupMemory>& best, std::optional<CgroupMemory> other) {
  if (other.has_value() && (!best.has_value() || other->room() < best->room()))
    best = std::move(other);
}

// Walks from `mount` + `path` up to `mount`. A path that this namespace cannot see ("/../other") is
// taken for the mount's root.
void WalkCgroups(const std::string& mount, std::string path, const CgroupFiles& files,
                 std::optional<CgroupMemory>& best) {
  if (absl::StartsWith(path, "/../")) path.clear();
  while (!path.empty() && path != "/") {
    KeepTheShorter(best, ReadOneCgroup(mount + path, files));
    path.resize(path.rfind('/'));
  }
  KeepTheShorter(best, ReadOneCgroup(mount, files));
}

bool HasMemoryController(absl::string_view controllers) {
  for (absl::string_view name : absl::StrSplit(controllers, ',')) {
    if (name == "memory") return true;
  }
  return false;
}

}  // namespace

absl::Status ReadMemlock(const std::string& root, HostLimits& limits) {
  const std::string limits_path = root + "/proc/self/limits";
  VMWIRE_ASSIGN_OR_RETURN(const std::string table, ReadProcFile(limits_path));
  const std::vector<std::string> words = WordsAfter(table, "Max locked memory");
  if (words.size() < 2) return Lacks(limits_path, "Max locked memory");
  const std::optional<uint64_t> soft = ParseLimit(words[0]);
  const std::optional<uint64_t> hard = ParseLimit(words[1]);
  if (!soft.has_value() || !hard.has_value()) return Lacks(limits_path, "Max locked memory");

  const std::string status_path = root + "/proc/self/status";
  VMWIRE_ASSIGN_OR_RETURN(const std::string status, ReadProcFile(status_path));
  const std::vector<std::string> capabilities = WordsAfter(status, "CapEff:");
  uint64_t effective = 0;
  if (capabilities.size() != 1 || !absl::SimpleHexAtoi(capabilities[0], &effective)) {
    return Lacks(status_path, "CapEff");
  }
  limits.memlock_soft = *soft;
  limits.memlock_hard = *hard;
  limits.may_exceed_memlock = (effective >> kCapIpcLock & 1) != 0 && IsFirstUserNamespace(root);
  limits.locked_bytes = KilobytesAfter(status, "VmLck:").value_or(0);
  limits.pinned_bytes = KilobytesAfter(status, "VmPin:").value_or(0);
  return absl::OkStatus();
}

absl::Status ReadMemoryTotals(const std::string& root, HostLimits& limits) {
  const std::string path = root + "/proc/meminfo";
  VMWIRE_ASSIGN_OR_RETURN(const std::string text, ReadProcFile(path));
  const std::optional<uint64_t> total = KilobytesAfter(text, "MemTotal:");
  const std::optional<uint64_t> available = KilobytesAfter(text, "MemAvailable:");
  if (!total.has_value()) return Lacks(path, "MemTotal");
  if (!available.has_value()) return Lacks(path, "MemAvailable");
  limits.memory_total = *total;
  limits.memory_available = *available;
  limits.swap_total = KilobytesAfter(text, "SwapTotal:").value_or(0);
  return absl::OkStatus();
}

std::optional<CgroupMemory> ReadCgroupMemory(const std::string& root) {
  std::optional<CgroupMemory> best;
  const std::string mounts = root + "/sys/fs/cgroup";
  const std::string text = ReadFile(root + "/proc/self/cgroup").value_or("");
  for (absl::string_view line : absl::StrSplit(text, '\n', absl::SkipEmpty())) {
    // "id:controllers:path", cgroups(7); the path may hold colons.
    const std::vector<std::string> fields = absl::StrSplit(line, absl::MaxSplits(':', 2));
    if (fields.size() != 3 || !absl::StartsWith(fields[2], "/")) continue;
    if (fields[0] == "0" && fields[1].empty()) {
      WalkCgroups(mounts, fields[2], kCgroupV2, best);
      WalkCgroups(mounts + "/unified", fields[2], kCgroupV2, best);
    } else if (HasMemoryController(fields[1])) {
      WalkCgroups(mounts + "/memory", fields[2], kCgroupV1, best);
    }
  }
  return best;
}

std::string ReadSelectedWord(const std::string& path) {
  const std::string text = ReadFile(path).value_or("");
  const size_t open = text.find('[');
  if (open == std::string::npos) return "";
  const size_t close = text.find(']', open);
  if (close == std::string::npos) return "";
  return text.substr(open + 1, close - open - 1);
}

uint64_t CountUsableCpus() {
  std::array<cpu_set_t, kMaxCpus / CPU_SETSIZE> mask = {};
  if (sched_getaffinity(0, sizeof(mask), mask.data()) != 0) return 1;
  const int count = CPU_COUNT_S(sizeof(mask), mask.data());
  return count > 0 ? static_cast<uint64_t>(count) : 1;
}

absl::StatusOr<HostLimits> ReadHostLimits(const std::string& root) {
  HostLimits limits;
  VMWIRE_RETURN_IF_ERROR(ReadMemlock(root, limits));
  VMWIRE_RETURN_IF_ERROR(ReadMemoryTotals(root, limits));
  limits.cgroup = ReadCgroupMemory(root);
  // The kernel's own default, DEFAULT_MAX_MAP_COUNT, where a container hides the file.
  limits.max_map_count = ReadNumber(root + "/proc/sys/vm/max_map_count").value_or(65530);
  const std::string thp = root + "/sys/kernel/mm/transparent_hugepage/";
  limits.thp_enabled = ReadSelectedWord(thp + "enabled");
  limits.thp_shmem_enabled = ReadSelectedWord(thp + "shmem_enabled");
  const std::string pool = root + "/sys/kernel/mm/hugepages/hugepages-2048kB/";
  limits.hugetlb_2m_total = ReadNumber(pool + "nr_hugepages").value_or(0);
  limits.hugetlb_2m_free = ReadNumber(pool + "free_hugepages").value_or(0);
  limits.io_uring_disabled = ReadNumber(root + "/proc/sys/kernel/io_uring_disabled");
  limits.usable_cpus = CountUsableCpus();
  return limits;
}

}  // namespace vmwire
