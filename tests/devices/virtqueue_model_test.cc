// Virtqueue::Pop against a small model that shares nothing with it: every ring of sizes 2 and 4
// over small alphabets of descriptors, heads and indices.
#include <gtest/gtest.h>

#include <cstdint>
#include <cstdio>
#include <initializer_list>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_format.h"
#include "devices/virtio/virtqueue.h"
#include "tests/devices/driver_queue.h"
#include "tests/fakes/fake_dma_port.h"

namespace vmwire {
namespace {

using Descriptor = DriverQueue::Descriptor;

constexpr GuestAddress kRings(0x1000);

// What a driver wrote, as plain values.
struct Rings {
  std::vector<Descriptor> table;
  std::vector<uint16_t> available;
  uint16_t index = 0;
};

// The text by which two outcomes are compared.
std::string Text(const std::vector<std::pair<uint64_t, uint64_t>>& readable,
                 const std::vector<std::pair<uint64_t, uint64_t>>& writable, int head) {
  std::string text = absl::StrFormat("%d:", head);
  for (const auto& [address, length] : readable)
    text += absl::StrFormat(" r%x+%x", address, length);
  for (const auto& [address, length] : writable)
    text += absl::StrFormat(" w%x+%x", address, length);
  return text;
}

// Pop, as the specification has it, for rings that hold still.
class Model {
 public:
  std::string Pop(const Rings& rings) {
    if (!broken_) {
      const std::string outcome = Next(rings);
      if (outcome != "error") return outcome;
      broken_ = true;
    }
    return "error";
  }
  void Push(int head) { taken_.erase(head); }

 private:
  std::string Next(const Rings& rings) {
    const int size = static_cast<int>(rings.table.size());
    const int behind = Distance(position_, rings.index);
    if (behind > size || behind < Distance(position_, last_index_)) return "error";
    last_index_ = rings.index;
    if (behind == 0) return "none";
    const int head = rings.available[static_cast<size_t>(position_ % size)];
    if (head >= size || taken_.contains(head)) return "error";

    // The chain first, whatever is in it; then the rules, one by one.
    std::vector<Descriptor> chain;
    std::set<int> visited;
    for (int at = head;; at = chain.back().next) {
      if (at >= size || !visited.insert(at).second) return "error";
      chain.push_back(rings.table[static_cast<size_t>(at)]);
      if (chain.back().flags % 2 == 0) break;
    }
    std::vector<std::pair<uint64_t, uint64_t>> parts[2];
    uint64_t total = 0;
    bool was_writable = false;
    for (const Descriptor& descriptor : chain) {
      const bool writable = descriptor.flags / 2 % 2 == 1;
      if (descriptor.flags > 3 || (was_writable && !writable)) return "error";
      was_writable = writable;
      total += descriptor.length;
      if (descriptor.length > 0) parts[writable].push_back({descriptor.address, descriptor.length});
    }
    if (total >= uint64_t{1} << 32) return "error";
    taken_.insert(head);
    position_ = (position_ + 1) % 65536;
    return Text(parts[0], parts[1], head);
  }

  static int Distance(int from, int to) { return (to - from + 65536) % 65536; }

  bool broken_ = false;
  int position_ = 0;
  int last_index_ = 0;
  std::set<int> taken_;
};

class VirtqueueModelTest : public testing::Test {
 protected:
  VirtqueueModelTest() { port_.AddMemory(GuestAddress(0), 0x4000); }

  ~VirtqueueModelTest() override {
    std::printf("%llu cases, %llu of them chains\n", static_cast<unsigned long long>(cases_),
                static_cast<unsigned long long>(chains_));
  }

  void Begin(uint16_t size) {
    driver_.emplace(port_, kRings, size);
    rings_ = {.table = std::vector<Descriptor>(size), .available = std::vector<uint16_t>(size)};
    Renew();
  }

  // A new queue over the same rings.
  void Renew() {
    model_ = Model();
    queue_.reset();
    absl::StatusOr<Virtqueue> queue = Virtqueue::Create(port_, driver_->config(), false);
    ASSERT_TRUE(queue.ok());
    queue_.emplace(*std::move(queue));
  }

  void SetDescriptor(uint16_t index, const Descriptor& descriptor) {
    rings_.table[index] = descriptor;
    driver_->SetDescriptor(index, descriptor);
  }
  void SetEntry(uint16_t slot, uint16_t head) {
    rings_.available[slot] = head;
    driver_->SetAvailableEntry(slot, head);
  }
  void SetIndex(uint16_t index) {
    rings_.index = index;
    driver_->SetAvailableIndex(index);
  }

  // One Pop of both; what they agree on, or "" after a failure.
  std::string PopBoth() {
    const std::string expected = model_.Pop(rings_);
    std::string found = "error";
    if (const auto popped = queue_->Pop(); popped.ok()) {
      found = popped->has_value() ? TextOf(**popped) : "none";
      if (popped->has_value()) last_head_ = (*popped)->head();
    } else {
      EXPECT_EQ(popped.status().code(), absl::StatusCode::kInvalidArgument);
    }
    ++cases_;
    if (found == expected) return found;
    ADD_FAILURE() << "found " << found << ", expected " << expected << " of " << Describe();
    return "";
  }

  // Pops until there is nothing left, or an error.
  void PopAll() {
    for (std::string outcome = PopBoth(); outcome != "none" && outcome != "error" && outcome != "";
         outcome = PopBoth()) {
      ++chains_;
    }
  }

  // Calls `visit` with every table of `size` descriptors of `alphabet`.
  template <typename Visit>
  void ForEachTable(uint16_t size, const std::vector<Descriptor>& alphabet, const Visit& visit) {
    std::vector<size_t> letters(size, 0);
    for (uint16_t i = 0; i < size; ++i) SetDescriptor(i, alphabet[0]);
    for (;;) {
      visit();
      if (HasFailure()) return;
      uint16_t place = 0;
      while (place < size && ++letters[place] == alphabet.size()) letters[place++] = 0;
      for (uint16_t i = 0; i <= place && i < size; ++i) SetDescriptor(i, alphabet[letters[i]]);
      if (place == size) return;
    }
  }

  static std::string TextOf(const DescriptorChain& chain) {
    std::vector<std::pair<uint64_t, uint64_t>> readable;
    std::vector<std::pair<uint64_t, uint64_t>> writable;
    for (const auto& buffer : chain.readable()) {
      readable.push_back({buffer.address.value(), buffer.length});
    }
    for (const auto& buffer : chain.writable()) {
      writable.push_back({buffer.address.value(), buffer.length});
    }
    return Text(readable, writable, chain.head());
  }

  std::string Describe() const {
    std::string text = absl::StrFormat("index %d, heads", rings_.index);
    for (const uint16_t head : rings_.available) text += absl::StrFormat(" %d", head);
    for (const Descriptor& d : rings_.table) {
      text += absl::StrFormat(", {length 0x%x flags 0x%x next %d}", d.length, d.flags, d.next);
    }
    return text;
  }

  FakeDmaPort port_;
  std::optional<DriverQueue> driver_;
  std::optional<Virtqueue> queue_;
  Model model_;
  Rings rings_;
  uint16_t last_head_ = 0;
  uint64_t cases_ = 0;
  uint64_t chains_ = 0;
};

// Every product of these; addresses tell the letters apart.
std::vector<Descriptor> Alphabet(std::initializer_list<uint16_t> flags,
                                 std::initializer_list<uint32_t> lengths,
                                 std::initializer_list<uint16_t> nexts) {
  std::vector<Descriptor> letters;
  for (const uint16_t flag : flags) {
    for (const uint32_t length : lengths) {
      for (const uint16_t next : nexts) {
        letters.push_back({.address = 0x100 * (letters.size() + 1),
                           .length = length,
                           .flags = flag,
                           .next = next});
        if ((flag & DriverQueue::kNext) == 0) break;  // Not looked at.
      }
    }
  }
  return letters;
}

TEST_F(VirtqueueModelTest, EveryTableAndRingOfSize2) {
  Begin(2);
  const auto alphabet = Alphabet({0, 1, 2, 3, 4, 5, 8, 0x8001}, {0, 1, 0x80000000, UINT32_MAX},
                                 {0, 1, 2, UINT16_MAX});
  ForEachTable(2, alphabet, [&] {
    for (const uint16_t first : std::initializer_list<uint16_t>{0, 1, 2}) {
      for (const uint16_t second : std::initializer_list<uint16_t>{0, 1}) {
        SetEntry(0, first);
        SetEntry(1, second);
        SetIndex(2);
        Renew();
        PopAll();
      }
    }
  });
}

TEST_F(VirtqueueModelTest, EveryTableOfSize4) {
  Begin(4);
  const auto alphabet = Alphabet({0, 1, 2, 3, 4}, {0x60000000}, {0, 1, 2, 3, 4});
  SetEntry(1, 1);
  ForEachTable(4, alphabet, [&] {
    for (const uint16_t head : std::initializer_list<uint16_t>{0, 3}) {
      SetEntry(0, head);
      SetIndex(2);
      Renew();
      PopAll();
    }
  });
}

TEST_F(VirtqueueModelTest, EveryLengthInAChainOfSize4) {
  Begin(4);
  const auto alphabet = Alphabet({1, 3, 0, 2}, {0, 1, 0x40000000, 0x80000000, UINT32_MAX}, {1});
  // The chain 0 -> 3 -> 2 -> 1, each letter's own end apart.
  ForEachTable(4, alphabet, [&] {
    for (const auto& [at, next] : {std::pair<uint16_t, uint16_t>(0, 3), {3, 2}, {2, 1}}) {
      Descriptor descriptor = rings_.table[at];
      descriptor.next = next;
      SetDescriptor(at, descriptor);
    }
    SetEntry(0, 0);
    SetIndex(1);
    Renew();
    PopAll();
  });
}

// Benign descriptors; the driver area is what varies.
TEST_F(VirtqueueModelTest, EveryDriverAreaOfSize4) {
  Begin(4);
  for (uint16_t i = 0; i < 4; ++i) SetDescriptor(i, {.address = i, .length = 1});
  for (uint32_t heads = 0; heads < 6 * 6 * 6 * 6; ++heads) {
    for (uint32_t slot = 0, rest = heads; slot < 4; ++slot, rest /= 6) {
      SetEntry(static_cast<uint16_t>(slot), static_cast<uint16_t>(rest % 6 < 5 ? rest % 6 : 65535));
    }
    for (const uint16_t index :
         std::initializer_list<uint16_t>{0, 1, 2, 3, 4, 5, 0x7fff, 0x8000, 65534, 65535}) {
      SetIndex(index);
      Renew();
      PopAll();
    }
    if (HasFailure()) return;
  }
}

// Indices that move while the device takes and gives back: every sequence of three indices, with
// every count of chains taken, and given back, between them.
TEST_F(VirtqueueModelTest, EveryMoveOfTheIndexOfSize2) {
  const auto indices = {0, 1, 2, 3, 4, 65534, 65535};
  Begin(2);
  for (uint16_t i = 0; i < 2; ++i) SetDescriptor(i, {.address = i, .length = 1});
  for (uint32_t plan = 0; plan < 3 * 2 * 3 * 2 * 4; ++plan) {
    SetEntry(0, plan / 36 % 2);
    SetEntry(1, plan / 72 % 2);
    for (const int first : indices) {
      for (const int second : indices) {
        for (const int third : indices) {
          Renew();
          uint32_t rest = plan;
          for (const int index : {first, second}) {
            SetIndex(static_cast<uint16_t>(index));
            const uint32_t pops = rest % 3;
            const bool gives_back = rest / 3 % 2 == 1;
            rest /= 6;
            for (uint32_t i = 0; i < pops; ++i) {
              const std::string outcome = PopBoth();
              if (outcome == "none" || outcome == "error" || outcome == "") continue;
              ++chains_;
              if (!gives_back) continue;
              queue_->Push(last_head_, 0);
              model_.Push(last_head_);
            }
          }
          SetIndex(static_cast<uint16_t>(third));
          PopAll();
          if (HasFailure()) return;
        }
      }
    }
  }
}

}  // namespace
}  // namespace vmwire
