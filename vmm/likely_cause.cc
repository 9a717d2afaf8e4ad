#include "vmm/likely_cause.h"

#include <algorithm>
#include <array>
#include <iterator>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_split.h"
#include "vmm/cpu_mode.h"
#include "vmm/disassembly.h"
#include "vmm/guest_layout.h"

namespace vmwire {
namespace {

constexpr std::byte kHlt{0xf4};
constexpr std::array<std::byte, 2> kJumpToItself = {std::byte{0xeb}, std::byte{0xfe}};

std::string InstructionAtRip(const CpuSnapshot& cpu) {
  return Disassemble(cpu.code, LinearRip(cpu.regs, cpu.sregs), CodeWidthOf(cpu.sregs));
}

std::string WhereNoMemoryIs(const char* what, const PageWalk& walk) {
  const uint64_t physical = *walk.physical;
  if (physical >= kMmioHoleStart.value() && physical < kMmioHoleEnd.value()) {
    return absl::StrFormat("%s 0x%x is guest physical 0x%x, in the MMIO hole: there is no memory",
                           what, walk.linear, physical);
  }
  return absl::StrFormat(
      "%s 0x%x is guest physical 0x%x, where this machine has no memory: a wild address, or a "
      "smaller --memory than the guest takes for granted",
      what, walk.linear, physical);
}

// Why nothing can be fetched from RIP; empty if something can.
std::string FetchTrouble(const CpuSnapshot& cpu) {
  if (!cpu.rip.physical.has_value()) {
    return absl::StrFormat(
        "RIP 0x%x is not mapped (%s): a jump through a bad pointer, or page tables that lack the "
        "running code",
        cpu.rip.linear, cpu.rip.why);
  }
  if (!cpu.rip.is_memory) return WhereNoMemoryIs("RIP", cpu.rip);
  if (!cpu.rip.is_executable) {
    return absl::StrFormat("the page of RIP 0x%x may not be executed (NX)", cpu.rip.linear);
  }
  if (PrivilegeOf(cpu.sregs) == 3 && cpu.rip.mode != PagingMode::kNone && !cpu.rip.is_user) {
    return absl::StrFormat("the page of RIP 0x%x is the supervisor's, and the CPU is at CPL 3",
                           cpu.rip.linear);
  }
  // 00 00 is add [rax], al, which nobody writes.
  if (cpu.code.size() >= 4 && std::all_of(cpu.code.begin(), cpu.code.begin() + 4,
                                          [](std::byte byte) { return byte == std::byte{0}; })) {
    return absl::StrFormat(
        "the CPU ran into zeroed memory at RIP 0x%x: a jump through a null or stale pointer, or "
        "code that was never loaded there",
        cpu.rip.linear);
  }
  return "";
}

std::string StackTrouble(const CpuSnapshot& cpu) {
  const uint64_t rsp = LinearRsp(cpu.regs, cpu.sregs);
  if (!cpu.push.physical.has_value()) {
    return absl::StrFormat("the stack below RSP 0x%x is not mapped (%s): stack overflow or bad RSP",
                           rsp, cpu.push.why);
  }
  if (!cpu.push.is_memory) {
    return WhereNoMemoryIs("the stack at", cpu.push) + ": stack overflow or bad RSP";
  }
  if (!cpu.push.is_writable) {
    return absl::StrFormat("the stack below RSP 0x%x is read-only: stack overflow or bad RSP", rsp);
  }
  return "";
}

// Why no exception can be delivered; empty if nothing is seen.
std::string IdtTrouble(const CpuSnapshot& cpu) {
  if (cpu.sregs.idt.limit == 0) return "there is no IDT (its limit is 0)";
  const char* trouble = nullptr;
  if (!cpu.idt.physical.has_value()) {
    trouble = "not mapped";
  } else if (!cpu.idt.is_memory) {
    trouble = "no memory";
  }
  if (trouble == nullptr) return "";
  return absl::StrFormat("the IDT, at 0x%x, is %s", cpu.sregs.idt.base, trouble);
}

std::string CauseOfTripleFault(const CpuSnapshot& cpu) {
  std::string first = FetchTrouble(cpu);
  if (first.empty()) first = StackTrouble(cpu);
  if (first.empty() && MnemonicOf(InstructionAtRip(cpu)) == "ud2") {
    first = "the guest stopped itself with UD2, as kernels do at a failed check";
  }
  const std::string idt = IdtTrouble(cpu);
  if (idt.empty()) {
    if (!first.empty()) return first;
    return absl::StrFormat(
        "an exception came at or before RIP 0x%x, and the guest's handler for it failed too%s",
        cpu.rip.linear,
        cpu.sregs.cr2 == 0
            ? ""
            : absl::StrFormat("; the last page fault was at CR2 0x%x", cpu.sregs.cr2));
  }
  if (!first.empty()) return first + "; and " + idt;
  return absl::StrFormat(
      "an exception came with no way to handle it: %s%s", idt,
      cpu.sregs.cr2 == 0 ? ""
                         : absl::StrFormat("; perhaps a page fault at CR2 0x%x", cpu.sregs.cr2));
}

// Instructions of a feature that a guest uses because CPUID shows it, by the feature's name in
// /proc/cpuinfo.
struct InstructionFeature {
  const char* mnemonic;
  const char* feature;
};
constexpr InstructionFeature kFeatures[] = {
    {"clac", "smap"},         {"stac", "smap"},         {"cmpxchg16b", "cx16"},
    {"movbe", "movbe"},       {"xgetbv", "xsave"},      {"xsetbv", "xsave"},
    {"xsave", "xsave"},       {"xsavec", "xsavec"},     {"xsaveopt", "xsaveopt"},
    {"xsaves", "xsaves"},     {"xrstor", "xsave"},      {"xrstors", "xsaves"},
    {"invpcid", "invpcid"},   {"clwb", "clwb"},         {"clflushopt", "clflushopt"},
    {"rdpru", "rdpru"},       {"rdpid", "rdpid"},       {"rdrand", "rdrand"},
    {"rdseed", "rdseed"},     {"wrfsbase", "fsgsbase"}, {"rdfsbase", "fsgsbase"},
    {"wrgsbase", "fsgsbase"}, {"rdgsbase", "fsgsbase"}, {"popcnt", "popcnt"},
    {"crc32", "sse4_2"},      {"wrpkru", "pku"},        {"rdpkru", "pku"},
    {"monitor", "monitor"},   {"mwait", "monitor"},
};

// The feature that brought `instruction`; empty if it is not known.
std::string FeatureOf(const std::string& instruction) {
  const std::string mnemonic = MnemonicOf(instruction);
  const auto* const known =
      std::find_if(std::begin(kFeatures), std::end(kFeatures),
                   [&](const InstructionFeature& entry) { return mnemonic == entry.mnemonic; });
  if (known != std::end(kFeatures)) return known->feature;
  if (absl::StrContains(instruction, "zmm")) return "avx512f";
  if (absl::StrContains(instruction, "ymm")) return "avx";
  if (absl::StrContains(instruction, "xmm")) return "sse2";
  return "";
}

// True of those that --complete-emulation completes.
bool CanBeCompleted(const std::string& mnemonic) {
  constexpr std::array<const char*, 7> kCompleted = {"int3", "int",        "xgetbv", "clac",
                                                     "stac", "cmpxchg16b", "movbe"};
  return std::find(kCompleted.begin(), kCompleted.end(), mnemonic) != kCompleted.end();
}

std::string CauseOfEmulationFailure(const CpuSnapshot& cpu) {
  if (const std::string fetch = FetchTrouble(cpu); !fetch.empty()) return fetch;
  const std::string instruction = InstructionAtRip(cpu);
  const std::string mnemonic = MnemonicOf(instruction);
  std::string cause = absl::StrFormat(
      "this KVM cannot emulate '%s' at CPL %d (a KVM without VMX or SVM, such as kvm-pvm, emulates "
      "all of CPL 0 and all 16- and 32-bit code)",
      instruction, PrivilegeOf(cpu.sregs));
  if (cpu.refusal.has_value()) cause += "; not completed in KVM's stead: " + *cpu.refusal;
  if (CanBeCompleted(mnemonic)) {
    return cpu.refusal.has_value() ? cause : cause + "; --complete-emulation completes it";
  }
  const std::string feature = FeatureOf(instruction);
  cause += "; build the guest without it";
  if (feature.empty()) return cause;
  return cause + absl::StrFormat(
                     ", or try --cpu hide=%s, though such a KVM shows the host's CPUID bits of "
                     "leaves 1, 7 and 0xd all the same",
                     feature);
}

std::string CauseOfInternalError(const CpuSnapshot& cpu) {
  switch (cpu.run.internal.suberror) {
    case KVM_INTERNAL_ERROR_EMULATION:
      return CauseOfEmulationFailure(cpu);
    case KVM_INTERNAL_ERROR_DELIVERY_EV: {
      const std::string idt = IdtTrouble(cpu);
      if (!idt.empty()) return "an exception or interrupt could not be delivered: " + idt;
      const std::string stack = StackTrouble(cpu);
      if (!stack.empty()) return "an exception or interrupt could not be delivered: " + stack;
      return "";
    }
    default:
      return "";
  }
}

}  // namespace

std::string MnemonicOf(const std::string& instruction) {
  for (const std::string& word : std::vector<std::string>(absl::StrSplit(instruction, ' '))) {
    constexpr std::array<const char*, 8> kPrefixes = {"lock",  "rep",      "repe",     "repne",
                                                      "repnz", "xacquire", "xrelease", "bnd"};
    if (std::find(kPrefixes.begin(), kPrefixes.end(), word) == kPrefixes.end()) return word;
  }
  return "";
}

std::string LikelyCauseOfDeath(const CpuSnapshot& cpu) {
  switch (cpu.run.exit_reason) {
    case KVM_EXIT_SHUTDOWN:
      return CauseOfTripleFault(cpu);
    case KVM_EXIT_INTERNAL_ERROR:
      return CauseOfInternalError(cpu);
    case KVM_EXIT_FAIL_ENTRY:
      return "the CPU refused the state in which the guest was to go on: a control or segment "
             "register, or an event to be injected, that breaks the rules of VMX or SVM";
    case KVM_EXIT_MEMORY_FAULT:
      return "the host could not give the memory that the guest touched";
    default:
      return FetchTrouble(cpu);
  }
}

std::string LikelyCauseOfSilence(const CpuSnapshot& cpu) {
  if (IsAtReset(cpu.regs, cpu.sregs)) return "this CPU was never started";
  const bool interrupts = (cpu.regs.rflags & cpu_bits::kFlagsInterrupts) != 0;
  if (cpu.before_code == kHlt) {
    return interrupts ? "halted, with interrupts on: it waits for one"
                      : "halted with interrupts off: nothing but an NMI can wake it";
  }
  if (std::string fetch = FetchTrouble(cpu); !fetch.empty()) return fetch;
  if (std::equal(kJumpToItself.begin(), kJumpToItself.end(), cpu.code.begin(),
                 cpu.code.begin() + std::min<std::ptrdiff_t>(std::ssize(cpu.code), 2))) {
    return interrupts ? "it loops for ever, in a jump to itself; interrupts are on"
                      : "it loops for ever, in a jump to itself, with interrupts off";
  }
  return "";
}

}  // namespace vmwire
