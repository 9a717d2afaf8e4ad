#include "devices/dirty_log.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <set>
#include <thread>

#include "tests/support/map_fixture.h"

namespace vmwire {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;

TEST(DirtyLog, PagesThatAreTouchedAreDirtyOnce) {
  DirtyLog log(Pages(100, 300));

  log.Mark(GuestAddress(200 * kPageSize - 1), 2);
  log.Mark(Page(100), 1);

  EXPECT_THAT(log.Take(), ElementsAre(Page(100), Page(199), Page(200)));
  EXPECT_THAT(log.Take(), IsEmpty());
}

TEST(DirtyLog, WhatIsOutsideIsPassedOver) {
  DirtyLog log(Pages(100, 102));

  log.Mark(Page(99), 10 * kPageSize);
  log.Mark(Page(5), kPageSize);
  log.Mark(Page(102), kPageSize);

  EXPECT_THAT(log.Take(), ElementsAre(Page(100), Page(101)));
}

TEST(DirtyLog, NoMarkIsLostBesideATake) {
  DirtyLog log(Pages(0, 1000));
  std::jthread writer([&] {
    for (uint64_t page = 0; page < 1000; ++page) log.Mark(Page(page), 1);
  });
  std::set<GuestAddress> taken;
  while (taken.size() < 1000) {
    for (const GuestAddress page : log.Take()) taken.insert(page);
  }
  EXPECT_EQ(taken.size(), 1000u);
}

}  // namespace
}  // namespace vmwire
