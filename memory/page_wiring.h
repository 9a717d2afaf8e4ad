// vm_page_wire(9) of FreeBSD on one page of an object: wirings of a page by itself, beside those of
// the entries that map it.
//
// A page that is wired already is wired again, and unwired but for its last wiring, by one atomic
// step. The first wiring pins the page on the host, the last lets it go: those go through the
// object's PinTable. A wiring of a page by itself is no hold, and keeps no entry: if the object
// goes, the page lives on as an orphan until its last wiring is taken back.
//
// Invariants: the count that is changed is that of VmPage; there is no other.
// Thread safety: thread-safe. No lock of memory/ may be held: the host is asked.
#ifndef VMWIRE_MEMORY_PAGE_WIRING_H_
#define VMWIRE_MEMORY_PAGE_WIRING_H_

#include "absl/status/status.h"
#include "memory/pin_table.h"
#include "memory/vm_page.h"

namespace vmwire {

// vm_page_wire: adds one wiring, and takes the page off its queue. The first one is pinned by the
// table that last pinned a page of the object, or by `fallback` if none ever did.
// ResourceExhausted: the page has kMaxWireCount wirings; or as PinTable::Wire, whose errors these
// are. REQUIRES: the page cannot go away meanwhile: it is wired, or its object is referenced.
absl::Status WirePage(VmPage& page, PinTable& fallback);

// vm_page_wire_mapped: the same for a page that was found through a mapping. Aborted: it is being
// taken away, and has to be looked up again. REQUIRES: as WirePage.
absl::Status WirePageMapped(VmPage& page, PinTable& fallback);

// vm_page_unwire: takes one wiring back. With the last one the page goes on `queue`, and, if its
// object is gone, ceases to be. Our caller's bug, which ends the process, if the page is not wired.
void UnwirePage(VmPage& page, PageQueue queue);

// vm_page_unwire_noq: the same, but the page is left on no queue. True: it was the last wiring.
bool UnwirePageNoQueue(VmPage& page);

}  // namespace vmwire

#endif  // VMWIRE_MEMORY_PAGE_WIRING_H_
