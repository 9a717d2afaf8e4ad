#include "tests/concurrency/stress_thread.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <chrono>

#include "memory/guest_memory.h"
#include "memory/page_wiring.h"
#include "tests/support/map_fixture.h"
#include "tests/support/status_matchers.h"

namespace vmwire {
namespace {

using absl::StatusCode;

constexpr size_t kMaxOfEach = 4;
// Where in a page the words of this file's accesses through GuestMemory are.
constexpr uint64_t kAccessWords = 2048;

// Takes one of `things` out, whichever `pick` says.
template <typename T>
T TakeOut(std::vector<T>& things, size_t pick) {
  std::swap(things[pick], things.back());
  T taken = std::move(things.back());
  things.pop_back();
  return taken;
}

}  // namespace

void StressThread::Step() {
  static constexpr void (StressThread::*kOperations[])() = {
      &StressThread::WireToken,
      &StressThread::WireToken,
      &StressThread::DropToken,
      &StressThread::WireCounted,
      &StressThread::WireCounted,
      &StressThread::UnwireCounted,
      &StressThread::WireUser,
      &StressThread::UnwireUser,
      &StressThread::TakeHold,
      &StressThread::TakeHold,
      &StressThread::DropHold,
      &StressThread::KeepMapped,
      &StressThread::WirePageByItself,
      &StressThread::UnwirePageByItself,
      &StressThread::Remove,
      &StressThread::Map,
      &StressThread::Map,
      &StressThread::Protect,
      &StressThread::Clip,
      &StressThread::Discard,
      &StressThread::Discard,
      &StressThread::Evict,
      &StressThread::Access,
      &StressThread::MoveFrames,
  };
  (this->*kOperations[Below(std::size(kOperations))])();
}

StressThread::Range StressThread::AnyRange() {
  const uint64_t first = Below(kGuestPages);
  const uint64_t longest = OneIn(8) ? 40 : 6;
  return {Below(kStressMaps), first, std::min(first + 1 + Below(longest), kGuestPages)};
}

StressThread::Range StressThread::AnyPiece() {
  Range range = AnyRange();
  range.end = std::min(range.end, (range.first / kObjectPages + 1) * kObjectPages);
  return range;
}

GuestRange StressThread::GuestOf(const Range& range) const { return Pages(range.first, range.end); }

WaitLimits StressThread::AnyLimits() {
  if (!OneIn(8)) return {};
  return {.deadline = std::chrono::steady_clock::now() + std::chrono::microseconds(Below(200))};
}

bool StressThread::Expect(const char* operation, const absl::Status& status,
                          std::initializer_list<StatusCode> codes) {
  ++outcomes_[std::string(operation) + ": " + absl::StatusCodeToString(status.code())];
  EXPECT_TRUE(std::find(codes.begin(), codes.end(), status.code()) != codes.end())
      << operation << ": " << status;
  return status.ok();
}

StressThread::Kept StressThread::Keep(size_t map, const GuestRange& range) {
  std::vector<ObjectPage> pages;
  for (uint64_t at = range.start().value(); at < range.end().value(); at += kPageSize) {
    pages.push_back(PlaceOf(map, at / kPageSize));
  }
  return Keep(std::move(pages));
}

StressThread::Kept StressThread::Keep(std::vector<ObjectPage> pages) {
  for (const ObjectPage& page : pages) {
    Mark& mark = marks_[page.object][page.page];
    if (mark.reasons++ == 0) {
      mark.word = next_word_++;
      world_.WordOf(page, number_) = mark.word;
    }
  }
  // A look at the frames takes a while on the real host.
  Kept kept{.pages = std::move(pages), .frames = {}};
  if (OneIn(8)) kept.frames = FramesOf(kept.pages);
  return kept;
}

void StressThread::LetGo(const Kept& kept) {
  for (const ObjectPage& page : kept.pages) {
    Mark& mark = marks_[page.object][page.page];
    EXPECT_EQ(world_.WordOf(page, number_), mark.word)
        << "page " << page.page << " of object " << page.object << " lost its bytes";
    --mark.reasons;
  }
  if (kept.frames.empty()) return;
  EXPECT_EQ(FramesOf(kept.pages), kept.frames);
}

std::vector<uint64_t> StressThread::FramesOf(const std::vector<ObjectPage>& pages) {
  std::vector<uint64_t> frames;
  for (const ObjectPage& page : pages) {
    const HostRange at = *world_.object(page.object).HostSlice(page.page * kPageSize, kPageSize);
    const auto frame = world_.host().memory().Frames(at);
    if (!frame.ok()) return {};
    frames.push_back(frame->front());
  }
  return frames;
}

void StressThread::WireToken() {
  if (tokens_.size() == kMaxOfEach) return DropToken();
  const Range range = AnyRange();
  const WireFlags flags = OneIn(2) ? WireFlags::kHolesOk : WireFlags::kNoHoles;
  WireOptions options{.limits = AnyLimits()};
  if (OneIn(8)) options.progress = [this](uint64_t, uint64_t) { return !OneIn(2); };
  auto wired = world_.map(range.map).Wire(GuestOf(range), flags, options);
  if (!Expect("wire a token", wired.status(),
              {StatusCode::kOk, StatusCode::kNotFound, StatusCode::kPermissionDenied,
               StatusCode::kResourceExhausted, StatusCode::kCancelled,
               StatusCode::kDeadlineExceeded})) {
    return;
  }
  std::vector<ObjectPage> pages;
  for (const GuestRange& piece : wired->pieces()) {
    for (uint64_t at = piece.start().value(); at < piece.end().value(); at += kPageSize) {
      pages.push_back(PlaceOf(range.map, at / kPageSize));
    }
  }
  tokens_.push_back({range.map, *std::move(wired), Keep(std::move(pages))});
}

void StressThread::DropToken() {
  if (tokens_.empty()) return;
  const Token token = TakeOut(tokens_, Below(tokens_.size()));
  LetGo(token.kept);
}

void StressThread::WireCounted() {
  if (counted_.size() == kMaxOfEach) return UnwireCounted();
  const Range range = AnyRange();
  const absl::Status wired =
      world_.map(range.map).WireRange(GuestOf(range), WireFlags::kSystem, {.limits = AnyLimits()});
  if (Expect("wire", wired,
             {StatusCode::kOk, StatusCode::kNotFound, StatusCode::kPermissionDenied,
              StatusCode::kResourceExhausted, StatusCode::kDeadlineExceeded})) {
    counted_.push_back({range, Keep(range.map, GuestOf(range))});
  }
}

void StressThread::UnwireCounted() {
  if (counted_.empty()) return;
  const Counted counted = TakeOut(counted_, Below(counted_.size()));
  LetGo(counted.kept);
  const WireFlags flags = OneIn(2) ? WireFlags::kHolesOk : WireFlags::kNoHoles;
  const bool exact = flags == WireFlags::kNoHoles;
  // With holes allowed it takes the same wirings: all of the range has one.
  Expect(exact ? "unwire" : "unwire, holes ok",
         world_.map(counted.range.map).UnwireRange(GuestOf(counted.range), flags),
         {StatusCode::kOk});
}

void StressThread::WireUser() {
  const Range range = AnyRange();
  const WireFlags flags = WireFlags::kUser | (OneIn(2) ? WireFlags::kHolesOk : WireFlags::kNoHoles);
  Expect("wire user",
         world_.map(range.map).WireRange(GuestOf(range), flags, {.limits = AnyLimits()}),
         {StatusCode::kOk, StatusCode::kNotFound, StatusCode::kPermissionDenied,
          StatusCode::kResourceExhausted, StatusCode::kDeadlineExceeded});
}

void StressThread::UnwireUser() {
  Range range = AnyRange();
  if (OneIn(4)) range = {range.map, 0, kGuestPages};
  Expect("unwire user",
         world_.map(range.map).UnwireRange(GuestOf(range), WireFlags::kUser | WireFlags::kHolesOk,
                                           AnyLimits()),
         {StatusCode::kOk, StatusCode::kDeadlineExceeded});
}

void StressThread::TakeHold() {
  if (holds_.size() == kMaxOfEach) return DropHold();
  const Range range = AnyRange();
  const uint64_t skipped = Below(kPageSize);
  const uint64_t bytes = (range.end - range.first) * kPageSize - skipped;
  auto held = world_.map(range.map).Hold(GuestAddress(Page(range.first).value() + skipped), bytes,
                                         OneIn(2) ? Protection::kReadWrite : Protection::kRead);
  if (Expect("hold", held.status(),
             {StatusCode::kOk, StatusCode::kNotFound, StatusCode::kPermissionDenied,
              StatusCode::kFailedPrecondition, StatusCode::kOutOfRange})) {
    holds_.push_back({*std::move(held), Keep(range.map, GuestOf(range))});
  }
}

void StressThread::DropHold() {
  if (holds_.empty()) return;
  const Hold hold = TakeOut(holds_, Below(holds_.size()));
  LetGo(hold.kept);
}

void StressThread::KeepMapped() {
  if (mapped_.size() == kMaxOfEach / 2) {
    TakeOut(mapped_, Below(mapped_.size()));
    return;
  }
  const Range range = AnyRange();
  auto kept = world_.map(range.map).KeepMapped(GuestOf(range));
  if (Expect("keep mapped", kept.status(), {StatusCode::kOk, StatusCode::kNotFound})) {
    mapped_.push_back({range, *std::move(kept)});
  }
}

void StressThread::WirePageByItself() {
  if (page_wirings_.size() == kMaxOfEach) return UnwirePageByItself();
  const ObjectPage place{Below(kStressObjects), Below(kObjectPages)};
  const auto found = world_.object(place.object).FindResident(place.page);
  if (!Expect("find a page", found.status(), {StatusCode::kOk}) || *found == nullptr) return;
  const bool mapped = OneIn(2);
  const absl::Status wired =
      mapped ? WirePageMapped(**found, world_.pins()) : WirePage(**found, world_.pins());
  if (Expect(mapped ? "wire a mapped page" : "wire a page", wired,
             {StatusCode::kOk, StatusCode::kResourceExhausted,
              mapped ? StatusCode::kAborted : StatusCode::kOk})) {
    page_wirings_.push_back({place, *found, Keep({place})});
  }
}

void StressThread::UnwirePageByItself() {
  if (page_wirings_.empty()) return;
  const PageWiring wiring = TakeOut(page_wirings_, Below(page_wirings_.size()));
  LetGo(wiring.kept);
  constexpr PageQueue kQueues[] = {PageQueue::kInactive, PageQueue::kActive, PageQueue::kLaundry,
                                   PageQueue::kUnswappable};
  if (OneIn(2)) {
    UnwirePage(*wiring.page, kQueues[Below(4)]);
  } else {
    UnwirePageNoQueue(*wiring.page);
  }
}

void StressThread::Remove() {
  const Range range = AnyRange();
  VmMap& map = world_.map(range.map);
  if (OneIn(2)) {
    Expect("remove", map.Remove(GuestOf(range)),
           {StatusCode::kOk, StatusCode::kFailedPrecondition});
  } else {
    const auto patience = std::chrono::microseconds(Below(300));
    Expect(
        "remove and wait",
        map.RemoveWait(GuestOf(range), {.deadline = std::chrono::steady_clock::now() + patience}),
        {StatusCode::kOk, StatusCode::kDeadlineExceeded});
  }
}

void StressThread::Map() {
  const Range piece = AnyPiece();
  VmMap& map = world_.map(piece.map);
  if (OneIn(16)) map.SetWireFuture(OneIn(2));
  // Holes, where there are any: else there would soon be little else.
  Range hole = piece;
  while (hole.first + 1 < piece.end && map.Lookup(Page(hole.first)).has_value()) ++hole.first;
  hole.end = hole.first + 1;
  while (hole.end < piece.end && !map.Lookup(Page(hole.end)).has_value()) ++hole.end;
  Expect("map", world_.MapPages(hole.map, hole.first, hole.end),
         {StatusCode::kOk, StatusCode::kAlreadyExists, StatusCode::kResourceExhausted});
}

void StressThread::Protect() {
  const Range range = AnyRange();
  constexpr Protection kSome[] = {Protection::kReadWrite, Protection::kReadWrite, Protection::kRead,
                                  Protection::kNone};
  Expect("protect", world_.map(range.map).Protect(GuestOf(range), kSome[Below(4)]),
         {StatusCode::kOk});
}

void StressThread::Clip() {
  Expect("clip", world_.map(Below(kStressMaps)).Clip(Page(Below(kGuestPages))), {StatusCode::kOk});
}

void StressThread::Discard() {
  const uint64_t first = Below(kObjectPages);
  const uint64_t end = std::min(first + 1 + Below(4), kObjectPages);
  Expect("discard", world_.object(Below(kStressObjects)).Discard({first, end}),
         {StatusCode::kOk, StatusCode::kFailedPrecondition});
}

void StressThread::Evict() {
  if (OneIn(4)) {
    world_.pins().DropCache();
  } else {
    world_.pins().Reclaim((1 + Below(8)) * kPageSize);
  }
}

void StressThread::Access() {
  const Range range = AnyRange();
  GuestMemory memory(world_.map(range.map));
  const GuestAddress at(Page(range.first).value() + kAccessWords + number_ * sizeof(uint64_t));
  const std::initializer_list<StatusCode> kCodes = {StatusCode::kOk, StatusCode::kNotFound,
                                                    StatusCode::kPermissionDenied};
  if (OneIn(2)) {
    Expect("write", memory.Store<uint64_t>(at, Below(1000)), kCodes);
  } else {
    const auto value = memory.Load<uint64_t>(at);
    // The page may have been discarded, or not.
    if (Expect("read", value.status(), kCodes)) {
      EXPECT_LT(*value, 1000u);
    }
  }
}

void StressThread::MoveFrames() {
  world_.host().MoveFrames(world_.object(Below(kStressObjects)).host_range());
}

void StressThread::AddTo(StressBook& book) const {
  for (const Token& token : tokens_) {
    for (const GuestRange& piece : token.token.pieces()) {
      for (uint64_t at = piece.start().value(); at < piece.end().value(); at += kPageSize) {
        ++book.guest[token.map][at / kPageSize].tokens;
      }
    }
  }
  for (const Counted& counted : counted_) {
    for (uint64_t page = counted.range.first; page < counted.range.end; ++page) {
      ++book.guest[counted.range.map][page].counted;
    }
  }
  for (const Mapped& mapped : mapped_) {
    for (uint64_t page = mapped.range.first; page < mapped.range.end; ++page) {
      ++book.guest[mapped.range.map][page].mapped;
    }
  }
  for (const Hold& hold : holds_) {
    for (const ObjectPage& page : hold.kept.pages) ++book.object[page.object][page.page].holds;
  }
  for (const PageWiring& wiring : page_wirings_) {
    ++book.object[wiring.place.object][wiring.place.page].by_itself;
  }
}

void StressThread::Finish() {
  while (!tokens_.empty()) DropToken();
  while (!counted_.empty()) UnwireCounted();
  while (!holds_.empty()) DropHold();
  while (!page_wirings_.empty()) UnwirePageByItself();
  mapped_.clear();
}

}  // namespace vmwire
