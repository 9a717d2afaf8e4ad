#include "vmm/boot/boot_plan.h"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <string>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "memory/check.h"
#include "memory/status_macros.h"
#include "vmm/boot/linux_plan.h"
#include "vmm/boot/multiboot_plan.h"
#include "vmm/boot/pvh_plan.h"

namespace vmwire {
namespace {

absl::StatusOr<BootPlan> PlanByProtocol(const GuestImage& image, const MachineFacts& facts) {
  switch (ProtocolOf(image.format)) {
    case BootProtocol::kMultiboot1:
      return PlanMultiboot1(image, facts);
    case BootProtocol::kMultiboot2:
      return PlanMultiboot2(image, facts);
    case BootProtocol::kPvh:
      return PlanPvh(image, facts);
    case BootProtocol::kLinux:
      return PlanLinux(image, facts);
    case BootProtocol::kVmwire:
      break;
  }
  CheckFailed(__FILE__, __LINE__, "protocol", "PlanBoot is for images of another's protocol");
}

// A piece of memory that a start fills.
struct Piece {
  GuestAddress start;
  uint64_t size;
  std::string name;

  std::string ToString() const {
    return absl::StrFormat("%s [0x%x, 0x%x)", name, start.value(), start.value() + size);
  }
};

std::vector<Piece> PiecesOf(const BootPlan& plan, const GuestImage& image) {
  std::vector<Piece> pieces;
  for (const ImageSegment& segment : image.segments) {
    pieces.push_back({segment.address, segment.memory_size, "the segment"});
  }
  for (const BootBlock& block : plan.blocks) {
    pieces.push_back({block.address, block.bytes.size(), "the boot structure"});
  }
  for (size_t i = 0; i < plan.modules.size(); ++i) {
    pieces.push_back({plan.modules[i], image.modules[i].bytes.size(),
                      absl::StrCat("the module ", image.modules[i].path)});
  }
  std::sort(pieces.begin(), pieces.end(),
            [](const Piece& a, const Piece& b) { return a.start < b.start; });
  return pieces;
}

absl::Status CheckPieces(const BootPlan& plan, const GuestImage& image, const GuestLayout& layout) {
  const std::vector<Piece> pieces = PiecesOf(plan, image);
  for (size_t i = 0; i < pieces.size(); ++i) {
    const Piece& piece = pieces[i];
    if (!layout.IsRam(piece.start, piece.size)) {
      return absl::InvalidArgumentError(absl::StrFormat(
          "%s: %s lies outside of guest memory, which is %d bytes: ask for more memory", image.path,
          piece.ToString(), layout.memory_bytes()));
    }
    if (i == 0 || pieces[i - 1].start.value() + pieces[i - 1].size <= piece.start.value()) continue;
    return absl::InvalidArgumentError(absl::StrFormat("%s: %s overlaps %s", image.path,
                                                      piece.ToString(), pieces[i - 1].ToString()));
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<BootPlan> PlanBoot(const GuestImage& image, const MachineFacts& facts) {
  VMWIRE_ASSIGN_OR_RETURN(BootPlan plan, PlanByProtocol(image, facts));
  VMWIRE_RETURN_IF_ERROR(CheckPieces(plan, image, facts.layout));
  return plan;
}

absl::Status WriteBootPlan(const BootPlan& plan, const GuestImage& image,
                           const GuestMemory& memory) {
  for (const BootBlock& block : plan.blocks) {
    VMWIRE_RETURN_IF_ERROR(memory.Write(block.address, block.bytes));
  }
  for (size_t i = 0; i < plan.modules.size(); ++i) {
    VMWIRE_RETURN_IF_ERROR(memory.Write(plan.modules[i], image.modules[i].bytes));
  }
  return absl::OkStatus();
}

}  // namespace vmwire
