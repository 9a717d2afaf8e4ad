#include "vmm/boot/image_file.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <string>

#include "absl/strings/str_cat.h"
#include "tests/support/descriptor_limit.h"
#include "tests/support/status_matchers.h"

namespace vmwire {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;

class ImageFile : public ::testing::Test {
 protected:
  ImageFile()
      : directory_(std::filesystem::temp_directory_path() /
                   absl::StrCat("vmwire_image_file_test.", getpid())),
        path_(directory_ / "image") {
    std::filesystem::create_directories(directory_);
  }
  ~ImageFile() override { std::filesystem::remove_all(directory_); }

  void ExpectRefused(const std::string& reason) {
    EXPECT_THAT(ReadImageFile(path_), StatusIs(absl::StatusCode::kInvalidArgument,
                                               AllOf(HasSubstr(path_), HasSubstr(reason))));
  }

  std::filesystem::path directory_;
  std::string path_;
};

TEST_F(ImageFile, GivesAllBytes) {
  std::ofstream(path_) << "the bytes";

  VMWIRE_ASSERT_OK_AND_ASSIGN(const std::vector<std::byte> bytes, ReadImageFile(path_));

  ASSERT_EQ(bytes.size(), 9u);
  EXPECT_EQ(bytes[8], std::byte{'s'});
}

TEST_F(ImageFile, RefusesAMissingFile) { ExpectRefused("No such file"); }

TEST_F(ImageFile, RefusesAnEmptyFile) {
  std::ofstream(path_).flush();
  ExpectRefused("is empty");
}

TEST_F(ImageFile, RefusesADirectory) {
  std::filesystem::create_directory(path_);
  ExpectRefused("is a directory");
}

TEST_F(ImageFile, RefusesAFifoWithoutWaitingForAWriter) {
  ASSERT_EQ(mkfifo(path_.c_str(), 0600), 0);
  ExpectRefused("is not a regular file");
}

TEST_F(ImageFile, RefusesAFileThatMayNotBeRead) {
  if (geteuid() == 0) GTEST_SKIP() << "root may read every file";
  std::ofstream(path_) << "x";
  std::filesystem::permissions(path_, std::filesystem::perms::none);
  ExpectRefused("Permission denied");
}

TEST_F(ImageFile, RefusesAFileThatBecomesShorter) {
  // A file of the kernel says that it has a page, and has a line.
  constexpr char kFile[] = "/sys/kernel/mm/transparent_hugepage/enabled";
  struct stat status = {};
  if (stat(kFile, &status) != 0) GTEST_SKIP() << "there is no " << kFile;
  ASSERT_EQ(status.st_size, static_cast<off_t>(sysconf(_SC_PAGESIZE)));

  EXPECT_THAT(ReadImageFile(kFile, "module"),
              StatusIs(absl::StatusCode::kInvalidArgument,
                       AllOf(HasSubstr(absl::StrCat("the module ", kFile,
                                                    " became shorter while it was read: ")),
                             HasSubstr(" of 4096 bytes"))));
}

TEST_F(ImageFile, TooManyOpenFilesAreAShortage) {
  std::ofstream(path_) << "x";
  const auto read = [&] {
    const NoMoreDescriptors limit;
    return ReadImageFile(path_);
  }();
  EXPECT_THAT(read, StatusIs(absl::StatusCode::kResourceExhausted,
                             AllOf(HasSubstr(path_), HasSubstr("Too many open files"))));
}

TEST_F(ImageFile, RefusesAFileAboveTheLimit) {
  std::ofstream(path_).flush();
  std::filesystem::resize_file(path_, kMaxImageFileSize + 1);  // Sparse.
  ExpectRefused("the most is 1073741824");
}

}  // namespace
}  // namespace vmwire
