// A process that can open nothing more: calls that need a descriptor fail with EMFILE.
//
// UBSan looks at an object through a pipe before it believes its type, and calls it broken if there
// is none: so expectations belong behind the limit's life, and a test that calls virtual functions
// under it skips itself where kTypesNeedDescriptors.
//
// Thread safety: the limit is the process's, so one at a time.
#ifndef VMWIRE_TESTS_SUPPORT_DESCRIPTOR_LIMIT_H_
#define VMWIRE_TESTS_SUPPORT_DESCRIPTOR_LIMIT_H_

#include <gtest/gtest.h>
#include <sys/resource.h>

namespace vmwire {

#ifdef __SANITIZE_ADDRESS__  // UBSan has no such macro; the two come together here.
inline constexpr bool kTypesNeedDescriptors = true;
#else
inline constexpr bool kTypesNeedDescriptors = false;
#endif

// While it lives, the soft RLIMIT_NOFILE is 0.
class NoMoreDescriptors {
 public:
  NoMoreDescriptors() {
    EXPECT_EQ(getrlimit(RLIMIT_NOFILE, &before_), 0);
    const rlimit none = {0, before_.rlim_max};
    EXPECT_EQ(setrlimit(RLIMIT_NOFILE, &none), 0);
  }
  NoMoreDescriptors(const NoMoreDescriptors&) = delete;
  NoMoreDescriptors& operator=(const NoMoreDescriptors&) = delete;
  ~NoMoreDescriptors() { EXPECT_EQ(setrlimit(RLIMIT_NOFILE, &before_), 0); }

 private:
  rlimit before_ = {};
};

}  // namespace vmwire

#endif  // VMWIRE_TESTS_SUPPORT_DESCRIPTOR_LIMIT_H_
