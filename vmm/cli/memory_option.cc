#include "vmm/cli/memory_option.h"

#include <algorithm>
#include <set>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "memory/address.h"
#include "memory/status_macros.h"
#include "vmm/cli/byte_size.h"
#include "vmm/cli/suggest.h"
#include "vmm/guest_layout.h"

namespace vmwire {
namespace {

constexpr char kSealed[] = "sealed";

// See DefaultMemoryFor.
constexpr uint64_t kSmallKernelMemory = 64 * kMiB;
constexpr uint64_t kLinuxMemory = 256 * kMiB;
constexpr uint64_t kModuleFactor = 2;
constexpr uint64_t kLinuxModuleFactor = 5;

absl::Status Bad(const std::string& reason) { return absl::InvalidArgumentError(reason); }

absl::StatusOr<uint64_t> ParseMemorySize(const std::string& text) {
  VMWIRE_ASSIGN_OR_RETURN(const uint64_t size, ParseByteSize(text));
  if (size < kMinGuestMemory) {
    return Bad(
        absl::StrCat("size ", size, " is too small; the least is ", kMinGuestMemory, " (1M)"));
  }
  if (!IsAligned(size, kPageSize)) {
    return Bad(absl::StrCat("size ", size, " is not a multiple of the page size (", kPageSize,
                            " bytes); the next below is ", AlignDown(size, kPageSize)));
  }
  return size;
}

absl::Status SetBacking(const std::string& value, MemoryOption& option) {
  std::vector<std::string> known;
  for (const MemoryBacking backing : {MemoryBacking::kAnonymous, MemoryBacking::kMemfd,
                                      MemoryBacking::kHugetlb, MemoryBacking::kGuestMemfd}) {
    known.push_back(ToString(backing));
    if (known.back() != value) continue;
    option.backing = backing;
    return absl::OkStatus();
  }
  return Bad(UnknownWordMessage("backing", value, known));
}

absl::Status SetHugePages(const std::string& value, MemoryOption& option) {
  if (value == "thp") {
    option.huge_pages = HugePages::kTransparent;
  } else if (value == "none") {
    option.huge_pages = HugePages::kNone;
  } else {
    return Bad(UnknownWordMessage("hugepages value", value, {"thp", "none"}));
  }
  return absl::OkStatus();
}

absl::Status SetKey(const std::string& key, const std::string& value, MemoryOption& option) {
  if (key == "size") {
    VMWIRE_ASSIGN_OR_RETURN(option.size, ParseMemorySize(value));
    return absl::OkStatus();
  }
  if (key == "backing") return SetBacking(value, option);
  if (key == "hugepages") return SetHugePages(value, option);
  if (key == kSealed) return Bad("'sealed' takes no value");
  return Bad(UnknownWordMessage("key", key, {"size", "backing", "hugepages", kSealed}));
}

// What the keys say of each other.
absl::Status CheckTogether(const MemoryOption& option, bool huge_pages_given) {
  const bool is_hugetlb = option.backing == MemoryBacking::kHugetlb;
  const bool is_guest_memfd = option.backing == MemoryBacking::kGuestMemfd;
  if (huge_pages_given && (is_hugetlb || is_guest_memfd)) {
    return Bad(absl::StrCat("'hugepages' is for backing=anonymous and backing=memfd; backing=",
                            ToString(option.backing), " has pages of ",
                            is_hugetlb ? "2 MiB always" : "KVM's choice"));
  }
  if (option.sealed && !is_hugetlb && option.backing != MemoryBacking::kMemfd) {
    return Bad(absl::StrCat("'sealed' is for backing=memfd and backing=hugetlb; backing=",
                            ToString(option.backing), " cannot be sealed"));
  }
  if (is_hugetlb && option.size.has_value() && !IsAligned(*option.size, kHugePageSize)) {
    return Bad(absl::StrCat("size ", *option.size,
                            " is not a multiple of the pages of 2 MiB that "
                            "backing=hugetlb has; the next below is ",
                            AlignDown(*option.size, kHugePageSize)));
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<MemoryOption> ParseMemoryOption(const std::string& text) {
  if (text.empty()) return Bad("the value is empty; write for example size=128M");
  MemoryOption option;
  std::set<std::string> seen;
  bool is_first = true;
  for (const std::string& part : std::vector<std::string>(absl::StrSplit(text, ','))) {
    std::pair<std::string, std::string> item = absl::StrSplit(part, absl::MaxSplits('=', 1));
    if (part == kSealed) {
      option.sealed = true;
    } else if (part.find('=') == std::string::npos) {
      if (!is_first) {
        return Bad(absl::StrCat("'", absl::Utf8SafeCHexEscape(part), "' is not KEY=VALUE"));
      }
      item = {"size", part};
    }
    is_first = false;
    if (part != kSealed) VMWIRE_RETURN_IF_ERROR(SetKey(item.first, item.second, option));
    if (!seen.insert(item.first).second) {
      return Bad(absl::StrCat("the key '", item.first, "' is given twice"));
    }
  }
  VMWIRE_RETURN_IF_ERROR(CheckTogether(option, seen.contains("hugepages")));
  return option;
}

uint64_t DefaultMemoryFor(const GuestImage& image) {
  const BootProtocol protocol = ProtocolOf(image.format);
  if (protocol == BootProtocol::kVmwire) return kDefaultMemoryBytes;
  uint64_t of_modules = 0;
  for (const ImageModule& module : image.modules) of_modules += module.bytes.size();
  const uint64_t usual = protocol == BootProtocol::kLinux
                             ? kLinuxMemory + kLinuxModuleFactor * of_modules
                             : kSmallKernelMemory + kModuleFactor * of_modules;
  const uint64_t bytes = std::max(usual, MemoryNeeded(image).value_or(usual));
  return CheckedAlignUp(bytes, kHugePageSize).value_or(bytes);
}

absl::StatusOr<GuestRange> ParseDmaWindow(const std::string& text) {
  const size_t plus = text.find('+');
  if (plus == std::string::npos) {
    return Bad(absl::StrCat("'", absl::Utf8SafeCHexEscape(text),
                            "' is not GPA+LEN; write for example 0x100000+64K"));
  }
  VMWIRE_ASSIGN_OR_RETURN(const uint64_t start, ParseByteSize(text.substr(0, plus)));
  VMWIRE_ASSIGN_OR_RETURN(const uint64_t size, ParseByteSize(text.substr(plus + 1)));
  return GuestRange::Create(GuestAddress(start), size);
}

}  // namespace vmwire
