// The floor of a launch: a program that starts the hello guest with the same system calls as vmwire
// and nothing else. No option, no check, no message, no library of ours; what vmwire takes beyond
// it is vmwire's own cost.
//
//   bare_launch IMAGE MEMORY_BYTES [WINDOW_START+WINDOW_BYTES]
//
// A window is locked on fault and faulted in before the guest has it. Exits with the code that the
// guest gives to the exit port.
#include <elf.h>
#include <fcntl.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>

#include "vmm/kvm_abi.h"

#ifndef MADV_POPULATE_WRITE
#define MADV_POPULATE_WRITE 23
#endif

namespace {

constexpr uint64_t kHuge = uint64_t{2} << 20;

[[noreturn]] void Die(const char* what) {
  std::perror(what);
  std::exit(1);
}

int Call(int fd, unsigned long request, uint64_t argument, const char* what) {
  const int result = ioctl(fd, request, argument);
  if (result < 0) Die(what);
  return result;
}

int Call(int fd, unsigned long request, void* argument, const char* what) {
  return Call(fd, request, reinterpret_cast<uint64_t>(argument), what);
}

char* MapGuestMemory(uint64_t bytes) {
  char* base = static_cast<char*>(mmap(nullptr, bytes + kHuge, PROT_READ | PROT_WRITE,
                                       MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0));
  if (base == MAP_FAILED) Die("mmap");
  base += (kHuge - reinterpret_cast<uint64_t>(base) % kHuge) % kHuge;
  madvise(base, bytes, MADV_HUGEPAGE);
  madvise(base, bytes, MADV_DONTFORK);
  return base;
}

// `window` is "0x4000000+0x400000": where in the guest it begins, and its bytes.
void WireWindow(char* memory, const char* window) {
  char* plus = nullptr;
  const uint64_t start = std::strtoull(window, &plus, 0);
  const uint64_t bytes = std::strtoull(plus, nullptr, 0);
  if (mlock2(memory + start, bytes, MLOCK_ONFAULT) != 0) Die("mlock2");
  if (madvise(memory + start, bytes, MADV_POPULATE_WRITE) != 0) Die("MADV_POPULATE_WRITE");
}

uint64_t LoadElf(const char* path, char* memory) {
  const int fd = open(path, O_RDONLY | O_CLOEXEC);
  struct stat info = {};
  if (fd < 0 || fstat(fd, &info) != 0) Die(path);
  char* file = static_cast<char*>(std::malloc(static_cast<size_t>(info.st_size)));
  if (read(fd, file, static_cast<size_t>(info.st_size)) != info.st_size) Die("read");
  close(fd);
  Elf64_Ehdr header;
  std::memcpy(&header, file, sizeof header);
  for (int i = 0; i < header.e_phnum; ++i) {
    Elf64_Phdr segment;
    std::memcpy(&segment, file + header.e_phoff + static_cast<size_t>(i) * header.e_phentsize,
                sizeof segment);
    if (segment.p_type == PT_LOAD)
      std::memcpy(memory + segment.p_paddr, file + segment.p_offset, segment.p_filesz);
  }
  std::free(file);
  return header.e_entry;
}

// An identity map of 4 GiB with 2 MiB pages, and a GDT with ring-3 code and data.
void BuildTables(char* memory, uint64_t memory_bytes) {
  uint64_t* const root = reinterpret_cast<uint64_t*>(memory + 0x10000);
  uint64_t* const pointers = reinterpret_cast<uint64_t*>(memory + 0x11000);
  root[0] = 0x11000 | 7;
  for (uint64_t gib = 0; gib < 4; ++gib) {
    uint64_t* const directory = reinterpret_cast<uint64_t*>(memory + 0x12000 + gib * 0x1000);
    pointers[gib] = (0x12000 + gib * 0x1000) | 7;
    for (uint64_t i = 0; i < 512; ++i) directory[i] = ((gib * 512 + i) * kHuge) | 0x87;
  }
  const uint64_t gdt[] = {0, 0x00209b0000000000, 0x0000930000000000, 0x0000f30000000000,
                          0x0020fb0000000000};
  std::memcpy(memory + 0x1000, gdt, sizeof gdt);
  const struct {
    char magic[8];
    uint32_t size, ranges;
    uint64_t memory_bytes, image_start, image_end, tsc_khz, start, bytes;
  } info = {{'V', 'M', 'W', 'I', 'R', 'E', '1', 0}, 64, 1, memory_bytes, 0, 0, 0, 0, memory_bytes};
  std::memcpy(memory + 0x5000, &info, sizeof info);
}

kvm_segment Segment(uint16_t selector, uint8_t type, uint8_t dpl, bool code) {
  kvm_segment segment = {};
  segment.limit = 0xffffffff;
  segment.selector = selector;
  segment.type = type;
  segment.present = 1;
  segment.dpl = dpl;
  segment.s = 1;
  segment.l = code;
  segment.db = !code;
  segment.g = 1;
  return segment;
}

void SetStartState(int vcpu, uint64_t entry) {
  kvm_sregs sregs;
  Call(vcpu, KVM_GET_SREGS, &sregs, "KVM_GET_SREGS");
  sregs.cs = Segment(0x23, 11, 3, true);
  sregs.ss = sregs.ds = sregs.es = sregs.fs = sregs.gs = Segment(0x1b, 3, 3, false);
  sregs.gdt.base = 0x1000;
  sregs.gdt.limit = 39;
  sregs.cr3 = 0x10000;
  sregs.cr4 = 0x20;        // PAE
  sregs.cr0 = 0x80000011;  // PG, ET, PE
  sregs.efer = 0x500;      // LMA, LME
  Call(vcpu, KVM_SET_SREGS, &sregs, "KVM_SET_SREGS");
  kvm_regs regs = {};
  regs.rip = entry;
  regs.rdi = 0x5000;
  regs.rsp = 0x7000;
  regs.rflags = 0x3002;  // IOPL 3
  Call(vcpu, KVM_SET_REGS, &regs, "KVM_SET_REGS");
}

int RunGuest(int vcpu, kvm_run* run) {
  while (true) {
    Call(vcpu, KVM_RUN, uint64_t{0}, "KVM_RUN");
    if (run->exit_reason != KVM_EXIT_IO) return 4;
    char* const data = reinterpret_cast<char*>(run) + run->io.data_offset;
    const size_t bytes = static_cast<size_t>(run->io.size) * run->io.count;
    if (run->io.direction == KVM_EXIT_IO_IN) {
      std::memset(data, 0x60, bytes);  // The transmitter is ready.
    } else if (run->io.port == 0x3f8) {
      if (write(STDOUT_FILENO, data, bytes) < 0) return 1;
    } else if (run->io.port == 0x500) {
      return *data;
    }
  }
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 3 && argc != 4) return 2;
  const uint64_t memory_bytes = std::strtoull(argv[2], nullptr, 0);
  const int kvm = open("/dev/kvm", O_RDWR | O_CLOEXEC);
  if (kvm < 0) Die("/dev/kvm");
  Call(kvm, KVM_GET_API_VERSION, uint64_t{0}, "KVM_GET_API_VERSION");
  const int vm = Call(kvm, KVM_CREATE_VM, uint64_t{0}, "KVM_CREATE_VM");
  Call(kvm, KVM_CHECK_EXTENSION, uint64_t{KVM_CAP_NR_MEMSLOTS}, "KVM_CHECK_EXTENSION");
  Call(kvm, KVM_CHECK_EXTENSION, uint64_t{KVM_CAP_READONLY_MEM}, "KVM_CHECK_EXTENSION");
  const int run_bytes = Call(kvm, KVM_GET_VCPU_MMAP_SIZE, uint64_t{0}, "KVM_GET_VCPU_MMAP_SIZE");
  const int vcpu = Call(vm, KVM_CREATE_VCPU, uint64_t{0}, "KVM_CREATE_VCPU");
  kvm_run* const run = static_cast<kvm_run*>(
      mmap(nullptr, static_cast<size_t>(run_bytes), PROT_READ | PROT_WRITE, MAP_SHARED, vcpu, 0));
  if (run == MAP_FAILED) Die("mmap of kvm_run");
  constexpr uint32_t kCpuidEntries = 256;
  auto* cpuid = static_cast<kvm_cpuid2*>(
      std::calloc(1, sizeof(kvm_cpuid2) + kCpuidEntries * sizeof(kvm_cpuid_entry2)));
  cpuid->nent = kCpuidEntries;
  Call(kvm, KVM_GET_SUPPORTED_CPUID, cpuid, "KVM_GET_SUPPORTED_CPUID");

  char* const memory = MapGuestMemory(memory_bytes);
  const uint64_t entry = LoadElf(argv[1], memory);
  BuildTables(memory, memory_bytes);
  if (argc == 4) WireWindow(memory, argv[3]);
  kvm_userspace_memory_region region = {};
  region.memory_size = memory_bytes;
  region.userspace_addr = reinterpret_cast<uint64_t>(memory);
  Call(vm, KVM_SET_USER_MEMORY_REGION, &region, "KVM_SET_USER_MEMORY_REGION");
  Call(vcpu, KVM_SET_CPUID2, cpuid, "KVM_SET_CPUID2");
  SetStartState(vcpu, entry);
  return RunGuest(vcpu, run);
}
