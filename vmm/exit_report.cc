#include "vmm/exit_report.h"

#include <algorithm>
#include <cstring>
#include <optional>
#include <span>

#include "absl/strings/str_format.h"
#include "memory/address.h"
#include "vmm/disassembly.h"
#include "vmm/exit_reason.h"
#include "vmm/likely_cause.h"
#include "vmm/page_walk.h"

namespace vmwire {
namespace {

// kvm_run.memory_fault of api.rst, which the headers of Linux 6.1 lack.
struct MemoryFault {
  uint64_t flags;
  uint64_t gpa;
  uint64_t size;
};
static_assert(sizeof(MemoryFault) <= sizeof(kvm_run::padding));

std::string Segment(const char* name, const kvm_segment& segment) {
  return absl::StrFormat(
      "  %-3s %04x base %016x limit %08x type %x s %d dpl %d db %d l %d g %d p %d\n", name,
      segment.selector, segment.base, segment.limit, segment.type, segment.s, segment.dpl,
      segment.db, segment.l, segment.g, segment.present);
}

std::string Hex(std::span<const std::byte> bytes) {
  std::string text;
  for (const std::byte byte : bytes) {
    absl::StrAppendFormat(&text, "%s%02x", text.empty() ? "" : " ", std::to_integer<int>(byte));
  }
  return text;
}

std::string DescribeMemoryFault(const kvm_run& run) {
  MemoryFault fault;
  std::memcpy(&fault, run.padding, sizeof(fault));
  return absl::StrFormat("guest memory 0x%x+0x%x, flags 0x%x", fault.gpa, fault.size, fault.flags);
}

std::string DescribeInternalError(const kvm_run& run) {
  std::string text = InternalErrorName(run.internal.suberror);
  const size_t words = std::min<size_t>(run.internal.ndata, std::size(run.internal.data));
  if (run.internal.suberror == KVM_INTERNAL_ERROR_EMULATION || words == 0) return text;
  text += ", data";
  for (size_t i = 0; i < words; ++i) absl::StrAppendFormat(&text, " 0x%x", run.internal.data[i]);
  return text;
}

// The bytes that KVM gave with an emulation failure, as newer kernels do.
std::optional<std::vector<std::byte>> BytesFromKvm(const kvm_run& run) {
  if (run.exit_reason != KVM_EXIT_INTERNAL_ERROR) return std::nullopt;
  const auto& failure = run.emulation_failure;
  constexpr uint32_t kWordsWithBytes = 3;  // The flags, and two of size and bytes.
  if (failure.suberror != KVM_INTERNAL_ERROR_EMULATION || failure.ndata < kWordsWithBytes ||
      (failure.flags & KVM_INTERNAL_ERROR_EMULATION_FLAG_INSTRUCTION_BYTES) == 0) {
    return std::nullopt;
  }
  const auto bytes = std::as_bytes(std::span(failure.insn_bytes));
  const size_t size = std::min<size_t>(failure.insn_size, bytes.size());
  if (size == 0) return std::nullopt;
  return std::vector<std::byte>(bytes.begin(), bytes.begin() + static_cast<std::ptrdiff_t>(size));
}

// The bytes at RIP, those that KVM failed to emulate before those in memory. REQUIRES: the vCPU
// has done nothing since its last exit.
std::vector<std::byte> CodeThatEndedIt(const Vcpu& vcpu, const GuestMemory& memory,
                                       const kvm_regs& regs, const kvm_sregs& sregs) {
  std::optional<std::vector<std::byte>> code = BytesFromKvm(vcpu.run());
  return code.has_value() ? *std::move(code) : ReadCodeAtRip(vcpu, memory, regs, sregs);
}

// Bytes of a push, by the width of the code.
uint64_t PushSize(const kvm_sregs& sregs) { return static_cast<uint64_t>(CodeWidthOf(sregs)) / 8; }

PageWalk WalkOfPush(const kvm_regs& regs, const kvm_sregs& sregs, const GuestMemory& memory) {
  kvm_regs pushed = regs;
  pushed.rsp -= PushSize(sregs);
  return WalkPages(LinearRsp(pushed, sregs), sregs, memory);
}

std::optional<std::byte> ByteBeforeRip(const PageWalk& rip, const GuestMemory& memory) {
  if (!rip.physical.has_value() || *rip.physical % kPageSize == 0) return std::nullopt;
  const auto byte = memory.Load<std::byte>(GuestAddress(*rip.physical - 1));
  return byte.ok() ? std::optional(*byte) : std::nullopt;
}

std::string Unreadable(const absl::Status& status) {
  return absl::StrFormat("  registers cannot be read: %s\n", status.ToString());
}

// In what the report of a death and that of a stopped CPU differ.
struct Reading {
  decltype(&LikelyCauseOfDeath) guess;
  decltype(&ReadCodeAtRip) read_code;
  std::optional<std::string> refusal = std::nullopt;
};

// What DescribeDeath and DescribeStopped have in common.
std::string DescribeAll(const Vcpu& vcpu, const GuestMemory& memory, const ExitHistory& history,
                        const Reading& reading) {
  const absl::StatusOr<kvm_regs> regs = vcpu.GetRegs();
  const absl::StatusOr<kvm_sregs> sregs = vcpu.GetSregs();
  if (!regs.ok() || !sregs.ok()) {
    return Unreadable(regs.ok() ? sregs.status() : regs.status()) + history.ToString();
  }
  const std::vector<std::byte> code = reading.read_code(vcpu, memory, *regs, *sregs);
  const PageWalk rip = WalkPages(LinearRip(*regs, *sregs), *sregs, memory);
  const PageWalk push = WalkOfPush(*regs, *sregs, memory);
  const std::string cause = reading.guess({.run = vcpu.run(),
                                           .regs = *regs,
                                           .sregs = *sregs,
                                           .code = code,
                                           .before_code = ByteBeforeRip(rip, memory),
                                           .rip = rip,
                                           .push = push,
                                           .idt = WalkPages(sregs->idt.base, *sregs, memory),
                                           .refusal = reading.refusal});
  std::string text = cause.empty() ? "" : "likely cause: " + cause + "\n";
  text += RegisterTable(*regs, *sregs) + DescribeCode(code, *regs, *sregs);
  const uint64_t rsp = LinearRsp(*regs, *sregs);
  text += rip.ToString("RIP") + WalkPages(rsp, *sregs, memory).ToString("RSP");
  // A stack that grows into another page, as one at its very top or bottom does.
  if (rsp / kPageSize != push.linear / kPageSize) text += push.ToString("the next push");
  return text + history.ToString();
}

}  // namespace

std::string CpuPrefix(std::optional<uint32_t> cpu) {
  return cpu.has_value() ? absl::StrFormat("CPU %d: ", *cpu) : "";
}

std::string DescribeReason(const kvm_run& run) {
  const std::string name = ExitReasonName(run.exit_reason);
  switch (run.exit_reason) {
    case KVM_EXIT_UNKNOWN:
      return absl::StrFormat("%s: hardware exit reason 0x%x", name, run.hw.hardware_exit_reason);
    case KVM_EXIT_FAIL_ENTRY:
      return absl::StrFormat("%s: hardware entry failure reason 0x%x on CPU %d", name,
                             run.fail_entry.hardware_entry_failure_reason, run.fail_entry.cpu);
    case KVM_EXIT_EXCEPTION:
      return absl::StrFormat("%s: vector %d, error code 0x%x", name, run.ex.exception,
                             run.ex.error_code);
    case KVM_EXIT_INTERNAL_ERROR:
      return name + ": " + DescribeInternalError(run);
    case KVM_EXIT_MEMORY_FAULT:
      return name + ": " + DescribeMemoryFault(run);
    case KVM_EXIT_SHUTDOWN:
      return name + ": the guest had a triple fault";
    case KVM_EXIT_HYPERCALL:
      return absl::StrFormat("%s: number 0x%x", name, run.hypercall.nr);
    case KVM_EXIT_SYSTEM_EVENT:
      return absl::StrFormat("%s: type %d", name, run.system_event.type);
    case KVM_EXIT_X86_RDMSR:
    case KVM_EXIT_X86_WRMSR:
      return absl::StrFormat("%s: MSR 0x%x", name, run.msr.index);
    default:
      return name;
  }
}

std::string RegisterTable(const kvm_regs& regs, const kvm_sregs& sregs) {
  std::string text;
  const auto row = [&text](const char* a, uint64_t av, const char* b, uint64_t bv, const char* c,
                           uint64_t cv, const char* d, uint64_t dv) {
    absl::StrAppendFormat(&text, "  %-3s %016x  %-3s %016x  %-3s %016x  %-3s %016x\n", a, av, b, bv,
                          c, cv, d, dv);
  };
  absl::StrAppendFormat(&text, "  rip %016x  rsp %016x  rflags %08x\n", regs.rip, regs.rsp,
                        regs.rflags);
  row("rax", regs.rax, "rbx", regs.rbx, "rcx", regs.rcx, "rdx", regs.rdx);
  row("rsi", regs.rsi, "rdi", regs.rdi, "rbp", regs.rbp, "r8", regs.r8);
  row("r9", regs.r9, "r10", regs.r10, "r11", regs.r11, "r12", regs.r12);
  absl::StrAppendFormat(&text, "  r13 %016x  r14 %016x  r15 %016x\n", regs.r13, regs.r14, regs.r15);
  row("cr0", sregs.cr0, "cr2", sregs.cr2, "cr3", sregs.cr3, "cr4", sregs.cr4);
  absl::StrAppendFormat(&text, "  efer %08x  cr8 %x\n", sregs.efer, sregs.cr8);
  text += Segment("cs", sregs.cs) + Segment("ss", sregs.ss) + Segment("ds", sregs.ds) +
          Segment("es", sregs.es) + Segment("fs", sregs.fs) + Segment("gs", sregs.gs) +
          Segment("tr", sregs.tr) + Segment("ldt", sregs.ldt);
  absl::StrAppendFormat(&text, "  gdt base %016x limit %04x  idt base %016x limit %04x\n",
                        sregs.gdt.base, sregs.gdt.limit, sregs.idt.base, sregs.idt.limit);
  return text;
}

std::vector<std::byte> ReadCodeAtRip(const Vcpu& vcpu, const GuestMemory& memory,
                                     const kvm_regs& regs, const kvm_sregs& sregs) {
  const uint64_t start = LinearRip(regs, sregs);
  std::vector<std::byte> code;
  while (code.size() < kMaxInstructionSize) {
    const uint64_t linear = start + code.size();
    // The next page may be anywhere, or nowhere.
    const size_t piece = static_cast<size_t>(
        std::min<uint64_t>(kMaxInstructionSize - code.size(), kPageSize - linear % kPageSize));
    const absl::StatusOr<kvm_translation> translation = vcpu.Translate(linear);
    if (!translation.ok() || translation->valid == 0) break;
    std::vector<std::byte> bytes(piece);
    if (!memory.Read(GuestAddress(translation->physical_address), bytes).ok()) break;
    code.insert(code.end(), bytes.begin(), bytes.end());
  }
  return code;
}

std::string DescribeCode(std::span<const std::byte> code, const kvm_regs& regs,
                         const kvm_sregs& sregs) {
  const uint64_t linear = LinearRip(regs, sregs);
  if (code.empty()) {
    return absl::StrFormat(
        "  code at 0x%x: cannot be read (not mapped by the guest, or no memory)\n", linear);
  }
  const CodeWidth width = CodeWidthOf(sregs);
  return absl::StrFormat("  code at 0x%x (%d-bit): %s\n    %s\n", linear, static_cast<int>(width),
                         Hex(code), Disassemble(code, linear, width));
}

std::string DescribeState(const Vcpu& vcpu, const GuestMemory& memory) {
  const absl::StatusOr<kvm_regs> regs = vcpu.GetRegs();
  const absl::StatusOr<kvm_sregs> sregs = vcpu.GetSregs();
  if (!regs.ok() || !sregs.ok()) return Unreadable(regs.ok() ? sregs.status() : regs.status());
  return RegisterTable(*regs, *sregs) +
         DescribeCode(ReadCodeAtRip(vcpu, memory, *regs, *sregs), *regs, *sregs);
}

std::string DescribeDeath(const Vcpu& vcpu, const GuestMemory& memory, const ExitHistory& history,
                          std::optional<uint32_t> cpu, const std::optional<std::string>& refusal) {
  return CpuPrefix(cpu) + DescribeReason(vcpu.run()) + "\n" +
         DescribeAll(vcpu, memory, history, {LikelyCauseOfDeath, CodeThatEndedIt, refusal});
}

std::string DescribeStopped(const Vcpu& vcpu, const GuestMemory& memory, const ExitHistory& history,
                            std::optional<uint32_t> cpu) {
  return CpuPrefix(cpu) + "stopped\n" +
         DescribeAll(vcpu, memory, history, {LikelyCauseOfSilence, ReadCodeAtRip});
}

}  // namespace vmwire
