// The mark of a call that is wiring entries: who it is, and who waits for it to end.
//
// A call marks the entries of its range one by one, and clears all marks at its end under one hold
// of the map's mutex. So one queue a call is a queue an entry: whoever waits for any of its entries
// can go on then, and nobody else is woken.
//
// Invariants: while a mark is on an entry, the call lives. Calls mark in ascending order of address
// and wait only for entries above all that they have marked: so two of them cannot wait for each
// other.
// Thread safety: guarded by the map's mutex.
#ifndef VMWIRE_MEMORY_TRANSITION_H_
#define VMWIRE_MEMORY_TRANSITION_H_

#include <thread>

#include "memory/wait_queue.h"

namespace vmwire {

class Transition {
 public:
  Transition() = default;
  Transition(const Transition&) = delete;
  Transition& operator=(const Transition&) = delete;

  // True if the calling thread is the one that wires: to wait would be for ever.
  bool IsOwn() const { return owner_ == std::this_thread::get_id(); }
  WaitQueue& waiters() { return waiters_; }

 private:
  const std::thread::id owner_ = std::this_thread::get_id();
  WaitQueue waiters_;
};

}  // namespace vmwire

#endif  // VMWIRE_MEMORY_TRANSITION_H_
