#include "vmm/boot/boot_structures.h"

#include "memory/status_macros.h"
#include "vmm/boot/boot_info.h"
#include "vmm/boot/descriptor_tables.h"
#include "vmm/boot/exception_stubs.h"
#include "vmm/boot/page_tables.h"
#include "vmm/boot/start_mode.h"

namespace vmwire {

absl::Status WriteBootStructures(const GuestLayout& layout, const GuestImage& image,
                                 uint64_t tsc_khz, std::span<const BootInfoDevice> devices,
                                 const GuestMemory& memory) {
  VMWIRE_RETURN_IF_ERROR(WriteBootInfo(layout, image, tsc_khz, devices, memory));
  if (image.start == StartMode::kReal16) return absl::OkStatus();
  VMWIRE_RETURN_IF_ERROR(WriteGdt(memory));
  if (!IsLongMode(image.start)) return absl::OkStatus();
  VMWIRE_RETURN_IF_ERROR(WriteTss(memory));
  VMWIRE_RETURN_IF_ERROR(WriteIdt(memory));
  VMWIRE_RETURN_IF_ERROR(WriteExceptionStubs(memory));
  const PageAccess access =
      image.start == StartMode::kLong64Ring3 ? PageAccess::kUser : PageAccess::kSupervisor;
  return WritePageTables(layout, access, memory);
}

}  // namespace vmwire
