// The seed of the tests that draw random operations: always the same, unless the environment
// variable VMWIRE_TEST_SEED gives another, and printed either way.
//
// Thread safety: no state.
#ifndef VMWIRE_TESTS_SUPPORT_SEED_H_
#define VMWIRE_TESTS_SUPPORT_SEED_H_

#include <cinttypes>
#include <cstdint>
#include <cstdio>
#include <cstdlib>

namespace vmwire {

inline uint64_t TestSeed() {
  const char* text = std::getenv("VMWIRE_TEST_SEED");
  const uint64_t seed = text != nullptr ? std::strtoull(text, nullptr, 0) : 20240229;
  std::printf("VMWIRE_TEST_SEED=%" PRIu64 "\n", seed);
  return seed;
}

}  // namespace vmwire

#endif  // VMWIRE_TESTS_SUPPORT_SEED_H_
