#include "vmm/cli/stop_on_signal.h"

#include <gtest/gtest.h>
#include <signal.h>

#include <optional>

namespace vmwire {
namespace {

TEST(StopOnSignalTest, EverySignalThatEndsAProcessIsARequest) {
  for (const int number : {SIGINT, SIGTERM, SIGHUP, SIGQUIT}) {
    StopRequest stop;
    const StopOnSignal stop_on_signal(stop);

    raise(number);

    ASSERT_TRUE(stop.requested());
    EXPECT_EQ(stop.reason(), number);
  }
}

TEST(StopOnSignalTest, ASignalThatWasIgnoredStaysSo) {
  signal(SIGHUP, SIG_IGN);
  StopRequest stop;
  {
    const StopOnSignal stop_on_signal(stop);
    raise(SIGHUP);
  }
  signal(SIGHUP, SIG_DFL);
  EXPECT_FALSE(stop.requested());
}

TEST(StopOnSignalTest, HandlersAreAsBeforeOnceItIsGone) {
  signal(SIGTERM, SIG_IGN);
  signal(SIGINT, SIG_DFL);
  StopRequest stop;
  { const StopOnSignal stop_on_signal(stop); }
  EXPECT_EQ(signal(SIGTERM, SIG_DFL), SIG_IGN);
  EXPECT_EQ(signal(SIGINT, SIG_DFL), SIG_DFL);
}

}  // namespace
}  // namespace vmwire
