#include "vmm/boot/exception_report.h"

#include <array>
#include <cstddef>

#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "memory/address.h"

namespace vmwire {
namespace {

constexpr uint32_t kPageFault = 14;

// RIP is somewhere in the stubs: at the OUT or past it, which of them KVM does not promise.
bool IsInStubs(const kvm_regs& registers, const kvm_sregs& sregs) {
  const uint64_t start = kExceptionStubsAddress.value();
  return (sregs.cs.selector & 3) == 0 && registers.rip >= start &&
         registers.rip < start + kExceptionStubsSize;
}

}  // namespace

std::string ExceptionName(uint32_t vector) {
  // Intel SDM volume 3, table 6-1; 28 to 30: AMD64 manual volume 2, 8.2.
  constexpr std::array<const char*, 32> kNames = {
      "#DE",   "#DB",   "NMI",   "#BP",   "#OF",   "#BR",   "#UD", "#NM", "#DF", nullptr, "#TS",
      "#NP",   "#SS",   "#GP",   "#PF",   nullptr, "#MF",   "#AC", "#MC", "#XM", "#VE",   "#CP",
      nullptr, nullptr, nullptr, nullptr, nullptr, nullptr, "#HV", "#VC", "#SX", nullptr};
  if (vector >= kNames.size() || kNames[vector] == nullptr) return "exception";
  return kNames[vector];
}

ExceptionReport ReadExceptionReport(uint32_t vector, const kvm_regs& registers,
                                    const kvm_sregs& sregs, const GuestMemory& memory) {
  ExceptionReport report{.vector = vector, .frame = std::nullopt, .cr2 = sregs.cr2};
  if (!IsInStubs(registers, sregs)) return report;
  const absl::StatusOr<ExceptionFrame> frame =
      memory.Load<ExceptionFrame>(GuestAddress(registers.rsp));
  if (frame.ok()) report.frame = *frame;
  return report;
}

std::string ExceptionReport::ToString() const {
  std::string text =
      absl::StrFormat("guest exception %s (vector %d", ExceptionName(vector), vector);
  if (!frame.has_value()) {
    absl::StrAppendFormat(&text,
                          "), without a frame: the guest wrote to port 0x%x itself, or its stack "
                          "is not in its memory",
                          kExceptionPort);
    return text;
  }
  if (HasErrorCode(vector)) absl::StrAppendFormat(&text, ", error 0x%x", frame->error_code);
  absl::StrAppendFormat(&text, ") at RIP 0x%x", frame->rip);
  if (vector == kPageFault) absl::StrAppendFormat(&text, ", address 0x%x", cr2);
  absl::StrAppendFormat(&text, ", CS 0x%x, RSP 0x%x", frame->cs, frame->rsp);
  return text;
}

}  // namespace vmwire
