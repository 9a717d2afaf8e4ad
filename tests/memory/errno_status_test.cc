#include "memory/errno_status.h"

#include <gtest/gtest.h>

#include <cerrno>
#include <utility>

#include "tests/support/status_matchers.h"

namespace vmwire {
namespace {

using absl::StatusCode;

class ErrnoStatusTest : public testing::TestWithParam<std::pair<int, StatusCode>> {};

TEST_P(ErrnoStatusTest, HasTheCodeThatItsCommentPromises) {
  const auto [error, code] = GetParam();
  EXPECT_THAT(ErrnoStatus(error, "doing"), StatusIs(code));
}

INSTANTIATE_TEST_SUITE_P(Codes, ErrnoStatusTest,
                         testing::Values(std::pair(ENOMEM, StatusCode::kResourceExhausted),
                                         std::pair(EMFILE, StatusCode::kResourceExhausted),
                                         std::pair(EPERM, StatusCode::kPermissionDenied),
                                         std::pair(EACCES, StatusCode::kPermissionDenied),
                                         std::pair(EINVAL, StatusCode::kInvalidArgument),
                                         std::pair(EEXIST, StatusCode::kAlreadyExists),
                                         std::pair(ENOENT, StatusCode::kNotFound),
                                         std::pair(EINTR, StatusCode::kUnavailable),
                                         std::pair(EAGAIN, StatusCode::kUnavailable),
                                         std::pair(ENOSYS, StatusCode::kUnimplemented),
                                         std::pair(EOPNOTSUPP, StatusCode::kUnimplemented),
                                         std::pair(EFAULT, StatusCode::kFailedPrecondition)));

TEST(ErrnoStatusTextTest, SaysWhatWhyAndTheNameOfTheError) {
  EXPECT_EQ(ErrnoStatus(ENOMEM, "locking 4096 bytes").message(),
            "locking 4096 bytes: Cannot allocate memory (ENOMEM)");
}

TEST(ErrnoStatusTextTest, UnknownErrorIsAnErrorToo) {
  const absl::Status status = ErrnoStatus(99999, "doing");
  EXPECT_THAT(status, StatusIs(StatusCode::kUnknown));
  EXPECT_EQ(status.message(), "doing: unknown error (no name)");
}

}  // namespace
}  // namespace vmwire
