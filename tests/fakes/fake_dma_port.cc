#include "tests/fakes/fake_dma_port.h"

#include <gtest/gtest.h>
#include <liburing.h>
#include <sys/uio.h>

#include <algorithm>
#include <cstdlib>
#include <cstring>

#include "absl/strings/str_format.h"
#include "memory/errno_status.h"

namespace vmwire {

void FakeDmaPort::FreeAligned::operator()(std::byte* memory) const { std::free(memory); }

void FakeDmaPort::AddMemory(GuestAddress start, uint64_t size, Protection protection) {
  ASSERT_TRUE(IsAligned(start.value(), kPageSize) && IsAligned(size, kPageSize) && size > 0);
  ASSERT_EQ(FindRegion(start), regions_.size());
  auto* const memory = static_cast<std::byte*>(std::aligned_alloc(kPageSize, size));
  std::memset(memory, 0, size);
  regions_.push_back({start, size, protection, {memory, FreeAligned()}});
}

std::span<std::byte> FakeDmaPort::Bytes(GuestAddress address, uint64_t size) {
  const size_t index = FindRegion(address);
  if (index == regions_.size()) {
    ADD_FAILURE() << "no memory at " << address.value();
    std::abort();
  }
  const Region& region = regions_[index];
  const uint64_t offset = address.value() - region.start.value();
  EXPECT_LE(size, region.size - offset);
  return {region.memory.get() + offset, size};
}

void FakeDmaPort::FailMap(uint64_t n, const absl::Status& error) {
  const MutexLock lock(mutex_);
  fail_in_ = n;
  failure_ = error;
}

void FakeDmaPort::SetWired(const GuestRange& range) {
  const MutexLock lock(mutex_);
  for (uint64_t i = 0; i < range.pages(); ++i) {
    wired_pages_.insert(range.start().value() / kPageSize + i);
  }
}

std::set<uint64_t> FakeDmaPort::discarded_pages() const {
  const MutexLock lock(mutex_);
  return discarded_pages_;
}

absl::Status FakeDmaPort::AttachRing(int ring_fd) {
  if (rings_forbidden_) return absl::UnimplementedError("registered buffers cannot be shared");
  std::vector<iovec> buffers;
  for (const Region& region : regions_) buffers.push_back({region.memory.get(), region.size});
  const int result = io_uring_register(static_cast<unsigned>(ring_fd), IORING_REGISTER_BUFFERS,
                                       buffers.data(), static_cast<unsigned>(buffers.size()));
  if (result < 0) return ErrnoStatus(-result, "IORING_REGISTER_BUFFERS");
  ring_ = ring_fd;
  return absl::OkStatus();
}

void FakeDmaPort::DetachRing() {
  const int ring_fd = ring_.exchange(-1);
  if (ring_fd < 0) return;
  EXPECT_EQ(
      io_uring_register(static_cast<unsigned>(ring_fd), IORING_UNREGISTER_BUFFERS, nullptr, 0), 0);
}

absl::Status FakeDmaPort::Discard(const GuestRange& range) {
  const uint64_t first = range.start().value() / kPageSize;
  const MutexLock lock(mutex_);
  for (uint64_t page = first; page < first + range.pages(); ++page) {
    const size_t region = FindRegion(GuestAddress(page * kPageSize));
    if (region == regions_.size()) {
      return absl::NotFoundError(absl::StrFormat("no memory at page 0x%x", page));
    }
    if (!Allows(regions_[region].protection, Protection::kWrite)) {
      return absl::PermissionDeniedError(absl::StrFormat("page 0x%x is read-only", page));
    }
    if (wired_pages_.contains(page)) {
      return absl::FailedPreconditionError(absl::StrFormat("page 0x%x is wired", page));
    }
  }
  for (uint64_t page = first; page < first + range.pages(); ++page) {
    discarded_pages_.insert(page);
    std::memset(Bytes(GuestAddress(page * kPageSize), kPageSize).data(), 0, kPageSize);
  }
  return absl::OkStatus();
}

absl::Status FakeDmaPort::MapPieces(GuestAddress address, uint64_t size, DmaDirection direction,
                                    DmaMapping::Pieces& pieces, DmaMapping::Holds&) {
  {
    const MutexLock lock(mutex_);
    if (fail_in_ > 0 && --fail_in_ == 0) return failure_;
  }
  uint64_t at = address.value();
  uint64_t left = size;
  while (left > 0) {
    const size_t index = FindRegion(GuestAddress(at));
    if (index == regions_.size()) {
      return absl::NotFoundError(
          absl::StrFormat("no memory at 0x%x of 0x%x+0x%x", at, address.value(), size));
    }
    const Region& region = regions_[index];
    const Protection access = AccessOf(direction);
    if (!Allows(region.protection, access)) {
      return absl::PermissionDeniedError(absl::StrFormat("0x%x cannot be written", at));
    }
    const uint64_t offset = at - region.start.value();
    const uint64_t count = std::min(left, region.size - offset);
    pieces.push_back({.bytes = {region.memory.get() + offset, count},
                      .buffer = ring_ < 0 ? DmaPiece::kNoBuffer : static_cast<int32_t>(index)});
    at += count;
    left -= count;
  }
  return absl::OkStatus();
}

void FakeDmaPort::OnWritten(GuestAddress address, uint64_t size) {
  const MutexLock lock(mutex_);
  written_.emplace_back(address, size);
}

uint64_t FakeDmaPort::written_bytes(GuestAddress end) const {
  const MutexLock lock(mutex_);
  uint64_t bytes = 0;
  for (const auto& [address, size] : written_) bytes += address < end ? size : 0;
  return bytes;
}

size_t FakeDmaPort::FindRegion(GuestAddress address) const {
  const auto found = std::find_if(regions_.begin(), regions_.end(), [&](const Region& region) {
    return address >= region.start && address.value() - region.start.value() < region.size;
  });
  return static_cast<size_t>(found - regions_.begin());
}

}  // namespace vmwire
