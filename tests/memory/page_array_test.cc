#include "memory/page_array.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <cstdint>
#include <fstream>
#include <memory>
#include <vector>

#include "tests/support/map_fixture.h"
#include "tests/support/status_matchers.h"

namespace vmwire {
namespace {

// Beside its pages a chunk has two words: 8 bytes a page, all but.
static_assert(sizeof(PageChunk) <= PageChunk::kPages * 8 + 2 * sizeof(void*));

constexpr uint64_t kChunk = PageChunk::kPages;

uint64_t ResidentBytesOfProcess() {
  std::ifstream statm("/proc/self/statm");
  uint64_t all = 0;
  uint64_t resident = 0;
  statm >> all >> resident;
  return resident * static_cast<uint64_t>(sysconf(_SC_PAGESIZE));
}

// How many chunks of the object's page array there are.
uint64_t Chunks(const VmObject& object) {
  uint64_t chunks = 0;
  for (uint64_t page = 0; page < object.pages().size(); page += kChunk) {
    if (object.pages().Find(page) != nullptr) ++chunks;
  }
  return chunks;
}

class PageArrayTest : public testing::Test {
 protected:
  std::shared_ptr<VmObject> NewObject(uint64_t pages) {
    return test_.NewObject(pages, MemoryBacking::kSimulated);
  }
  // One thread, so that the object's mutex is not needed.
  static VmPage& Materialize(VmObject& object, uint64_t page) ABSL_NO_THREAD_SAFETY_ANALYSIS {
    return object.pages().Materialize(page);
  }
  static void WireFirst(VmObject& object, uint64_t page) { Materialize(object, page).WireFirst(); }
  static void UnwireLast(VmObject& object, uint64_t page) {
    EXPECT_TRUE(Materialize(object, page).UnwireLast(PageQueue::kActive));
  }

  TestMap test_;
};

TEST_F(PageArrayTest, PageThatNobodyNeededIsNotThere) {
  const auto object = NewObject(3 * kChunk);

  EXPECT_EQ(object->pages().size(), 3 * kChunk);
  EXPECT_EQ(object->pages().Find(0), nullptr);
  EXPECT_EQ(object->pages().Find(3 * kChunk - 1), nullptr);
  EXPECT_EQ(object->pages().WireCount(0), 0u);
}

TEST_F(PageArrayTest, PagesComeInChunksAndStayWhereTheyAre) {
  const auto object = NewObject(3 * kChunk);

  VmPage& page = Materialize(*object, kChunk + 5);

  EXPECT_EQ(object->pages().Find(kChunk + 5), &page);
  EXPECT_NE(object->pages().Find(kChunk), nullptr);
  EXPECT_EQ(object->pages().Find(kChunk - 1), nullptr);
  EXPECT_EQ(object->pages().Find(2 * kChunk), nullptr);
  Materialize(*object, 0);
  EXPECT_EQ(&Materialize(*object, kChunk + 5), &page);
}

TEST_F(PageArrayTest, PageKnowsItsObjectAndItsIndex) {
  const auto first = NewObject(uint64_t{1} << 30);
  const auto second = NewObject(2 * kChunk);
  for (const uint64_t index : {uint64_t{0}, kChunk - 1, kChunk, kChunk * kChunk - 1,
                               kChunk * kChunk, (uint64_t{1} << 30) - 1}) {
    VmPage& page = Materialize(*first, index);
    EXPECT_EQ(PageIndexOf(page), index);
    EXPECT_EQ(&ObjectOf(page), first.get());
  }
  EXPECT_EQ(&ObjectOf(Materialize(*second, kChunk)), second.get());
}

TEST_F(PageArrayTest, WireCountPastTheEndIsZero) {
  const auto object = NewObject(kChunk);

  EXPECT_EQ(object->pages().WireCount(kChunk), 0u);
  EXPECT_EQ(object->pages().WireCount(UINT64_MAX), 0u);
}

TEST_F(PageArrayTest, AllWiredNeedsEveryPageOfTheRun) {
  const auto object = NewObject(2 * kChunk);
  PageArray& pages = object->pages();
  EXPECT_FALSE(pages.AllWired({kChunk - 2, kChunk + 2})) << "no chunk";
  for (uint64_t page = kChunk - 2; page < kChunk + 2; ++page) WireFirst(*object, page);

  EXPECT_TRUE(pages.AllWired({kChunk - 2, kChunk + 2}));
  EXPECT_TRUE(pages.AllWired({kChunk, kChunk})) << "an empty run";
  EXPECT_FALSE(pages.AllWired({kChunk - 3, kChunk + 2}));
  EXPECT_FALSE(pages.AllWired({kChunk - 2, kChunk + 3}));
  UnwireLast(*object, kChunk);
  EXPECT_FALSE(pages.AllWired({kChunk - 2, kChunk + 2}));
  EXPECT_TRUE(pages.AllWired({kChunk - 2, kChunk}));
  for (const uint64_t page : {kChunk - 2, kChunk - 1, kChunk + 1}) UnwireLast(*object, page);
}

TEST_F(PageArrayTest, ForEachPassesOverChunksThatAreNotThere) {
  const auto object = NewObject(4 * kChunk);
  Materialize(*object, 0);
  Materialize(*object, 2 * kChunk);
  std::vector<uint64_t> seen;

  object->pages().ForEach({kChunk - 1, 2 * kChunk + 2},
                          [&seen](uint64_t page, VmPage&) { seen.push_back(page); });

  EXPECT_THAT(seen, testing::ElementsAre(kChunk - 1, 2 * kChunk, 2 * kChunk + 1));
  EXPECT_EQ(Chunks(*object), 2u);
}

TEST_F(PageArrayTest, ForEachMaterializedMakesWhatItVisitsAndNoMore) {
  const auto object = NewObject(4 * kChunk);
  uint64_t visited = 0;

  object->pages().ForEachMaterialized({kChunk - 1, 2 * kChunk + 1}, [&](uint64_t page, VmPage& at) {
    EXPECT_EQ(PageIndexOf(at), page);
    ++visited;
  });

  EXPECT_EQ(visited, kChunk + 2);
  EXPECT_EQ(Chunks(*object), 3u);
  EXPECT_EQ(object->pages().Find(3 * kChunk), nullptr);
}

TEST_F(PageArrayTest, UntouchedMemoryCostsNoPageMetadata) {
  constexpr uint64_t kPages64GiB = (uint64_t{64} << 30) / kPageSize;
  const uint64_t before = ResidentBytesOfProcess();
  const auto object = NewObject(kPages64GiB);
  ASSERT_THAT(test_.MapPages(0, 1000, object, 1'000'000), IsOk());
  EXPECT_EQ(Chunks(*object), 0u);

  ASSERT_THAT(test_.map().WireRange(Pages(10, 11), WireFlags::kUser), IsOk());

  EXPECT_EQ(Chunks(*object), 1u);
  // All of its pages would be 128 MiB.
  EXPECT_LT(ResidentBytesOfProcess(), before + (uint64_t{1} << 20));
}

TEST_F(PageArrayTest, LargestObjectThereCanBeCostsNextToNothing) {
  const uint64_t before = ResidentBytesOfProcess();
  const auto object = NewObject(PageArray::kMaxPages);

  WireFirst(*object, PageArray::kMaxPages - 1);

  EXPECT_EQ(object->pages().WireCount(PageArray::kMaxPages - 1), 1u);
  EXPECT_LT(ResidentBytesOfProcess(), before + (uint64_t{1} << 20));
  UnwireLast(*object, PageArray::kMaxPages - 1);
}

}  // namespace
}  // namespace vmwire
