#include "devices/virtio/rng/virtio_rng.h"

#include <sys/random.h>

#include <algorithm>
#include <array>
#include <cerrno>

#include "devices/virtio/chain_cursor.h"
#include "devices/virtio/queue_loop.h"
#include "memory/status_macros.h"

namespace vmwire {
namespace {

constexpr size_t kChunk = 4096;

}  // namespace

size_t HostRandom(std::span<std::byte> out) {
  size_t done = 0;
  while (done < out.size()) {
    const ssize_t got = getrandom(out.data() + done, out.size() - done, 0);
    if (got < 0 && errno == EINTR) continue;
    if (got <= 0) break;
    done += static_cast<size_t>(got);
  }
  return done;
}

void VirtioRng::ReadConfig(uint64_t /*offset*/, std::span<std::byte> data) const {
  std::fill(data.begin(), data.end(), std::byte{0});
}

void VirtioRng::WriteConfig(uint64_t /*offset*/, std::span<const std::byte> /*data*/) {}

absl::Status VirtioRng::Serve(const VirtioSession& session) {
  return RunQueueLoop(session, /*wake_fd=*/-1, [&]() -> absl::StatusOr<QueuePass> {
    VMWIRE_ASSIGN_OR_RETURN(
        const bool more, ServeChains(QueueOf(session, 0), *session.events,
                                     [this](const DescriptorChain& chain) { return Fill(chain); }));
    return QueuePass{.more = more};
  });
}

absl::StatusOr<uint32_t> VirtioRng::Fill(const DescriptorChain& chain) {
  VMWIRE_RETURN_IF_ERROR(CheckOnlyWritable(chain, "rng queue"));
  ChainCursor cursor(port_, chain.writable());
  const auto wanted = static_cast<size_t>(std::min<uint64_t>(chain.writable_bytes(), kMaxRequest));
  std::array<std::byte, kChunk> chunk;
  size_t filled = 0;
  while (filled < wanted) {
    const std::span<std::byte> asked =
        std::span<std::byte>(chunk).first(std::min(kChunk, wanted - filled));
    const size_t got = std::min(source_(asked), asked.size());
    VMWIRE_RETURN_IF_ERROR(cursor.Write(asked.first(got)).status());
    filled += got;
    if (got < asked.size()) break;
  }
  // One byte at least is what the driver is promised (5.4.6.2).
  if (filled == 0 && wanted != 0) {
    return absl::UnavailableError("the host gives no random bytes");
  }
  requests_.fetch_add(1, std::memory_order_relaxed);
  bytes_.fetch_add(filled, std::memory_order_relaxed);
  return static_cast<uint32_t>(filled);
}

std::vector<DeviceCounter> VirtioRng::Counters() const {
  return {{"requests", requests_.load(std::memory_order_relaxed)},
          {"bytes", bytes_.load(std::memory_order_relaxed)}};
}

}  // namespace vmwire
