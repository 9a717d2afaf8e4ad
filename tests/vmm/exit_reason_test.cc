#include "vmm/exit_reason.h"

#include <gtest/gtest.h>

#include <set>
#include <string>

#include "vmm/kvm_abi.h"

namespace vmwire {
namespace {

TEST(ExitReasonTest, NamesFollowTheHeader) {
  EXPECT_EQ(ExitReasonName(KVM_EXIT_UNKNOWN), "KVM_EXIT_UNKNOWN");
  EXPECT_EQ(ExitReasonName(KVM_EXIT_IO), "KVM_EXIT_IO");
  EXPECT_EQ(ExitReasonName(KVM_EXIT_DCR), "KVM_EXIT_DCR");
  EXPECT_EQ(ExitReasonName(KVM_EXIT_INTERNAL_ERROR), "KVM_EXIT_INTERNAL_ERROR");
  EXPECT_EQ(ExitReasonName(KVM_EXIT_SYSTEM_EVENT), "KVM_EXIT_SYSTEM_EVENT");
  EXPECT_EQ(ExitReasonName(KVM_EXIT_X86_WRMSR), "KVM_EXIT_X86_WRMSR");
  EXPECT_EQ(ExitReasonName(KVM_EXIT_NOTIFY), "KVM_EXIT_NOTIFY");
  EXPECT_EQ(ExitReasonName(KVM_EXIT_MEMORY_FAULT), "KVM_EXIT_MEMORY_FAULT");
}

TEST(ExitReasonTest, EveryReasonOfTheHeaderHasANameOfItsOwn) {
  std::set<std::string> names;
  for (uint32_t reason = 0; reason <= KVM_EXIT_NOTIFY; ++reason) {
    const std::string name = ExitReasonName(reason);
    EXPECT_EQ(name.rfind("KVM_EXIT_", 0), 0u) << reason;
    EXPECT_TRUE(names.insert(name).second) << name;
  }
}

TEST(ExitReasonTest, UnknownReasonIsGivenByNumber) {
  EXPECT_EQ(ExitReasonName(4000), "KVM exit reason 4000");
}

TEST(ExitCountsTest, CountsByReasonAndTogetherBeyondTheTable) {
  ExitCounts counts;
  counts.Add(KVM_EXIT_IO);
  counts.Add(KVM_EXIT_IO);
  counts.Add(kCountedExitReasons);
  counts.Add(UINT32_MAX);

  EXPECT_EQ(counts.of(KVM_EXIT_IO), 2u);
  EXPECT_EQ(counts.of(KVM_EXIT_HLT), 0u);
  EXPECT_EQ(counts.of(UINT32_MAX), 2u);
  EXPECT_EQ(counts.total(), 4u);
}

}  // namespace
}  // namespace vmwire
