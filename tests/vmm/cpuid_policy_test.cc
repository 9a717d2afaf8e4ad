#include "vmm/cpuid_policy.h"

#include <gtest/gtest.h>

#include <cstdint>
#include <optional>
#include <vector>

namespace vmwire {
namespace {

kvm_cpuid_entry2 Leaf(uint32_t function, uint32_t index, uint32_t eax, uint32_t ebx, uint32_t ecx,
                      uint32_t edx) {
  kvm_cpuid_entry2 entry = {};
  entry.function = function;
  entry.index = index;
  entry.eax = eax;
  entry.ebx = ebx;
  entry.ecx = ecx;
  entry.edx = edx;
  return entry;
}

std::optional<kvm_cpuid_entry2> Find(const std::vector<kvm_cpuid_entry2>& entries,
                                     uint32_t function, uint32_t index = 0) {
  for (const kvm_cpuid_entry2& entry : entries) {
    if (entry.function == function && entry.index == index) return entry;
  }
  return std::nullopt;
}

constexpr uint32_t kAll = 0xffffffff;

TEST(CpuidPolicyTest, FirstLeafHasTheApicIdAndTheNumberOfIds) {
  const auto entries = CpuidOf({Leaf(1, 0, 0x123, 0x77080800, 0, 0)}, {.cpus = 3}, 2);

  EXPECT_EQ(Find(entries, 1)->eax, 0x123u) << "family and model are the host's";
  EXPECT_EQ(Find(entries, 1)->ebx, 0x02040800u) << "three CPUs need ids of two bits";
}

TEST(CpuidPolicyTest, TheNumberOfIdsIsTheMostThatItsFieldHolds) {
  const std::vector<kvm_cpuid_entry2> supported = {Leaf(1, 0, 0, 0, 0, 0)};

  EXPECT_EQ(Find(CpuidOf(supported, {.cpus = 128}, 0), 1)->ebx, 0x00800000u);
  EXPECT_EQ(Find(CpuidOf(supported, {.cpus = 255}, 254), 1)->ebx, 0xfeff0000u);
}

TEST(CpuidPolicyTest, NestedVirtualizationMonitorAndCountersAreLeftOut) {
  const auto entries =
      CpuidOf({Leaf(1, 0, 0, 0, kAll, kAll), Leaf(0xa, 0, kAll, kAll, kAll, kAll),
               Leaf(0x80000001, 0, 0, 0, kAll, kAll), Leaf(0x8000000a, 0, 1, 8, 0, kAll),
               Leaf(0x80000022, 0, 1, 6, 0, 0)},
              {}, 0);

  EXPECT_EQ(Find(entries, 1)->ecx, kAll & ~(1u << 3 | 1u << 5 | 1u << 15 | 1u << 24));
  EXPECT_EQ(Find(entries, 0xa)->eax, 0u);
  EXPECT_EQ(Find(entries, 0x80000001)->ecx, kAll & ~(1u << 2 | 1u << 23 | 1u << 24 | 1u << 28));
  EXPECT_EQ(Find(entries, 0x80000001)->edx, kAll);
  EXPECT_EQ(Find(entries, 0x8000000a)->edx, 0u);
  EXPECT_EQ(Find(entries, 0x80000022)->eax, 0u);
  EXPECT_EQ(Find(entries, 0x80000022)->ebx, 0u);
}

TEST(CpuidPolicyTest, HypervisorIsAlwaysThereAndTheDeadlineTimerWhereKvmHasIt) {
  const std::vector<kvm_cpuid_entry2> supported = {Leaf(1, 0, 0, 0, 0, 0)};

  EXPECT_EQ(Find(CpuidOf(supported, {}, 0), 1)->ecx, 1u << 31);
  EXPECT_EQ(Find(CpuidOf(supported, {.tsc_deadline_timer = true}, 0), 1)->ecx, 1u << 31 | 1u << 24);
}

TEST(CpuidPolicyTest, OneCpuHasNoSeveralIds) {
  const std::vector<kvm_cpuid_entry2> supported = {Leaf(1, 0, 0, 0, 0, kAll)};

  EXPECT_EQ(Find(CpuidOf(supported, {.cpus = 1}, 0), 1)->edx, kAll & ~(1u << 28));
  EXPECT_EQ(Find(CpuidOf(supported, {.cpus = 2}, 0), 1)->edx, kAll);
}

TEST(CpuidPolicyTest, TopologyLeafIsOnePackageOfCoresOfOneThread) {
  // What a host of 2 threads a core says is replaced, whatever number of levels it has.
  const auto entries = CpuidOf(
      {Leaf(0xb, 0, 1, 2, 0x100, 9), Leaf(0xb, 1, 6, 48, 0x201, 9), Leaf(0xb, 2, 0, 0, 2, 9)},
      {.cpus = 4}, 3);

  ASSERT_EQ(entries.size(), 3u);
  EXPECT_EQ(Find(entries, 0xb, 0)->eax, 0u);
  EXPECT_EQ(Find(entries, 0xb, 0)->ebx, 1u);
  EXPECT_EQ(Find(entries, 0xb, 0)->ecx, 0x100u);
  EXPECT_EQ(Find(entries, 0xb, 1)->eax, 2u);
  EXPECT_EQ(Find(entries, 0xb, 1)->ebx, 4u);
  EXPECT_EQ(Find(entries, 0xb, 1)->ecx, 0x201u);
  EXPECT_EQ(Find(entries, 0xb, 1)->edx, 3u);
  EXPECT_EQ(Find(entries, 0xb, 2)->ecx, 2u);
}

TEST(CpuidPolicyTest, CachesBelowTheThirdLevelAreOfOneCore) {
  const auto entries =
      CpuidOf({Leaf(4, 0, 0xfc004121, 0, 0, 0), Leaf(4, 3, 0xfc1fc163, 0, 0, 0)}, {.cpus = 2}, 0);

  EXPECT_EQ(Find(entries, 4, 0)->eax, 0x04000121u);
  EXPECT_EQ(Find(entries, 4, 3)->eax, 0x04004163u);
}

TEST(CpuidPolicyTest, AmdLeavesHaveTheCoresToo) {
  const auto entries =
      CpuidOf({Leaf(0x80000008, 0, 0x3030, 5, 0x7007, 0), Leaf(0x8000001e, 0, 9, 0x103, 0x102, 0)},
              {.cpus = 2}, 1);

  EXPECT_EQ(Find(entries, 0x80000008)->eax, 0x3030u);
  EXPECT_EQ(Find(entries, 0x80000008)->ecx, 0x1001u);
  EXPECT_EQ(Find(entries, 0x8000001e)->eax, 1u);
  EXPECT_EQ(Find(entries, 0x8000001e)->ebx, 1u);
  EXPECT_EQ(Find(entries, 0x8000001e)->ecx, 0u);
}

TEST(CpuidPolicyTest, AmdCachesBelowTheThirdLevelAreOfOneCore) {
  const auto entries =
      CpuidOf({Leaf(0x8000001d, 0, 0x4121, 0, 0, 0), Leaf(0x8000001d, 3, 0x3c163, 0, 0, 0),
               Leaf(0x8000001d, 4, 0, 0, 0, 0)},
              {.cpus = 2}, 0);

  EXPECT_EQ(Find(entries, 0x8000001d, 0)->eax, 0x121u);
  EXPECT_EQ(Find(entries, 0x8000001d, 3)->eax, 0x4163u);
  EXPECT_EQ(Find(entries, 0x8000001d, 4)->eax, 0u) << "the end of the list";
}

TEST(CpuidPolicyTest, HiddenFeaturesAreGone) {
  const CpuidPolicy policy{.hidden = {*FindCpuFeature("avx"), *FindCpuFeature("xsaves")}};

  const auto entries =
      CpuidOf({Leaf(1, 0, 0, 0, kAll, 0), Leaf(0xd, 0, kAll, 0, 0, 0), Leaf(0xd, 1, kAll, 0, 0, 0)},
              policy, 0);

  EXPECT_EQ(Find(entries, 1)->ecx >> 28 & 1, 0u);
  EXPECT_EQ(Find(entries, 0xd, 0)->eax, kAll) << "another index of the same leaf";
  EXPECT_EQ(Find(entries, 0xd, 1)->eax, kAll & ~(1u << 3));
}

TEST(CpuidPolicyTest, HiddenHelpOfKvmCannotBeHadInAnotherWay) {
  const auto left = [](const char* name) {
    const CpuidPolicy policy{.hidden = {*FindCpuFeature(name)}};
    return Find(CpuidOf({Leaf(0x40000001, 0, 0x010044fb, 0, 0, 0)}, policy, 0), 0x40000001)->eax;
  };

  EXPECT_EQ(left("kvmclock"), 0x44f2u) << "its first MSRs, and its promise to be stable";
  EXPECT_EQ(left("kvm_asyncpf"), 0x010000ebu) << "by an interrupt, and to a nested hypervisor";
}

TEST(CpuidPolicyTest, LeavesOfKvmStay) {
  const auto entries = CpuidOf({Leaf(0x40000000, 0, 0x40000001, 0x4b4d564b, 0x564b4d56, 0x4d),
                                Leaf(0x40000001, 0, 0xfb, 0, 0, 0)},
                               {}, 0);

  EXPECT_EQ(Find(entries, 0x40000000)->ebx, 0x4b4d564bu);
  EXPECT_EQ(Find(entries, 0x40000001)->eax, 0xfbu);
}

TEST(CpuFeaturesTest, NamesAreUniqueAndFound) {
  const std::vector<std::string> names = CpuFeatureNames();
  for (size_t i = 0; i < names.size(); ++i) {
    EXPECT_TRUE(FindCpuFeature(names[i]).ok());
    for (size_t j = 0; j < i; ++j) EXPECT_NE(names[i], names[j]);
  }
}

TEST(CpuFeaturesTest, UnknownNameIsRefusedWithThoseThatThereAre) {
  const auto feature = FindCpuFeature("avx513");

  EXPECT_EQ(feature.status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_NE(feature.status().message().find("avx512f"), absl::string_view::npos);
}

}  // namespace
}  // namespace vmwire
