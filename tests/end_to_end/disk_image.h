// Images that the guest blk writes, looked at from outside: guests/blk/blk.c has the format.
//
// Each sector says which generation (run of blk) wrote it, and follows from that and its number, so
// that a sector that is torn, or in a wrong place, is seen.
// Thread safety: none.
#ifndef VMWIRE_TESTS_END_TO_END_DISK_IMAGE_H_
#define VMWIRE_TESTS_END_TO_END_DISK_IMAGE_H_

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "tests/end_to_end/command.h"

namespace vmwire {

inline constexpr uint64_t kSectorBytes = 512;
// blk flushes, and says so, whenever it has written so many.
inline constexpr uint64_t kSectorsPerFlush = 16384;

// A sparse file of `bytes`; its path.
std::string MakeImage(const ScratchFolder& folder, const std::string& name, uint64_t bytes);

// Of a sector that blk has not written, and of one that is neither zero nor a whole sector of blk.
inline constexpr uint64_t kNeverWritten = 0;
inline constexpr uint64_t kTorn = UINT64_MAX;
// The generation of each whole sector of the image.
std::vector<uint64_t> ReadGenerations(const std::string& path);

// From what blk printed, its whole lines only.
// Sectors below this one were on the disk when it said so; 0: it has not.
uint64_t LastFlushed(const std::string& output);
// The last generation that it found, and how many sectors; nullopt: it has not said yet.
struct Found {
  uint64_t sectors = 0;
  uint64_t generation = 0;
};
std::optional<Found> WhatItFound(const std::string& output);

// Whether the file system of `path` is the one of that number (statfs(2), f_type).
bool IsOnFileSystem(const std::string& path, uint64_t magic);

}  // namespace vmwire

#endif  // VMWIRE_TESTS_END_TO_END_DISK_IMAGE_H_
