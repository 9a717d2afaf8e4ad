#include "tests/fuzz/loader_check.h"

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "vmm/boot/boot_plan.h"
#include "vmm/guest_layout.h"

namespace vmwire {
namespace {

using Fault = std::optional<std::string>;

constexpr char kPath[] = "fuzzed image";

// What `fault` is about, before it.
Fault Of(const std::string& subject, const Fault& fault) {
  if (!fault.has_value()) return std::nullopt;
  return absl::StrCat(subject, ": ", *fault);
}

// What a file says must reach the user's terminal as text and nothing else.
Fault CheckText(const std::string& text) {
  for (char c : text) {
    if (c == '\n' || (c >= 0x20 && c < 0x7f)) continue;
    return absl::StrFormat("a character that is no text (0x%02x)", static_cast<unsigned char>(c));
  }
  return std::nullopt;
}

Fault CheckRefusal(const absl::Status& status) {
  if (status.code() != absl::StatusCode::kInvalidArgument) {
    return absl::StrCat("refused with another code than InvalidArgument: ", status.ToString());
  }
  if (!absl::StartsWith(status.message(), kPath)) {
    return absl::StrCat("the refusal does not name the image: ", status.ToString());
  }
  return Of("the refusal", CheckText(std::string(status.message())));
}

bool Overlap(uint64_t start, uint64_t end, uint64_t other_start, uint64_t other_end) {
  return start < other_end && other_start < end;
}

Fault CheckSegments(const GuestImage& image) {
  if (image.segments.empty()) return "an image without segments";
  const bool real_mode = image.start == StartMode::kReal16;
  uint64_t end_of_last = (real_mode ? kRealModeImageAddress : kImageAddress).value();
  for (const ImageSegment& segment : image.segments) {
    const uint64_t start = segment.address.value();
    if (segment.memory_size == 0) return "an empty segment";
    if (!segment.address.CheckedAdd(segment.memory_size).has_value()) return "a segment that wraps";
    if (start < end_of_last) return "segments out of order, overlapping or too low";
    if (segment.file_size > segment.memory_size) return "a segment smaller than its bytes";
    if (segment.file_offset > image.file.size() ||
        segment.file_size > image.file.size() - segment.file_offset) {
      return "a segment with bytes outside of the file";
    }
    end_of_last = segment.end().value();
  }
  if (real_mode && end_of_last > kLowMemoryEnd.value()) return "a real-mode image too high";
  return std::nullopt;
}

Fault CheckEntry(const GuestImage& image) {
  const bool found =
      std::any_of(image.segments.begin(), image.segments.end(), [&](const ImageSegment& segment) {
        return segment.address <= image.entry && image.entry < segment.end() &&
               Allows(segment.protection, Protection::kExecute);
      });
  if (!found) return "an entry outside of the executable segments";
  if (!IsLongMode(image.start) && image.entry.value() >= 4 * kGiB) {
    return "an entry that the start mode does not reach";
  }
  return std::nullopt;
}

// With which of a machine's start modes a format goes (elf_loader.h, boot_plan.h, linux_plan.h).
Fault CheckMode(const GuestImage& image) {
  switch (ProtocolOf(image.format)) {
    case BootProtocol::kVmwire:
      if (image.format == ImageFormat::kElf32 && image.start != StartMode::kProtected32) {
        return "ELF32 not started in protected32";
      }
      if (image.format == ImageFormat::kElf64 && !IsLongMode(image.start)) {
        return "ELF64 not started in a long mode";
      }
      return std::nullopt;
    case BootProtocol::kMultiboot1:
    case BootProtocol::kMultiboot2:
    case BootProtocol::kPvh:
      if (image.start != StartMode::kProtected32) return "not started in protected32";
      return std::nullopt;
    case BootProtocol::kLinux:
      if (image.start != StartMode::kProtected32 && image.start != StartMode::kLong64Ring0) {
        return "a Linux kernel in a mode that it does not know";
      }
      return std::nullopt;
  }
  return "an unknown protocol";
}

// The setup header goes into the zero page between 0x1f1 and 0x290, and the command line's size at
// 0x238 is what the oldest version that is accepted has last (Linux, boot.rst and zero-page.rst).
Fault CheckLinuxSetup(const GuestImage& image) {
  if (image.format != ImageFormat::kBzImage) return std::nullopt;
  const size_t size = image.linux_setup.header.size();
  if (size < 0x23c - 0x1f1) return "a setup header that is too short";
  if (size > 0x290 - 0x1f1) return "a setup header that does not fit into the zero page";
  return CheckText(image.linux_setup.version);
}

Fault CheckBlocks(const BootPlan& plan, const GuestLayout& layout) {
  for (size_t i = 0; i < plan.blocks.size(); ++i) {
    const BootBlock& block = plan.blocks[i];
    if (!layout.IsRam(block.address, block.bytes.size())) return "a block outside of memory";
    if (block.end() > kImageAddress) return "a block above 1 MiB";
    for (size_t j = 0; j < i; ++j) {
      if (Overlap(block.address.value(), block.end().value(), plan.blocks[j].address.value(),
                  plan.blocks[j].end().value())) {
        return "blocks that overlap";
      }
    }
  }
  return std::nullopt;
}

Fault CheckModules(const GuestImage& image, const std::vector<GuestAddress>& places,
                   const GuestLayout& layout) {
  if (places.size() != image.modules.size()) return "modules without a place";
  uint64_t end_of_last = kImageAddress.value();
  for (size_t i = 0; i < places.size(); ++i) {
    const uint64_t start = places[i].value();
    const uint64_t size = image.modules[i].bytes.size();
    if (!places[i].IsPageAligned()) return "a module that is not page-aligned";
    if (start < end_of_last) return "modules out of order, overlapping or too low";
    if (!layout.IsRam(places[i], size)) return "a module outside of memory";
    for (const ImageSegment& segment : image.segments) {
      if (Overlap(start, start + size, segment.address.value(), segment.end().value())) {
        return "a module inside of a segment";
      }
    }
    end_of_last = start + size;
  }
  return std::nullopt;
}

Fault CheckPlan(const GuestImage& image, const GuestLayout& layout) {
  const absl::Status fits = CheckFits(image, layout);
  if (!fits.ok()) return Of("CheckFits", CheckRefusal(fits));
  if (ProtocolOf(image.format) == BootProtocol::kVmwire) return std::nullopt;
  // By itself too: PlanBoot would refuse modules that were placed badly.
  const absl::StatusOr<std::vector<GuestAddress>> places = PlaceModules(image, layout);
  if (!places.ok()) return Of("PlaceModules", CheckRefusal(places.status()));
  if (const Fault fault = CheckModules(image, *places, layout)) return fault;
  const absl::StatusOr<BootPlan> plan =
      PlanBoot(image, {.layout = layout, .devices_on_command_line = true});
  if (!plan.ok()) return Of("PlanBoot", CheckRefusal(plan.status()));
  if (plan->start.mode != image.start) return "a plan for another mode";
  if (const Fault fault = CheckBlocks(*plan, layout)) return fault;
  if (plan->modules != *places) return "a plan with other places for the modules";
  return std::nullopt;
}

// What MemoryNeeded says must be what CheckFits goes by.
Fault CheckMemoryNeeded(const GuestImage& image) {
  const std::optional<uint64_t> needed = MemoryNeeded(image);
  if (!needed.has_value()) {
    const absl::Status startable = CheckStartable(image);
    if (startable.ok()) return "startable with no memory size";
    return Of("CheckStartable", CheckRefusal(startable));
  }
  const absl::StatusOr<GuestLayout> layout = GuestLayout::Create(*needed, 46);
  if (!layout.ok()) return Of("a memory size that cannot be", layout.status().ToString());
  if (const absl::Status fits = CheckFits(image, *layout); !fits.ok()) {
    return Of("a memory size that will not do", fits.ToString());
  }
  if (*needed == kMinGuestMemory) return std::nullopt;
  const absl::StatusOr<GuestLayout> less = GuestLayout::Create(*needed - kMiB, 46);
  if (!less.ok()) return Of("a memory size that cannot be", less.status().ToString());
  if (CheckFits(image, *less).ok()) return "a memory size that is not the least";
  return std::nullopt;
}

Fault CheckImage(GuestImage& image) {
  if (const Fault fault = CheckSegments(image)) return fault;
  if (const Fault fault = CheckEntry(image)) return fault;
  if (const Fault fault = CheckMode(image)) return fault;
  if (const Fault fault = CheckLinuxSetup(image)) return fault;
  if (const Fault fault = Of("Describe", CheckText(Describe(image)))) return fault;
  image.command_line = "a command line";
  image.modules = {
      {.path = "module", .command_line = "of the module", .bytes = std::vector<std::byte>(5000)}};
  if (const Fault fault = CheckMemoryNeeded(image)) return fault;
  for (uint64_t memory : {kMinGuestMemory, 64 * kMiB, 5 * kGiB}) {
    const absl::StatusOr<GuestLayout> layout = GuestLayout::Create(memory, 46);
    if (!layout.ok()) return layout.status().ToString();
    if (const Fault fault = CheckPlan(image, *layout)) return fault;
  }
  return std::nullopt;
}

void RepairSum(std::vector<std::byte>& file, size_t offset, size_t words) {
  uint32_t sum = 0;
  for (size_t i = 0; i < words; ++i) {
    uint32_t word = 0;
    std::memcpy(&word, file.data() + offset + 4 * i, sizeof(word));
    sum += word;
  }
  const uint32_t last = ~sum + 1;
  std::memcpy(file.data() + offset + 4 * words, &last, sizeof(last));
}

}  // namespace

LoaderVerdict JudgeLoader(ImageFormatChoice format, std::vector<std::byte> file,
                          std::optional<StartMode> start) {
  absl::StatusOr<GuestImage> image =
      ParseGuestImage(kPath, std::move(file), {.format = format, .start = start});
  if (!image.ok()) {
    return {.accepted = false, .fault = Of("ParseGuestImage", CheckRefusal(image.status()))};
  }
  if (start.value_or(image->start) != image->start) {
    return {.accepted = true, .fault = "started in another mode than was asked for"};
  }
  return {.accepted = true, .fault = Of(ToString(image->format), CheckImage(*image))};
}

void RepairMultibootSums(std::vector<std::byte>& file) {
  constexpr uint32_t kMagic1 = 0x1badb002;
  constexpr uint32_t kMagic2 = 0xe85250d6;
  for (size_t offset = 0; offset + 16 <= file.size() && offset < 32768; offset += 4) {
    uint32_t word = 0;
    std::memcpy(&word, file.data() + offset, sizeof(word));
    if (word == kMagic1) RepairSum(file, offset, 2);
    if (word == kMagic2) RepairSum(file, offset, 3);
  }
}

}  // namespace vmwire
