#include "vmm/disassembly.h"

#include <Zydis/Zydis.h>

namespace vmwire {
namespace {

ZydisMachineMode ModeOf(CodeWidth width) {
  switch (width) {
    case CodeWidth::k16:
      return ZYDIS_MACHINE_MODE_LEGACY_16;
    case CodeWidth::k32:
      return ZYDIS_MACHINE_MODE_LEGACY_32;
    case CodeWidth::k64:
      break;
  }
  return ZYDIS_MACHINE_MODE_LONG_64;
}

}  // namespace

std::string Disassemble(std::span<const std::byte> code, uint64_t address, CodeWidth width) {
  ZydisDisassembledInstruction instruction;
  const ZyanStatus status =
      ZydisDisassembleIntel(ModeOf(width), address, code.data(), code.size(), &instruction);
  if (!ZYAN_SUCCESS(status)) return "(no valid instruction)";
  return instruction.text;
}

}  // namespace vmwire
