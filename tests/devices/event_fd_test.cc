#include "devices/event_fd.h"

#include <gtest/gtest.h>

#include <thread>
#include <utility>

#include "tests/support/status_matchers.h"

namespace vmwire {
namespace {

TEST(EventFd, SignalsAddUpToOneDrain) {
  const auto event = EventFd::Create();
  ASSERT_THAT(event, IsOk());
  EXPECT_FALSE(IsReadable(event->fd()));

  event->Signal();
  event->Signal();

  EXPECT_TRUE(IsReadable(event->fd()));
  EXPECT_TRUE(event->Drain());
  EXPECT_FALSE(event->Drain());
}

TEST(EventFd, WaitEndsWhenOneOfThemIsSignalled) {
  const auto first = EventFd::Create();
  const auto second = EventFd::Create();
  const std::jthread other([&] { second->Signal(); });

  WaitReadable({first->fd(), -1, second->fd()});

  EXPECT_TRUE(IsReadable(second->fd()));
}

TEST(EventFd, MovedFromHasNone) {
  auto event = EventFd::Create();
  const int fd = event->fd();

  EventFd moved = *std::move(event);
  EventFd& self = moved;
  moved = std::move(self);

  EXPECT_EQ(moved.fd(), fd);
  moved.Signal();
  EXPECT_TRUE(IsReadable(fd));
}

}  // namespace
}  // namespace vmwire
