#include "memory/page_wiring.h"

#include <string>

#include "absl/strings/str_format.h"
#include "memory/check.h"
#include "memory/page_array.h"
#include "memory/vm_object.h"

namespace vmwire {
namespace {

std::string PageText(VmPage& page) {
  return absl::StrFormat("page 0x%x of its object", PageIndexOf(page));
}

absl::Status AtLimit(VmPage& page) {
  return absl::ResourceExhaustedError(
      absl::StrFormat("%s has %d wirings, the most there can be; take some of them back first",
                      PageText(page), kMaxWireCount));
}

// Pins the page, or finds that somebody else has done so meanwhile.
absl::Status WireFirst(VmObject& object, VmPage& page, PinTable& fallback) {
  PinTable* const last = object.last_table();
  PinRequest request;
  const uint64_t index = PageIndexOf(page);
  return (last != nullptr ? *last : fallback).Wire(object, {index, index + 1}, request);
}

// True: it was the last wiring.
bool TakeWiring(VmPage& page, PageQueue queue) {
  const VmPage::Step step = page.UnwireOneOfSeveral();
  VMWIRE_CHECK(step != VmPage::Step::kNotWired,
               PageText(page) + " is not wired, so no wiring of it can be taken back");
  if (step == VmPage::Step::kDone) return false;
  const uint64_t index = PageIndexOf(page);
  return PinTable::Unwire(ObjectOf(page), {index, index + 1}, queue) != 0;
}

}  // namespace

absl::Status WirePage(VmPage& page, PinTable& fallback) {
  VmObject& object = ObjectOf(page);
  // Before the count: whoever unwires an entry of the page may then leave a page that is wired.
  object.SetWiredByPage();
  switch (page.WireAgain()) {
    case VmPage::Step::kDone:
      return absl::OkStatus();
    case VmPage::Step::kAtLimit:
      return AtLimit(page);
    default:
      return WireFirst(object, page, fallback);
  }
}

absl::Status WirePageMapped(VmPage& page, PinTable& fallback) {
  VmObject& object = ObjectOf(page);
  object.SetWiredByPage();
  const VmPage::Step step = page.WireAgain();
  if (step == VmPage::Step::kDone) return absl::OkStatus();
  if (step == VmPage::Step::kAtLimit) return AtLimit(page);
  if (step == VmPage::Step::kBlocked || !page.HasObject()) {
    return absl::AbortedError(PageText(page) + " is being taken away; look it up again");
  }
  return WireFirst(object, page, fallback);
}

void UnwirePage(VmPage& page, PageQueue queue) { TakeWiring(page, queue); }

bool UnwirePageNoQueue(VmPage& page) { return TakeWiring(page, PageQueue::kNone); }

}  // namespace vmwire
