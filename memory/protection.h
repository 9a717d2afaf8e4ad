// What an entry of the map allows and what an access asks for: the VM_PROT_* bits of vm_map(9).
//
// Thread safety: values.
#ifndef VMWIRE_MEMORY_PROTECTION_H_
#define VMWIRE_MEMORY_PROTECTION_H_

#include <cstdint>
#include <string>

namespace vmwire {

// The values are VM_PROT_NONE, _READ, _WRITE and _EXECUTE, and may be or-ed.
enum class Protection : uint8_t {
  kNone = 0,
  kRead = 1,
  kWrite = 2,
  kExecute = 4,
  kReadWrite = kRead | kWrite,
  kAll = kRead | kWrite | kExecute,
};

constexpr Protection operator|(Protection a, Protection b) {
  return static_cast<Protection>(static_cast<uint8_t>(a) | static_cast<uint8_t>(b));
}
constexpr Protection operator&(Protection a, Protection b) {
  return static_cast<Protection>(static_cast<uint8_t>(a) & static_cast<uint8_t>(b));
}

// True if `have` includes every right in `want`.
constexpr bool Allows(Protection have, Protection want) { return (have & want) == want; }

// "rwx", "r--", ...
inline std::string ToString(Protection protection) {
  std::string text = "---";
  if (Allows(protection, Protection::kRead)) text[0] = 'r';
  if (Allows(protection, Protection::kWrite)) text[1] = 'w';
  if (Allows(protection, Protection::kExecute)) text[2] = 'x';
  return text;
}

}  // namespace vmwire

#endif  // VMWIRE_MEMORY_PROTECTION_H_
