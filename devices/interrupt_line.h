// How a device gets the attention of the guest: a line to the interrupt controller, edge-triggered.
//
// A device that must not lose an event keeps its state readable (an interrupt status register):
// edges that come while the guest handles one may be seen as one.
//
// Invariants: raising never blocks, and cannot fail as far as the device is concerned.
// Thread safety: Raise may be called from any thread.
#ifndef VMWIRE_DEVICES_INTERRUPT_LINE_H_
#define VMWIRE_DEVICES_INTERRUPT_LINE_H_

namespace vmwire {

class InterruptLine {
 public:
  virtual ~InterruptLine() = default;

  // One edge.
  virtual void Raise() = 0;
};

}  // namespace vmwire

#endif  // VMWIRE_DEVICES_INTERRUPT_LINE_H_
