// B1 to B3: the block device under random reads of a file with O_DIRECT, with the memory's
// registered buffers, by address, and beside the same reads by a plain program of the host.
#include <fcntl.h>
#include <linux/magic.h>
#include <sys/statfs.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <cstdlib>
#include <memory>
#include <string>
#include <vector>

#include "absl/strings/str_format.h"
#include "bench/bare_reads.h"
#include "bench/bars.h"
#include "bench/block_load.h"
#include "bench/block_reads.h"
#include "bench/raw_floor.h"
#include "bench/report.h"
#include "bench/require.h"
#include "bench/wired_guest.h"
#include "devices/virtio/block/disk_file.h"

namespace vmwire::bench {
namespace {

constexpr uint64_t kFileBytes = uint64_t{128} << 20;
constexpr uint64_t kDataBytes = uint64_t{64} << 20;
constexpr uint64_t kQueuesBytes = kHugePageSize;
constexpr std::chrono::milliseconds kSlice{70};

// A file with data in all of its blocks, which no folder names any more: it goes with this, however
// the process ends.
class DataFile {
 public:
  // Unavailable: no folder that has direct I/O.
  static absl::StatusOr<std::unique_ptr<DataFile>> Create() {
    const char* const temporary = std::getenv("TMPDIR");
    for (const std::string& folder :
         {std::string(temporary != nullptr ? temporary : "/tmp"), std::string(".")}) {
      struct statfs system = {};
      if (statfs(folder.c_str(), &system) != 0 || system.f_type == TMPFS_MAGIC) continue;
      auto file = std::unique_ptr<DataFile>(new DataFile(folder));
      if (file->Fill() && file->HasDirect()) return file;
    }
    return absl::UnavailableError(
        "neither TMPDIR nor the current folder has direct I/O and 128 MiB of room (a tmpfs has "
        "none); set TMPDIR to a folder on a disk");
  }
  DataFile(const DataFile&) = delete;
  DataFile& operator=(const DataFile&) = delete;
  ~DataFile() {
    if (fd_ >= 0) close(fd_);
  }
  // Opens it again.
  std::string path() const { return absl::StrFormat("/proc/self/fd/%d", fd_); }

 private:
  explicit DataFile(const std::string& folder) {
    std::string name = folder + "/vmwire_bench_XXXXXX";
    fd_ = mkostemp(name.data(), O_CLOEXEC);
    if (fd_ >= 0) unlink(name.c_str());
  }

  // Written out: blocks that were never written are read without the disk.
  bool Fill() const {
    if (fd_ < 0) return false;
    const std::vector<char> block(1 << 20, 'v');
    for (uint64_t done = 0; done < kFileBytes; done += block.size()) {
      if (write(fd_, block.data(), block.size()) != static_cast<ssize_t>(block.size()))
        return false;
    }
    return fsync(fd_) == 0;
  }
  bool HasDirect() const {
    const auto disk = DiskFile::Open(path(), {.read_only = true, .direct = true});
    return disk.ok() && disk->direct();
  }

  int fd_ = -1;
};

struct Figures {
  LoadFigures registered, by_address, bare;
};

std::string LoadText(const LoadShape& shape, const std::string& pages) {
  return absl::StrFormat("%d KiB QD%d, %s", shape.bytes >> 10, shape.depth, pages);
}

std::string RateNote(const Figures& figures) {
  return absl::StrFormat("IOPS registered %.0f, by address %.0f, plain %.0f",
                         figures.registered.ReadsPerSecond(), figures.by_address.ReadsPerSecond(),
                         figures.bare.ReadsPerSecond());
}

void PrintRows(const LoadShape& shape, const std::string& pages, const Comparison& result,
               const Figures& figures) {
  const bool judged = shape.depth == 32;
  const double bar = !judged ? kNoBar : shape.bytes == 4096 ? 0.85 : 0.7;
  const std::string text = LoadText(shape, pages);
  PrintLoops({"B1", "CPU a read, registered buffers, " + text, bar, "floor: by address"},
             {result.ours, {result.floors[0]}});
  PrintLoops({"B2", "  the same; floor: a plain program, readv", kNoBar, RateNote(figures)},
             {result.ours, {result.floors[1]}});
  const auto latencies = [&](const char* what, const LoadFigures& ours) {
    Comparison medians;
    medians.ours.Add(ours.latencies.Percentile(0.5));
    medians.floors.emplace_back().Add(figures.bare.latencies.Percentile(0.5));
    PrintTails({"B3", what, kNoBar, "floor: a plain program"}, medians, ours.latencies,
               figures.bare.latencies);
  };
  latencies("  latency, registered buffers", figures.registered);
  latencies("  latency, by address", figures.by_address);
}

// The three of them, and what they read.
class Readers {
 public:
  Readers(WiredGuest& guest, RawPages pages, const std::string& path)
      : space_(guest.host(), guest.map(), guest.range(), {}),
        queues_(Require(guest.map().Hold(GuestAddress(0), kQueuesBytes, Protection::kWrite))
                    .bytes()
                    .data()),
        registered_(space_, path, OptionsAt(0, true)),
        by_address_(space_, path, OptionsAt(BlockReads::kQueueBytes, false)),
        memory_(kDataBytes, RawBacking::kAnonymous, pages),
        bare_(path, memory_) {
    RawPopulate(memory_, 1);
  }

  void Measure(const Settings& settings, const LoadShape& shape, const std::string& pages) {
    Figures figures;
    Load load(shape, kFileBytes, kDataBytes);
    const auto timed = [&](Reader& reader, LoadFigures& into) -> Timed {
      return [&] { return load.Run(reader, kSlice, into); };
    };
    const Comparison result =
        Compare(settings.rounds, timed(registered_, figures.registered),
                {timed(by_address_, figures.by_address), timed(bare_, figures.bare)});
    PrintRows(shape, pages, result, figures);
  }

  // Internal: they did not read the way that their rows say.
  absl::Status Check() const {
    const uint64_t reads = registered_.Counter("reads");
    if (registered_.Counter("fixed_transfers") != reads)
      return absl::InternalError("the host cannot share the memory's registered buffers");
    if (registered_.Counter("direct_transfers") != reads)
      return absl::InternalError("reads went through the page cache");
    return absl::OkStatus();
  }

 private:
  BlockReads::Options OptionsAt(uint64_t queue, bool registered_buffers) const {
    return {.registered_buffers = registered_buffers,
            .queue = GuestAddress(queue),
            .queue_memory = queues_ + queue,
            .data = GuestAddress(kQueuesBytes)};
  }

  DmaSpace space_;
  std::byte* const queues_;
  BlockReads registered_;
  BlockReads by_address_;
  const RawMemory memory_;
  BareReads bare_;
};

void MeasurePages(const Settings& settings, HugePages pages, const std::string& kind,
                  const std::string& path) {
  const GuestOptions options{
      .bytes = kQueuesBytes + kDataBytes, .pages = pages, .level = PinLevel::kGuarded};
  const Row row{"B1", "random reads, " + kind, kNoBar, ""};
  if (const absl::Status usable = TryToWire(options); !usable.ok())
    return PrintNotMeasured(row, usable);
  const auto guest = Require(WiredGuest::Create(options));
  const auto wired = Require(guest->map().Wire(guest->range()));
  Readers readers(*guest, pages == HugePages::kNone ? RawPages::kSmall : RawPages::kTransparentHuge,
                  path);
  for (const uint32_t bytes : {4u << 10, 128u << 10}) {
    for (const uint32_t depth : {1u, 8u, 32u}) readers.Measure(settings, {bytes, depth}, kind);
  }
  if (const absl::Status checked = readers.Check(); !checked.ok()) PrintNotMeasured(row, checked);
}

}  // namespace

void BlockBar(const Settings& settings) {
  const auto file = DataFile::Create();
  if (!file.ok()) return PrintNotMeasured({"B1", "random reads", kNoBar, ""}, file.status());
  MeasurePages(settings, HugePages::kNone, "4 KiB pages", (*file)->path());
  MeasurePages(settings, HugePages::kTransparent, "thp", (*file)->path());
}

}  // namespace vmwire::bench
