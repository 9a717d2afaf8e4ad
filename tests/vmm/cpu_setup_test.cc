#include "vmm/cpu_setup.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/fakes/fake_kvm.h"
#include "tests/fakes/journal.h"
#include "tests/support/status_matchers.h"

namespace vmwire {
namespace {

using testing::HasSubstr;

TEST(CpuSetupTest, AKvmThatDoesNotSayHasFourCpus) {
  Journal journal;
  FakeKvm kvm(journal, {.vcpu_limit = 0});
  VMWIRE_ASSERT_OK_AND_ASSIGN(const auto system, System::Open(kvm));

  EXPECT_THAT(CheckCpuCount(*system, 4), IsOk());
  EXPECT_THAT(CheckCpuCount(*system, 5),
              StatusIs(absl::StatusCode::kResourceExhausted, HasSubstr("4;")));
}

TEST(CpuSetupTest, LimitOfKvmHoldsAboveAndBelowFour) {
  for (const int limit : {2, 6}) {
    Journal journal;
    FakeKvm kvm(journal, {.vcpu_limit = limit});
    VMWIRE_ASSERT_OK_AND_ASSIGN(const auto system, System::Open(kvm));
    const auto most = static_cast<uint32_t>(limit);

    EXPECT_THAT(CheckCpuCount(*system, most), IsOk());
    EXPECT_THAT(CheckCpuCount(*system, most + 1), StatusIs(absl::StatusCode::kResourceExhausted));
  }
}

TEST(CpuSetupTest, AddressBitsAreThoseOfTheLeafAndWithoutIt36) {
  kvm_cpuid_entry2 sizes = {};
  sizes.function = 0x80000008;
  sizes.eax = 0x392e;

  EXPECT_EQ(GuestAddressBits({kvm_cpuid_entry2{}, sizes}), 46u);
  EXPECT_EQ(GuestAddressBits({kvm_cpuid_entry2{}}), 36u);
}

}  // namespace
}  // namespace vmwire
