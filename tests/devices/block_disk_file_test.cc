#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <optional>
#include <string>
#include <utility>

#include "devices/virtio/block/disk_file.h"
#include "tests/devices/block_fixture.h"
#include "tests/support/child.h"
#include "tests/support/status_matchers.h"

namespace vmwire {
namespace {

using testing::AllOf;
using testing::HasSubstr;

class DiskFileTest : public testing::Test {
 protected:
  TemporaryDirectory directory_;
};

TEST_F(DiskFileTest, AFileHasTheSectorsThatFitIntoIt) {
  const std::string path = directory_.File("disk", 10 * 512 + 511);

  VMWIRE_ASSERT_OK_AND_ASSIGN(const DiskFile disk, DiskFile::Open(path, {}));

  EXPECT_EQ(disk.sectors(), 10u);
  EXPECT_EQ(disk.trailing_bytes(), 511u);
  EXPECT_FALSE(disk.read_only());
  EXPECT_FALSE(disk.direct());
}

TEST_F(DiskFileTest, AFileThatIsNotThereIsNotFoundAndTheMessageSaysHowToMakeIt) {
  const std::string path = directory_.File("missing", std::nullopt);

  EXPECT_THAT(DiskFile::Open(path, {}),
              StatusIs(absl::StatusCode::kNotFound, AllOf(HasSubstr(path), HasSubstr("truncate"))));
}

TEST_F(DiskFileTest, ADirectoryIsRefused) {
  const auto disk = DiskFile::Open(directory_.path(), {.read_only = true});

  ASSERT_FALSE(disk.ok());
  EXPECT_THAT(std::string(disk.status().message()),
              AllOf(HasSubstr(directory_.path()), HasSubstr("name an image file")));
}

TEST_F(DiskFileTest, ACharacterDeviceIsRefused) {
  EXPECT_THAT(DiskFile::Open("/dev/null", {}),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("/dev/null")));
}

TEST_F(DiskFileTest, AFifoIsRefusedAndNotWaitedFor) {
  const std::string path = directory_.File("fifo", std::nullopt);
  ASSERT_EQ(mkfifo(path.c_str(), 0600), 0);

  EXPECT_THAT(DiskFile::Open(path, {.read_only = true}),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("neither")));
}

TEST_F(DiskFileTest, AFileWithoutAWholeSectorIsRefused) {
  for (const uint64_t bytes : {uint64_t{0}, uint64_t{511}}) {
    const std::string path = directory_.File("short" + std::to_string(bytes), bytes);

    EXPECT_THAT(DiskFile::Open(path, {}),
                StatusIs(absl::StatusCode::kInvalidArgument,
                         AllOf(HasSubstr(path), HasSubstr(std::to_string(bytes) + " bytes"))));
  }
}

TEST_F(DiskFileTest, AFileThatMayNotBeWrittenIsRefusedUnlessReadOnly) {
  const std::string path = directory_.File("disk", 4096);
  ASSERT_EQ(chmod(directory_.path().c_str(), 0755), 0);
  ASSERT_EQ(chmod(path.c_str(), 0444), 0);

  EXPECT_THAT(RunInChild([&]() -> absl::Status {
                // Root writes where it likes.
                if (geteuid() == 0 && setuid(65534) != 0) return absl::OkStatus();
                EXPECT_THAT(DiskFile::Open(path, {}),
                            StatusIs(absl::StatusCode::kPermissionDenied, HasSubstr("read-only")));
                EXPECT_THAT(DiskFile::Open(path, {.read_only = true}), IsOk());
                return absl::OkStatus();
              }),
              IsOk());
}

TEST_F(DiskFileTest, AWritableImageIsLockedAgainstAllOthersAndFreeAfterwards) {
  const std::string path = directory_.File("disk", 4096);
  std::optional<DiskFile> first = *DiskFile::Open(path, {});

  EXPECT_THAT(DiskFile::Open(path, {}),
              StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr(path)));
  EXPECT_THAT(DiskFile::Open(path, {.read_only = true}),
              StatusIs(absl::StatusCode::kFailedPrecondition));
  first.reset();
  EXPECT_THAT(DiskFile::Open(path, {}), IsOk());
}

TEST_F(DiskFileTest, ReadOnlyDisksShareAnImage) {
  const std::string path = directory_.File("disk", 4096);
  VMWIRE_ASSERT_OK_AND_ASSIGN(const DiskFile first, DiskFile::Open(path, {.read_only = true}));

  EXPECT_THAT(DiskFile::Open(path, {.read_only = true}), IsOk());
  EXPECT_THAT(DiskFile::Open(path, {}), StatusIs(absl::StatusCode::kFailedPrecondition));
}

TEST_F(DiskFileTest, AMovedDiskKeepsItsLockAndItsDescriptors) {
  const std::string path = directory_.File("disk", 4096);
  VMWIRE_ASSERT_OK_AND_ASSIGN(DiskFile first, DiskFile::Open(path, {.direct = true}));
  const int fd = first.buffered_fd();

  DiskFile second = std::move(first);
  DiskFile& itself = second;
  second = std::move(itself);

  EXPECT_EQ(second.buffered_fd(), fd);
  EXPECT_THAT(DiskFile::Open(path, {}), StatusIs(absl::StatusCode::kFailedPrecondition));
}

TEST_F(DiskFileTest, ADirectDiskKnowsItsAlignment) {
  const std::string path = directory_.File("disk", 65536);

  VMWIRE_ASSERT_OK_AND_ASSIGN(const DiskFile disk, DiskFile::Open(path, {.direct = true}));

  if (!disk.direct()) GTEST_SKIP() << "no direct I/O in " << directory_.path();
  EXPECT_GE(disk.alignment().memory, 1u);
  EXPECT_GE(disk.alignment().offset, 512u);
  EXPECT_NE(disk.direct_fd(), disk.buffered_fd());
}

TEST_F(DiskFileTest, ADirectDiskOpensAlsoWhereTheFileSystemMayHaveNoDirectIo) {
  TemporaryDirectory memory("/dev/shm");
  const std::string path = memory.File("disk", 65536);

  VMWIRE_ASSERT_OK_AND_ASSIGN(const DiskFile disk, DiskFile::Open(path, {.direct = true}));

  // Tmpfs takes O_DIRECT from Linux 6.6 on.
  EXPECT_EQ(disk.sectors(), 128u);
}

}  // namespace
}  // namespace vmwire
