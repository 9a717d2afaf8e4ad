// A block device over a file of the test's own, between a DeviceSession and the test, which is the
// driver: requests are numbered, and each has a header and a status byte of its own.
//
//   const Request write = Send(kBlockOut, 8, {{kData, 512}}, {});
//   ASSERT_THAT(session().ServeOnce(), IsOk());
//   EXPECT_EQ(Result(write), (Outcome{BlockStatus::kOk, 1}));
//
// Thread safety: the test's main thread.
#ifndef VMWIRE_TESTS_DEVICES_BLOCK_FIXTURE_H_
#define VMWIRE_TESTS_DEVICES_BLOCK_FIXTURE_H_

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <map>
#include <memory>
#include <optional>
#include <ostream>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "devices/virtio/block/virtio_block.h"
#include "tests/devices/device_session.h"
#include "tests/devices/virtio_fixture.h"
#include "tests/support/status_matchers.h"

namespace vmwire {

// A directory that goes with what is in it. In $TMPDIR or /tmp, unless said otherwise.
class TemporaryDirectory {
 public:
  explicit TemporaryDirectory(const char* parent = nullptr) {
    if (parent == nullptr) parent = std::getenv("TMPDIR");
    path_ = std::string(parent != nullptr ? parent : "/tmp") + "/vmwire_block_XXXXXX";
    EXPECT_NE(mkdtemp(path_.data()), nullptr) << path_;
  }
  TemporaryDirectory(const TemporaryDirectory&) = delete;
  TemporaryDirectory& operator=(const TemporaryDirectory&) = delete;
  ~TemporaryDirectory() {
    for (const std::string& file : files_) unlink(file.c_str());
    rmdir(path_.c_str());
  }

  const std::string& path() const { return path_; }
  // A file of `bytes` zeroes, or one that is not made yet.
  std::string File(const std::string& name, std::optional<uint64_t> bytes) {
    files_.push_back(path_ + "/" + name);
    if (bytes.has_value()) {
      const int fd = open(files_.back().c_str(), O_CREAT | O_RDWR | O_CLOEXEC, 0600);
      EXPECT_EQ(ftruncate(fd, static_cast<off_t>(*bytes)), 0);
      close(fd);
    }
    return files_.back();
  }

 private:
  std::string path_;
  std::vector<std::string> files_;
};

// The bytes of a file as another program sees them, which is to say through the page cache.
inline std::vector<std::byte> FileBytes(const std::string& path, uint64_t offset, uint64_t size) {
  std::vector<std::byte> bytes(size);
  const int fd = open(path.c_str(), O_RDONLY | O_CLOEXEC);
  EXPECT_EQ(pread(fd, bytes.data(), size, static_cast<off_t>(offset)), static_cast<ssize_t>(size));
  close(fd);
  return bytes;
}
inline void SetFileBytes(const std::string& path, uint64_t offset,
                         std::span<const std::byte> bytes) {
  const int fd = open(path.c_str(), O_WRONLY | O_CLOEXEC);
  EXPECT_EQ(pwrite(fd, bytes.data(), bytes.size(), static_cast<off_t>(offset)),
            static_cast<ssize_t>(bytes.size()));
  close(fd);
}

// `size` bytes that tell their place and `seed`.
inline std::vector<std::byte> Pattern(uint64_t size, uint64_t seed) {
  std::vector<std::byte> bytes(size);
  for (uint64_t i = 0; i < size; ++i) bytes[i] = static_cast<std::byte>(seed * 31 + i + (i >> 8));
  return bytes;
}

struct Outcome {
  BlockStatus status;
  uint32_t written;
  friend bool operator==(const Outcome&, const Outcome&) = default;
};
inline std::ostream& operator<<(std::ostream& out, const Outcome& outcome) {
  return out << "{" << static_cast<int>(outcome.status) << ", " << outcome.written << "}";
}
// Of a request that was not given back, or whose status was not written.
inline constexpr auto kNoStatus = static_cast<BlockStatus>(0xff);
inline constexpr Outcome kNotUsed = {kNoStatus, 0};

class BlockTest : public testing::Test {
 protected:
  static constexpr uint64_t kSectors = 8192;
  static constexpr uint16_t kQueueSize = 64;
  static constexpr GuestAddress kHeaders{0x10000};
  static constexpr GuestAddress kStatuses{0x18000};
  // 8 MiB of memory, in two regions that touch in its middle.
  static constexpr GuestAddress kData{0x1000000};
  static constexpr uint64_t kDataBytes = 0x800000;
  static constexpr GuestAddress kDataMiddle{0x1400000};

  using Request = uint32_t;
  using Buffers = std::vector<VirtqueueBuffer>;

  BlockTest() {
    AddTestMemory(port_);
    port_.AddMemory(kData, kDataBytes / 2);
    port_.AddMemory(kDataMiddle, kDataBytes / 2);
  }

  // Of kSectors sectors, unless there is a file already.
  void MakeDevice(const DiskFileOptions& disk_options = {}, VirtioBlockOptions options = {},
                  std::optional<uint64_t> without_features = std::nullopt) {
    if (path_.empty()) path_ = directory_.File("disk.img", kSectors * kSectorSize);
    options.queue_size = kQueueSize;
    absl::StatusOr<DiskFile> disk = DiskFile::Open(path_, disk_options);
    ASSERT_THAT(disk, IsOk());
    absl::StatusOr<std::unique_ptr<VirtioBlock>> device =
        VirtioBlock::Create(*std::move(disk), port_, options);
    ASSERT_THAT(device, IsOk());
    device_ = *std::move(device);
    session_ = std::make_unique<DeviceSession>(port_, *device_,
                                               std::vector<uint16_t>(options.queues, kQueueSize),
                                               device_->Features() & ~without_features.value_or(0));
  }

  DeviceSession& session() { return *session_; }
  DriverQueue& queue(size_t number = 0) { return session_->queue(number); }

  // Puts a request into a queue. `readable` and `writable`: its data, if it has any.
  Request Send(uint32_t type, uint64_t sector, const Buffers& readable, const Buffers& writable,
               size_t queue_number = 0) {
    const Request request = next_request_++ % kRequests;
    const GuestAddress header(kHeaders.value() + request * sizeof(BlockHeader));
    const GuestAddress status(kStatuses.value() + request);
    port_.At<BlockHeader>(header) = {.type = type, .reserved = 0, .sector = sector};
    port_.At<BlockStatus>(status) = kNoStatus;
    Buffers all_readable = {{header, sizeof(BlockHeader)}};
    all_readable.insert(all_readable.end(), readable.begin(), readable.end());
    Buffers all_writable = writable;
    all_writable.push_back({status, 1});
    const uint16_t head = queue(queue_number).Add(all_readable, all_writable);
    sent_[{queue_number, head}] = request;
    outcomes_[request] = kNotUsed;
    return request;
  }

  // Takes all that was given back: how many.
  size_t Take() {
    size_t count = 0;
    for (auto it = sent_.begin(); it != sent_.end(); it = sent_.begin()) {
      bool any = false;
      for (size_t number = 0; number <= last_queue_; ++number) {
        const std::optional<DriverQueue::Used> used = queue(number).TakeUsed();
        if (!used.has_value()) continue;
        any = true;
        const auto found = sent_.find({number, static_cast<uint16_t>(used->head)});
        EXPECT_NE(found, sent_.end());
        const GuestAddress status(kStatuses.value() + found->second);
        outcomes_[found->second] = {port_.At<BlockStatus>(status), used->written};
        sent_.erase(found);
        ++count;
      }
      if (!any) break;
    }
    return count;
  }
  Outcome Result(Request request) {
    Take();
    return outcomes_[request];
  }

  // One request, served.
  Outcome Do(uint32_t type, uint64_t sector, const Buffers& readable, const Buffers& writable) {
    const Request request = Send(type, sector, readable, writable);
    EXPECT_THAT(session().ServeOnce(), IsOk());
    return Result(request);
  }
  Outcome DoRanges(uint32_t type, const std::vector<BlockRange>& ranges) {
    const uint64_t bytes = ranges.size() * sizeof(BlockRange);
    std::copy_n(reinterpret_cast<const std::byte*>(ranges.data()), bytes,
                Memory(kData, bytes).data());
    return Do(type, 0, {{kData, static_cast<uint32_t>(bytes)}}, {});
  }

  std::span<std::byte> Memory(GuestAddress address, uint64_t size) {
    return port_.Bytes(address, size);
  }
  void Fill(GuestAddress address, std::span<const std::byte> bytes) {
    std::copy(bytes.begin(), bytes.end(), Memory(address, bytes.size()).begin());
  }
  std::vector<std::byte> Copy(GuestAddress address, uint64_t size) {
    const std::span<std::byte> bytes = Memory(address, size);
    return {bytes.begin(), bytes.end()};
  }

  static constexpr uint32_t kRequests = 1024;

  TemporaryDirectory directory_;
  std::string path_;
  FakeDmaPort port_;
  std::unique_ptr<VirtioBlock> device_;
  std::unique_ptr<DeviceSession> session_;
  size_t last_queue_ = 0;  // Of those that requests are sent to.

 private:
  Request next_request_ = 0;
  std::map<std::pair<size_t, uint16_t>, Request> sent_;
  std::map<Request, Outcome> outcomes_;
};

}  // namespace vmwire

#endif  // VMWIRE_TESTS_DEVICES_BLOCK_FIXTURE_H_
