// The verifier on the fake host, whose frames can be moved and whose books can be wrong.
#include "memory/pin_verifier.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cerrno>
#include <cstddef>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "memory/dma_round_trip.h"
#include "tests/support/map_fixture.h"
#include "tests/support/status_matchers.h"

namespace vmwire {
namespace {

using testing::AllOf;
using testing::HasSubstr;
using testing::Not;

constexpr uint64_t kPages = 8;

PartProof PartOf(const std::vector<PartProof>& parts, ProofPart wanted) {
  const auto found = std::find_if(parts.begin(), parts.end(),
                                  [wanted](const PartProof& part) { return part.part == wanted; });
  if (found != parts.end()) return *found;
  ADD_FAILURE() << "no part " << ToString(wanted);
  return {};
}

// One object at [0, kPages), wired whole, with bytes in it.
class PinVerifierTest : public testing::TestWithParam<PinLevel> {
 protected:
  explicit PinVerifierTest(PinLevel level = PinLevel::kGuarded) : map_({.level = level}) {}

  void Wire(MemoryBacking backing = MemoryBacking::kAnonymous, uint64_t pages = kPages) {
    object_ = map_.NewObject(pages, backing);
    ASSERT_THAT(map_.MapPages(0, pages, object_), IsOk());
    auto token = map_.map().Wire(Pages(0, pages));
    ASSERT_THAT(token, IsOk());
    token_.emplace(*std::move(token));
    for (uint64_t i = 0; i < object_->size(); ++i) Bytes()[i] = static_cast<std::byte>(i * 7 >> 3);
    bytes_before_.assign(Bytes(), Bytes() + object_->size());
  }
  void TearDown() override {
    token_.reset();
    object_.reset();
  }

  std::byte* Bytes() { return HostPointer(object_->host_range().start()); }
  bool BytesAreKept() { return std::equal(bytes_before_.begin(), bytes_before_.end(), Bytes()); }
  HostRange HostPage(uint64_t page) {
    return object_->host_range().Slice(page * kPageSize, kPageSize).value();
  }
  PinProof Verify(const VerifyOptions& options = {}) {
    return PinVerifier(map_.host()).Verify(map_.map(), Pages(0, 1000), options);
  }
  // The only range's.
  PartProof Part(const PinProof& proof, ProofPart part) {
    EXPECT_EQ(proof.ranges.size(), 1u);
    return PartOf(proof.ranges.at(0).parts, part);
  }

  TestMap map_;
  std::shared_ptr<VmObject> object_;
  std::optional<WiredRange> token_;
  std::vector<std::byte> bytes_before_;
};

class ResidentVerifierTest : public PinVerifierTest {
 protected:
  ResidentVerifierTest() : PinVerifierTest(PinLevel::kResident) {}
};

class PinnedVerifierTest : public PinVerifierTest {
 protected:
  PinnedVerifierTest() : PinVerifierTest(PinLevel::kPinned) {}
};

TEST_F(PinVerifierTest, GuardedMemoryIsProvenInEveryPart) {
  Wire();

  const PinProof proof = Verify();

  EXPECT_THAT(proof.status(), IsOk());
  ASSERT_EQ(proof.ranges.size(), 1u);
  EXPECT_EQ(proof.ranges[0].name, "[0x0, 0x8000)");
  for (const PartProof& part : proof.ranges[0].parts) {
    EXPECT_EQ(part.verdict, ProofVerdict::kProven) << ToString(part.part) << ": " << part.detail;
  }
  for (const PartProof& part : proof.process) {
    EXPECT_EQ(part.verdict, ProofVerdict::kProven) << ToString(part.part) << ": " << part.detail;
  }
  EXPECT_TRUE(BytesAreKept());
}

TEST_F(PinVerifierTest, EveryFileBackingIsProven) {
  map_.host().SetHugetlbPool(kHugePageSize, 1);
  for (const MemoryBacking backing : {MemoryBacking::kMemfd, MemoryBacking::kHugetlb}) {
    const uint64_t pages = kHugePageSize / kPageSize;
    TearDown();
    ASSERT_THAT(map_.map().Remove(Pages(0, 999)), IsOk());
    Wire(backing, pages);

    const PinProof proof = Verify();

    EXPECT_EQ(proof.verdict(), ProofVerdict::kProven) << proof.ToString();
    EXPECT_EQ(Part(proof, ProofPart::kLock).verdict, backing == MemoryBacking::kHugetlb
                                                         ? ProofVerdict::kNotProvable
                                                         : ProofVerdict::kProven);
    EXPECT_TRUE(BytesAreKept());
  }
}

TEST_F(PinVerifierTest, WhatIsNotWiredIsPassedOver) {
  Wire();
  map_.Add(100, 110);

  EXPECT_EQ(Verify().ranges.size(), 1u);
}

TEST_F(PinVerifierTest, NothingWiredIsNoRangeAndSaysSo) {
  map_.Add(100, 110);

  const PinProof proof = Verify();

  EXPECT_TRUE(proof.ranges.empty());
  EXPECT_THAT(proof.status(), IsOk());
  EXPECT_EQ(proof.verdict(), ProofVerdict::kNotProvable);
  EXPECT_THAT(proof.ToString(), HasSubstr("nothing is wired"));
}

TEST_F(PinVerifierTest, APartOfAWiredEntryIsProvenAlone) {
  Wire();

  const PinProof proof = PinVerifier(map_.host()).Verify(map_.map(), Pages(2, 5));

  ASSERT_EQ(proof.ranges.size(), 1u);
  EXPECT_EQ(proof.ranges[0].name, "[0x2000, 0x5000)");
  EXPECT_EQ(proof.ranges[0].host, object_->HostSlice(2 * kPageSize, 3 * kPageSize).value());
  EXPECT_THAT(proof.status(), IsOk());
}

TEST_F(PinVerifierTest, EachWiredEntryIsARangeOfItsOwn) {
  Wire();
  map_.Add(100, 104);
  VMWIRE_ASSERT_OK_AND_ASSIGN(const WiredRange other, map_.map().Wire(Pages(100, 102)));

  const PinProof proof = Verify();

  ASSERT_EQ(proof.ranges.size(), 2u);
  EXPECT_EQ(proof.ranges[1].name, "[0x64000, 0x66000)");
  EXPECT_THAT(proof.status(), IsOk());
}

TEST_F(PinVerifierTest, AnObjectIsProvenByItsPages) {
  Wire();

  const PinProof proof = PinVerifier(map_.host()).Verify(*object_, {2, 100});

  ASSERT_EQ(proof.ranges.size(), 1u);
  EXPECT_EQ(proof.ranges[0].name, "pages [0x2, 0x8) of the object");
  EXPECT_EQ(proof.ranges[0].level, PinLevel::kGuarded);
  EXPECT_THAT(proof.status(), IsOk());
}

TEST_F(PinVerifierTest, AnObjectThatIsNotWiredHasNoRange) {
  const std::shared_ptr<VmObject> object = map_.NewObject(4);
  EXPECT_TRUE(PinVerifier(map_.host()).Verify(*object, {0, 4}).ranges.empty());
}

TEST_F(PinVerifierTest, ASimulatedObjectIsProvenByItsPinTableOnly) {
  const std::shared_ptr<VmObject> object = map_.NewObject(4, MemoryBacking::kSimulated);
  ASSERT_THAT(map_.MapPages(0, 4, object), IsOk());
  VMWIRE_ASSERT_OK_AND_ASSIGN(const WiredRange token, map_.map().Wire(Pages(0, 4)));

  const PinProof proof = Verify();

  EXPECT_EQ(Part(proof, ProofPart::kPinTable).verdict, ProofVerdict::kProven);
  EXPECT_EQ(Part(proof, ProofPart::kFrames).verdict, ProofVerdict::kNotProvable);
  EXPECT_THAT(proof.status(), IsOk());
}

TEST_F(PinVerifierTest, CompactionBetweenTheLooksMovesNothing) {
  Wire();
  bool disturbed = false;

  const PinProof proof = Verify({.disturb = [&] {
    map_.host().MoveFrames(object_->host_range());
    disturbed = true;
  }});

  EXPECT_TRUE(disturbed);
  EXPECT_EQ(Part(proof, ProofPart::kFrames).verdict, ProofVerdict::kProven);
}

TEST_F(PinVerifierTest, WithoutTheRightToFrameNumbersTheRestIsProvenAndTheReasonSaid) {
  Wire();
  map_.host().SetFramesReadable(false);

  const PinProof proof = Verify();

  EXPECT_THAT(proof.status(), IsOk());
  EXPECT_EQ(proof.verdict(), ProofVerdict::kProven);
  EXPECT_EQ(Part(proof, ProofPart::kFrames).verdict, ProofVerdict::kNotProvable);
  EXPECT_THAT(Part(proof, ProofPart::kFrames).detail, HasSubstr("frame numbers"));
  EXPECT_EQ(Part(proof, ProofPart::kPageFlags).verdict, ProofVerdict::kNotProvable);
  EXPECT_EQ(Part(proof, ProofPart::kTransfer).verdict, ProofVerdict::kProven);
  EXPECT_THAT(proof.ToString(), HasSubstr("proven; not provable here: frames, page flags"));
}

TEST_F(PinVerifierTest, AMergedPageIsNamed) {
  Wire();
  map_.host().MergePages(HostPage(3));

  const PinProof proof = Verify();

  EXPECT_EQ(Part(proof, ProofPart::kPageFlags).verdict, ProofVerdict::kDisproven);
  EXPECT_THAT(proof.status(), StatusIs(absl::StatusCode::kFailedPrecondition,
                                       AllOf(HasSubstr("guest page 0x3000"), HasSubstr("KSM"))));
}

TEST_F(PinVerifierTest, ALockThatIsGoneIsDisprovenByTheRangeAndByVmLck) {
  Wire();
  map_.host().Unlock(HostPage(2));

  const PinProof proof = Verify();

  EXPECT_EQ(Part(proof, ProofPart::kLock).verdict, ProofVerdict::kDisproven);
  EXPECT_EQ(PartOf(proof.process, ProofPart::kVmLck).verdict, ProofVerdict::kDisproven);
  EXPECT_EQ(PartOf(proof.process, ProofPart::kVmPin).verdict, ProofVerdict::kProven);
  EXPECT_THAT(proof.status(), StatusIs(absl::StatusCode::kFailedPrecondition));
}

TEST_F(PinVerifierTest, TransfersThatCannotBeTriedAreNoDisproof) {
  Wire();
  map_.journal().FailNth(1, EMFILE);

  const PinProof proof = Verify();

  EXPECT_EQ(Part(proof, ProofPart::kTransfer).verdict, ProofVerdict::kNotProvable);
  EXPECT_THAT(proof.status(), IsOk());
  EXPECT_TRUE(BytesAreKept());
}

TEST_F(PinVerifierTest, WhicheverTransferFailsTheBytesAreKept) {
  Wire();
  for (uint64_t n = 1;; ++n) {
    map_.journal().FailNth(n, ENOMEM);
    Verify();
    EXPECT_TRUE(BytesAreKept()) << "transfer " << n;
    if (!map_.journal().failed()) break;
    ASSERT_LT(n, 1000u);
  }
  map_.journal().FailNth(0, 0);
}

TEST_F(PinVerifierTest, OfManyPagesTheFirstTheLastAndSomeAreTransferred) {
  Wire(MemoryBacking::kAnonymous, 300);
  map_.journal().Clear();

  const PinProof proof = Verify({.sample_pages = 10, .seed = 42});

  EXPECT_EQ(proof.seed, 42u);
  EXPECT_THAT(Part(proof, ProofPart::kTransfer).detail,
              AllOf(HasSubstr("10 of 300"), HasSubstr("seed 42")));
  EXPECT_EQ(map_.journal().EntriesWith("transfer in").size(), 20u);
  EXPECT_TRUE(BytesAreKept());
}

TEST_F(PinVerifierTest, OfAFewPagesAllAreTransferred) {
  Wire();
  map_.journal().Clear();

  EXPECT_THAT(Part(Verify({.sample_pages = kPages}), ProofPart::kTransfer).detail,
              HasSubstr("all 8"));
  EXPECT_EQ(map_.journal().EntriesWith("transfer in").size(), 2 * kPages);
}

TEST_F(PinVerifierTest, OnePageAndNoSampleStillTransfersIt) {
  Wire(MemoryBacking::kAnonymous, 1);
  EXPECT_EQ(Part(Verify({.sample_pages = 0}), ProofPart::kTransfer).verdict, ProofVerdict::kProven);
}

TEST_F(PinVerifierTest, TheTextHasALineForEachRangeAndPart) {
  Wire();

  const std::string text = Verify().ToString();

  EXPECT_THAT(text, HasSubstr("[0x0, 0x8000) guarded, anonymous, 32768 bytes: proven\n"));
  for (const char* part :
       {"pin table", "residency", "frames", "page flags", "lock", "buffers", "DMA round trip",
        "huge pages", "the process: proven", "VmLck", "VmPin"}) {
    EXPECT_THAT(text, HasSubstr(part));
  }
  EXPECT_THAT(text, Not(HasSubstr("DISPROVEN")));
}

TEST_F(ResidentVerifierTest, ThereIsNoBufferToProve) {
  Wire();

  const PinProof proof = Verify();

  EXPECT_THAT(proof.status(), IsOk());
  EXPECT_EQ(proof.verdict(), ProofVerdict::kProven);
  EXPECT_THAT(Part(proof, ProofPart::kTransfer).detail, HasSubstr("level 'resident'"));
  EXPECT_EQ(Part(proof, ProofPart::kTransfer).verdict, ProofVerdict::kNotProvable);
  EXPECT_EQ(Part(proof, ProofPart::kBuffers).verdict, ProofVerdict::kNotProvable);
}

TEST_F(ResidentVerifierTest, AFrameMayMove) {
  Wire();

  const PinProof proof =
      Verify({.disturb = [&] { map_.host().MoveFrames(object_->host_range()); }});

  EXPECT_EQ(Part(proof, ProofPart::kFrames).verdict, ProofVerdict::kProven);
  EXPECT_THAT(Part(proof, ProofPart::kFrames).detail, HasSubstr("moved: 8, as level"));
}

TEST_F(PinnedVerifierTest, NothingIsLockedAndThatIsSaid) {
  Wire();

  const PinProof proof = Verify();

  EXPECT_THAT(proof.status(), IsOk());
  EXPECT_EQ(Part(proof, ProofPart::kLock).verdict, ProofVerdict::kNotProvable);
}

TEST_F(PinnedVerifierTest, APageThatIsDiscardedIsNamedThreeTimes) {
  Wire();

  const PinProof proof =
      Verify({.disturb = [&] { ASSERT_THAT(map_.host().Discard(HostPage(5), {}), IsOk()); }});

  for (const ProofPart part : {ProofPart::kResidency, ProofPart::kFrames, ProofPart::kTransfer}) {
    EXPECT_EQ(Part(proof, part).verdict, ProofVerdict::kDisproven) << ToString(part);
    EXPECT_THAT(Part(proof, part).detail, HasSubstr("guest page 0x5000"));
  }
  EXPECT_EQ(Part(proof, ProofPart::kPinTable).verdict, ProofVerdict::kProven);
}

TEST_F(PinnedVerifierTest, APageThatIsDiscardedAndFaultedInAgainHasMoved) {
  Wire();

  const PinProof proof = Verify({.disturb = [&] {
    ASSERT_THAT(map_.host().Discard(HostPage(5), {}), IsOk());
    ASSERT_THAT(map_.host().Advise(HostPage(5), HostAdvice::kPopulateWrite), IsOk());
  }});

  EXPECT_EQ(Part(proof, ProofPart::kResidency).verdict, ProofVerdict::kProven);
  EXPECT_THAT(Part(proof, ProofPart::kFrames).detail, HasSubstr("0x5000"));
  EXPECT_EQ(Part(proof, ProofPart::kFrames).verdict, ProofVerdict::kDisproven);
  // The page reads as zeroes by both ways, so only a write can tell.
  EXPECT_THAT(Part(proof, ProofPart::kTransfer).detail, HasSubstr("0x5000"));
}

TEST_F(PinnedVerifierTest, ABufferOfOtherMemoryIsLeftAlone) {
  Wire();
  const std::shared_ptr<VmObject> other = map_.NewObject(1);
  const auto buffer = PinTable::BufferOf(*object_, 0);
  ASSERT_TRUE(buffer.has_value());

  EXPECT_THAT(DmaRoundTrip(map_.host(), *buffer, other->host_range().start(), 1),
              StatusIs(absl::StatusCode::kFailedPrecondition));
  EXPECT_TRUE(BytesAreKept());
}

}  // namespace
}  // namespace vmwire
