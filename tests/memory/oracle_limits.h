// The sizes of the oracle's maps: small enough that random operations meet each other and every
// limit all the time.
//
// Thread safety: no state.
#ifndef VMWIRE_TESTS_MEMORY_ORACLE_LIMITS_H_
#define VMWIRE_TESTS_MEMORY_ORACLE_LIMITS_H_

#include <cstddef>
#include <cstdint>

namespace vmwire::oracle {

// Pages.
inline constexpr uint64_t kFirst = 4;
inline constexpr uint64_t kEnd = 68;
inline constexpr uint64_t kAbove = 72;  // Ranges are drawn from [0, kAbove).
inline constexpr uint64_t kObjectPages = 24;
inline constexpr uint64_t kBudgetPages = 30;
inline constexpr uint64_t kCachePages = 10;
inline constexpr uint64_t kUserLimit = 30;

inline constexpr size_t kObjects = 3;
inline constexpr uint32_t kMaxWires = 3;
inline constexpr size_t kMaxTokens = 6;
inline constexpr size_t kMaxHolds = 4;

}  // namespace vmwire::oracle

#endif  // VMWIRE_TESTS_MEMORY_ORACLE_LIMITS_H_
