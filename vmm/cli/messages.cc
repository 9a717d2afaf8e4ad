#include "vmm/cli/messages.h"

#include <unistd.h>

#include <cstdio>

#include "absl/strings/str_cat.h"
#include "vmm/cli/terminal.h"

namespace vmwire {

void PrintError(const std::string& message) {
  const std::string line = absl::StrCat(
      Colored("vmwire:", TextColor::kRed, MayUseColor(STDERR_FILENO)), " ", message, "\n");
  std::fwrite(line.data(), 1, line.size(), stderr);
}

void PrintError(const absl::Status& error) { PrintError(std::string(error.message())); }

}  // namespace vmwire
