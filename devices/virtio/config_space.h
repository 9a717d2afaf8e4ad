// Reads of a configuration space that is a structure of the host.
//
// Invariants: any offset and size may be asked for.
// Thread safety: nothing shared.
#ifndef VMWIRE_DEVICES_VIRTIO_CONFIG_SPACE_H_
#define VMWIRE_DEVICES_VIRTIO_CONFIG_SPACE_H_

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <span>
#include <type_traits>

namespace vmwire {

// Fills `data` from `offset` of `config`, in the host's byte order (x86: virtio's); zeroes past its
// end.
template <typename Config>
void ReadConfigSpace(const Config& config, uint64_t offset, std::span<std::byte> data) {
  static_assert(std::is_trivially_copyable_v<Config>);
  const auto bytes = std::as_bytes(std::span<const Config, 1>(&config, 1));
  const size_t start = static_cast<size_t>(std::min<uint64_t>(offset, bytes.size()));
  const auto there = bytes.subspan(start, std::min(data.size(), bytes.size() - start));
  std::fill(std::copy(there.begin(), there.end(), data.begin()), data.end(), std::byte{0});
}

}  // namespace vmwire

#endif  // VMWIRE_DEVICES_VIRTIO_CONFIG_SPACE_H_
