#include "bench/raw_floor.h"

#include <liburing.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <thread>
#include <vector>

#ifndef MADV_POPULATE_WRITE
#define MADV_POPULATE_WRITE 23
#endif

namespace vmwire::bench {
namespace {

constexpr uint64_t kHuge = uint64_t{2} << 20;
constexpr uint64_t kMaxBuffer = uint64_t{1} << 30;
constexpr unsigned kSlots = 16384;

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
  if (backing == RawBacking::kMemfd) {
    file_ = memfd_create("raw-floor", MFD_CLOEXEC);
    Require(file_ >= 0 && ftruncate(file_, static_cast<off_t>(bytes)) == 0, "memfd");
    flags = MAP_FIXED | MAP_NORESERVE | MAP_SHARED;
  }
  Require(mmap(data_, bytes, PROT_READ | PROT_WRITE, flags, file_, 0) != MAP_FAILED, "mmap");
  madvise(data_, bytes, pages == RawPages::kSmall ? MADV_NOHUGEPAGE : MADV_HUGEPAGE);
}

RawMemory::~RawMemory() {
  munmap(reserved_, size_ + kHuge);
  if (file_ >= 0) close(file_);
}

void RawPopulate(const RawMemory& memory, unsigned threads) {
  const uint64_t part = (memory.size() / threads + kHuge - 1) / kHuge * kHuge;
  const auto populate = [&](uint64_t begin) {
    if (begin >= memory.size()) return;
    const uint64_t bytes = std::min(part, memory.size() - begin);
    Require(madvise(memory.data() + begin, bytes, MADV_POPULATE_WRITE) == 0, "MADV_POPULATE_WRITE");
  };
  std::vector<std::thread> helpers;
  for (unsigned i = 1; i < threads; ++i) helpers.emplace_back(populate, i * part);
  populate(0);
  for (std::thread& helper : helpers) helper.join();
}

void WarmUpHostMemory(uint64_t bytes) {
  RawPopulate(RawMemory(bytes, RawBacking::kAnonymous, RawPages::kTransparentHuge), 1);
}

void RawLock(const RawMemory& memory) {
  Require(mlock(memory.data(), memory.size()) == 0, "mlock");
}

void RawLockOnFault(const RawMemory& memory) {
  Require(mlock2(memory.data(), memory.size(), MLOCK_ONFAULT) == 0, "mlock2");
}

struct RawRing::Ring {
  io_uring uring;
};

RawRing::RawRing() : ring_(std::make_unique<Ring>()) {
  Require(io_uring_queue_init(1, &ring_->uring, 0) == 0, "io_uring_queue_init");
  Require(io_uring_register_buffers_sparse(&ring_->uring, kSlots) == 0,
          "io_uring_register_buffers_sparse");
}

RawRing::~RawRing() { io_uring_queue_exit(&ring_->uring); }

void RawRing::Register(const RawMemory& memory) {
  unsigned slot = 0;
  for (uint64_t offset = 0; offset < memory.size(); offset += kMaxBuffer) {
    const iovec buffer = {memory.data() + offset, std::min(kMaxBuffer, memory.size() - offset)};
    const __u64 tag = 0;
    Require(io_uring_register_buffers_update_tag(&ring_->uring, slot++, &buffer, &tag, 1) == 1,
            "buffer update");
  }
}

void RawRing::Unregister(const RawMemory& memory) {
  unsigned slot = 0;
  for (uint64_t offset = 0; offset < memory.size(); offset += kMaxBuffer) {
    const iovec buffer = {nullptr, 0};
    const __u64 tag = 0;
    Require(io_uring_register_buffers_update_tag(&ring_->uring, slot++, &buffer, &tag, 1) == 1,
            "buffer update");
  }
}

}  // namespace vmwire::bench
