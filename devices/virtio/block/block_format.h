// The layouts and numbers of a virtio block device as they stand in guest memory and in its
// configuration space (OASIS virtio 1.2, 5.2).
//
// Invariants: all numbers are little-endian, as is the machine.
// Thread safety: values.
#ifndef VMWIRE_DEVICES_VIRTIO_BLOCK_BLOCK_FORMAT_H_
#define VMWIRE_DEVICES_VIRTIO_BLOCK_BLOCK_FORMAT_H_

#include <cstddef>
#include <cstdint>

namespace vmwire {

inline constexpr uint32_t kVirtioBlockDeviceId = 2;

// What `sector` and every length of a transfer is counted in, whatever the block size (5.2.4).
inline constexpr uint64_t kSectorSize = 512;

// Feature bits (5.2.3).
inline constexpr uint64_t kBlockFeatureSizeMax = uint64_t{1} << 1;
inline constexpr uint64_t kBlockFeatureSegMax = uint64_t{1} << 2;
inline constexpr uint64_t kBlockFeatureReadOnly = uint64_t{1} << 5;
inline constexpr uint64_t kBlockFeatureBlockSize = uint64_t{1} << 6;
inline constexpr uint64_t kBlockFeatureFlush = uint64_t{1} << 9;
inline constexpr uint64_t kBlockFeatureTopology = uint64_t{1} << 10;
inline constexpr uint64_t kBlockFeatureMultiQueue = uint64_t{1} << 12;
inline constexpr uint64_t kBlockFeatureDiscard = uint64_t{1} << 13;
inline constexpr uint64_t kBlockFeatureWriteZeroes = uint64_t{1} << 14;

// 5.2.4. What follows in 1.2 (secure erase) is not offered and reads 0.
struct [[gnu::packed]] BlockConfig {
  uint64_t capacity = 0;  // Sectors.
  uint32_t size_max = 0;
  uint32_t seg_max = 0;
  uint16_t cylinders = 0;
  uint8_t heads = 0;
  uint8_t sectors = 0;
  uint32_t block_size = 0;
  uint8_t physical_block_exponent = 0;
  uint8_t alignment_offset = 0;
  uint16_t minimum_io_size = 0;  // Logical blocks.
  uint32_t optimal_io_size = 0;  // Logical blocks.
  uint8_t writeback = 0;
  uint8_t unused0 = 0;
  uint16_t queues = 0;
  uint32_t max_discard_sectors = 0;
  uint32_t max_discard_segments = 0;
  uint32_t discard_sector_alignment = 0;
  uint32_t max_write_zeroes_sectors = 0;
  uint32_t max_write_zeroes_segments = 0;
  uint8_t write_zeroes_may_unmap = 0;
  uint8_t unused1[3] = {};
};
static_assert(sizeof(BlockConfig) == 60);
static_assert(offsetof(BlockConfig, queues) == 34);
static_assert(offsetof(BlockConfig, write_zeroes_may_unmap) == 56);

// Types of requests (5.2.6).
inline constexpr uint32_t kBlockIn = 0;
inline constexpr uint32_t kBlockOut = 1;
inline constexpr uint32_t kBlockFlush = 4;
inline constexpr uint32_t kBlockGetId = 8;
inline constexpr uint32_t kBlockDiscard = 11;
inline constexpr uint32_t kBlockWriteZeroes = 13;

// What each request begins with.
struct BlockHeader {
  uint32_t type = 0;
  uint32_t reserved = 0;
  uint64_t sector = 0;
};
static_assert(sizeof(BlockHeader) == 16);

// What the data of a discard or of a write of zeroes consists of.
struct BlockRange {
  uint64_t sector = 0;
  uint32_t sectors = 0;
  uint32_t flags = 0;
};
static_assert(sizeof(BlockRange) == 16);
inline constexpr uint32_t kBlockRangeUnmap = 1;

// The bytes of a serial number; the rest is filled with 0. Of 20 characters none ends it.
inline constexpr size_t kBlockIdBytes = 20;

// What each request ends with.
enum class BlockStatus : uint8_t { kOk = 0, kIoError = 1, kUnsupported = 2 };

}  // namespace vmwire

#endif  // VMWIRE_DEVICES_VIRTIO_BLOCK_BLOCK_FORMAT_H_
