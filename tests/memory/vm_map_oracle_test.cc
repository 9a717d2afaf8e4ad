// Random operations on a VmMap, each compared with a model that knows pages only: see
// oracle_round.h.
//
// The environment variable VMWIRE_ORACLE_STEPS says how many there are of each level.
#include <gtest/gtest.h>

#include <cinttypes>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <map>
#include <string>

#include "tests/memory/oracle_round.h"
#include "tests/support/map_fixture.h"
#include "tests/support/seed.h"

namespace vmwire {
namespace {

using absl::StatusCode;

constexpr uint64_t kStepsOfARound = 1500;

uint64_t Steps() {
  const char* text = std::getenv("VMWIRE_ORACLE_STEPS");
  const uint64_t steps = text != nullptr ? std::strtoull(text, nullptr, 0) : 45'000;
  std::printf("VMWIRE_ORACLE_STEPS=%" PRIu64 "\n", steps);
  return steps;
}

class VmMapOracleTest : public testing::TestWithParam<OracleRound::Options> {};

INSTANTIATE_TEST_SUITE_P(Levels, VmMapOracleTest,
                         testing::Values(OracleRound::Options{PinLevel::kResident, false},
                                         OracleRound::Options{PinLevel::kPinned, false},
                                         OracleRound::Options{PinLevel::kGuarded, false},
                                         OracleRound::Options{PinLevel::kResident, true},
                                         OracleRound::Options{PinLevel::kPinned, true},
                                         OracleRound::Options{PinLevel::kGuarded, true}),
                         [](const testing::TestParamInfo<OracleRound::Options>& info) {
                           return ToString(info.param.level) + (info.param.cache ? "_cached" : "");
                         });

TEST_P(VmMapOracleTest, RandomOperationsAgreeWithAModelOfPages) {
  const uint64_t seed = TestSeed();
  const uint64_t steps = Steps();
  std::map<StatusCode, int> codes;
  uint64_t left = steps;
  for (uint64_t i = 0; left != 0; ++i) {
    OracleRound round(GetParam(), seed + i);
    for (uint64_t step = 0; step < kStepsOfARound && left != 0; ++step, --left) {
      SCOPED_TRACE(testing::Message() << "seed " << seed << " round " << i << " step " << step);
      round.Step();
      if (HasFatalFailure()) return round.Finish();
    }
    round.Finish();
    for (const auto& [code, count] : round.codes()) codes[code] += count;
  }
  // The operations drawn reach every outcome, and often.
  for (const StatusCode code :
       {StatusCode::kOk, StatusCode::kNotFound, StatusCode::kPermissionDenied,
        StatusCode::kResourceExhausted, StatusCode::kFailedPrecondition, StatusCode::kOutOfRange,
        StatusCode::kAlreadyExists, StatusCode::kCancelled, StatusCode::kDeadlineExceeded}) {
    EXPECT_GE(codes[code], static_cast<int>(steps / 1000)) << absl::StatusCodeToString(code);
  }
}

}  // namespace
}  // namespace vmwire
