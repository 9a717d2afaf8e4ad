#include "devices/dma_engine/dma_ring.h"

#include <array>
#include <atomic>
#include <bit>
#include <span>
#include <string>

#include "absl/strings/str_format.h"
#include "memory/check.h"
#include "memory/status_macros.h"

namespace vmwire {
namespace {

// The object at `offset`. SAFETY: pieces begin and end at page boundaries of guest and host alike,
// or at the ends of the ring, which is aligned to 64 bytes: no slot and no word straddles two.
template <typename T>
std::atomic_ref<T> Word(const DmaMapping& mapping, uint64_t offset) {
  for (const DmaPiece& piece : mapping.pieces()) {
    if (offset < piece.bytes.size()) {
      return std::atomic_ref<T>(*reinterpret_cast<T*>(piece.bytes.data() + offset));
    }
    offset -= piece.bytes.size();
  }
  CheckFailed(__FILE__, __LINE__, "offset < size", "an access leaves a DMA ring");
}

template <typename T>
using Words = std::array<uint64_t, sizeof(T) / sizeof(uint64_t)>;

template <typename T>
T LoadSlot(const DmaMapping& mapping, uint32_t slot) {
  const uint64_t offset = kDmaRingHeaderSize + uint64_t{slot} * sizeof(T);
  Words<T> words;
  for (size_t i = 0; i < words.size(); ++i) {
    words[i] =
        Word<uint64_t>(mapping, offset + i * sizeof(uint64_t)).load(std::memory_order_relaxed);
  }
  return std::bit_cast<T>(words);
}

template <typename T>
void StoreSlot(const DmaMapping& mapping, uint32_t slot, const T& value) {
  const uint64_t offset = kDmaRingHeaderSize + uint64_t{slot} * sizeof(T);
  const auto words = std::bit_cast<Words<T>>(value);
  for (size_t i = 0; i < words.size(); ++i) {
    Word<uint64_t>(mapping, offset + i * sizeof(uint64_t))
        .store(words[i], std::memory_order_relaxed);
  }
}

absl::StatusOr<DmaMapping> MapRing(DmaPort& port, const std::string& name, GuestAddress address,
                                   uint64_t bytes, DmaDirection direction) {
  if (!IsAligned(address.value(), kDmaRingAlignment)) {
    return absl::InvalidArgumentError(absl::StrFormat("the %s ring at 0x%x is not aligned to %d",
                                                      name, address.value(), kDmaRingAlignment));
  }
  absl::StatusOr<DmaMapping> mapping = port.Map(address, bytes, direction);
  if (mapping.ok()) return mapping;
  return absl::Status(mapping.status().code(),
                      absl::StrFormat("the %s ring at 0x%x+0x%x: %s", name, address.value(), bytes,
                                      std::string(mapping.status().message())));
}

}  // namespace

absl::StatusOr<DmaRing> DmaRing::Create(DmaPort& port, const DmaRingConfig& config) {
  if (!std::has_single_bit(config.size) || config.size > kMaxDmaRingSize) {
    return absl::InvalidArgumentError(
        absl::StrFormat("a DMA ring of %d entries; it must be a power of two up to %d", config.size,
                        kMaxDmaRingSize));
  }
  VMWIRE_ASSIGN_OR_RETURN(DmaMapping descriptors,
                          MapRing(port, "descriptor", config.descriptors, config.descriptor_bytes(),
                                  DmaDirection::kToDevice));
  VMWIRE_ASSIGN_OR_RETURN(DmaMapping completions,
                          MapRing(port, "completion", config.completions, config.completion_bytes(),
                                  DmaDirection::kFromDevice));
  DmaRing ring(config, std::move(descriptors), std::move(completions));
  Word<uint32_t>(ring.completions_, 0).store(0, std::memory_order_release);
  return ring;
}

absl::StatusOr<std::optional<DmaDescriptor>> DmaRing::Pop() {
  // Acquire: pairs with the guest's store of `tail` after it filled the slots.
  const uint32_t tail = Word<uint32_t>(descriptors_, 0).load(std::memory_order_acquire);
  // Unsigned: a tail that went backwards is far ahead. Slots whose completion is still to come are
  // not free to be used again, so the size bounds what is ahead of the completions.
  if (tail - pushed_ > config_.size || tail - pushed_ < popped_ - pushed_) {
    return absl::InvalidArgumentError(absl::StrFormat(
        "the tail of the descriptor ring is 0x%x, with %d entries and 0x%x completed", tail,
        config_.size, pushed_));
  }
  if (tail == popped_) return std::nullopt;
  return LoadSlot<DmaDescriptor>(descriptors_, popped_++ & (config_.size - 1));
}

void DmaRing::Push(const DmaCompletion& completion) {
  StoreSlot(completions_, pushed_++ & (config_.size - 1), completion);
  // Release: the guest that sees `head` sees the completion.
  Word<uint32_t>(completions_, 0).store(pushed_, std::memory_order_release);
  completions_.MarkWritten();
}

}  // namespace vmwire
