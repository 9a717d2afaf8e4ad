// Reads by a plain program of the host: one thread, one io_uring, readv, O_DIRECT; what the block
// device is measured against.
//
// Invariants: no code of memory/ or devices/ is used here. The ring is made as the device's is.
// Thread safety: one thread.
#ifndef VMWIRE_BENCH_BARE_READS_H_
#define VMWIRE_BENCH_BARE_READS_H_

#include <liburing.h>
#include <sys/uio.h>

#include <array>
#include <cstdint>
#include <string>

#include "bench/block_load.h"
#include "bench/raw_floor.h"

namespace vmwire::bench {

class BareReads final : public Reader {
 public:
  static constexpr uint32_t kMostDepth = 64;

  // Of the file at `path` into `memory`. Ends the process if it cannot be.
  BareReads(const std::string& path, const RawRange& memory);
  BareReads(const BareReads&) = delete;
  BareReads& operator=(const BareReads&) = delete;
  ~BareReads() override;

  void Begin(uint32_t slot, const Place& place, uint32_t bytes) override;
  void Wait(absl::FunctionRef<void(uint32_t slot)> done) override;
  bool WorksInCaller() const override { return true; }

 private:
  const RawRange memory_;
  int file_ = -1;
  io_uring ring_ = {};
  std::array<iovec, kMostDepth> pieces_ = {};
};

}  // namespace vmwire::bench

#endif  // VMWIRE_BENCH_BARE_READS_H_
