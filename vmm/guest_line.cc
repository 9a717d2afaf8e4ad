#include "vmm/guest_line.h"

#include "vmm/irqfd_line.h"

namespace vmwire {
namespace {

class NoLine final : public InterruptLine {
 public:
  void Raise() override {}
};

}  // namespace

absl::StatusOr<GuestLine> ConnectLine(const Vm& vm, const InterruptController& interrupts,
                                      uint32_t irq) {
  if (interrupts.has_irqchip && irq != 0) {
    absl::StatusOr<std::unique_ptr<IrqfdLine>> line = IrqfdLine::Create(vm, irq);
    if (line.ok()) return GuestLine{.line = *std::move(line), .irq = irq};
    if (!absl::IsUnimplemented(line.status())) return line.status();
  }
  return GuestLine{.line = std::make_unique<NoLine>()};
}

}  // namespace vmwire
