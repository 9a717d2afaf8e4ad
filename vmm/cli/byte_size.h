// Sizes as people write them: "128M", "1GiB", "0x1000".
//
// Invariants: K, M, G and T are powers of 1024, always; nothing is rounded on the way in.
// Thread safety: nothing shared.
#ifndef VMWIRE_VMM_CLI_BYTE_SIZE_H_
#define VMWIRE_VMM_CLI_BYTE_SIZE_H_

#include <cstdint>
#include <string>

#include "absl/status/statusor.h"

namespace vmwire {

// The bytes that `text` names: a decimal number or, after "0x", a hexadecimal one; then nothing, or
// K, M, G or T in any case, then nothing, "B" or "iB". A decimal number alone may have "B" too; in
// a hexadecimal one that is a digit. InvalidArgument: empty, negative, a fraction, no such number
// or unit, or beyond 64 bits.
absl::StatusOr<uint64_t> ParseByteSize(const std::string& text);

// "512 B", "128 MiB", "1.50 GiB": the largest unit that `bytes` fills once, with two decimals
// unless it is a multiple of it.
std::string FormatByteSize(uint64_t bytes);

}  // namespace vmwire

#endif  // VMWIRE_VMM_CLI_BYTE_SIZE_H_
