#include "memory/vm_object.h"

#include <algorithm>
#include <string>

#include "absl/cleanup/cleanup.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "memory/check.h"
#include "memory/pin_table.h"
#include "memory/status_macros.h"

namespace vmwire {
namespace {

// Not canonical: whoever follows such an address faults.
constexpr HostAddress kSimulatedMemory(uint64_t{1} << 60);

absl::StatusOr<int> CreateFile(HostMemory& host, const VmObjectOptions& options) {
  const bool hugetlb = options.backing == MemoryBacking::kHugetlb;
  VMWIRE_ASSIGN_OR_RETURN(
      const int file, host.CreateMemfd({.name = options.name,
                                        .huge_page_bytes = hugetlb ? options.hugetlb_bytes : 0}));
  if (absl::Status resized = host.ResizeFile(file, options.size); !resized.ok()) {
    host.CloseFile(file);
    return resized;
  }
  return file;
}

absl::Status AdviseHugePages(HostMemory& host, const HostRange& range, HugePages huge_pages) {
  if (huge_pages == HugePages::kNone) {
    // A kernel that has no huge pages refuses this advice, and needs none of it.
    host.Advise(range, HostAdvice::kNoHugePages).IgnoreError();
    return absl::OkStatus();
  }
  absl::Status advised = host.Advise(range, HostAdvice::kHugePages);
  if (advised.ok()) return advised;
  // A kernel without them does not know the advice.
  const absl::StatusCode code =
      absl::IsInvalidArgument(advised) ? absl::StatusCode::kUnimplemented : advised.code();
  return absl::Status(code,
                      absl::StrCat(std::string(advised.message()),
                                   "; without transparent huge pages, ask for small ones only"));
}

absl::Status CheckOptions(const VmObjectOptions& options) {
  const uint64_t page_bytes =
      options.backing == MemoryBacking::kHugetlb ? options.hugetlb_bytes : kPageSize;
  if (options.size == 0 || !IsAligned(options.size, page_bytes)) {
    return absl::InvalidArgumentError(
        absl::StrFormat("a memory object of %d bytes is not a whole number of %d-byte pages",
                        options.size, page_bytes));
  }
  if (options.size / kPageSize > PageArray::kMaxPages) {
    return absl::ResourceExhaustedError(
        absl::StrFormat("a memory object of %d bytes is larger than the %d bytes there can be",
                        options.size, PageArray::kMaxPages * kPageSize));
  }
  if (options.backing == MemoryBacking::kGuestMemfd) {
    return absl::InvalidArgumentError(
        "a guest_memfd is made by KVM, for a VM: make it there, and an object of its file");
  }
  const bool can_be_sealed =
      options.backing == MemoryBacking::kMemfd || options.backing == MemoryBacking::kHugetlb;
  if (options.sealed && !can_be_sealed) {
    return absl::InvalidArgumentError(
        absl::StrCat("memory of backing '", ToString(options.backing),
                     "' cannot be sealed; a memory file (memfd, hugetlb) can"));
  }
  return absl::OkStatus();
}

}  // namespace

std::string ToString(MemoryBacking backing) {
  switch (backing) {
    case MemoryBacking::kAnonymous:
      return "anonymous";
    case MemoryBacking::kMemfd:
      return "memfd";
    case MemoryBacking::kHugetlb:
      return "hugetlb";
    case MemoryBacking::kGuestMemfd:
      return "guest_memfd";
    case MemoryBacking::kSimulated:
      return "simulated";
  }
  return "unknown";
}

std::string ToString(HugePages huge_pages) {
  return huge_pages == HugePages::kNone ? "none" : "thp";
}

VmObject::VmObject(HostMemory& host, const Backing& backing)
    : host_(host),
      backing_(backing.kind),
      file_(backing.file),
      host_range_(backing.host),
      page_bytes_(backing.page_bytes),
      sealed_(backing.sealed),
      simulation_(backing.kind == MemoryBacking::kSimulated
                      ? std::make_unique<SimulatedPinner>(backing.host)
                      : nullptr),
      pages_(*this, backing.host.pages()) {}

VmObject::~VmObject() {
  if (simulation_ == nullptr) host_.Unmap(host_range_);
  if (file_.has_value()) host_.CloseFile(*file_);
}

absl::StatusOr<std::shared_ptr<VmObject>> VmObject::Create(HostMemory& host,
                                                           const VmObjectOptions& options) {
  VMWIRE_RETURN_IF_ERROR(CheckOptions(options));
  switch (options.backing) {
    case MemoryBacking::kAnonymous:
      return MapAnonymous(host, options);
    case MemoryBacking::kSimulated:
      return Simulate(host, options);
    case MemoryBacking::kMemfd:
    case MemoryBacking::kHugetlb:
    case MemoryBacking::kGuestMemfd:
      break;
  }
  VMWIRE_ASSIGN_OR_RETURN(const int file, CreateFile(host, options));
  return MapFile(host, file, options);
}

absl::StatusOr<std::shared_ptr<VmObject>> VmObject::FromFile(HostMemory& host, int file,
                                                             MemoryBacking backing, uint64_t size,
                                                             GuestAddress congruent_to,
                                                             uint64_t hugetlb_bytes) {
  if (backing == MemoryBacking::kAnonymous || backing == MemoryBacking::kSimulated) {
    return absl::InvalidArgumentError("memory of backing '" + ToString(backing) + "' has no file");
  }
  VMWIRE_ASSIGN_OR_RETURN(const uint64_t file_size, host.FileSize(file));
  const uint64_t page_bytes = backing == MemoryBacking::kHugetlb ? hugetlb_bytes : kPageSize;
  if (size == 0 || !IsAligned(size, page_bytes) || size > file_size) {
    return absl::InvalidArgumentError(absl::StrFormat(
        "a file of %d bytes cannot be mapped as an object of %d bytes in pages of %d bytes",
        file_size, size, page_bytes));
  }
  VMWIRE_ASSIGN_OR_RETURN(const int own, host.DuplicateFile(file));
  return MapFile(host, own,
                 {.size = size,
                  .congruent_to = congruent_to,
                  .backing = backing,
                  .huge_pages = HugePages::kNone,
                  .hugetlb_bytes = hugetlb_bytes});
}

absl::StatusOr<std::shared_ptr<VmObject>> VmObject::MapFile(HostMemory& host, int file,
                                                            const VmObjectOptions& options) {
  absl::Cleanup close_file = [&] { host.CloseFile(file); };
  const uint64_t page_bytes =
      options.backing == MemoryBacking::kHugetlb ? options.hugetlb_bytes : kPageSize;
  VMWIRE_ASSIGN_OR_RETURN(const HostRange range,
                          host.Map({.size = options.size,
                                    .congruent_to = options.congruent_to.value(),
                                    .file = file,
                                    .page_bytes = page_bytes}));
  absl::Cleanup unmap = [&] { host.Unmap(range); };
  VMWIRE_RETURN_IF_ERROR(Advise(host, range, options));
  // After the mapping: the seal keeps writable ones from being made.
  if (options.sealed) {
    VMWIRE_RETURN_IF_ERROR(host.SealFile(file, {.resize = true, .discard = true}));
  }
  std::move(unmap).Cancel();
  std::move(close_file).Cancel();
  return Share(host, {options.backing, file, range, page_bytes, options.sealed});
}

absl::StatusOr<std::shared_ptr<VmObject>> VmObject::MapAnonymous(HostMemory& host,
                                                                 const VmObjectOptions& options) {
  VMWIRE_ASSIGN_OR_RETURN(
      const HostRange range,
      host.Map({.size = options.size, .congruent_to = options.congruent_to.value()}));
  absl::Cleanup unmap = [&] { host.Unmap(range); };
  VMWIRE_RETURN_IF_ERROR(Advise(host, range, options));
  std::move(unmap).Cancel();
  return Share(host, {options.backing, std::nullopt, range, kPageSize, false});
}

absl::StatusOr<std::shared_ptr<VmObject>> VmObject::Simulate(HostMemory& host,
                                                             const VmObjectOptions& options) {
  VMWIRE_ASSIGN_OR_RETURN(const HostRange range, HostRange::Create(kSimulatedMemory, options.size));
  return Share(host, {options.backing, std::nullopt, range, kPageSize, false});
}

absl::Status VmObject::Advise(HostMemory& host, const HostRange& range,
                              const VmObjectOptions& options) {
  const bool pages_are_chosen =
      options.backing == MemoryBacking::kHugetlb || options.backing == MemoryBacking::kGuestMemfd;
  if (!pages_are_chosen) {
    VMWIRE_RETURN_IF_ERROR(AdviseHugePages(host, range, options.huge_pages));
  }
  return host.Advise(range, HostAdvice::kDontFork);
}

std::shared_ptr<VmObject> VmObject::Share(HostMemory& host, const Backing& backing) {
  return std::shared_ptr<VmObject>(new VmObject(host, backing), &VmObject::Terminate);
}

void VmObject::Terminate(VmObject* object) {
  ObjectPins& pins = object->pins_;
  std::vector<PinTable::Leaving> leaving;
  bool unpinned = false;
  {
    const MutexLock lock(pins.mutex);
    unpinned = pins.extents.empty();
    // From here on it dies with its last extent.
    pins.orphaned = !unpinned;
    for (auto extent = pins.extents.begin(); extent != pins.extents.end(); ++extent) {
      PinExtent& found = extent->second;
      if (found.state == PinExtent::State::kCached) {
        found.table->cache_.Take(found, /*hit=*/false);
      } else if (found.state != PinExtent::State::kHeld) {
        continue;
      }
      leaving.push_back(PinTable::BeginRelease(extent));
    }
  }
  if (unpinned) return Delete(object);
  PinTable::LetGo(*object, leaving);
}

absl::StatusOr<HostRange> VmObject::HostSlice(uint64_t offset, uint64_t size) const {
  return host_range_.Slice(offset, size);
}

absl::Status VmObject::Discard(const PageRun& run) {
  if (run.end > pages_.size() || run.first > run.end) {
    return absl::OutOfRangeError(
        absl::StrFormat("cannot discard %s: it has 0x%x pages", run.ToString(), pages_.size()));
  }
  if (run.pages() == 0) return absl::OkStatus();
  if (!IsAligned(run.first * kPageSize, page_bytes_) ||
      !IsAligned(run.end * kPageSize, page_bytes_)) {
    return absl::InvalidArgumentError(absl::StrFormat(
        "cannot discard %s: its huge pages have %d bytes", run.ToString(), page_bytes_));
  }
  VMWIRE_RETURN_IF_ERROR(BeginDiscard(run));
  const absl::Status discarded = DiscardOnHost(run);
  EndDiscard(run, discarded.ok());
  return discarded;
}

absl::Status VmObject::BeginDiscard(const PageRun& run) {
  if (sealed_) {
    return absl::FailedPreconditionError(
        absl::StrCat("cannot discard ", run.ToString(), ": the object is sealed"));
  }
  std::vector<PinTable::Leaving> leaving;
  do {
    // Cached pins are let go first, outside of the mutex; then all is looked at again.
    PinTable::LetGo(*this, leaving);
    leaving.clear();
    const MutexLock lock(pins_.mutex);
    VMWIRE_RETURN_IF_ERROR(CheckDiscardable(run));
    for (auto extent = pins_.FirstEndingAfter(run.first);
         extent != pins_.extents.end() && extent->first < run.end; ++extent) {
      PinExtent& found = extent->second;
      found.table->cache_.Take(found, /*hit=*/false);
      leaving.push_back(PinTable::BeginRelease(extent));
    }
    if (!leaving.empty()) continue;
    PinExtent& busy = pins_.extents[run.first];
    busy.end = run.end;
    busy.state = PinExtent::State::kDiscarding;
    pages_.ForEach(run, [](uint64_t, VmPage& page) { page.SetBlocked(true); });
  } while (!leaving.empty());
  return absl::OkStatus();
}

absl::Status VmObject::CheckDiscardable(const PageRun& run) {
  // What would no longer be pinned: the whole of each cached extent.
  PageRun unpinned = run;
  for (auto extent = pins_.FirstEndingAfter(run.first);
       extent != pins_.extents.end() && extent->first < run.end;) {
    if (extent->second.IsBusy()) {
      VMWIRE_RETURN_IF_ERROR(pins_.WaitForIdle(extent->second, {}));
      extent = pins_.FirstEndingAfter(run.first);
      unpinned = run;
      continue;
    }
    if (extent->second.state != PinExtent::State::kCached) {
      return absl::FailedPreconditionError(absl::StrFormat(
          "cannot discard %s: pages [0x%x, 0x%x) are pinned, since %s", run.ToString(),
          extent->first, extent->second.end,
          extent->second.state == PinExtent::State::kHeld ? "a hold is on them"
                                                          : "some of them are wired"));
    }
    unpinned = {std::min(unpinned.first, extent->first),
                std::max(unpinned.end, extent->second.end)};
    ++extent;
  }
  if (const auto holder = HoldTable::FirstHolder(this, unpinned)) {
    return absl::FailedPreconditionError(
        absl::StrCat("cannot discard ", run.ToString(), ": ", ToString(*holder)));
  }
  return absl::OkStatus();
}

absl::Status VmObject::DiscardOnHost(const PageRun& run) {
  if (simulation_ != nullptr) {
    simulation_->Discard(run);
    return absl::OkStatus();
  }
  const uint64_t offset = run.first * kPageSize;
  VMWIRE_ASSIGN_OR_RETURN(const HostRange host, HostSlice(offset, run.pages() * kPageSize));
  std::optional<FilePlace> place;
  if (file_.has_value()) place = FilePlace{*file_, offset};
  return host_.Discard(host, place);
}

void VmObject::EndDiscard(const PageRun& run, bool discarded) {
  const MutexLock lock(pins_.mutex);
  pages_.ForEach(run, [discarded](uint64_t, VmPage& page) {
    page.SetBlocked(false);
    if (!discarded) return;
    page.SetObject(false);
    page.SetQueue(PageQueue::kNone);
  });
  pins_.extents.erase(run.first);
  pins_.idle.WakeAll();
}

absl::StatusOr<VmPage*> VmObject::FindResident(uint64_t page) {
  VMWIRE_ASSIGN_OR_RETURN(const HostRange host, HostSlice(page * kPageSize, kPageSize));
  if (VmPage* found = pages_.Find(page); found != nullptr && found->HasObject()) return found;
  // The guest may have touched it by itself.
  bool resident = false;
  if (simulation_ != nullptr) {
    resident = simulation_->IsResident(page);
  } else {
    VMWIRE_ASSIGN_OR_RETURN(const std::vector<bool> in_memory, host_.Residency(host));
    resident = in_memory[0];
  }
  if (!resident) return nullptr;
  const MutexLock lock(pins_.mutex);
  VmPage& found = pages_.Materialize(page);
  found.SetObject(true);
  return &found;
}

void VmObject::AddMapping(const PageRun& run) {
  const PageRun inside{run.first, std::min(run.end, pages_.size())};
  if (inside.first >= inside.end) return;
  const MutexLock lock(mappings_mutex_);
  if (mappings_.MaxIn(inside) != 0) wired_elsewhere_.store(true, std::memory_order_release);
  mappings_.Increment(inside);
}

void VmObject::RemoveMapping(const PageRun& run) {
  const PageRun inside{run.first, std::min(run.end, pages_.size())};
  if (inside.first >= inside.end) return;
  const MutexLock lock(mappings_mutex_);
  mappings_.Decrement(inside);
  if (wired_by_page_ || !wired_elsewhere_.load(std::memory_order_relaxed)) return;
  wired_elsewhere_.store(mappings_.MaxIn({0, pages_.size()}) > 1, std::memory_order_release);
}

void VmObject::SetWiredByPage() {
  if (wired_by_page_.load(std::memory_order_acquire)) return;
  const MutexLock lock(mappings_mutex_);
  wired_elsewhere_.store(true, std::memory_order_release);
  wired_by_page_.store(true, std::memory_order_release);
}

}  // namespace vmwire
