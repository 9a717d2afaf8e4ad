#include "vmm/emulation/guest_linear_memory.h"

#include <algorithm>

#include "absl/status/status.h"
#include "absl/strings/str_format.h"
#include "memory/check.h"
#include "memory/status_macros.h"
#include "vmm/cpu_mode.h"
#include "vmm/page_walk.h"

namespace vmwire {
namespace {

// Error code of a page fault (Intel SDM volume 3, 4.7).
constexpr uint32_t kPagePresent = 1;
constexpr uint32_t kPageWrite = 2;
constexpr uint32_t kPageUser = 4;

// Intel SDM volume 3, 4.6.1. RFLAGS.AC lifts SMAP for explicit accesses only.
bool IsAllowed(const PageWalk& walk, bool write, bool user, Accessor accessor,
               const EmulatedCpu& cpu) {
  if (user) return walk.is_user && (!write || walk.is_writable);
  const bool smap =
      (cpu.sregs.cr4 & cpu_bits::kCr4SupervisorAccessPrevention) != 0 &&
      (accessor == Accessor::kProcessor || (cpu.regs.rflags & cpu_bits::kFlagsAlignmentCheck) == 0);
  if (smap && walk.is_user) return false;
  return !write || walk.is_writable || (cpu.sregs.cr0 & cpu_bits::kCr0WriteProtect) == 0;
}

absl::Status NoMemory(uint64_t linear, uint64_t physical) {
  return absl::UnavailableError(absl::StrFormat(
      "the instruction accesses 0x%x, guest address 0x%x, which is no memory", linear, physical));
}

// Of the linear addresses in use. The bases of the tables have 64 bits in all of long mode, also
// under code of 16 and 32 bits (Intel SDM volume 3, 2.4 and 6.14).
uint64_t LastAddress(const kvm_sregs& sregs, Accessor accessor) {
  const bool is_wide = accessor == Accessor::kProcessor
                           ? (sregs.efer & cpu_bits::kEferLongModeActive) != 0
                           : CodeWidthOf(sregs) == CodeWidth::k64;
  return is_wide ? UINT64_MAX : uint64_t{UINT32_MAX};
}

// Atomic towards the guest's other CPUs, which run on other threads. REQUIRES: `bytes` is aligned
// to 16, in memory that can be written. Every 64-bit CPU that runs KVM has the instruction.
void CompareExchangeHost(std::byte* bytes, DoubleQuadword& expected,
                         const DoubleQuadword& desired) {
  asm volatile("lock cmpxchg16b (%[bytes])"
               : "+a"(expected[0]), "+d"(expected[1])
               : [bytes] "r"(bytes), "b"(desired[0]), "c"(desired[1])
               : "cc", "memory");
}

}  // namespace

StepResult GuestLinearMemory::ResolvePage(uint64_t linear, Kind kind, Accessor accessor,
                                          uint64_t& physical) const {
  const bool write = kind == Kind::kWrite;
  const bool user = accessor == Accessor::kInstruction && PrivilegeOf(cpu_.sregs) == 3;
  const PageWalk walk = WalkPages(linear, cpu_.sregs, memory_);
  GuestException fault{.vector = exception_vector::kPageFault, .address = linear};
  fault.error_code = (write ? kPageWrite : 0) | (user ? kPageUser : 0);
  if (!walk.physical.has_value()) return fault;
  if (walk.mode != PagingMode::kNone && !IsAllowed(walk, write, user, accessor, cpu_)) {
    fault.error_code = *fault.error_code | kPagePresent;
    return fault;
  }
  physical = *walk.physical;
  if (!walk.is_memory) return NoMemory(linear, physical);
  return std::nullopt;
}

StepResult GuestLinearMemory::Resolve(uint64_t linear, size_t size, Kind kind, Accessor accessor,
                                      std::vector<Piece>& pieces) const {
  const uint64_t last = LastAddress(cpu_.sregs, accessor);
  for (size_t done = 0; done < size;) {
    const uint64_t at = (linear + done) & last;
    const size_t piece =
        static_cast<size_t>(std::min<uint64_t>(size - done, kPageSize - at % kPageSize));
    uint64_t physical = 0;
    VMWIRE_ASSIGN_OR_RETURN(const std::optional<GuestException> fault,
                            ResolvePage(at, kind, accessor, physical));
    if (fault.has_value()) return fault;
    const Protection needed = kind == Kind::kWrite ? Protection::kReadWrite : Protection::kRead;
    const absl::Status usable =
        memory_.ForEachSpan(GuestAddress(physical), piece, needed, [](std::span<std::byte>) {});
    if (!usable.ok()) return NoMemory(at, physical);
    pieces.push_back({GuestAddress(physical), piece});
    done += piece;
  }
  return std::nullopt;
}

StepResult GuestLinearMemory::Read(uint64_t linear, std::span<std::byte> out, Accessor accessor) {
  std::vector<Piece> pieces;
  VMWIRE_ASSIGN_OR_RETURN(const std::optional<GuestException> fault,
                          Resolve(linear, out.size(), Kind::kRead, accessor, pieces));
  if (fault.has_value()) return fault;
  for (const Piece& piece : pieces) {
    VMWIRE_RETURN_IF_ERROR(memory_.Read(piece.address, out.first(piece.size)));
    out = out.subspan(piece.size);
  }
  return std::nullopt;
}

StepResult GuestLinearMemory::Write(uint64_t linear, std::span<const std::byte> in) {
  std::vector<Piece> pieces;
  VMWIRE_ASSIGN_OR_RETURN(const std::optional<GuestException> fault,
                          Resolve(linear, in.size(), Kind::kWrite, Accessor::kInstruction, pieces));
  if (fault.has_value()) return fault;
  for (const Piece& piece : pieces) {
    VMWIRE_RETURN_IF_ERROR(memory_.Write(piece.address, in.first(piece.size)));
    in = in.subspan(piece.size);
  }
  return std::nullopt;
}

StepResult GuestLinearMemory::CompareExchange(uint64_t linear, DoubleQuadword& expected,
                                              const DoubleQuadword& desired) {
  VMWIRE_CHECK(linear % sizeof(DoubleQuadword) == 0, "the address is not aligned");
  std::vector<Piece> pieces;
  VMWIRE_ASSIGN_OR_RETURN(
      const std::optional<GuestException> fault,
      Resolve(linear, sizeof(DoubleQuadword), Kind::kWrite, Accessor::kInstruction, pieces));
  if (fault.has_value()) return fault;
  bool whole = false;
  VMWIRE_RETURN_IF_ERROR(
      memory_.ForEachSpan(pieces[0].address, sizeof(DoubleQuadword), Protection::kReadWrite,
                          [&](std::span<std::byte> bytes) {
                            whole = bytes.size() == sizeof(DoubleQuadword);
                            if (whole) CompareExchangeHost(bytes.data(), expected, desired);
                          }));
  // Entries of the map are whole pages, and so is what lies behind them.
  VMWIRE_CHECK(whole, "16 aligned bytes of a page lie in two pieces");
  return std::nullopt;
}

}  // namespace vmwire
