#include "vmm/irqfd_line.h"

#include <string>

#include "absl/strings/str_format.h"
#include "memory/check.h"
#include "memory/status_macros.h"

namespace vmwire {
namespace {

// Pins of the I/O APIC.
constexpr uint32_t kGsiEnd = 24;

}  // namespace

absl::StatusOr<std::unique_ptr<IrqfdLine>> IrqfdLine::Create(const Vm& vm, uint32_t gsi) {
  VMWIRE_CHECK(gsi < kGsiEnd, absl::StrFormat("there is no interrupt %d", gsi));
  VMWIRE_ASSIGN_OR_RETURN(const int has_irqfd, vm.system().CheckExtension(KVM_CAP_IRQFD));
  if (has_irqfd == 0) {
    return absl::UnimplementedError("this KVM lacks KVM_CAP_IRQFD; boot Linux 2.6.32 or newer");
  }
  VMWIRE_ASSIGN_OR_RETURN(EventFd event, EventFd::Create());
  std::unique_ptr<IrqfdLine> line(new IrqfdLine(vm, gsi, std::move(event)));
  const absl::Status assigned = vm.kvm().SetIrqfd(vm.fd(), line->Registration());
  if (assigned.ok()) return line;
  // The destructor may ask for what KVM does not know: it takes that back without a word.
  if (!absl::IsInvalidArgument(assigned)) return assigned;
  // The only one of its reasons that is left.
  return absl::UnavailableError("no interrupt line: the VM has no interrupt controller (" +
                                std::string(assigned.message()) + ")");
}

IrqfdLine::~IrqfdLine() {
  kvm_irqfd registration = Registration();
  registration.flags = KVM_IRQFD_FLAG_DEASSIGN;
  const absl::Status status = vm_.kvm().SetIrqfd(vm_.fd(), registration);
  VMWIRE_CHECK(status.ok(),
               absl::StrFormat("KVM does not let go of interrupt %d: %s", gsi_, status.ToString()));
}

kvm_irqfd IrqfdLine::Registration() const {
  kvm_irqfd registration = {};
  registration.fd = static_cast<uint32_t>(event_.fd());
  registration.gsi = gsi_;
  return registration;
}

}  // namespace vmwire
