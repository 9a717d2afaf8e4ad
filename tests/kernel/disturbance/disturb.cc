#include "tests/kernel/disturbance/disturb.h"

#include <gtest/gtest.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <cstdlib>
#include <cstring>

#include "absl/strings/str_cat.h"
#include "memory/errno_status.h"
#include "memory/status_macros.h"
#include "tests/support/eventually.h"
#include "tests/support/status_matchers.h"

namespace vmwire {
namespace {

constexpr int kMadvCollapse = 25;  // Linux 6.1; newer than the headers of some hosts.
constexpr uint64_t kSwapBytes = 256 << 20;
constexpr uint64_t kCgroupBytes = 64 << 20;
constexpr uint64_t kHogBytes = 80 << 20;
constexpr uint64_t kUnheldBytes = 4 << 20;
constexpr uint64_t kSparseBytes = 32 << 20;  // Of which each so many-th page is kept:
constexpr uint64_t kSparse = 16;
constexpr int kCompactions = 3;

// The errno; 0: it was done.
int Advise(const HostRange& range, int advice) {
  return madvise(HostPointer(range.start()), range.size(), advice) == 0 ? 0 : errno;
}

std::string Name(int error) { return error == 0 ? "done" : strerrorname_np(error); }

absl::Status Unavailable(int error, const std::string& what) {
  return absl::UnavailableError(std::string(ErrnoStatus(error, what).message()));
}

// Runs `body` in a child without exec, and waits for it; -1: there was none, or it died.
int ForkAndWait(const std::function<int()>& body, const std::function<void()>& meanwhile = {}) {
  const pid_t child = fork();
  if (child == 0) _exit(body());
  if (child < 0) return -1;
  if (meanwhile) meanwhile();
  int status = 0;
  waitpid(child, &status, 0);
  return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

absl::StatusOr<Effect> PageOut(WiredRegion& region) {
  UnheldMemory unheld(kUnheldBytes);
  Advise(unheld.range(), MADV_PAGEOUT);
  const int error = Advise(region.host(), MADV_PAGEOUT);
  return Effect{.error = error, .note = absl::StrCat(unheld.PagesGone(), " unheld pages gone")};
}

absl::StatusOr<Effect> DontNeed(WiredRegion& region) {
  return Effect{.error = Advise(region.host(), MADV_DONTNEED)};
}

absl::StatusOr<Effect> Free(WiredRegion& region) {
  UnheldMemory unheld(kUnheldBytes);
  Advise(unheld.range(), MADV_FREE);
  Advise(unheld.range(), MADV_PAGEOUT);
  const int error = Advise(region.host(), MADV_FREE);
  // What is free goes with the next reclaim: this is one.
  if (error == 0) Advise(region.host(), MADV_PAGEOUT);
  EXPECT_GT(unheld.PagesGone(), 0u) << "nothing was reclaimed";
  return Effect{.error = error, .note = absl::StrCat(unheld.PagesGone(), " unheld pages gone")};
}

absl::StatusOr<Effect> PunchHole(WiredRegion& region) {
  const uint64_t pages = region.host().pages();
  const uint64_t some = region.object()->page_bytes() / kPageSize;
  Effect effect;
  effect.library = {region.object()->Discard({0, pages}), region.object()->Discard({0, some})};
  // Without a lock, a hole can be punched into a file that is not sealed: whoever has the file or
  // the mapping could. Only the library keeps it out.
  const bool kernel_refuses = BackingOf(region.kind()) == PinBacking::kAnonymous ||
                              region.kind() == RegionKind::kMemfdSealed;
  if (kernel_refuses) {
    effect.error = Advise(region.host(), MADV_REMOVE);
    EXPECT_NE(effect.error, 0);
  }
  return effect;
}

int Hog() {
  void* const memory = mmap(nullptr, kHogBytes, PROT_READ | PROT_WRITE,
                            MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (memory == MAP_FAILED) return 1;
  for (uint64_t offset = 0; offset < kHogBytes; offset += kPageSize) {
    std::memset(static_cast<char*>(memory) + offset, static_cast<int>(offset / kPageSize), 256);
  }
  return 0;
}

absl::StatusOr<Effect> Press(WiredRegion&) {
  UnheldMemory unheld(kUnheldBytes);
  EXPECT_EQ(ForkAndWait(Hog), 0) << "the process that takes all memory died";
  EXPECT_GT(unheld.PagesGone(), 0u) << "nothing was reclaimed";
  return Effect{.note = absl::StrCat(unheld.PagesGone(), " unheld pages gone")};
}

absl::StatusOr<Effect> Compact(WiredRegion&) {
  uint64_t moved = 0;
  // Where new pages lie is chance, and so is how many of them compaction finds worth moving.
  for (int round = 0; round < kCompactions && moved == 0; ++round) {
    UnheldMemory unheld(kSparseBytes);
    unheld.KeepEach(kSparse);
    VMWIRE_RETURN_IF_ERROR(WriteSetting("/proc/sys/vm/compact_memory", "1"));
    moved = unheld.PagesMoved();
  }
  return Effect{.note = absl::StrCat(moved, " unheld pages moved")};
}

absl::StatusOr<Effect> Collapse(WiredRegion& region) {
  UnheldMemory unheld(kHugePageSize);
  Advise(unheld.range(), MADV_HUGEPAGE);
  const int possible = Advise(unheld.range(), kMadvCollapse);
  if (possible != 0) return Unavailable(possible, "MADV_COLLAPSE of memory that nothing holds");
  // The object has chosen small pages: without this there would be nothing to refuse.
  Advise(region.host(), MADV_HUGEPAGE);
  const int error = Advise(region.host(), kMadvCollapse);
  return Effect{.error = error, .note = absl::StrCat(unheld.PagesMoved(), " unheld pages moved")};
}

uint64_t KsmScans() {
  return std::strtoull(ReadSetting("/sys/kernel/mm/ksm/full_scans").c_str(), nullptr, 10);
}

absl::StatusOr<Effect> Merge(WiredRegion& region) {
  UnheldMemory unheld(kUnheldBytes);
  region.Rewrite(/*same_pages=*/true);
  if (const int error = Advise(unheld.range(), MADV_MERGEABLE); error != 0) {
    return Unavailable(error, "MADV_MERGEABLE");
  }
  const int error = Advise(region.host(), MADV_MERGEABLE);
  const uint64_t all_but_few = unheld.range().pages() * 3 / 4;
  const uint64_t merged = Eventually([&] { return unheld.PagesMerged(); },
                                     [=](uint64_t pages) { return pages >= all_but_few; });
  EXPECT_GE(merged, all_but_few) << "ksmd did not merge what it could";
  // Pages are compared when they were the same in two scans.
  const uint64_t enough = KsmScans() + 2;
  EXPECT_GE(Eventually(KsmScans, [=](uint64_t scans) { return scans >= enough; }), enough);
  return Effect{.error = error, .note = absl::StrCat(merged, " unheld pages merged")};
}

absl::StatusOr<Effect> Fork(WiredRegion& region) {
  UnheldMemory unheld(64 * kPageSize);
  int written[2];
  if (pipe(written) != 0) return Unavailable(errno, "making a pipe");
  const auto child = [&] {
    char byte = 0;
    if (read(written[0], &byte, 1) != 1) return 2;
    unsigned char resident = 0;
    const bool has_it = mincore(region.data(), kPageSize, &resident) == 0;
    return has_it ? 1 : 0;
  };
  const auto parent = [&] {
    region.Rewrite(/*same_pages=*/false);
    unheld.WriteEachPage();
    EXPECT_EQ(write(written[1], "", 1), 1);
  };
  const int found = ForkAndWait(child, parent);
  close(written[0]);
  close(written[1]);
  EXPECT_EQ(unheld.PagesMoved(), unheld.range().pages()) << "the fork copied nothing";
  EXPECT_THAT(found, testing::AnyOf(0, 1)) << "no child, or it died";
  return Effect{.library = {found == 0 ? absl::FailedPreconditionError("not in the child")
                                       : absl::OkStatus()},
                .note = absl::StrCat(found == 0 ? "not in the child; " : "in the child too; ",
                                     unheld.PagesMoved(), " unheld pages moved")};
}

absl::StatusOr<Effect> Unmap(WiredRegion& region) {
  const WaitLimits now = {.deadline = std::chrono::steady_clock::now()};
  return Effect{
      .library = {region.map().Remove(region.guest()), region.map().RemoveWait(region.guest(), now),
                  region.map().Map(region.guest(), region.object(), 0, Protection::kReadWrite)}};
}

}  // namespace

absl::Status DisturbanceHost::Prepare(Disturbance disturbance) {
  switch (disturbance) {
    case Disturbance::kPressure: {
      VMWIRE_RETURN_IF_ERROR(settings_.AddZramSwap(kSwapBytes));
      VMWIRE_ASSIGN_OR_RETURN(cgroup_, settings_.AddMemoryCgroup(kCgroupBytes));
      return absl::OkStatus();
    }
    case Disturbance::kPageout:
    case Disturbance::kFree:
      // Without swap there is less to see, but still an answer of the kernel.
      settings_.AddZramSwap(kSwapBytes).IgnoreError();
      return absl::OkStatus();
    case Disturbance::kMerge:
      return settings_.RunKsm();
    default:
      return absl::OkStatus();
  }
}

std::string Effect::ToString() const {
  std::string text = library.empty() || error != 0 ? Name(error) : "";
  for (const absl::Status& said : library) {
    absl::StrAppend(&text, text.empty() ? "" : " ", absl::StatusCodeToString(said.code()));
  }
  return text;
}

absl::Status DisturbanceHost::Enter(Disturbance disturbance) {
  if (disturbance == Disturbance::kPressure) return WriteSetting(cgroup_, std::to_string(getpid()));
  if (disturbance == Disturbance::kCompaction) {
    // The region's pages will lie in the holes between these.
    sparse_ = std::make_unique<UnheldMemory>(kSparseBytes);
    sparse_->KeepEach(kSparse);
  }
  return absl::OkStatus();
}

absl::StatusOr<Effect> Disturb(WiredRegion& region, Disturbance disturbance) {
  switch (disturbance) {
    case Disturbance::kPageout:
      return PageOut(region);
    case Disturbance::kDontNeed:
      return DontNeed(region);
    case Disturbance::kFree:
      return Free(region);
    case Disturbance::kPunchHole:
      return PunchHole(region);
    case Disturbance::kPressure:
      return Press(region);
    case Disturbance::kCompaction:
      return Compact(region);
    case Disturbance::kCollapse:
      return Collapse(region);
    case Disturbance::kMerge:
      return Merge(region);
    case Disturbance::kFork:
      return Fork(region);
    case Disturbance::kUnmap:
      break;
  }
  return Unmap(region);
}

}  // namespace vmwire
