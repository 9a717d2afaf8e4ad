// CRC32C (Castagnoli), the checksum of iSCSI (RFC 3720, 12.1 and B.4): with the processor's
// instruction where there is one, else by a table.
//
// Invariants: Crc32c(Crc32c(0, a), b) is that of a followed by b; both ways give the same.
// Thread safety: no state.
#ifndef VMWIRE_DEVICES_DMA_ENGINE_CRC32C_H_
#define VMWIRE_DEVICES_DMA_ENGINE_CRC32C_H_

#include <cstddef>
#include <cstdint>
#include <span>

namespace vmwire {

// Of all that gave `crc` (0: nothing yet), followed by `bytes`.
uint32_t Crc32c(uint32_t crc, std::span<const std::byte> bytes);

// The same without the instruction.
uint32_t PortableCrc32c(uint32_t crc, std::span<const std::byte> bytes);

}  // namespace vmwire

#endif  // VMWIRE_DEVICES_DMA_ENGINE_CRC32C_H_
