#include "vmm/kvm_api_linux.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstdlib>
#include <string>

#include "tests/support/status_matchers.h"
#include "vmm/system.h"

namespace vmwire {
namespace {

using testing::AllOf;
using testing::HasSubstr;

TEST(KvmApiLinuxTest, MissingDeviceIsUnimplementedWithTheRemedy) {
  KvmApiLinux kvm("/nonexistent/kvm");

  EXPECT_THAT(System::Open(kvm),
              StatusIs(absl::StatusCode::kUnimplemented,
                       AllOf(HasSubstr("no usable /nonexistent/kvm"),
                             HasSubstr("modprobe kvm_intel"), HasSubstr("nested virtualization"))));
}

TEST(KvmApiLinuxTest, FileThatIsNoKvmIsUnimplementedAndNamed) {
  KvmApiLinux kvm("/dev/null");

  EXPECT_THAT(System::Open(kvm), StatusIs(absl::StatusCode::kUnimplemented,
                                          HasSubstr("/dev/null is not the device of KVM")));
}

TEST(KvmApiLinuxTest, DeviceWithoutRightIsPermissionDeniedWithTheRemedy) {
  std::string path = testing::TempDir() + "vmwire-no-right-XXXXXX";
  const int file = mkstemp(path.data());
  ASSERT_GE(file, 0);
  ASSERT_EQ(fchmod(file, 0), 0);
  close(file);
  // Root may open anything, so it becomes nobody for a moment.
  const uid_t user = geteuid();
  ASSERT_EQ(user == 0 ? seteuid(65534) : 0, 0);
  KvmApiLinux kvm(path);

  const auto system = System::Open(kvm);

  ASSERT_EQ(user == 0 ? seteuid(0) : 0, 0);
  unlink(path.c_str());
  EXPECT_THAT(system, StatusIs(absl::StatusCode::kPermissionDenied, HasSubstr("usermod -aG kvm")));
}

TEST(KvmApiLinuxTest, DeviceThatIsNotKvmIsAnError) {
  KvmApiLinux kvm("/dev/null");

  EXPECT_FALSE(System::Open(kvm).ok());
}

}  // namespace
}  // namespace vmwire
