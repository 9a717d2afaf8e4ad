// What a benchmark cannot go on without: ends the process, with the reason, if it is not there.
//
// Invariants: none.
// Thread safety: no state.
#ifndef VMWIRE_BENCH_REQUIRE_H_
#define VMWIRE_BENCH_REQUIRE_H_

#include <cstdio>
#include <cstdlib>
#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace vmwire::bench {

inline void Require(const absl::Status& status) {
  if (status.ok()) return;
  std::fprintf(stderr, "%s\n", status.ToString().c_str());
  std::exit(1);
}

template <typename T>
T Require(absl::StatusOr<T> result) {
  Require(result.status());
  return *std::move(result);
}

}  // namespace vmwire::bench

#endif  // VMWIRE_BENCH_REQUIRE_H_
