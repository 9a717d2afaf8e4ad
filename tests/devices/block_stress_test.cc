// Random requests of all kinds, many at a time, checked against a model of the disk. For
// VMWIRE_BLOCK_STRESS_SECONDS (1 by default) each way.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <map>
#include <random>
#include <string>
#include <tuple>
#include <vector>

#include "tests/devices/block_fixture.h"
#include "tests/support/seed.h"

namespace vmwire {
namespace {

std::chrono::duration<double> StressTime() {
  const char* text = std::getenv("VMWIRE_BLOCK_STRESS_SECONDS");
  return std::chrono::duration<double>(text != nullptr ? std::atof(text) : 1);
}

// Direct, with registered buffers.
class BlockStressTest : public BlockTest,
                        public testing::WithParamInterface<std::tuple<bool, bool>> {
 protected:
  // Each request in work has this much memory of its own.
  static constexpr uint32_t kSlots = 24;
  static constexpr uint64_t kSlotBytes = 256 << 10;
  static constexpr uint64_t kMostBuffers = 4;
  static constexpr uint64_t kMostSectors = 160;
  static constexpr std::byte kGuard{0xc3};

  struct InWork {
    Request request = 0;
    uint32_t type = 0;
    uint64_t sector = 0;
    uint64_t sectors = 0;
    Buffers buffers;
    std::vector<std::byte> data;  // What a write wrote.
  };

  uint64_t Random(uint64_t bound) { return random_() % bound; }
  GuestAddress SlotStart(uint32_t slot) const {
    return GuestAddress(kData.value() + slot * kSlotBytes);
  }

  // 1 to kMostBuffers buffers with gaps between them, aligned or not, for `bytes`.
  Buffers Cut(uint32_t slot, uint64_t bytes) {
    const uint64_t count = std::min<uint64_t>(1 + Random(kMostBuffers), bytes / 512);
    // Where only whole sectors are cut off, direct I/O is still possible.
    const uint64_t unit = Random(4) == 0 ? 1 : 512;
    uint64_t at = SlotStart(slot).value() + (Random(4) == 0 ? 1 + Random(600) : 512);
    Buffers buffers;
    for (uint64_t i = 0; i < count; ++i) {
      const bool last = i + 1 == count;
      const uint64_t most = bytes - (count - i - 1) * unit;
      const uint64_t size = last ? bytes : std::max(unit, (1 + Random(most)) / unit * unit);
      buffers.push_back({GuestAddress(at), static_cast<uint32_t>(size)});
      bytes -= size;
      at += size + Random(3) * 512;
    }
    return buffers;
  }

  void SendOne(uint32_t slot) {
    const size_t queue_number = Random(2);
    if (queue(queue_number).free_descriptors() < kMostBuffers + 2) return;
    InWork work;
    static constexpr uint32_t kTypes[] = {kBlockIn,  kBlockIn,    kBlockIn,          kBlockOut,
                                          kBlockOut, kBlockOut,   kBlockOut,         kBlockFlush,
                                          kBlockIn,  kBlockGetId, kBlockWriteZeroes, kBlockOut};
    work.type = kTypes[Random(std::size(kTypes))];
    work.sectors = 1 + Random(Random(2) == 0 ? 8 : kMostSectors);
    work.sector = Random(kSectors - work.sectors + 1);
    if (Random(2) == 0) {
      work.sector = work.sector / 8 * 8;
      work.sectors = (work.sectors + 7) / 8 * 8;
      work.sectors = std::min(work.sectors, kSectors - work.sector);
    }
    const bool range = work.type != kBlockFlush && work.type != kBlockGetId;
    if (range && !Reserve(work)) return;
    std::ranges::fill(Memory(SlotStart(slot), kSlotBytes), kGuard);
    const uint64_t bytes = work.sectors * kSectorSize;
    switch (work.type) {
      case kBlockIn:
        work.buffers = Cut(slot, bytes);
        work.request = Send(work.type, work.sector, {}, work.buffers, queue_number);
        break;
      case kBlockOut:
        work.buffers = Cut(slot, bytes);
        work.data = Pattern(bytes, random_());
        Scatter(work);
        work.request = Send(work.type, work.sector, work.buffers, {}, queue_number);
        break;
      case kBlockWriteZeroes: {
        work.data.resize(bytes);
        const BlockRange zero = {work.sector, static_cast<uint32_t>(work.sectors),
                                 static_cast<uint32_t>(Random(2))};
        port_.At<BlockRange>(SlotStart(slot)) = zero;
        work.request = Send(work.type, 0, {{SlotStart(slot), 16}}, {}, queue_number);
        break;
      }
      case kBlockGetId:
        work.request = Send(work.type, 0, {}, {{SlotStart(slot), 20}}, queue_number);
        break;
      default:
        work.request = Send(work.type, 0, {}, {}, queue_number);
    }
    in_work_[slot] = std::move(work);
  }

  // False: another request in work has one of the sectors, and the result would be anything.
  bool Reserve(const InWork& work) {
    const auto begin = busy_.begin() + static_cast<ptrdiff_t>(work.sector);
    const auto end = begin + static_cast<ptrdiff_t>(work.sectors);
    if (std::find(begin, end, true) != end) return false;
    std::fill(begin, end, true);
    return true;
  }

  void Scatter(const InWork& work) {
    size_t at = 0;
    for (const VirtqueueBuffer& buffer : work.buffers) {
      Fill(buffer.address, std::span(work.data).subspan(at, buffer.length));
      at += buffer.length;
    }
  }

  void Check(uint32_t slot) {
    const auto found = in_work_.find(slot);
    if (found == in_work_.end()) return;
    const InWork& work = found->second;
    const Outcome outcome = Result(work.request);
    if (outcome == kNotUsed) return;
    EXPECT_EQ(outcome.status, BlockStatus::kOk) << "type " << work.type;
    const auto model = model_.begin() + static_cast<ptrdiff_t>(work.sector * kSectorSize);
    if (work.type == kBlockIn) CheckRead(slot, work);
    if (!work.data.empty()) std::copy(work.data.begin(), work.data.end(), model);
    if (work.type != kBlockFlush && work.type != kBlockGetId) {
      std::fill_n(busy_.begin() + static_cast<ptrdiff_t>(work.sector), work.sectors, false);
    }
    in_work_.erase(found);
    ++checked_;
  }

  // The data, and that nothing beside it was touched.
  void CheckRead(uint32_t slot, const InWork& work) {
    std::vector<std::byte> expected(kSlotBytes, kGuard);
    auto model = model_.begin() + static_cast<ptrdiff_t>(work.sector * kSectorSize);
    for (const VirtqueueBuffer& buffer : work.buffers) {
      const uint64_t at = buffer.address.value() - SlotStart(slot).value();
      std::copy_n(model, buffer.length, expected.begin() + static_cast<ptrdiff_t>(at));
      model += buffer.length;
    }
    const bool same = Copy(SlotStart(slot), kSlotBytes) == expected;
    EXPECT_TRUE(same) << "sector " << work.sector << "+" << work.sectors;
  }

  std::mt19937_64 random_;
  std::vector<std::byte> model_ = std::vector<std::byte>(kSectors * kSectorSize);
  std::vector<bool> busy_ = std::vector<bool>(kSectors);
  std::map<uint32_t, InWork> in_work_;
  uint64_t checked_ = 0;
};

std::string NameOfStress(const testing::TestParamInfo<BlockStressTest::ParamType>& info) {
  return std::string(std::get<0>(info.param) ? "Direct" : "Buffered") +
         (std::get<1>(info.param) ? "Registered" : "ByAddress");
}

INSTANTIATE_TEST_SUITE_P(All, BlockStressTest, testing::Combine(testing::Bool(), testing::Bool()),
                         NameOfStress);

TEST_P(BlockStressTest, EveryReadBringsWhatWasLastWritten) {
  random_.seed(TestSeed());
  last_queue_ = 1;
  const auto [direct, registered] = GetParam();
  MakeDevice({.direct = direct}, {.queues = 2, .registered_buffers = registered});
  session().Start();
  const auto end = std::chrono::steady_clock::now() + StressTime();

  while (std::chrono::steady_clock::now() < end && !HasFailure()) {
    const uint64_t burst = 1 + Random(6);
    for (uint64_t i = 0; i < burst; ++i) {
      const auto slot = static_cast<uint32_t>(Random(kSlots));
      if (!in_work_.contains(slot)) SendOne(slot);
    }
    session().Ring();
    for (uint32_t slot = 0; slot < kSlots; ++slot) Check(slot);
  }
  const auto limit = std::chrono::steady_clock::now() + std::chrono::seconds(20);
  while (!in_work_.empty() && std::chrono::steady_clock::now() < limit) {
    for (uint32_t slot = 0; slot < kSlots; ++slot) Check(slot);
  }

  EXPECT_THAT(session().Stop(), IsOk());
  EXPECT_TRUE(in_work_.empty());
  EXPECT_TRUE(FileBytes(path_, 0, model_.size()) == model_);
  EXPECT_EQ(CounterOf(*device_, "errors"), 0u);
  std::printf("%lu requests\n", static_cast<unsigned long>(checked_));
}

}  // namespace
}  // namespace vmwire
