// The memory that the tests of simple virtio devices share, and the buffers that no device may
// serve there: the rows of the list of bad inputs that are about addresses.
//
// Thread safety: the test's main thread.
#ifndef VMWIRE_TESTS_DEVICES_VIRTIO_FIXTURE_H_
#define VMWIRE_TESTS_DEVICES_VIRTIO_FIXTURE_H_

#include <gtest/gtest.h>

#include <cstddef>
#include <cstdint>
#include <ostream>
#include <span>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "devices/virtio/virtqueue.h"
#include "memory/address.h"
#include "memory/protection.h"
#include "tests/fakes/fake_dma_port.h"

namespace vmwire {

struct BadBuffer {
  const char* name;
  VirtqueueBuffer buffer;
  absl::StatusCode code;
};

inline std::ostream& operator<<(std::ostream& out, const BadBuffer& bad) { return out << bad.name; }

// The memory that they are bad of: [0, 1 MiB) in two regions that touch, and a page that is
// read-only.
inline constexpr uint64_t kSecondRegion = 0xc0000;
inline constexpr uint64_t kMemoryEnd = 0x100000;
inline constexpr uint64_t kReadOnlyPage = 0x200000;
inline void AddTestMemory(FakeDmaPort& port) {
  port.AddMemory(GuestAddress(0), kSecondRegion);
  port.AddMemory(GuestAddress(kSecondRegion), kMemoryEnd - kSecondRegion);
  port.AddMemory(GuestAddress(kReadOnlyPage), kPageSize, Protection::kRead);
}

inline std::vector<BadBuffer> BuffersOutsideMemory() {
  return {{"D1AtTheEndOfMemory", {GuestAddress(kMemoryEnd), 16}, absl::StatusCode::kNotFound},
          {"D2AcrossTheEndOfMemory",
           {GuestAddress(kMemoryEnd - kPageSize), 2 * kPageSize},
           absl::StatusCode::kNotFound},
          {"D3AroundTheEndOfAddresses",
           {GuestAddress(UINT64_MAX - 15), 64},
           absl::StatusCode::kOutOfRange},
          {"D5AcrossAHole",
           {GuestAddress(kMemoryEnd - 16), static_cast<uint32_t>(kReadOnlyPage - kMemoryEnd + 32)},
           absl::StatusCode::kNotFound},
          {"D7OfAlmost4GiB", {GuestAddress(0), 0xffffffff}, absl::StatusCode::kNotFound}};
}

// And those that a device cannot write either.
inline std::vector<BadBuffer> BuffersNotWritable() {
  std::vector<BadBuffer> bad = BuffersOutsideMemory();
  bad.push_back({"D35InReadOnlyMemory",
                 {GuestAddress(kReadOnlyPage), 16},
                 absl::StatusCode::kPermissionDenied});
  return bad;
}

inline std::string NameOf(const testing::TestParamInfo<BadBuffer>& info) { return info.param.name; }

class VirtioDeviceTest : public testing::TestWithParam<BadBuffer> {
 protected:
  VirtioDeviceTest() { AddTestMemory(port_); }

  std::span<std::byte> Memory(uint64_t address, uint64_t size) {
    return port_.Bytes(GuestAddress(address), size);
  }

  FakeDmaPort port_;
};

}  // namespace vmwire

#endif  // VMWIRE_TESTS_DEVICES_VIRTIO_FIXTURE_H_
