// vm_map_wire.h for the files that define its functions: they are what the shared library shows.
#ifndef VMWIRE_MEMORY_C_API_EXPORTED_H_
#define VMWIRE_MEMORY_C_API_EXPORTED_H_

#pragma GCC visibility push(default)
#include "memory/vm_map_wire.h"
#pragma GCC visibility pop

#endif  // VMWIRE_MEMORY_C_API_EXPORTED_H_
