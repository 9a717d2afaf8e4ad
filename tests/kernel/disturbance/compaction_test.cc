// Compaction where it has the most to do: single wired pages, far apart, with free memory between
// them.
#include <gtest/gtest.h>

#include <chrono>
#include <memory>
#include <string>
#include <vector>

#include "absl/strings/str_format.h"
#include "memory/host_memory_linux.h"
#include "memory/pin_promises.h"
#include "memory/pin_table.h"
#include "memory/pinner.h"
#include "memory/status_macros.h"
#include "memory/vm_map.h"
#include "memory/vm_object.h"
#include "tests/kernel/disturbance/host_settings.h"
#include "tests/kernel/disturbance/leak_check.h"
#include "tests/kernel/disturbance/unheld_memory.h"
#include "tests/support/child.h"
#include "tests/support/map_fixture.h"
#include "tests/support/status_matchers.h"

namespace vmwire {
namespace {

constexpr uint64_t kSize = 128 << 20;
constexpr uint64_t kPages = kSize / kPageSize;
constexpr uint64_t kApart = 16;

class SparseCompactionTest : public testing::TestWithParam<PinLevel> {};

INSTANTIATE_TEST_SUITE_P(Levels, SparseCompactionTest, testing::ValuesIn(kPinLevels),
                         LevelName<testing::TestParamInfo<PinLevel>>);

// Wires each sixteenth page, and gives the others back.
absl::StatusOr<std::vector<WiredRange>> WireSparse(HostMemory& host, VmMap& map, VmObject& object) {
  VMWIRE_RETURN_IF_ERROR(host.Advise(object.host_range(), HostAdvice::kPopulateWrite));
  std::vector<WiredRange> wired;
  for (uint64_t page = 0; page < kPages; page += kApart) {
    VMWIRE_ASSIGN_OR_RETURN(WiredRange one, map.Wire(Pages(page, page + 1)));
    wired.push_back(std::move(one));
    HostPointer(object.host_range().start())[page * kPageSize] = static_cast<std::byte>(page / 16);
    VMWIRE_RETURN_IF_ERROR(object.Discard({page + 1, page + kApart}));
  }
  return wired;
}

uint64_t CountMoved(const std::vector<uint64_t>& before, const std::vector<uint64_t>& after) {
  uint64_t moved = 0;
  for (size_t page = 0; page < before.size(); ++page) moved += before[page] != after[page] ? 1 : 0;
  return moved;
}

absl::Status CompactSparse(PinLevel level) {
  VMWIRE_RETURN_IF_ERROR(CheckFramesAreTold());
  const LeakCheck leaks;
  HostMemoryLinux host;
  const std::unique_ptr<Pinner> pinner = MakePinner(level, host);
  WireBudget budget({});
  PinTable pins(*pinner, budget);
  VmMap map(pins, {});
  VMWIRE_ASSIGN_OR_RETURN(const auto object,
                          VmObject::Create(host, {.size = kSize, .huge_pages = HugePages::kNone}));
  VMWIRE_RETURN_IF_ERROR(map.Map(Pages(0, kPages), object, 0, Protection::kReadWrite));
  const auto wired = WireSparse(host, map, *object);
  if (!wired.ok()) return AsMissing(wired.status());
  UnheldMemory unheld(kSize);
  unheld.KeepEach(kApart);
  VMWIRE_ASSIGN_OR_RETURN(const auto before, host.Frames(object->host_range()));

  // A busy machine may take seconds for one.
  const auto enough = std::chrono::steady_clock::now() + std::chrono::seconds(2);
  for (int round = 0; round < 3 && std::chrono::steady_clock::now() < enough; ++round) {
    VMWIRE_RETURN_IF_ERROR(WriteSetting("/proc/sys/vm/compact_memory", "1"));
  }

  const auto after = host.Frames(object->host_range());
  EXPECT_THAT(after, IsOk());
  const uint64_t moved = CountMoved(before, *after);
  absl::PrintF("%-8s %d sparse pages: %d moved; beside them %d unheld pages moved\n",
               ToString(level), wired->size(), moved, unheld.PagesMoved());
  if (level != PinLevel::kResident) {
    EXPECT_EQ(moved, 0u);
  }
  for (uint64_t page = 0; page < kPages; page += kApart) {
    EXPECT_EQ(HostPointer(object->host_range().start())[page * kPageSize],
              static_cast<std::byte>(page / 16));
  }
  return absl::OkStatus();
}

TEST_P(SparseCompactionTest, PinnedPagesKeepTheirFrames) {
  const HostSettings alone;

  const absl::Status ran = RunInChild([&] { return CompactSparse(GetParam()); });

  if (absl::IsUnavailable(ran)) GTEST_SKIP() << ran.message();
  EXPECT_THAT(ran, IsOk());
}

}  // namespace
}  // namespace vmwire
