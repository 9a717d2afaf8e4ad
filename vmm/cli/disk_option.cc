#include "vmm/cli/disk_option.h"

#include <set>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "memory/status_macros.h"
#include "vmm/cli/suggest.h"

namespace vmwire {
namespace {

constexpr char kPath[] = "path";
constexpr char kReadOnly[] = "readonly";
constexpr char kDirect[] = "direct";

absl::Status Bad(const std::string& reason) { return absl::InvalidArgumentError(reason); }

absl::Status SetFlag(const std::string& word, DiskConfig& disk) {
  if (word == kReadOnly) {
    disk.read_only = true;
  } else if (word == kDirect) {
    disk.direct = true;
  } else {
    return Bad(UnknownWordMessage("key", word, {kPath, kReadOnly, kDirect}));
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<DiskConfig> ParseDiskOption(const std::string& text) {
  DiskConfig disk;
  std::set<std::string> seen;
  const std::vector<std::string> words = absl::StrSplit(text, ',');
  for (size_t i = 0; i < words.size(); ++i) {
    const size_t equals = words[i].find('=');
    std::string key = words[i].substr(0, equals);
    std::string value = equals == std::string::npos ? "" : words[i].substr(equals + 1);
    const bool is_flag = key == kReadOnly || key == kDirect;
    if (i == 0 && !is_flag && key != kPath) {
      value = words[0];
      key = kPath;
    }
    if (!seen.insert(key).second) return Bad(absl::StrCat("'", key, "' is given twice"));
    if (key == kPath) {
      disk.path = value;
    } else if (equals != std::string::npos && is_flag) {
      return Bad(absl::StrCat("'", key, "' takes no value"));
    } else {
      VMWIRE_RETURN_IF_ERROR(SetFlag(key, disk));
    }
  }
  if (disk.path.empty()) {
    return Bad(absl::StrCat("'", text, "' names no file; give path=FILE[,readonly][,direct]"));
  }
  return disk;
}

}  // namespace vmwire
