// Virtio disks over real files: of several file systems, too short, read-only, full, cut off, in
// use elsewhere, and such as cannot be a disk.
#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <linux/capability.h>
#include <linux/magic.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>
#include <functional>
#include <string>
#include <utility>
#include <vector>

#include "tests/end_to_end/command.h"
#include "tests/end_to_end/device_run.h"
#include "tests/end_to_end/disk_image.h"

namespace vmwire {
namespace {

using testing::AllOf;
using testing::AnyOf;
using testing::Each;
using testing::HasSubstr;
using testing::IsEmpty;

constexpr uint64_t kMiB = 1 << 20;
// Of the guest blk: a request failed; a sector does not hold what was written.
constexpr int kIoFailed = 16 + 10;
constexpr int kMismatch = 16 + 11;

std::vector<std::string> Blk(const std::string& disk) {
  return {CommandPath(), "run", GuestPath("blk"), "--json", "--disk", disk};
}

ProcessResult RunBlk(const std::string& disk, const std::function<bool()>& in_child = {}) {
  return Process::Run(Blk(disk), in_child);
}

class DiskTest : public DeviceTest {
 protected:
  ScratchFolder scratch_;
};

// Runs blk twice over a new file in `folder`: the second finds all that the first wrote.
void WriteAndFindAgain(const ScratchFolder& folder, const std::string& flags) {
  const std::string image = MakeImage(folder, "disk.img", 4 * kMiB);
  const ProcessResult first = RunBlk("path=" + image + flags);
  EXPECT_EQ(first.exit_status, 0) << first.err << first.out;
  EXPECT_THAT(ReadGenerations(image), AllOf(testing::SizeIs(8192), Each(1)));
  const ProcessResult second = RunBlk("path=" + image + flags);
  EXPECT_EQ(second.exit_status, 0) << second.err << second.out;
  EXPECT_THAT(second.out, HasSubstr("found 8192 of 8192 sectors"));
  EXPECT_THAT(ReadGenerations(image), Each(2));
}

TEST_F(DiskTest, WhatIsWrittenIsInTheFileAndFoundByTheNextRun) { WriteAndFindAgain(scratch_, ""); }

TEST_F(DiskTest, Ext4WithDirectIoTransfersPastThePageCache) {
  if (!IsOnFileSystem(scratch_.path(), EXT4_SUPER_MAGIC)) {
    GTEST_SKIP() << scratch_.path() << " is on no ext4";
  }
  WriteAndFindAgain(scratch_, ",direct");
  const ProcessResult result = RunBlk("path=" + scratch_.File("disk.img") + ",direct");
  const nlohmann::json summary = SummaryOf(result);
  EXPECT_EQ(Counter(summary, "disk0", "direct_transfers"),
            Counter(summary, "disk0", "reads") + Counter(summary, "disk0", "writes"));
}

TEST_F(DiskTest, TmpfsWorksWithAndWithoutDirectIo) {
  const ScratchFolder memory("/dev/shm");
  if (!IsOnFileSystem(memory.path(), TMPFS_MAGIC)) GTEST_SKIP() << "/dev/shm is no tmpfs";
  WriteAndFindAgain(memory, "");
  WriteAndFindAgain(memory, ",direct");
}

TEST_F(DiskTest, AFileWithoutAWholeSectorIsRefusedAndToldHowToGrow) {
  for (const size_t bytes : {size_t{0}, size_t{1}, size_t{511}}) {
    const std::string image = scratch_.File("short.img", std::string(bytes, 'x'));
    const ProcessResult result = RunBlk("path=" + image);
    EXPECT_EQ(result.exit_status, 2) << bytes;
    EXPECT_THAT(result.out, IsEmpty());
    EXPECT_THAT(result.err, AllOf(HasSubstr(image), HasSubstr(std::to_string(bytes) + " bytes"),
                                  HasSubstr("truncate -s")));
  }
}

TEST_F(DiskTest, ALastPartOfASectorIsLeftAloneAndSaidSo) {
  const std::string image = scratch_.File("odd.img", std::string(3 * kSectorBytes + 100, '\0'));
  const ProcessResult result = RunBlk("path=" + image);
  EXPECT_EQ(result.exit_status, 0) << result.err;
  EXPECT_THAT(result.err, HasSubstr("last 100 bytes"));
  EXPECT_THAT(result.out, HasSubstr("wrote and checked 3 sectors"));
  EXPECT_EQ(std::filesystem::file_size(image), 3 * kSectorBytes + 100);
  EXPECT_THAT(ReadGenerations(image), testing::ElementsAre(1, 1, 1));
}

TEST_F(DiskTest, ADirectDiskOfAnOddNumberOfSectorsIsReadAndWrittenWhole) {
  WriteAndFindAgain(scratch_, ",direct");
  const std::string image = MakeImage(scratch_, "odd.img", 131 * kSectorBytes);
  const ProcessResult result = RunBlk("path=" + image + ",direct");
  EXPECT_EQ(result.exit_status, 0) << result.err << result.out;
  EXPECT_THAT(ReadGenerations(image), AllOf(testing::SizeIs(131), Each(1)));
}

TEST_F(DiskTest, AReadOnlyDiskIsLookedThroughAndNotWritten) {
  const std::string image = MakeImage(scratch_, "disk.img", kMiB);
  ASSERT_EQ(RunBlk("path=" + image).exit_status, 0);
  const auto before = std::filesystem::last_write_time(image);

  const ProcessResult result = RunBlk("path=" + image + ",readonly");

  EXPECT_EQ(result.exit_status, 0) << result.err;
  EXPECT_THAT(result.out, AllOf(HasSubstr("found 2048 of 2048"), HasSubstr("read-only")));
  EXPECT_EQ(std::filesystem::last_write_time(image), before);
  EXPECT_EQ(Counter(SummaryOf(result), "disk0", "writes"), 0u);
}

TEST_F(DiskTest, AFileThatMayNotBeWrittenIsAReadOnlyDiskOrNone) {
  const std::string image = MakeImage(scratch_, "disk.img", kMiB);
  ASSERT_EQ(chmod(image.c_str(), 0400), 0);
  // Root may write to any file, unless this is taken from it.
  const auto in_child = [] {
    return prctl(PR_CAPBSET_DROP, CAP_DAC_OVERRIDE) == 0 || geteuid() != 0;
  };

  const ProcessResult writable = RunBlk("path=" + image, in_child);
  EXPECT_EQ(writable.exit_status, 3) << writable.err;
  EXPECT_THAT(writable.err, AllOf(HasSubstr(image), HasSubstr("open the disk read-only")));
  const ProcessResult read_only = RunBlk("path=" + image + ",readonly", in_child);
  EXPECT_EQ(read_only.exit_status, 0) << read_only.err;
}

TEST_F(DiskTest, AReadOnlyFileSystemIsNamedWithTheRemedy) {
  if (geteuid() != 0) GTEST_SKIP() << "only root can mount";
  const std::string image = MakeImage(scratch_, "disk.img", kMiB);
  const auto in_child = [this] { return MountReadOnly(scratch_.path()); };
  const ProcessResult writable = RunBlk("path=" + image, in_child);
  if (writable.exit_status == 125) GTEST_SKIP() << "no mount namespace to be had";

  EXPECT_GT(writable.exit_status, 1) << writable.err;
  EXPECT_THAT(writable.err, HasSubstr("open the disk read-only"));
  EXPECT_EQ(RunBlk("path=" + image + ",readonly", in_child).exit_status, 0);
}

TEST_F(DiskTest, AFullFileSystemIsAnErrorOfTheWriteAndNotOfTheMonitor) {
  if (geteuid() != 0) GTEST_SKIP() << "only root can mount";
  const std::string folder = scratch_.path();
  for (const std::string flags : {"", ",direct"}) {
    const ProcessResult result =
        RunBlk("path=" + scratch_.File("disk.img") + flags, [&folder, this] {
          if (!MountSmallTmpfs(folder, kMiB)) return false;
          MakeImage(scratch_, "disk.img", 4 * kMiB);
          return true;
        });
    if (result.exit_status == 125) GTEST_SKIP() << "no mount namespace to be had";
    EXPECT_EQ(result.exit_status, kIoFailed) << result.err << result.out;
    EXPECT_THAT(result.out, HasSubstr("request of type 1"));
    const nlohmann::json summary = SummaryOf(result);
    EXPECT_GT(Counter(summary, "disk0", "errors"), 0u);
    // The host's fault, not the guest's.
    EXPECT_EQ(Counter(summary, "disk0", "guest_errors"), 0u);
  }
}

TEST_F(DiskTest, TruncationUnderARunningGuestIsTheGuestsErrorAndNotTheMonitors) {
  for (const std::string flags : {"", ",direct"}) {
    const std::string image = MakeImage(scratch_, "disk.img", 64 * kMiB);
    Process process(Blk("path=" + image + flags));
    ASSERT_TRUE(process.WaitForOutput("blk: flushed 16384 sectors\n"));

    std::filesystem::resize_file(image, 0);

    const ProcessResult result = process.Finish();
    // What was cut off reads as zeroes where later writes made the file long again.
    EXPECT_THAT(result.exit_status, AnyOf(kMismatch, kIoFailed)) << result.err << result.out;
    EXPECT_EQ(Counter(SummaryOf(result), "disk0", "guest_errors"), 0u);
  }
}

TEST_F(DiskTest, AReadPastTheEndOfATruncatedFileFails) {
  // Long enough that it is not through before the file is cut, whose place in the run is not known.
  const std::string image = MakeImage(scratch_, "disk.img", 8192 * kMiB);
  Process process(Blk("path=" + image + ",readonly"));
  usleep(300'000);
  std::filesystem::resize_file(image, kMiB);

  const ProcessResult result = process.Finish();
  if (result.exit_status == 0) GTEST_SKIP() << "the whole image was read before it was cut";
  // Or the disk was cut before it was opened, and is one of 1 MiB.
  EXPECT_EQ(result.exit_status, kIoFailed) << result.err << result.out;
  EXPECT_THAT(result.out, HasSubstr("request of type 0"));
}

TEST_F(DiskTest, AFileWhoseNameIsGoneIsADiskToTheEnd) {
  const std::string image = MakeImage(scratch_, "disk.img", 32 * kMiB);
  Process process(Blk("path=" + image));
  ASSERT_TRUE(process.WaitForOutput("blk: flushed 16384 sectors\n"));
  std::filesystem::remove(image);

  const ProcessResult result = process.Finish();
  EXPECT_EQ(result.exit_status, 0) << result.err;
  EXPECT_THAT(result.out, HasSubstr("wrote and checked 65536 sectors"));
}

TEST_F(DiskTest, ADiskOfAnotherRunIsRefusedInEitherWayUntilThatEnds) {
  const std::string image = MakeImage(scratch_, "disk.img", 64 * kMiB);
  Process owner(Blk("path=" + image));
  ASSERT_TRUE(owner.WaitForOutput("blk: flushed 16384 sectors\n"));
  owner.Signal(SIGSTOP);  // It keeps the disk until we have looked.

  for (const std::string flags : {"", ",readonly", ",direct"}) {
    const ProcessResult result = RunBlk("path=" + image + flags);
    EXPECT_EQ(result.exit_status, 3) << flags;
    EXPECT_THAT(result.out, IsEmpty());
    EXPECT_THAT(result.err, AllOf(HasSubstr(image), HasSubstr("in use by another program")));
  }
  owner.Signal(SIGCONT);
  EXPECT_EQ(owner.Finish().exit_status, 0);
  EXPECT_EQ(RunBlk("path=" + image + ",readonly").exit_status, 0);
}

TEST_F(DiskTest, OneFileIsTwoReadOnlyDisksButNotTwoThatWrite) {
  const std::string image = MakeImage(scratch_, "disk.img", kMiB);
  const auto run_twice = [&image](const std::string& first, const std::string& second) {
    return Vmwire({"run", GuestPath("blk"), "--disk", "path=" + image + first, "--disk",
                   "path=" + image + second});
  };
  EXPECT_EQ(run_twice(",readonly", ",readonly").exit_status, 0);
  EXPECT_EQ(run_twice("", "").exit_status, 3);
  EXPECT_EQ(run_twice("", ",readonly").exit_status, 3);
}

TEST_F(DiskTest, WhatCannotBeADiskIsRefusedWithAReason) {
  const std::string fifo = scratch_.File("fifo");
  ASSERT_EQ(mkfifo(fifo.c_str(), 0600), 0);
  const std::string loop = scratch_.File("loop");
  std::filesystem::create_symlink(loop, loop);
  const std::vector<std::pair<std::string, std::string>> bad = {
      {scratch_.path(), "directory"},
      {"/dev/null", "neither a regular file nor a block device"},
      {"/dev/zero", "neither a regular file nor a block device"},
      {fifo, "neither a regular file nor a block device"},
      {scratch_.File("none.img"), "No such file"},
      {scratch_.File("none") + "/none.img", "No such file"},
      {scratch_.File("file", "") + "/none.img", "Not a directory"},
      {loop, "symbolic links"}};
  for (const auto& [path, reason] : bad) {
    const ProcessResult result = RunBlk("path=" + path);
    EXPECT_EQ(result.exit_status, 2) << path;
    EXPECT_THAT(result.out, IsEmpty());
    EXPECT_THAT(result.err, AllOf(HasSubstr(path), HasSubstr(reason)));
  }
}

TEST_F(DiskTest, SeveralDisksAreFoundInTheirOrder) {
  const std::string first = MakeImage(scratch_, "first.img", kMiB);
  const std::string second = MakeImage(scratch_, "second.img", 2 * kMiB);

  const ProcessResult result = Vmwire({"run", GuestPath("blk"), "--disk", "path=" + first, "--disk",
                                       "path=" + second + ",readonly"});

  EXPECT_EQ(result.exit_status, 0) << result.err;
  EXPECT_THAT(ReadGenerations(first), Each(1));
  EXPECT_THAT(ReadGenerations(second), Each(kNeverWritten));
}

}  // namespace
}  // namespace vmwire
