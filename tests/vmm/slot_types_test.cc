// "Wired before slot" is the type of an argument. What must not compile is asserted here not to.
#include <gtest/gtest.h>

#include <concepts>
#include <type_traits>
#include <utility>
#include <vector>

#include "memory/page_range.h"
#include "memory/vm_map.h"
#include "memory/wire_policy.h"
#include "memory/wired_range.h"
#include "vmm/memory_slot.h"
#include "vmm/slot_table.h"

namespace vmwire {
namespace {

template <typename T>
concept InstallTakes = requires(SlotTable& table, T&& argument) {
  table.Install(std::forward<T>(argument));
};

// A slot is made of a token...
static_assert(InstallTakes<SlotBacking>);
static_assert(InstallTakes<WiredRange>);
static_assert(InstallTakes<UnwiredByPolicy>);
// ...that is given up for it...
static_assert(!InstallTakes<SlotBacking&>);
static_assert(!InstallTakes<const WiredRange&>);
static_assert(!InstallTakes<UnwiredByPolicy&>);
// ...and of nothing else, whatever it says of memory.
static_assert(!InstallTakes<GuestRange>);
static_assert(!InstallTakes<HostRange>);
static_assert(!InstallTakes<HostBacking>);
static_assert(!InstallTakes<MappedRange>);
static_assert(!InstallTakes<std::vector<WiredRange>>);
static_assert(!InstallTakes<void*>);
static_assert(!InstallTakes<std::byte*>);

// Tokens cannot be made out of nothing, nor doubled.
static_assert(!std::is_default_constructible_v<WiredRange>);
static_assert(!std::is_copy_constructible_v<WiredRange>);
static_assert(!std::is_copy_assignable_v<WiredRange>);
static_assert(!std::is_constructible_v<WiredRange, GuestRange>);
static_assert(!std::is_constructible_v<WiredRange, VmMap*, GuestRange, std::vector<GuestRange>>);
static_assert(!std::is_default_constructible_v<UnwiredByPolicy>);
static_assert(!std::is_copy_constructible_v<UnwiredByPolicy>);
static_assert(!std::is_constructible_v<UnwiredByPolicy, MappedRange, std::vector<WiredRange>>);
static_assert(!std::is_constructible_v<UnwiredByPolicy, MappedRange>);
static_assert(!std::is_default_constructible_v<SlotBacking>);
static_assert(!std::is_copy_constructible_v<SlotBacking>);

// A live slot has one owner, and its table stays where it is.
static_assert(!std::is_default_constructible_v<MemorySlot>);
static_assert(!std::is_copy_constructible_v<MemorySlot>);
static_assert(!std::is_copy_assignable_v<MemorySlot>);
static_assert(std::is_nothrow_move_constructible_v<MemorySlot>);
static_assert(std::is_nothrow_move_assignable_v<MemorySlot>);
static_assert(!std::is_constructible_v<MemorySlot, SlotTable*, uint32_t, bool, SlotBacking>);
static_assert(!std::is_move_constructible_v<SlotTable>);

TEST(SlotTypesTest, SlotOfMemoryWithoutATokenDoesNotCompile) {
  SUCCEED() << "the static_asserts above are the test";
}

}  // namespace
}  // namespace vmwire
