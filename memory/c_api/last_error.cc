#include "memory/c_api/last_error.h"

#include <cerrno>
#include <cstddef>
#include <utility>

#include "absl/strings/cord.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "memory/vm_map_wire.h"

namespace vmwire {
namespace {

constexpr char kKernCodePayload[] = "vmwire/kern-code";

// Apart from the text, so that a call that succeeds touches one byte and makes nothing.
constinit thread_local bool failed = false;

std::string& Sentence() {
  thread_local std::string sentence;
  return sentence;
}

}  // namespace

int Succeed() {
  failed = false;
  return KERN_SUCCESS;
}

int Fail(int code, std::string sentence) {
  Sentence() = std::move(sentence);
  failed = true;
  return code;
}

int Fail(int code, const absl::Status& status) { return Fail(code, std::string(status.message())); }

std::nullptr_t FailWithErrno(int error, std::string sentence) {
  Fail(KERN_FAILURE, std::move(sentence));
  errno = error;
  return nullptr;
}

const char* LastError() { return failed ? Sentence().c_str() : ""; }

absl::Status KernStatus(int code, const std::string& sentence) {
  absl::Status status = absl::UnknownError(sentence);
  status.SetPayload(kKernCodePayload, absl::Cord(absl::StrCat(code)));
  return status;
}

std::optional<int> KernCodeIn(const absl::Status& status) {
  const auto payload = status.GetPayload(kKernCodePayload);
  int code = 0;
  if (!payload.has_value() || !absl::SimpleAtoi(std::string(*payload), &code)) return std::nullopt;
  return code;
}

std::optional<std::string> KernCodeName(int code) {
  switch (code) {
#define VMWIRE_KERN_CASE(name) \
  case name:                   \
    return absl::StrCat(#name " (", code, ")")
    VMWIRE_KERN_CASE(KERN_SUCCESS);
    VMWIRE_KERN_CASE(KERN_INVALID_ADDRESS);
    VMWIRE_KERN_CASE(KERN_PROTECTION_FAILURE);
    VMWIRE_KERN_CASE(KERN_NO_SPACE);
    VMWIRE_KERN_CASE(KERN_INVALID_ARGUMENT);
    VMWIRE_KERN_CASE(KERN_FAILURE);
    VMWIRE_KERN_CASE(KERN_RESOURCE_SHORTAGE);
    VMWIRE_KERN_CASE(KERN_NOT_RECEIVER);
    VMWIRE_KERN_CASE(KERN_NO_ACCESS);
    VMWIRE_KERN_CASE(KERN_OUT_OF_BOUNDS);
    VMWIRE_KERN_CASE(KERN_ABORTED);
#undef VMWIRE_KERN_CASE
    default:
      return std::nullopt;
  }
}

int ErrnoOf(const absl::Status& status) {
  switch (status.code()) {
    case absl::StatusCode::kInvalidArgument:
    case absl::StatusCode::kFailedPrecondition:
      return EINVAL;
    case absl::StatusCode::kResourceExhausted:
      return ENOMEM;
    case absl::StatusCode::kPermissionDenied:
      return EPERM;
    case absl::StatusCode::kUnimplemented:
      return EOPNOTSUPP;
    case absl::StatusCode::kNotFound:
      return ENODEV;
    case absl::StatusCode::kUnavailable:
      return EAGAIN;
    default:
      return EIO;
  }
}

}  // namespace vmwire
