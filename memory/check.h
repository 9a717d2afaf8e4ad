// The assertion for our own bugs, since the Abseil of Debian 12 has no log library. It ends the
// process in every build type. Never for anything that a guest, an image or a user can cause: that
// is a Status.
//
// Thread safety: may be used from any thread.
#ifndef VMWIRE_MEMORY_CHECK_H_
#define VMWIRE_MEMORY_CHECK_H_

#include <string>

namespace vmwire {

// Prints `file:line: check failed: condition: message` to stderr and aborts.
[[noreturn]] void CheckFailed(const char* file, int line, const char* condition,
                              const std::string& message);

}  // namespace vmwire

#define VMWIRE_CHECK(condition, message)                                \
  do {                                                                  \
    if (!(condition)) [[unlikely]] {                                    \
      ::vmwire::CheckFailed(__FILE__, __LINE__, #condition, (message)); \
    }                                                                   \
  } while (false)

#endif  // VMWIRE_MEMORY_CHECK_H_
