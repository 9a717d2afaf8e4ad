#include "vmm/machine_errors.h"

#include <string>

namespace vmwire {
namespace {

// `status` with the options of ours that help.
absl::Status WithOptions(const absl::Status& status, const std::string& options) {
  if (options.empty()) return status;
  return absl::Status(status.code(),
                      std::string(status.message()) + "; options that help: " + options);
}

}  // namespace

absl::Status OfMapping(const absl::Status& status, const MachineConfig& config) {
  const bool is_plain = config.backing == MemoryBacking::kAnonymous;
  const bool has_thp = is_plain || config.backing == MemoryBacking::kMemfd;
  if (absl::IsResourceExhausted(status)) {
    return WithOptions(status, std::string("a smaller --memory size") +
                                   (is_plain ? "" : ", --memory backing=anonymous"));
  }
  if (absl::IsUnimplemented(status)) {
    return WithOptions(status, has_thp ? "--memory hugepages=none" : "--memory backing=anonymous");
  }
  return status;
}

absl::Status OfWiring(const absl::Status& status, const MachineConfig& config) {
  if (absl::IsResourceExhausted(status)) {
    return WithOptions(status,
                       std::string("a smaller --memory size, --wire none") +
                           (config.wire_limit.has_value() ? ", a larger --wire-limit" : ""));
  }
  if (absl::IsUnimplemented(status))
    return WithOptions(status, "--pin-level resident, --wire none");
  return status;
}

absl::Status OfKvm(const absl::Status& status) {
  switch (status.code()) {
    case absl::StatusCode::kInvalidArgument:
    case absl::StatusCode::kNotFound:
    case absl::StatusCode::kAlreadyExists:
      return absl::InternalError("KVM refused what it should take: " +
                                 std::string(status.message()));
    default:
      return status;
  }
}

}  // namespace vmwire
