#include "bench/bare_reads.h"

#include <fcntl.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>

namespace vmwire::bench {
namespace {

constexpr unsigned kEntries = 256;

void Require(bool ok, const char* what) {
  if (ok) return;
  std::perror(what);
  std::exit(1);
}

// The flags of Linux 6.1, or none.
bool MakeRing(io_uring& ring) {
  for (const unsigned flags : {unsigned{IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN},
                               unsigned{IORING_SETUP_COOP_TASKRUN}, 0u}) {
    if (io_uring_queue_init(kEntries, &ring, flags) == 0) return true;
  }
  return false;
}

}  // namespace

BareReads::BareReads(const std::string& path, const RawRange& memory) : memory_(memory) {
  file_ = open(path.c_str(), O_RDONLY | O_DIRECT | O_CLOEXEC);
  Require(file_ >= 0, path.c_str());
  Require(MakeRing(ring_), "io_uring_setup");
  Require(io_uring_register_files(&ring_, &file_, 1) == 0, "io_uring_register_files");
  io_uring_register_ring_fd(&ring_);
}

BareReads::~BareReads() {
  io_uring_queue_exit(&ring_);
  close(file_);
}

void BareReads::Begin(uint32_t slot, const Place& place, uint32_t bytes) {
  io_uring_sqe* const entry = io_uring_get_sqe(&ring_);
  Require(entry != nullptr, "io_uring_get_sqe");
  pieces_[slot] = {memory_.data + place.memory, bytes};
  io_uring_prep_readv(entry, 0, &pieces_[slot], 1, place.file);
  entry->flags |= IOSQE_FIXED_FILE;
  io_uring_sqe_set_data64(entry, slot);
}

void BareReads::Wait(absl::FunctionRef<void(uint32_t slot)> done) {
  Require(io_uring_submit_and_wait(&ring_, 1) >= 0, "io_uring_enter");
  unsigned head = 0;
  unsigned count = 0;
  io_uring_cqe* completion = nullptr;
  io_uring_for_each_cqe(&ring_, head, completion) {
    const auto slot = static_cast<uint32_t>(io_uring_cqe_get_data64(completion));
    Require(completion->res >= 0 && static_cast<size_t>(completion->res) == pieces_[slot].iov_len,
            "readv");
    ++count;
    done(slot);
  }
  io_uring_cq_advance(&ring_, count);
}

}  // namespace vmwire::bench
