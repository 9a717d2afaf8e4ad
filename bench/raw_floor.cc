#include "bench/raw_floor.h"

#include <fcntl.h>
#include <liburing.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <thread>
#include <vector>

#include "bench/timing.h"

#ifndef MADV_POPULATE_WRITE
#define MADV_POPULATE_WRITE 23
#endif

namespace vmwire::bench {
namespace {

constexpr uint64_t kHuge = uint64_t{2} << 20;
constexpr uint64_t kMaxBuffer = uint64_t{1} << 30;

// Of <linux/io_uring.h> of Linux 6.13.
constexpr unsigned kCloneBuffers = 30;
constexpr unsigned kReplaceInTarget = 2;
struct CloneArgument {
  unsigned source_ring, flags, source_offset, target_offset, count, padding[3];
};

void Require(bool ok, const char* what) {
  if (ok) return;
  std::perror(what);
  std::exit(1);
}

}  // namespace

RawMemory::RawMemory(uint64_t bytes, RawBacking backing, RawPages pages) : size_(bytes) {
  void* base =
      mmap(nullptr, bytes + kHuge, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  Require(base != MAP_FAILED, "mmap");
  reserved_ = static_cast<std::byte*>(base);
  data_ = reserved_ + (kHuge - reinterpret_cast<uint64_t>(base) % kHuge) % kHuge;
  int flags = MAP_FIXED | MAP_NORESERVE | MAP_PRIVATE | MAP_ANONYMOUS;
  if (backing != RawBacking::kAnonymous) {
    const bool huge = backing == RawBacking::kHugetlb;
    file_ = memfd_create("raw-floor", huge ? MFD_CLOEXEC | MFD_HUGETLB : MFD_CLOEXEC);
    Require(file_ >= 0 && ftruncate(file_, static_cast<off_t>(bytes)) == 0, "memfd");
    flags = MAP_FIXED | MAP_SHARED | (huge ? 0 : MAP_NORESERVE);
  }
  Require(mmap(data_, bytes, PROT_READ | PROT_WRITE, flags, file_, 0) != MAP_FAILED, "mmap");
  if (backing != RawBacking::kHugetlb)
    madvise(data_, bytes, pages == RawPages::kSmall ? MADV_NOHUGEPAGE : MADV_HUGEPAGE);
}

RawMemory::~RawMemory() {
  munmap(reserved_, size_ + kHuge);
  if (file_ >= 0) close(file_);
}

void RawPopulate(const RawRange& range, unsigned threads) {
  const uint64_t part = (range.size / threads + kHuge - 1) / kHuge * kHuge;
  const auto populate = [&](uint64_t begin) {
    if (begin >= range.size) return;
    const uint64_t bytes = std::min(part, range.size - begin);
    Require(madvise(range.data + begin, bytes, MADV_POPULATE_WRITE) == 0, "MADV_POPULATE_WRITE");
  };
  std::vector<std::thread> helpers;
  for (unsigned i = 1; i < threads; ++i) helpers.emplace_back(populate, i * part);
  populate(0);
  for (std::thread& helper : helpers) helper.join();
}

void WarmUpHostMemory(uint64_t bytes) {
  RawPopulate(RawMemory(bytes, RawBacking::kAnonymous, RawPages::kTransparentHuge), 1);
}

void RawLock(const RawRange& range) { Require(mlock(range.data, range.size) == 0, "mlock"); }

void RawLockOnFault(const RawRange& range) {
  Require(mlock2(range.data, range.size, MLOCK_ONFAULT) == 0, "mlock2");
}

void RawUnlock(const RawRange& range) { Require(munlock(range.data, range.size) == 0, "munlock"); }

struct RawRing::Ring {
  io_uring uring;
};

RawRing::RawRing(unsigned slots) : ring_(std::make_unique<Ring>()) {
  Require(io_uring_queue_init(1, &ring_->uring, 0) == 0, "io_uring_queue_init");
  Require(io_uring_register_buffers_sparse(&ring_->uring, slots) == 0,
          "io_uring_register_buffers_sparse");
}

RawRing::~RawRing() { io_uring_queue_exit(&ring_->uring); }

void RawRing::Register(const RawRange& range) {
  unsigned slot = 0;
  for (uint64_t offset = 0; offset < range.size; offset += kMaxBuffer) {
    const iovec buffer = {range.data + offset, std::min(kMaxBuffer, range.size - offset)};
    const __u64 tag = 0;
    Require(io_uring_register_buffers_update_tag(&ring_->uring, slot++, &buffer, &tag, 1) == 1,
            "buffer update");
  }
}

void RawRing::Unregister(const RawRange& range) {
  unsigned slot = 0;
  for (uint64_t offset = 0; offset < range.size; offset += kMaxBuffer) {
    const iovec buffer = {nullptr, 0};
    const __u64 tag = 0;
    Require(io_uring_register_buffers_update_tag(&ring_->uring, slot++, &buffer, &tag, 1) == 1,
            "buffer update");
  }
}

bool RawRing::ShareFirst(const RawRing& other) {
  CloneArgument argument = {};
  argument.source_ring = static_cast<unsigned>(other.ring_->uring.ring_fd);
  argument.flags = kReplaceInTarget;
  argument.count = 1;
  const auto own = static_cast<unsigned>(ring_->uring.ring_fd);
  return io_uring_register(own, kCloneBuffers, &argument, 1) >= 0;
}

void RawRing::ClearFirst() { Unregister({nullptr, 1}); }

double RawRing::TimeClone() const {
  CloneArgument argument = {};
  argument.source_ring = static_cast<unsigned>(ring_->uring.ring_fd);
  io_uring clone;
  const auto start = Clock::now();
  Require(io_uring_queue_init(1, &clone, 0) == 0, "io_uring_queue_init");
  const auto ring = static_cast<unsigned>(clone.ring_fd);
  Require(io_uring_register(ring, kCloneBuffers, &argument, 1) >= 0, "clone of buffers");
  const double time = NanosecondsSince(start);
  io_uring_queue_exit(&clone);
  return time;
}

}  // namespace vmwire::bench
