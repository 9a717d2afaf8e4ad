#include "memory/host_limits.h"

#include <gtest/gtest.h>
#include <stdlib.h>

#include <filesystem>
#include <fstream>
#include <string>

namespace vmwire {
namespace {

constexpr uint64_t kMiB = uint64_t{1} << 20;

constexpr char kStatus[] =
    "Name:\tvmwire\nVmLck:\t      16 kB\nVmPin:\t       8 kB\nCapInh:\t0000000000000000\n"
    "CapEff:\t0000000000000000\n";
constexpr char kStatusWithIpcLock[] =
    "VmLck:\t       0 kB\nVmPin:\t       0 kB\nCapEff:\t0000000000004000\n";
constexpr char kLimits[] =
    "Limit                     Soft Limit           Hard Limit           Units     \n"
    "Max processes             96000                96000                processes \n"
    "Max locked memory         8388608              unlimited            bytes     \n";
constexpr char kMemInfo[] =
    "MemTotal:       24684092 kB\nMemFree:        100 kB\nMemAvailable:   2048 kB\nSwapTotal:      "
    " 4 kB\n";

class HostLimitsTest : public testing::Test {
 protected:
  void SetUp() override {
    std::string name = testing::TempDir() + "host_limits_XXXXXX";
    ASSERT_NE(mkdtemp(name.data()), nullptr);
    root_ = name;
    Write("/proc/self/status", kStatus);
    Write("/proc/self/limits", kLimits);
    Write("/proc/meminfo", kMemInfo);
  }

  void TearDown() override { std::filesystem::remove_all(root_); }

  void Write(const std::string& path, const std::string& text) {
    std::filesystem::create_directories(std::filesystem::path(root_ + path).parent_path());
    std::ofstream(root_ + path) << text;
  }

  void WriteCgroup(const std::string& directory, const std::string& limit,
                   const std::string& usage) {
    Write(directory + "/memory.max", limit + "\n");
    Write(directory + "/memory.current", usage + "\n");
  }

  std::string root_;
};

TEST_F(HostLimitsTest, MemlockComesFromTheLimitsTable) {
  const absl::StatusOr<HostLimits> limits = ReadHostLimits(root_);

  ASSERT_TRUE(limits.ok()) << limits.status();
  EXPECT_EQ(limits->memlock_soft, 8 * kMiB);
  EXPECT_EQ(limits->memlock_hard, kUnlimited);
}

TEST_F(HostLimitsTest, LockedAndPinnedBytesComeFromStatus) {
  const absl::StatusOr<HostLimits> limits = ReadHostLimits(root_);

  ASSERT_TRUE(limits.ok()) << limits.status();
  EXPECT_EQ(limits->locked_bytes, 16u * 1024);
  EXPECT_EQ(limits->pinned_bytes, 8u * 1024);
  EXPECT_FALSE(limits->may_exceed_memlock);
}

TEST_F(HostLimitsTest, IpcLockInTheFirstUserNamespaceLiftsTheLimit) {
  Write("/proc/self/status", kStatusWithIpcLock);
  Write("/proc/self/uid_map", "         0          0 4294967295\n");

  EXPECT_TRUE(ReadHostLimits(root_)->may_exceed_memlock);
}

TEST_F(HostLimitsTest, IpcLockInAnotherUserNamespaceDoesNot) {
  Write("/proc/self/status", kStatusWithIpcLock);
  Write("/proc/self/uid_map", "         0       1000          1\n");

  EXPECT_FALSE(ReadHostLimits(root_)->may_exceed_memlock);
}

TEST_F(HostLimitsTest, MemoryTotalsAreInBytes) {
  const absl::StatusOr<HostLimits> limits = ReadHostLimits(root_);

  ASSERT_TRUE(limits.ok()) << limits.status();
  EXPECT_EQ(limits->memory_total, uint64_t{24684092} * 1024);
  EXPECT_EQ(limits->memory_available, 2 * kMiB);
  EXPECT_EQ(limits->swap_total, 4096u);
}

TEST_F(HostLimitsTest, MissingProcIsUnimplementedAndNamesTheFile) {
  std::filesystem::remove(root_ + "/proc/meminfo");

  const absl::StatusOr<HostLimits> limits = ReadHostLimits(root_);

  EXPECT_EQ(limits.status().code(), absl::StatusCode::kUnimplemented);
  EXPECT_NE(limits.status().ToString().find("/proc/meminfo"), std::string::npos);
}

TEST_F(HostLimitsTest, StatusWithoutCapabilitiesIsUnimplemented) {
  Write("/proc/self/status", "Name:\tvmwire\n");

  EXPECT_EQ(ReadHostLimits(root_).status().code(), absl::StatusCode::kUnimplemented);
}

TEST_F(HostLimitsTest, MemlockThatIsNoNumberIsUnimplemented) {
  Write("/proc/self/limits", "Max locked memory         many  8388608  bytes\n");

  EXPECT_EQ(ReadHostLimits(root_).status().code(), absl::StatusCode::kUnimplemented);
}

TEST_F(HostLimitsTest, NoCgroupMeansNoLimit) { EXPECT_FALSE(ReadCgroupMemory(root_).has_value()); }

TEST_F(HostLimitsTest, CgroupV2LimitOfTheProcessIsFound) {
  Write("/proc/self/cgroup", "0::/a/b\n");
  WriteCgroup("/sys/fs/cgroup/a/b", "67108864", "1048576");

  const std::optional<CgroupMemory> cgroup = ReadCgroupMemory(root_);

  ASSERT_TRUE(cgroup.has_value());
  EXPECT_EQ(cgroup->limit, 64 * kMiB);
  EXPECT_EQ(cgroup->usage, kMiB);
  EXPECT_EQ(cgroup->path, root_ + "/sys/fs/cgroup/a/b");
}

TEST_F(HostLimitsTest, CgroupV2AncestorWithLessRoomWins) {
  Write("/proc/self/cgroup", "0::/a/b\n");
  WriteCgroup("/sys/fs/cgroup/a/b", "67108864", "0");
  WriteCgroup("/sys/fs/cgroup/a", "134217728", "130023424");

  const std::optional<CgroupMemory> cgroup = ReadCgroupMemory(root_);

  ASSERT_TRUE(cgroup.has_value());
  EXPECT_EQ(cgroup->limit, 128 * kMiB);
  EXPECT_EQ(cgroup->room(), 4 * kMiB);
}

TEST_F(HostLimitsTest, CgroupV2MaxIsNoLimit) {
  Write("/proc/self/cgroup", "0::/a\n");
  WriteCgroup("/sys/fs/cgroup/a", "max", "4096");

  EXPECT_FALSE(ReadCgroupMemory(root_).has_value());
}

TEST_F(HostLimitsTest, HybridCgroupV2StandsBelowUnified) {
  Write("/proc/self/cgroup", "0::/a\n");
  WriteCgroup("/sys/fs/cgroup/unified/a", "4096", "0");

  ASSERT_TRUE(ReadCgroupMemory(root_).has_value());
  EXPECT_EQ(ReadCgroupMemory(root_)->limit, 4096u);
}

TEST_F(HostLimitsTest, FileCacheIsNotUsage) {
  Write("/proc/self/cgroup", "0::/a\n");
  WriteCgroup("/sys/fs/cgroup/a", "1048576", "40960");
  Write("/sys/fs/cgroup/a/memory.stat", "anon 4096\ninactive_file 4096\nactive_file 8192\n");

  EXPECT_EQ(ReadCgroupMemory(root_)->usage, 28672u);
}

TEST_F(HostLimitsTest, CgroupV1HugeValueIsNoLimit) {
  Write("/proc/self/cgroup", "4:memory:/job\n0::/\n");
  Write("/sys/fs/cgroup/memory/job/memory.limit_in_bytes", "9223372036854771712\n");

  EXPECT_FALSE(ReadCgroupMemory(root_).has_value());
}

TEST_F(HostLimitsTest, CgroupV1LimitIsFoundAtTheMountWhenItsPathIsNotSeen) {
  Write("/proc/self/cgroup", "4:cpu,memory:/docker/0123:4\n");
  Write("/sys/fs/cgroup/memory/memory.limit_in_bytes", "33554432\n");
  Write("/sys/fs/cgroup/memory/memory.usage_in_bytes", "33554432\n");

  const std::optional<CgroupMemory> cgroup = ReadCgroupMemory(root_);

  ASSERT_TRUE(cgroup.has_value());
  EXPECT_EQ(cgroup->limit, 32 * kMiB);
  EXPECT_EQ(cgroup->room(), 0u);
}

TEST_F(HostLimitsTest, CgroupPathOutsideTheNamespaceIsTakenForTheRoot) {
  Write("/proc/self/cgroup", "0::/../other\n");
  WriteCgroup("/sys/fs/cgroup", "8192", "0");
  WriteCgroup("/sys/fs/other", "4096", "0");

  EXPECT_EQ(ReadCgroupMemory(root_)->limit, 8192u);
}

TEST_F(HostLimitsTest, HugePageSettingsAreTheWordsInBrackets) {
  Write("/sys/kernel/mm/transparent_hugepage/enabled", "always [madvise] never\n");
  Write("/sys/kernel/mm/transparent_hugepage/shmem_enabled",
        "always within_size advise [never] deny force\n");
  Write("/sys/kernel/mm/hugepages/hugepages-2048kB/nr_hugepages", "64\n");
  Write("/sys/kernel/mm/hugepages/hugepages-2048kB/free_hugepages", "60\n");

  const absl::StatusOr<HostLimits> limits = ReadHostLimits(root_);

  ASSERT_TRUE(limits.ok()) << limits.status();
  EXPECT_EQ(limits->thp_enabled, "madvise");
  EXPECT_EQ(limits->thp_shmem_enabled, "never");
  EXPECT_EQ(limits->hugetlb_2m_total, 64u);
  EXPECT_EQ(limits->hugetlb_2m_free, 60u);
}

TEST_F(HostLimitsTest, KernelWithoutTheFilesHasTheDefaults) {
  const absl::StatusOr<HostLimits> limits = ReadHostLimits(root_);

  ASSERT_TRUE(limits.ok()) << limits.status();
  EXPECT_EQ(limits->thp_enabled, "");
  EXPECT_EQ(limits->max_map_count, 65530u);
  EXPECT_FALSE(limits->io_uring_disabled.has_value());
}

TEST_F(HostLimitsTest, IoUringAndMapCountAreRead) {
  Write("/proc/sys/kernel/io_uring_disabled", "2\n");
  Write("/proc/sys/vm/max_map_count", "1048576\n");

  const absl::StatusOr<HostLimits> limits = ReadHostLimits(root_);

  ASSERT_TRUE(limits.ok()) << limits.status();
  EXPECT_EQ(limits->io_uring_disabled, std::optional<uint64_t>(2));
  EXPECT_EQ(limits->max_map_count, 1048576u);
}

TEST(HostLimitsOfThisHost, AreReadAndPlausible) {
  const absl::StatusOr<HostLimits> limits = ReadHostLimits();

  ASSERT_TRUE(limits.ok()) << limits.status();
  EXPECT_GT(limits->memory_total, 0u);
  EXPECT_LE(limits->memory_available, limits->memory_total);
  EXPECT_LE(limits->memlock_soft, limits->memlock_hard);
  EXPECT_GE(limits->usable_cpus, 1u);
}

}  // namespace
}  // namespace vmwire
