// Guest address -> host memory, for readers that take no lock: what a map's entries say, in the
// form of a page table.
//
//   root: a slot for each GiB ----> leaf: for each of its 1,024 granules of 1 MiB two words
//                                     direct: host - guest | rights | 1, if one run covers it all
//                                     entry:  -> the one run in it, or -> pages: a run for each
//                                     page
//
// A direct word answers an access inside its granule by itself. Each word is changed in one store,
// and each tells all that a look-up needs; so a look-up sees one run, never parts of two.
//
// Invariants: runs and roots never change once published, and are freed after the readers that may
// see them (RetireList). A granule with an entry word of 0 is empty. No leaf is empty.
// Thread safety: the const functions run inside a ReadGuard, with writers beside them; the caller
// serialises Replace and WidenToRuns.
#ifndef VMWIRE_MEMORY_TRANSLATION_TABLE_H_
#define VMWIRE_MEMORY_TRANSLATION_TABLE_H_

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "memory/address.h"
#include "memory/asymmetric_fence.h"
#include "memory/page_range.h"
#include "memory/protection.h"
#include "memory/retire_list.h"

namespace vmwire {

class VmObject;

// Where a guest address lies on the host, and with which rights.
struct HostPlace {
  HostAddress host;
  Protection protection = Protection::kNone;
};

// All that the table knows of a guest address.
struct Translation {
  HostAddress host;
  uint64_t bytes_left = 0;  // From the address to the end of its run.
  Protection protection = Protection::kNone;
  const VmObject* object = nullptr;
  uint64_t object_page = 0;   // The page of the object that holds the address.
  const void* run = nullptr;  // Which run it was; for TranslationTable::IsCurrent only.
};

class TranslationTable {
 public:
  // Guest memory that lies in one piece on the host, with one set of rights.
  struct Run {
    GuestRange range;
    HostAddress host;  // Of range.start(); page-aligned.
    Protection protection = Protection::kNone;
    const VmObject* object = nullptr;
    uint64_t first_page = 0;  // The page of `object` at range.start().
  };

  // Addresses from here on are not in the table: look-ups of them fail, and Replace passes over
  // them. No processor of today has a physical address of 2^47.
  static constexpr uint64_t kLimit = uint64_t{1} << 47;

  TranslationTable() = default;
  TranslationTable(const TranslationTable&) = delete;
  TranslationTable& operator=(const TranslationTable&) = delete;
  // REQUIRES: no reader looks into it.
  ~TranslationTable();

  // Finds the `size` bytes from `address` (0 asks as 1 does). False: they do not lie in one run, or
  // not below kLimit. REQUIRES: inside a ReadGuard, as all the look-ups.
  bool Translate(GuestAddress address, uint64_t size, HostPlace& place) const {
    const uint64_t guest = address.value();
    const Leaf* const leaf = FindLeaf(guest);
    if (leaf == nullptr) [[unlikely]]
      return false;
    const uint64_t direct = leaf->direct[GranuleInLeaf(guest)].load(kObserve);
    if (direct == 0 || size > kGranuleBytes - guest % kGranuleBytes) {
      const Record* const record = FindIn(*leaf, guest);
      if (record == nullptr || !record->Covers(guest, size)) [[unlikely]]
        return false;
      place.host = HostAddress(record->host + (guest - record->start));
      place.protection = record->protection;
      return true;
    }
    place.host = HostAddress((direct & kDeltaBits) + guest);
    place.protection = static_cast<Protection>((direct >> kRightsShift) & 7);
    return true;
  }

  // The same, with all that is known of it. Some ns dearer where there are many runs: it reads the
  // run.
  bool Lookup(GuestAddress address, uint64_t size, Translation& translation) const {
    const Record* const record = Find(address.value());
    if (record == nullptr || !record->Covers(address.value(), size)) [[unlikely]]
      return false;
    const uint64_t offset = address.value() - record->start;
    translation = {.host = HostAddress(record->host + offset),
                   .bytes_left = record->bytes - offset,
                   .protection = record->protection,
                   .object = record->object,
                   .object_page = record->first_page + offset / kPageSize,
                   .run = record};
    return true;
  }

  // True if `address` is in the same run as when Lookup gave `translation` for it. False may also
  // mean that the run was rebuilt as it was. REQUIRES: inside the ReadGuard of that Lookup.
  bool IsCurrent(GuestAddress address, const Translation& translation) const {
    return Find(address.value()) == translation.run;
  }

  // Makes `region` hold exactly `runs`. Readers see, for each address, the old run or the new one.
  // REQUIRES: the caller serialises writers and is in no read section; `runs` are ascending,
  // disjoint and inside `region`; no old run reaches over an end of `region` (WidenToRuns).
  void Replace(const GuestRange& region, std::span<const Run> runs);

  // `range`, widened to the ends of the runs that its own ends cut: what Replace must rebuild to
  // change `range`. REQUIRES: the caller serialises writers.
  GuestRange WidenToRuns(const GuestRange& range) const;

 private:
  static constexpr uint64_t kGranuleBytes = uint64_t{1} << 20;
  static constexpr uint64_t kLeafBytes = uint64_t{1} << 30;
  static constexpr uint64_t kGranulesPerLeaf = kLeafBytes / kGranuleBytes;
  static constexpr uint64_t kPagesPerGranule = kGranuleBytes / kPageSize;

  // A direct word: the delta is a multiple of the page size and leaves the low bits free.
  static constexpr uint64_t kDeltaBits = ~(kPageSize - 1);
  static constexpr int kRightsShift = 1;
  static constexpr uint64_t kDirect = 1;
  // An entry word with this bit points to a PageTable, else to a Record.
  static constexpr uintptr_t kIsPages = 1;

  // A published run.
  struct alignas(64) Record {
    uint64_t start;
    uint64_t bytes;
    uint64_t host;
    const VmObject* object;
    uint64_t first_page;
    Protection protection;

    bool Covers(uint64_t guest, uint64_t size) const {
      const uint64_t offset = guest - start;  // Huge if `guest` is below.
      return offset < bytes && size <= bytes - offset;
    }
    uint64_t end() const { return start + bytes; }
  };
  // The runs of a granule that has several.
  using Pages = std::array<const Record*, kPagesPerGranule>;
  struct PageTable {
    std::array<std::atomic<const Record*>, kPagesPerGranule> pages{};
  };
  struct Leaf {
    std::array<std::atomic<uint64_t>, kGranulesPerLeaf> direct{};
    std::array<std::atomic<uintptr_t>, kGranulesPerLeaf> entries{};
    uint64_t used = 0;  // Entries that are not 0; of the writer.
  };
  struct Root {
    explicit Root(uint64_t leaf_count)
        : size(leaf_count), leaves(std::make_unique<std::atomic<Leaf*>[]>(leaf_count)) {}
    const uint64_t size;
    const std::unique_ptr<std::atomic<Leaf*>[]> leaves;
  };
  class Update;

  static uint64_t GranuleInLeaf(uint64_t guest) { return guest / kGranuleBytes % kGranulesPerLeaf; }

  // Null: no memory in this GiB.
  Leaf* FindLeaf(uint64_t guest) const {
    const Root* const root = root_.load(kObserve);
    const uint64_t index = guest / kLeafBytes;
    if (root == nullptr || index >= root->size) [[unlikely]]
      return nullptr;
    return root->leaves[index].load(kObserve);
  }

  // The run that the page of `guest` would be in; it need not cover it. Null: none.
  const Record* Find(uint64_t guest) const {
    const Leaf* const leaf = FindLeaf(guest);
    if (leaf == nullptr) [[unlikely]]
      return nullptr;
    return FindIn(*leaf, guest);
  }
  static const Record* FindIn(const Leaf& leaf, uint64_t guest) {
    const uintptr_t entry = leaf.entries[GranuleInLeaf(guest)].load(kObserve);
    if ((entry & kIsPages) != 0) [[unlikely]] {
      const auto* const table = reinterpret_cast<const PageTable*>(entry - kIsPages);
      return table->pages[guest / kPageSize % kPagesPerGranule].load(kObserve);
    }
    return reinterpret_cast<const Record*>(entry);
  }
  // The same, null if it does not cover `guest`.
  const Record* FindCovering(uint64_t guest) const;

  // The distinct runs of [start, end), ascending.
  std::vector<const Record*> RecordsIn(uint64_t start, uint64_t end) const;
  // The end of the GiB after which nothing is mapped.
  uint64_t RootEnd() const;
  static void LoadPages(uintptr_t entry, uint64_t granule_start, Pages& pages);

  std::atomic<const Root*> root_ = nullptr;
  RetireList retired_;
};

}  // namespace vmwire

#endif  // VMWIRE_MEMORY_TRANSLATION_TABLE_H_
