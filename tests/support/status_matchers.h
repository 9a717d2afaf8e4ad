// GoogleMock matchers for absl::Status and absl::StatusOr, which the Abseil of Debian 12 lacks.
//
//   EXPECT_THAT(map.Remove(range), IsOk());
//   EXPECT_THAT(map.Remove(range), StatusIs(absl::StatusCode::kFailedPrecondition,
//   HasSubstr("entry")));
#ifndef VMWIRE_TESTS_SUPPORT_STATUS_MATCHERS_H_
#define VMWIRE_TESTS_SUPPORT_STATUS_MATCHERS_H_

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace vmwire {

inline const absl::Status& StatusOf(const absl::Status& status) { return status; }
template <typename T>
const absl::Status& StatusOf(const absl::StatusOr<T>& status_or) {
  return status_or.status();
}

MATCHER(IsOk, "is OK") {
  *result_listener << StatusOf(arg).ToString();
  return StatusOf(arg).ok();
}

MATCHER_P(StatusIs, code, "has the code " + absl::StatusCodeToString(code)) {
  *result_listener << StatusOf(arg).ToString();
  return StatusOf(arg).code() == code;
}

MATCHER_P2(StatusIs, code, message,
           "has the code " + absl::StatusCodeToString(code) + " and a matching message") {
  *result_listener << StatusOf(arg).ToString();
  return StatusOf(arg).code() == code &&
         testing::ExplainMatchResult(message, std::string(StatusOf(arg).message()),
                                     result_listener);
}

}  // namespace vmwire

// Declares `lhs` as the value of the StatusOr `expr`, or ends the test.
#define VMWIRE_ASSERT_OK_AND_ASSIGN(lhs, expr) \
  VMWIRE_ASSERT_OK_AND_ASSIGN_IMPL(VMWIRE_TEST_CONCAT(vmwire_status_or_, __LINE__), lhs, expr)
#define VMWIRE_ASSERT_OK_AND_ASSIGN_IMPL(name, lhs, expr) \
  auto name = (expr);                                     \
  ASSERT_TRUE(name.ok()) << name.status();                \
  lhs = *std::move(name)
#define VMWIRE_TEST_CONCAT(a, b) VMWIRE_TEST_CONCAT_IMPL(a, b)
#define VMWIRE_TEST_CONCAT_IMPL(a, b) a##b

#endif  // VMWIRE_TESTS_SUPPORT_STATUS_MATCHERS_H_
