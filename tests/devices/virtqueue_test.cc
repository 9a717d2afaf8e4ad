// The device's side of a queue against drivers that keep the rules, and against those that do not.
// D numbers are rows of the checklist of bad inputs.
#include "devices/virtio/virtqueue.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdint>
#include <initializer_list>
#include <optional>
#include <string>
#include <vector>

#include "tests/devices/driver_queue.h"
#include "tests/fakes/fake_dma_port.h"
#include "tests/support/status_matchers.h"

namespace vmwire {

// For ElementsAre.
static bool operator==(const VirtqueueBuffer& a, const VirtqueueBuffer& b) {
  return a.address == b.address && a.length == b.length;
}

namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

constexpr uint16_t kSize = 4;
constexpr GuestAddress kRings(0x1000);
constexpr uint64_t kMemory = 0x10000;
constexpr uint64_t kReadOnly = 0x20000;
constexpr uint16_t kNext = DriverQueue::kNext;
constexpr uint16_t kWrite = DriverQueue::kWrite;

VirtqueueBuffer Buffer(uint64_t address, uint32_t length) {
  return {GuestAddress(address), length};
}

class VirtqueueTest : public testing::Test {
 protected:
  VirtqueueTest() {
    port_.AddMemory(GuestAddress(0), kMemory);
    port_.AddMemory(GuestAddress(kReadOnly), kPageSize, Protection::kRead);
    driver_.emplace(port_, kRings, kSize);
    Recreate();
  }

  void Recreate() {
    absl::StatusOr<Virtqueue> queue = Virtqueue::Create(port_, driver_->config(), true);
    ASSERT_THAT(queue, IsOk());
    queue_.emplace(*std::move(queue));
  }

  absl::StatusCode CodeOfCreate(const VirtqueueConfig& config) {
    return Virtqueue::Create(port_, config, true).status().code();
  }

  // Makes a chain from descriptor 0 on available that has these descriptors, in their order.
  void Offer(const std::vector<DriverQueue::Descriptor>& descriptors) {
    for (uint16_t i = 0; i < descriptors.size(); ++i) driver_->SetDescriptor(i, descriptors[i]);
    driver_->MakeAvailable(0);
  }

  void ExpectBroken(const std::string& message) {
    EXPECT_THAT(queue_->Pop(), StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr(message)));
    // And so it stays, whatever the driver does next.
    driver_->SetAvailableIndex(0);
    EXPECT_THAT(queue_->Pop(), StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr(message)));
  }

  FakeDmaPort port_;
  std::optional<DriverQueue> driver_;
  std::optional<Virtqueue> queue_;
};

TEST_F(VirtqueueTest, EmptyQueuePopsNothing) {
  VMWIRE_ASSERT_OK_AND_ASSIGN(const auto chain, queue_->Pop());
  EXPECT_FALSE(chain.has_value());
}

TEST_F(VirtqueueTest, PopGivesTheBuffersInTheirOrder) {
  const uint16_t head =
      driver_->Add({Buffer(0x3000, 16), Buffer(0x4000, 1)}, {Buffer(0x5000, 512), Buffer(9, 1)});
  VMWIRE_ASSERT_OK_AND_ASSIGN(const auto chain, queue_->Pop());
  ASSERT_TRUE(chain.has_value());
  EXPECT_EQ(chain->head(), head);
  EXPECT_THAT(chain->readable(), ElementsAre(Buffer(0x3000, 16), Buffer(0x4000, 1)));
  EXPECT_THAT(chain->writable(), ElementsAre(Buffer(0x5000, 512), Buffer(9, 1)));
  EXPECT_EQ(chain->readable_bytes(), 17u);
  EXPECT_EQ(chain->writable_bytes(), 513u);
}

TEST_F(VirtqueueTest, PushGivesTheChainBackToTheDriver) {
  const uint16_t head = driver_->Add({}, {Buffer(0x3000, 16)});
  ASSERT_THAT(queue_->Pop(), IsOk());
  EXPECT_FALSE(driver_->TakeUsed().has_value());
  queue_->Push(head, 11);
  EXPECT_EQ(driver_->TakeUsed(), (DriverQueue::Used{head, 11}));
  EXPECT_EQ(driver_->free_descriptors(), kSize);
}

TEST_F(VirtqueueTest, ChainsMayBeGivenBackInAnotherOrder) {
  const uint16_t first = driver_->Add({Buffer(0x3000, 1)}, {});
  const uint16_t second = driver_->Add({Buffer(0x3000, 1)}, {});
  ASSERT_THAT(queue_->Pop(), IsOk());
  ASSERT_THAT(queue_->Pop(), IsOk());
  queue_->Push(second, 0);
  queue_->Push(first, 0);
  EXPECT_EQ(driver_->TakeUsed()->head, second);
  EXPECT_EQ(driver_->TakeUsed()->head, first);
}

TEST_F(VirtqueueTest, ManyRoundsGoThroughEveryIndex) {
  for (uint32_t i = 0; i < 0x10000 + 10; ++i) {
    const uint16_t head = driver_->Add({Buffer(0x3000, i + 1)}, {});
    VMWIRE_ASSERT_OK_AND_ASSIGN(const auto chain, queue_->Pop());
    ASSERT_TRUE(chain.has_value());
    ASSERT_EQ(chain->readable_bytes(), i + 1);
    queue_->Push(head, i);
    ASSERT_EQ(driver_->TakeUsed(), (DriverQueue::Used{head, i}));
  }
}

TEST_F(VirtqueueTest, AreasAcrossTwoPiecesOfMemoryWork) {
  FakeDmaPort port;
  port.AddMemory(GuestAddress(0), kPageSize);
  port.AddMemory(GuestAddress(kPageSize), 2 * kPageSize);
  // The device area of a queue of 256, 2,054 bytes, begins 0x400 before the edge.
  const VirtqueueConfig config = {.size = 256,
                                  .descriptors = GuestAddress(0x2000 - 0x800),
                                  .driver = GuestAddress(0x2800),
                                  .device = GuestAddress(0x1000 - 0x400)};
  VMWIRE_ASSERT_OK_AND_ASSIGN(Virtqueue queue, Virtqueue::Create(port, config, true));
  for (uint16_t i = 0; i < 256; ++i) {
    port.At<uint16_t>(GuestAddress(0x2802)) = static_cast<uint16_t>(i + 1);
    ASSERT_THAT(queue.Pop(), IsOk());
    queue.Push(0, i);
  }
  // The entry of slot 127 ends at the edge, that of 128 begins past it (less the 4 of the header).
  EXPECT_EQ(port.At<uint32_t>(GuestAddress(0x1000 - 0x400 + 4 + 126 * 8 + 4)), 126u);
  EXPECT_EQ(port.At<uint32_t>(GuestAddress(0x1000 - 0x400 + 4 + 127 * 8 + 4)), 127u);
  EXPECT_EQ(port.At<uint32_t>(GuestAddress(0x1000 - 0x400 + 4 + 255 * 8 + 4)), 255u);
}

TEST_F(VirtqueueTest, D1And2And3QueueLeavesAddressesToTheMapping) {
  for (const uint64_t address : {kMemory, kMemory - 1, UINT64_MAX - 1}) {
    const uint16_t head = driver_->Add({Buffer(address, 4096)}, {});
    VMWIRE_ASSERT_OK_AND_ASSIGN(const auto chain, queue_->Pop());
    ASSERT_THAT(chain->readable(), ElementsAre(Buffer(address, 4096)));
    EXPECT_FALSE(port_.Map(chain->readable()[0].address, 4096, DmaDirection::kToDevice).ok());
    queue_->Push(head, 0);
    driver_->TakeUsed();
  }
}

TEST_F(VirtqueueTest, D6BufferOfLength0IsSkipped) {
  driver_->Add({Buffer(0x3000, 0), Buffer(0x3000, 3)}, {Buffer(0x4000, 0)});
  VMWIRE_ASSERT_OK_AND_ASSIGN(const auto chain, queue_->Pop());
  EXPECT_THAT(chain->readable(), ElementsAre(Buffer(0x3000, 3)));
  EXPECT_THAT(chain->writable(), IsEmpty());
}

TEST_F(VirtqueueTest, D7BufferOf4GiBLess1IsRefusedWhenMappedNotAllocated) {
  driver_->Add({}, {Buffer(0x3000, UINT32_MAX)});
  VMWIRE_ASSERT_OK_AND_ASSIGN(const auto chain, queue_->Pop());
  EXPECT_EQ(chain->writable_bytes(), UINT32_MAX);
  EXPECT_THAT(port_.Map(GuestAddress(0x3000), UINT32_MAX, DmaDirection::kFromDevice),
              StatusIs(absl::StatusCode::kNotFound));
}

TEST_F(VirtqueueTest, D8ChainOf4GiBOrMoreNeedsReset) {
  driver_->Add({Buffer(0x3000, UINT32_MAX)}, {Buffer(0x3000, 1)});
  ExpectBroken("more than 4 GiB - 1 bytes");
}

TEST_F(VirtqueueTest, D9ChainThatPointsToItselfNeedsReset) {
  Offer({{.address = 0x3000, .length = 1, .flags = kNext, .next = 0}});
  ExpectBroken("does not end");
}

TEST_F(VirtqueueTest, D9LoopOfEveryDescriptorNeedsReset) {
  for (uint16_t i = 0; i < kSize; ++i) {
    driver_->SetDescriptor(i, {.flags = kNext, .next = static_cast<uint16_t>((i + 1) % kSize)});
  }
  driver_->MakeAvailable(2);
  ExpectBroken("does not end");
}

TEST_F(VirtqueueTest, D9ChainOfEveryDescriptorIsServed) {
  driver_->Add(std::vector<VirtqueueBuffer>(kSize, Buffer(0x3000, 1)), {});
  VMWIRE_ASSERT_OK_AND_ASSIGN(const auto chain, queue_->Pop());
  EXPECT_EQ(chain->readable().size(), kSize);
}

TEST_F(VirtqueueTest, D10NextThatIsNoDescriptorNeedsReset) {
  for (const uint16_t next : {kSize, uint16_t{UINT16_MAX}}) {
    driver_.emplace(port_, kRings, kSize);
    Recreate();
    Offer({{.address = 0x3000, .length = 1, .flags = kNext, .next = next}});
    ExpectBroken("goes on at");
  }
}

TEST_F(VirtqueueTest, D11HeadThatIsNoDescriptorNeedsReset) {
  for (const uint16_t head : {kSize, uint16_t{UINT16_MAX}}) {
    driver_.emplace(port_, kRings, kSize);
    Recreate();
    driver_->MakeAvailable(head);
    ExpectBroken("made descriptor");
  }
}

TEST_F(VirtqueueTest, D12AvailableIndexThatJumpsByMoreThanTheQueueNeedsReset) {
  driver_->SetAvailableIndex(kSize + 1);
  ExpectBroken("index");
}

TEST_F(VirtqueueTest, D13AvailableIndexThatGoesBackwardsNeedsReset) {
  driver_->Add({Buffer(0x3000, 1)}, {});
  ASSERT_THAT(queue_->Pop(), IsOk());
  driver_->SetAvailableIndex(0);
  EXPECT_THAT(queue_->Pop(), StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("index")));
}

TEST_F(VirtqueueTest, D13IndexThatTakesBackWhatTheDeviceSawNeedsReset) {
  for (int i = 0; i < 3; ++i) driver_->Add({Buffer(0x3000, 1)}, {});
  ASSERT_THAT(queue_->Pop(), IsOk());
  driver_->SetAvailableIndex(2);
  EXPECT_THAT(queue_->Pop(),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("went from 3 to 2")));
}

TEST_F(VirtqueueTest, D14IndirectDescriptorNeedsReset) {
  Offer({{.address = 0x3000, .length = 32, .flags = DriverQueue::kIndirect}});
  ExpectBroken("flags 0x4");
}

TEST_F(VirtqueueTest, D15UnknownFlagNeedsReset) {
  for (uint16_t bit = 2; bit < 16; ++bit) {
    driver_.emplace(port_, kRings, kSize);
    Recreate();
    Offer({{.address = 0x3000, .length = 1, .flags = static_cast<uint16_t>(1u << bit)}});
    ExpectBroken("flags");
  }
}

TEST_F(VirtqueueTest, D16ReadableAfterWritableNeedsReset) {
  Offer({{.address = 0x3000, .length = 1, .flags = kNext | kWrite, .next = 1},
         {.address = 0x3000, .length = 1}});
  ExpectBroken("after one for writing");
}

TEST_F(VirtqueueTest, D16EmptyWritableBuffersCountToo) {
  Offer({{.address = 0x3000, .length = 0, .flags = kNext | kWrite, .next = 1},
         {.address = 0x3000, .length = 1}});
  ExpectBroken("after one for writing");
}

TEST_F(VirtqueueTest, D19DataOverTheRingsIsWrittenAndTheRingsAreCheckedAgain) {
  const VirtqueueBuffer rings = {kRings, static_cast<uint32_t>(DriverQueue::Bytes(kSize))};
  const uint16_t head = driver_->Add({}, {rings});
  VMWIRE_ASSERT_OK_AND_ASSIGN(const auto chain, queue_->Pop());
  const std::vector<std::byte> data(rings.length, std::byte{0xee});
  ASSERT_THAT(port_.Write(chain->writable()[0].address, data), IsOk());
  queue_->Push(head, rings.length);
  EXPECT_EQ(driver_->used_entry(0), (DriverQueue::Used{head, rings.length}));
  EXPECT_EQ(driver_->used_index(), 1);
  EXPECT_THAT(queue_->Pop(),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("from 1 to 61166")));
}

TEST_F(VirtqueueTest, D20TwoChainsInFlightMayShareTheirBuffers) {
  driver_->Add({}, {Buffer(0x3000, 512)});
  driver_->Add({}, {Buffer(0x3000, 512)});
  VMWIRE_ASSERT_OK_AND_ASSIGN(const auto first, queue_->Pop());
  VMWIRE_ASSERT_OK_AND_ASSIGN(const auto second, queue_->Pop());
  VMWIRE_ASSERT_OK_AND_ASSIGN(
      DmaMapping a, port_.Map(first->writable()[0].address, 512, DmaDirection::kFromDevice));
  VMWIRE_ASSERT_OK_AND_ASSIGN(
      DmaMapping b, port_.Map(second->writable()[0].address, 512, DmaDirection::kFromDevice));
  EXPECT_EQ(a.pieces()[0].bytes.data(), b.pieces()[0].bytes.data());
}

TEST_F(VirtqueueTest, HeadThatTheDeviceHasAlreadyNeedsReset) {
  const uint16_t head = driver_->Add({Buffer(0x3000, 1)}, {});
  driver_->MakeAvailable(head);
  ASSERT_THAT(queue_->Pop(), IsOk());
  EXPECT_THAT(queue_->Pop(),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("while the device has it")));
}

TEST_F(VirtqueueTest, HeadMayComeAgainOnceItWasGivenBack) {
  const uint16_t head = driver_->Add({Buffer(0x3000, 1)}, {});
  driver_->MakeAvailable(head);
  ASSERT_THAT(queue_->Pop(), IsOk());
  queue_->Push(head, 0);
  EXPECT_THAT(queue_->Pop(), IsOk());
}

TEST_F(VirtqueueTest, D22SizeThatIsNoQueueSizeIsRefused) {
  for (const uint16_t size :
       std::initializer_list<uint16_t>{0, 3, 5, 255, 257, 512, 0x8000, 0xffff}) {
    VirtqueueConfig config = driver_->config();
    config.size = size;
    EXPECT_EQ(CodeOfCreate(config), absl::StatusCode::kInvalidArgument) << size;
  }
}

TEST_F(VirtqueueTest, D22EveryPowerOfTwoUpToTheLargestIsServed) {
  for (uint16_t size = 1; size <= kMaxQueueSize; size = static_cast<uint16_t>(2 * size)) {
    DriverQueue driver(port_, GuestAddress(0x8000), size);
    VMWIRE_ASSERT_OK_AND_ASSIGN(const Virtqueue queue,
                                Virtqueue::Create(port_, driver.config(), true));
    EXPECT_EQ(queue.size(), size);
  }
}

TEST_F(VirtqueueTest, D23MisalignedAreaIsRefused) {
  const VirtqueueConfig good = driver_->config();
  for (uint64_t offset = 1; offset < 16; ++offset) {
    VirtqueueConfig config = good;
    config.descriptors = GuestAddress(good.descriptors.value() + offset);
    EXPECT_EQ(CodeOfCreate(config), absl::StatusCode::kInvalidArgument) << offset;
  }
  VirtqueueConfig config = good;
  config.driver = GuestAddress(good.driver.value() + 1);
  EXPECT_EQ(CodeOfCreate(config), absl::StatusCode::kInvalidArgument);
  config = good;
  config.device = GuestAddress(good.device.value() + 2);
  EXPECT_EQ(CodeOfCreate(config), absl::StatusCode::kInvalidArgument);
}

TEST_F(VirtqueueTest, D24AreaThatIsNoMemoryIsRefusedByName) {
  VirtqueueConfig config = driver_->config();
  config.descriptors = GuestAddress(kMemory - 16);
  EXPECT_THAT(Virtqueue::Create(port_, config, true),
              StatusIs(absl::StatusCode::kNotFound, HasSubstr("descriptor table")));
  config = driver_->config();
  config.driver = GuestAddress(kMemory);
  EXPECT_THAT(Virtqueue::Create(port_, config, true),
              StatusIs(absl::StatusCode::kNotFound, HasSubstr("driver area")));
  config = driver_->config();
  config.device = GuestAddress(UINT64_MAX - 3);
  EXPECT_THAT(Virtqueue::Create(port_, config, true),
              StatusIs(absl::StatusCode::kOutOfRange, HasSubstr("device area")));
}

TEST_F(VirtqueueTest, D33DeviceAreaInReadOnlyMemoryIsRefused) {
  VirtqueueConfig config = driver_->config();
  config.device = GuestAddress(kReadOnly);
  EXPECT_THAT(Virtqueue::Create(port_, config, true),
              StatusIs(absl::StatusCode::kPermissionDenied, HasSubstr("device area")));
}

TEST_F(VirtqueueTest, AreasThatTheDeviceOnlyReadsMayBeReadOnly) {
  VirtqueueConfig config = driver_->config();
  config.descriptors = GuestAddress(kReadOnly);
  config.driver = GuestAddress(kReadOnly + 0x100);
  EXPECT_THAT(Virtqueue::Create(port_, config, true), IsOk());
}

TEST_F(VirtqueueTest, WhicheverMapFailsNothingStaysMapped) {
  queue_.reset();
  for (uint64_t n = 1; n <= 3; ++n) {
    port_.FailMap(n);
    EXPECT_EQ(CodeOfCreate(driver_->config()), absl::StatusCode::kResourceExhausted);
    EXPECT_EQ(port_.stats().live, 0u);
  }
  port_.FailMap(4);
  EXPECT_THAT(Virtqueue::Create(port_, driver_->config(), true), IsOk());
}

}  // namespace
}  // namespace vmwire
