#include "tests/support/hugetlb_pool.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/file.h>
#include <unistd.h>

#include <fstream>
#include <string>

#include "absl/strings/str_format.h"
#include "memory/address.h"
#include "tests/support/eventually.h"

namespace vmwire {
namespace {

constexpr char kPool[] = "/sys/kernel/mm/hugepages/hugepages-2048kB/nr_hugepages";

uint64_t ReadNumber(const std::string& path) {
  std::ifstream file(path);
  uint64_t number = 0;
  file >> number;
  return file ? number : 0;
}

}  // namespace

HugetlbPoolTurn::HugetlbPoolTurn() : file_(open(kPool, O_RDONLY | O_CLOEXEC)) {
  if (file_ < 0) return;
  EXPECT_EQ(flock(file_, LOCK_EX), 0);
}

HugetlbPoolTurn::~HugetlbPoolTurn() {
  if (file_ >= 0) close(file_);
}

HugetlbPool::HugetlbPool(uint64_t pages) : file_(open(kPool, O_RDWR | O_CLOEXEC)) {
  status_ = absl::UnavailableError(
      absl::StrFormat("%d more hugetlb pages of 2 MiB cannot be had here", pages));
  if (file_ < 0) return;
  before_ = ReadNumber(kPool);
  Write(*before_ + pages);
  if (ReadNumber(kPool) == *before_ + pages) status_ = absl::OkStatus();
}

HugetlbPool::~HugetlbPool() {
  if (before_.has_value()) PutBack();
  if (file_ >= 0) close(file_);
}

void HugetlbPool::PutBack() const {
  Write(*before_);
  // What the child had pinned may be free a moment later only.
  EXPECT_EQ(Eventually([] { return ReadNumber(kPool); },
                       [this](uint64_t pages) { return pages == *before_; }),
            *before_)
      << "the pool is not as it was";
}

void HugetlbPool::Write(uint64_t pages) const {
  const std::string text = std::to_string(pages);
  const ssize_t written = pwrite(file_, text.data(), text.size(), 0);
  EXPECT_EQ(written, static_cast<ssize_t>(text.size())) << "writing " << text << " to " << kPool;
}

absl::Status RunWithHugetlbPool(uint64_t pages, const std::function<void()>& body) {
  const HugetlbPool pool(pages);
  if (!pool.status().ok()) return pool.status();
  return RunInChild([&] {
    body();
    return absl::OkStatus();
  });
}

uint64_t FreeHugetlbPages(uint64_t page_bytes) {
  return ReadNumber(
      absl::StrFormat("/sys/kernel/mm/hugepages/hugepages-%dkB/free_hugepages", page_bytes / 1024));
}

void AwaitFreeHugetlbPages(uint64_t pages) {
  EXPECT_GE(Eventually([] { return FreeHugetlbPages(kHugePageSize); },
                       [pages](uint64_t free) { return free >= pages; }),
            pages);
}

}  // namespace vmwire
