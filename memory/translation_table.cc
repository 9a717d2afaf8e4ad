#include "memory/translation_table.h"

#include <algorithm>
#include <bit>
#include <utility>

#include "absl/strings/str_format.h"
#include "memory/check.h"

namespace vmwire {
namespace {

constexpr uint64_t kFirstRootSize = 8;

}  // namespace

// One call of Replace: publishes the new runs granule by granule.
class TranslationTable::Update {
 public:
  Update(TranslationTable& table, std::vector<const Record*> fresh)
      : table_(table), fresh_(std::move(fresh)) {}

  void Rebuild(uint64_t start, uint64_t end);

 private:
  void RebuildInLeaf(uint64_t start, uint64_t end);
  void RebuildPart(Leaf& leaf, uint64_t start, uint64_t end);
  void SetPages(Leaf& leaf, uint64_t granule, const Pages& pages);
  void SetEntry(Leaf& leaf, uint64_t granule, uintptr_t entry, uint64_t direct);
  void SetRecord(Leaf& leaf, uint64_t granule, const Record* record, bool covers);

  Leaf& MutableLeaf(uint64_t guest);
  void DropLeaf(uint64_t guest);
  Root& GrownRoot(uint64_t index);

  // The first fresh run that ends after `guest`; null if there is none that starts before `end`.
  const Record* FreshIn(uint64_t guest, uint64_t end);

  TranslationTable& table_;
  std::vector<const Record*> fresh_;
  size_t next_ = 0;  // The fresh runs before this one are done.
};

void TranslationTable::Update::Rebuild(uint64_t start, uint64_t end) {
  // Behind what is mapped and what comes there is nothing to do.
  const uint64_t fresh_end = fresh_.empty() ? 0 : fresh_.back()->end();
  end = std::min(end, std::max(table_.RootEnd(), fresh_end));
  while (start < end) {
    const uint64_t leaf_end = std::min(end, AlignDown(start, kLeafBytes) + kLeafBytes);
    RebuildInLeaf(start, leaf_end);
    start = leaf_end;
  }
}

void TranslationTable::Update::RebuildInLeaf(uint64_t start, uint64_t end) {
  if (table_.FindLeaf(start) == nullptr && FreshIn(start, end) == nullptr) return;
  Leaf& leaf = MutableLeaf(start);
  for (uint64_t at = start; at < end;) {
    const uint64_t part_end = std::min(end, AlignDown(at, kGranuleBytes) + kGranuleBytes);
    RebuildPart(leaf, at, part_end);
    at = part_end;
  }
  if (leaf.used == 0) DropLeaf(start);
}

void TranslationTable::Update::RebuildPart(Leaf& leaf, uint64_t start, uint64_t end) {
  const uint64_t granule = GranuleInLeaf(start);
  const bool whole = end - start == kGranuleBytes;
  const Record* record = FreshIn(start, end);
  if (whole && record == nullptr) return SetEntry(leaf, granule, 0, 0);
  if (whole && record->Covers(start, kGranuleBytes)) return SetRecord(leaf, granule, record, true);

  Pages pages;
  const uint64_t base = AlignDown(start, kGranuleBytes);
  LoadPages(leaf.entries[granule].load(std::memory_order_relaxed), base, pages);
  for (uint64_t at = start; at < end; at += kPageSize) {
    record = FreshIn(at, at + kPageSize);
    pages[(at - base) / kPageSize] = record;
  }
  SetPages(leaf, granule, pages);
}

void TranslationTable::Update::SetPages(Leaf& leaf, uint64_t granule, const Pages& pages) {
  const Record* only = nullptr;
  size_t holes = 0;
  bool several = false;
  for (const Record* record : pages) {
    if (record == nullptr) {
      ++holes;
    } else {
      several |= only != nullptr && record != only;
      only = record;
    }
  }
  if (only == nullptr) return SetEntry(leaf, granule, 0, 0);
  if (!several) return SetRecord(leaf, granule, only, holes == 0);

  const uintptr_t entry = leaf.entries[granule].load(std::memory_order_relaxed);
  const bool in_place = (entry & kIsPages) != 0;
  auto* const table = in_place ? reinterpret_cast<PageTable*>(entry - kIsPages) : new PageTable;
  for (size_t i = 0; i < pages.size(); ++i) {
    if (table->pages[i].load(std::memory_order_relaxed) != pages[i]) {
      table->pages[i].store(pages[i], kPublish);
    }
  }
  if (!in_place) SetEntry(leaf, granule, reinterpret_cast<uintptr_t>(table) | kIsPages, 0);
}

void TranslationTable::Update::SetRecord(Leaf& leaf, uint64_t granule, const Record* record,
                                         bool covers) {
  const uint64_t rights = static_cast<uint64_t>(record->protection) << kRightsShift;
  const uint64_t direct = covers ? (record->host - record->start) | rights | kDirect : 0;
  SetEntry(leaf, granule, reinterpret_cast<uintptr_t>(record), direct);
}

void TranslationTable::Update::SetEntry(Leaf& leaf, uint64_t granule, uintptr_t entry,
                                        uint64_t direct) {
  const uintptr_t old = leaf.entries[granule].load(std::memory_order_relaxed);
  leaf.entries[granule].store(entry, kPublish);
  leaf.direct[granule].store(direct, kPublish);
  leaf.used += (entry != 0 ? 1u : 0u);
  leaf.used -= (old != 0 ? 1u : 0u);
  if ((old & kIsPages) != 0) {
    table_.retired_.Retire(
        std::unique_ptr<PageTable>(reinterpret_cast<PageTable*>(old - kIsPages)));
  }
}

TranslationTable::Leaf& TranslationTable::Update::MutableLeaf(uint64_t guest) {
  const uint64_t index = guest / kLeafBytes;
  std::atomic<Leaf*>& slot = GrownRoot(index).leaves[index];
  if (slot.load(std::memory_order_relaxed) == nullptr) slot.store(new Leaf, kPublish);
  return *slot.load(std::memory_order_relaxed);
}

void TranslationTable::Update::DropLeaf(uint64_t guest) {
  const uint64_t index = guest / kLeafBytes;
  const Root& root = *table_.root_.load(std::memory_order_relaxed);
  std::unique_ptr<Leaf> leaf(root.leaves[index].load(std::memory_order_relaxed));
  root.leaves[index].store(nullptr, kPublish);
  table_.retired_.Retire(std::move(leaf));
}

TranslationTable::Root& TranslationTable::Update::GrownRoot(uint64_t index) {
  const Root* const old = table_.root_.load(std::memory_order_relaxed);
  // Only readers need the root to be const.
  if (old != nullptr && index < old->size) return const_cast<Root&>(*old);
  auto* const root = new Root(std::max(kFirstRootSize, std::bit_ceil(index + 1)));
  for (uint64_t i = 0; old != nullptr && i < old->size; ++i) {
    root->leaves[i].store(old->leaves[i].load(std::memory_order_relaxed),
                          std::memory_order_relaxed);
  }
  table_.root_.store(root, kPublish);
  if (old != nullptr) table_.retired_.Retire(std::unique_ptr<const Root>(old));
  return *root;
}

const TranslationTable::Record* TranslationTable::Update::FreshIn(uint64_t guest, uint64_t end) {
  while (next_ < fresh_.size() && fresh_[next_]->end() <= guest) ++next_;
  if (next_ == fresh_.size() || fresh_[next_]->start >= end) return nullptr;
  return fresh_[next_];
}

TranslationTable::~TranslationTable() {
  const std::unique_ptr<const Root> root(root_.load(std::memory_order_acquire));
  if (root == nullptr) return;
  for (const Record* record : RecordsIn(0, kLimit)) delete record;
  for (uint64_t i = 0; i < root->size; ++i) {
    const std::unique_ptr<Leaf> leaf(root->leaves[i].load(std::memory_order_relaxed));
    if (leaf == nullptr) continue;
    for (const auto& word : leaf->entries) {
      const uintptr_t entry = word.load(std::memory_order_relaxed);
      if ((entry & kIsPages) != 0) delete reinterpret_cast<PageTable*>(entry - kIsPages);
    }
  }
}

void TranslationTable::Replace(const GuestRange& region, std::span<const Run> runs) {
  const uint64_t start = region.start().value();
  const uint64_t end = std::min(region.end().value(), kLimit);
  if (start >= end) return;
  VMWIRE_CHECK(WidenToRuns(region) == region,
               absl::StrFormat("%s cuts a run of the table", region.ToString()));
  std::vector<const Record*> fresh;
  fresh.reserve(runs.size());
  uint64_t done = start;
  for (const Run& run : runs) {
    VMWIRE_CHECK(
        region.Contains(run.range) && done <= run.range.start().value() && run.host.IsPageAligned(),
        absl::StrFormat("the run %s does not fit into %s", run.range.ToString(),
                        region.ToString()));
    const uint64_t run_start = run.range.start().value();
    if (run_start >= end) break;
    done = run.range.end().value();
    fresh.push_back(new Record{.start = run_start,
                               .bytes = std::min(done, end) - run_start,
                               .host = run.host.value(),
                               .object = run.object,
                               .first_page = run.first_page,
                               .protection = run.protection});
  }
  const std::vector<const Record*> old = RecordsIn(start, end);
  Update(*this, std::move(fresh)).Rebuild(start, end);
  for (const Record* record : old) retired_.Retire(std::unique_ptr<const Record>(record));
}

GuestRange TranslationTable::WidenToRuns(const GuestRange& range) const {
  uint64_t start = range.start().value();
  uint64_t end = range.end().value();
  if (const Record* first = FindCovering(start); first != nullptr) start = first->start;
  if (const Record* last = FindCovering(end - 1); last != nullptr) end = last->end();
  return GuestRange::Between(GuestAddress(start), GuestAddress(end));
}

const TranslationTable::Record* TranslationTable::FindCovering(uint64_t guest) const {
  const Record* const record = Find(guest);
  return record != nullptr && record->Covers(guest, 1) ? record : nullptr;
}

std::vector<const TranslationTable::Record*> TranslationTable::RecordsIn(uint64_t start,
                                                                         uint64_t end) const {
  std::vector<const Record*> records;
  const auto add = [&](const Record* record) {
    // A run is in neighbouring places, and may lie beside [start, end) in the same granule.
    if (record == nullptr || record->end() <= start || record->start >= end) return;
    if (records.empty() || records.back() != record) records.push_back(record);
  };
  end = std::min(end, RootEnd());
  for (uint64_t at = AlignDown(start, kGranuleBytes); at < end;) {
    const Leaf* const leaf = FindLeaf(at);
    if (leaf == nullptr) {
      at = AlignDown(at, kLeafBytes) + kLeafBytes;
      continue;
    }
    const uintptr_t entry = leaf->entries[GranuleInLeaf(at)].load(std::memory_order_relaxed);
    if ((entry & kIsPages) != 0) {
      const auto* const table = reinterpret_cast<const PageTable*>(entry - kIsPages);
      for (const auto& page : table->pages) add(page.load(std::memory_order_relaxed));
    } else {
      add(reinterpret_cast<const Record*>(entry));
    }
    at += kGranuleBytes;
  }
  return records;
}

uint64_t TranslationTable::RootEnd() const {
  const Root* const root = root_.load(std::memory_order_relaxed);
  return root == nullptr ? 0 : root->size * kLeafBytes;
}

void TranslationTable::LoadPages(uintptr_t entry, uint64_t granule_start, Pages& pages) {
  if ((entry & kIsPages) != 0) {
    const auto* const table = reinterpret_cast<const PageTable*>(entry - kIsPages);
    for (size_t i = 0; i < pages.size(); ++i) {
      pages[i] = table->pages[i].load(std::memory_order_relaxed);
    }
    return;
  }
  const auto* const record = reinterpret_cast<const Record*>(entry);
  for (size_t i = 0; i < pages.size(); ++i) {
    const bool covered = record != nullptr && record->Covers(granule_start + i * kPageSize, 1);
    pages[i] = covered ? record : nullptr;
  }
}

}  // namespace vmwire
