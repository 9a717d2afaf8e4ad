#include "tests/end_to_end/disk_image.h"

#include <gtest/gtest.h>
#include <sys/vfs.h>

#include <algorithm>
#include <array>
#include <cinttypes>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <span>
#include <sstream>

namespace vmwire {
namespace {

constexpr uint64_t kMagic = 0x4b4c422d45524957;
constexpr uint64_t kSectorWords = kSectorBytes / sizeof(uint64_t);

using Sector = std::array<uint64_t, kSectorWords>;

uint64_t Word(uint64_t sector, uint64_t generation, uint64_t index) {
  const uint64_t value = (sector * kSectorWords + index + (generation << 48)) * 0x9e3779b97f4a7c15;
  return value ^ value >> 29;
}

uint64_t GenerationOf(const Sector& words, uint64_t sector) {
  if (std::ranges::all_of(words, [](uint64_t word) { return word == 0; })) return kNeverWritten;
  const uint64_t generation = words[1];
  if (words[0] != kMagic || generation == kNeverWritten) return kTorn;
  for (uint64_t i = 2; i < kSectorWords; ++i) {
    if (words[i] != Word(sector, generation, i)) return kTorn;
  }
  return generation;
}

// Calls `take` with each line of `output` that has its end.
template <typename Take>
void ForEachWholeLine(const std::string& output, Take take) {
  const size_t last = output.rfind('\n');
  if (last == std::string::npos) return;
  std::istringstream lines(output.substr(0, last));
  for (std::string line; std::getline(lines, line);) take(line.c_str());
}

}  // namespace

std::string MakeImage(const ScratchFolder& folder, const std::string& name, uint64_t bytes) {
  const std::string path = folder.File(name, "");
  std::filesystem::resize_file(path, bytes);
  return path;
}

std::vector<uint64_t> ReadGenerations(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  EXPECT_TRUE(file.is_open()) << path;
  std::vector<uint64_t> generations;
  Sector words;
  while (file.read(reinterpret_cast<char*>(words.data()), kSectorBytes)) {
    generations.push_back(GenerationOf(words, generations.size()));
  }
  return generations;
}

uint64_t LastFlushed(const std::string& output) {
  uint64_t flushed = 0;
  ForEachWholeLine(output, [&flushed](const char* line) {
    std::sscanf(line, "blk: flushed %" SCNu64 " sectors", &flushed);
  });
  return flushed;
}

std::optional<Found> WhatItFound(const std::string& output) {
  std::optional<Found> found;
  ForEachWholeLine(output, [&found](const char* line) {
    Found read;
    if (std::sscanf(line,
                    "blk: found %" SCNu64
                    " of %*u sectors written by an earlier run, the last of generation %" SCNu64,
                    &read.sectors, &read.generation) == 2) {
      found = read;
    }
  });
  return found;
}

bool IsOnFileSystem(const std::string& path, uint64_t magic) {
  struct statfs info = {};
  return statfs(path.c_str(), &info) == 0 && static_cast<uint64_t>(info.f_type) == magic;
}

}  // namespace vmwire
