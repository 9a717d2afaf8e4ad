// The start of a PVH kernel (Xen, "x86/HVM direct boot ABI"): what it is given, and the note that
// makes a kernel one.
#ifndef VMWIRE_GUESTS_PC_PVH_H_
#define VMWIRE_GUESTS_PC_PVH_H_

#include <stdint.h>

#define PVH_START_MAGIC 0x336ec578u

struct pvh_start_info {
  uint32_t magic;
  uint32_t version;
  uint32_t flags;
  uint32_t module_count;
  uint64_t modules;
  uint64_t command_line;
  uint64_t rsdp;
  // Since version 1:
  uint64_t memory_map;
  uint32_t memory_map_count;
  uint32_t reserved;
};

struct pvh_module {
  uint64_t start;
  uint64_t size;
  uint64_t command_line;  // 0: none.
  uint64_t reserved;
};

struct pvh_memory {
  uint64_t start;
  uint64_t size;
  uint32_t type;
  uint32_t reserved;
};

// The note that names `entry`, XEN_ELFNOTE_PHYS32_ENTRY. Once, at file scope.
#define PVH_ENTRY(entry)                                  \
  __asm__(                                                \
      ".pushsection .note.Xen, \"a\", @note\n.balign 4\n" \
      ".long 4, 4, 18\n.asciz \"Xen\"\n.long " entry      \
      "\n"                                                \
      ".popsection")

#endif  // VMWIRE_GUESTS_PC_PVH_H_
