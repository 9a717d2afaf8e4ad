#include "memory/protection.h"

#include <gtest/gtest.h>

namespace vmwire {
namespace {

// The VM_PROT_* values of vm_map(9).
static_assert(static_cast<int>(Protection::kNone) == 0);
static_assert(static_cast<int>(Protection::kRead) == 1);
static_assert(static_cast<int>(Protection::kWrite) == 2);
static_assert(static_cast<int>(Protection::kExecute) == 4);
static_assert(static_cast<int>(Protection::kAll) == 7);

TEST(ProtectionTest, AllowsOnlyIfEveryWantedRightIsThere) {
  EXPECT_TRUE(Allows(Protection::kReadWrite, Protection::kWrite));
  EXPECT_TRUE(Allows(Protection::kReadWrite, Protection::kReadWrite));
  EXPECT_FALSE(Allows(Protection::kRead, Protection::kReadWrite));
  EXPECT_FALSE(Allows(Protection::kNone, Protection::kRead));
}

TEST(ProtectionTest, NothingWantedIsAlwaysAllowed) {
  EXPECT_TRUE(Allows(Protection::kNone, Protection::kNone));
}

TEST(ProtectionTest, OrAndAndWorkOnRights) {
  EXPECT_EQ(Protection::kRead | Protection::kWrite, Protection::kReadWrite);
  EXPECT_EQ(Protection::kAll & Protection::kExecute, Protection::kExecute);
  EXPECT_EQ(Protection::kRead & Protection::kWrite, Protection::kNone);
}

TEST(ProtectionTest, TextHasAPlaceForEachRight) {
  EXPECT_EQ(ToString(Protection::kNone), "---");
  EXPECT_EQ(ToString(Protection::kRead), "r--");
  EXPECT_EQ(ToString(Protection::kReadWrite), "rw-");
  EXPECT_EQ(ToString(Protection::kExecute), "--x");
  EXPECT_EQ(ToString(Protection::kAll), "rwx");
}

}  // namespace
}  // namespace vmwire
