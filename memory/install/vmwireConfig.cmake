# find_package(vmwire): the target vmwire::memory, the library of <vmwire/vm_map_wire.h>.
include(${CMAKE_CURRENT_LIST_DIR}/vmwireTargets.cmake)
