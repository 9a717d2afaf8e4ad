#include "vmm/cli/time_limit.h"

#include <gtest/gtest.h>

#include "tests/support/eventually.h"
#include "tests/support/status_matchers.h"

namespace vmwire {
namespace {

TEST(TimeLimitTest, AsksForTheEndOnceItIsOver) {
  StopRequest stop;
  const auto limit = TimeLimit::Start(stop, std::chrono::milliseconds(20));
  ASSERT_THAT(limit, IsOk());

  EXPECT_TRUE(Eventually([&stop] { return stop.requested(); }, [](bool is) { return is; }));
  EXPECT_EQ(stop.reason(), StopRequest::kTimeLimit);
}

TEST(TimeLimitTest, NothingIsStoppedOnceItIsGone) {
  StopRequest stop;
  { ASSERT_THAT(TimeLimit::Start(stop, std::chrono::hours(1)), IsOk()); }
  EXPECT_FALSE(stop.requested());
}

}  // namespace
}  // namespace vmwire
