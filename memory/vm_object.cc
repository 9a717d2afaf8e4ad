#include "memory/vm_object.h"

#include <utility>

#include "absl/cleanup/cleanup.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "memory/status_macros.h"

namespace vmwire {
namespace {

absl::StatusOr<int> CreateFile(HostMemory& host, const VmObjectOptions& options) {
  VMWIRE_ASSIGN_OR_RETURN(const int file, host.CreateMemfd(options.name));
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

}  // namespace

std::string ToString(MemoryBacking backing) {
  return backing == MemoryBacking::kAnonymous ? "anonymous" : "memfd";
}

std::string ToString(HugePages huge_pages) {
  return huge_pages == HugePages::kNone ? "none" : "thp";
}

absl::StatusOr<std::shared_ptr<VmObject>> VmObject::Create(HostMemory& host,
                                                           const VmObjectOptions& options) {
  if (options.size == 0 || !IsAligned(options.size, kPageSize)) {
    return absl::InvalidArgumentError(
        absl::StrFormat("a memory object of %d bytes is not a whole number of %d-byte pages",
                        options.size, kPageSize));
  }
  std::optional<int> file;
  if (options.backing == MemoryBacking::kMemfd) {
    VMWIRE_ASSIGN_OR_RETURN(file, CreateFile(host, options));
  }
  absl::Cleanup close_file = [&] {
    if (file.has_value()) host.CloseFile(*file);
  };
  VMWIRE_ASSIGN_OR_RETURN(
      const HostRange range,
      host.Map({.size = options.size, .congruent_to = options.congruent_to.value(), .file = file}));
  absl::Cleanup unmap = [&] { host.Unmap(range); };
  VMWIRE_RETURN_IF_ERROR(AdviseHugePages(host, range, options.huge_pages));
  VMWIRE_RETURN_IF_ERROR(host.Advise(range, HostAdvice::kDontFork));
  std::move(unmap).Cancel();
  std::move(close_file).Cancel();
  return std::shared_ptr<VmObject>(new VmObject(host, options.backing, file, range));
}

VmObject::~VmObject() {
  host_.Unmap(host_range_);
  if (file_.has_value()) host_.CloseFile(*file_);
}

absl::StatusOr<HostRange> VmObject::HostSlice(uint64_t offset, uint64_t size) const {
  return host_range_.Slice(offset, size);
}

}  // namespace vmwire
