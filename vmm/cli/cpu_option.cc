#include "vmm/cli/cpu_option.h"

#include <algorithm>

#include "absl/status/status.h"
#include "absl/strings/str_split.h"
#include "vmm/cli/suggest.h"
#include "vmm/cpu_features.h"

namespace vmwire {

absl::StatusOr<std::vector<std::string>> ParseCpuOption(const std::string& text) {
  const size_t equals = text.find('=');
  const std::string key = text.substr(0, equals);
  if (key != "hide") {
    return absl::InvalidArgumentError(UnknownWordMessage("key", key, {"hide"}));
  }
  const std::string value = equals == std::string::npos ? "" : text.substr(equals + 1);
  const std::vector<std::string> names = absl::StrSplit(value, '+');
  const std::vector<std::string> known = CpuFeatureNames();
  for (const std::string& name : names) {
    if (name.empty()) {
      return absl::InvalidArgumentError("a feature has no name; write for example hide=smap+avx");
    }
    if (std::find(known.begin(), known.end(), name) == known.end()) {
      return absl::InvalidArgumentError(UnknownWordMessage("feature", name, known));
    }
  }
  return names;
}

}  // namespace vmwire
