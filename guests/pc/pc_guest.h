// What a guest that is started by a boot protocol of somebody else's builds on: multiboot,
// multiboot2 or PVH. Prints and ports are those of guests/runtime.
//
// Such a guest is 32-bit code in protected mode at CPL 0, with flat segments, without paging,
// library and heap; its stack is 16 KiB. It runs as well in any other monitor or boot loader that
// knows the protocol; its end is a write to VMWIRE_EXIT_PORT (in QEMU: -device
// isa-debug-exit,iobase=0x500,iosize=4).
#ifndef VMWIRE_GUESTS_PC_PC_GUEST_H_
#define VMWIRE_GUESTS_PC_PC_GUEST_H_

#include <stdint.h>

#include "guests/runtime/vmwire_guest.h"

// The guest's program, with what its protocol passes in EAX and EBX; what it returns is its exit
// code.
uint32_t pc_main(uint32_t eax, uint32_t ebx);

// What lies at a physical address. Boot protocols give addresses in 64 bits; those that a 32-bit
// guest is to read lie below 4 GiB.
static inline const void* pc_at(uint64_t address) { return (const void*)(uintptr_t)address; }

// The types of memory that all these protocols share, which are those of ACPI (15, "System Address
// Map Interfaces").
#define PC_MEMORY_USABLE 1

// Prints a line about what the guest was told; `guest` is its own name.
//   GUEST: command line "TEXT"
//   GUEST: memory 0x0 to 0xa0000, usable
//   GUEST: module "TEXT", N bytes, sum 0xS: FIRST LINE
// The sum is that of all bytes; the first line what the module has before its first line end, at
// most 60 characters of it.
void pc_print_command_line(const char* guest, const char* text);
void pc_print_memory(const char* guest, uint64_t start, uint64_t size, uint32_t type);
void pc_print_module(const char* guest, const char* text, const uint8_t* bytes, uint32_t size);

#endif  // VMWIRE_GUESTS_PC_PC_GUEST_H_
