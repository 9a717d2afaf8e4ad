// The verifier on the running kernel: what it proves of each level and backing, that it sees when a
// promise is broken, and what it says without the right to frame numbers.
#include "memory/pin_verifier.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <linux/capability.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <cstddef>
#include <iterator>
#include <memory>
#include <optional>
#include <string>
#include <tuple>
#include <vector>

#include "memory/host_memory_linux.h"
#include "memory/pin_promises.h"
#include "tests/support/child.h"
#include "tests/support/hugetlb_pool.h"
#include "tests/support/map_fixture.h"
#include "tests/support/status_matchers.h"

namespace vmwire {
namespace {

using testing::HasSubstr;

constexpr uint64_t kSize = 4 << 20;

// A map of one object at guest page 0 on the real host, wired whole, with bytes in it.
class WiredObject {
 public:
  WiredObject(PinLevel level, const VmObjectOptions& options)
      : pinner_(MakePinner(level, host_)), pins_(*pinner_, budget_), map_(pins_, {}) {
    auto object = VmObject::Create(host_, options);
    if (!object.ok()) {
      status_ = object.status();
      return;
    }
    object_ = *object;
    status_ = map_.Map(Pages(0, options.size / kPageSize), object_, 0, Protection::kReadWrite);
    if (!status_.ok()) return;
    auto token = map_.Wire(Pages(0, options.size / kPageSize));
    status_ = token.status();
    if (!status_.ok()) return;
    token_.emplace(*std::move(token));
    for (uint64_t i = 0; i < options.size; ++i) Bytes()[i] = static_cast<std::byte>(i * 13 >> 4);
    before_.assign(Bytes(), Bytes() + options.size);
  }

  const absl::Status& status() const { return status_; }
  std::byte* Bytes() const { return HostPointer(object_->host_range().start()); }
  bool BytesAreKept() const { return std::equal(before_.begin(), before_.end(), Bytes()); }
  PinProof Verify(const VerifyOptions& options = {}) {
    return PinVerifier(host_).Verify(map_, Pages(0, 1 << 20), options);
  }

 private:
  HostMemoryLinux host_;
  const std::unique_ptr<Pinner> pinner_;
  WireBudget budget_{{}};
  PinTable pins_;
  VmMap map_;
  std::shared_ptr<VmObject> object_;
  std::optional<WiredRange> token_;
  std::vector<std::byte> before_;
  absl::Status status_;
};

PartProof PartOf(const PinProof& proof, ProofPart wanted) {
  std::vector<PartProof> parts = proof.process;
  for (const RangeProof& range : proof.ranges) {
    parts.insert(parts.end(), range.parts.begin(), range.parts.end());
  }
  const auto found = std::find_if(parts.begin(), parts.end(),
                                  [wanted](const PartProof& part) { return part.part == wanted; });
  if (found != parts.end()) return *found;
  ADD_FAILURE() << "no part " << ToString(wanted);
  return {};
}

// What the host lacks for a test that skips itself then.
bool IsLack(const absl::Status& status) {
  return absl::IsUnimplemented(status) || absl::IsResourceExhausted(status);
}

// Root in the first user namespace is told frame numbers.
bool MayKnowFrames(const PinProof& proof) {
  return PartOf(proof, ProofPart::kFrames).verdict != ProofVerdict::kNotProvable;
}

using Kind = std::tuple<PinLevel, VmObjectOptions>;

const VmObjectOptions kKinds[] = {
    {.size = kSize, .huge_pages = HugePages::kTransparent},
    {.size = kSize, .huge_pages = HugePages::kNone},
    {.size = kSize, .backing = MemoryBacking::kMemfd},
    {.size = kSize, .backing = MemoryBacking::kMemfd, .sealed = true},
};

class PinVerifierKernelTest : public testing::TestWithParam<Kind> {};

TEST_P(PinVerifierKernelTest, WhatIsWiredIsProvenAndKeepsItsBytes) {
  const auto& [level, options] = GetParam();
  WiredObject wired(level, options);
  if (IsLack(wired.status())) GTEST_SKIP() << wired.status();
  ASSERT_THAT(wired.status(), IsOk());

  const PinProof proof = wired.Verify();

  EXPECT_THAT(proof.status(), IsOk()) << proof.ToString();
  EXPECT_EQ(proof.verdict(), ProofVerdict::kProven);
  for (const ProofPart part : {ProofPart::kPinTable, ProofPart::kResidency, ProofPart::kVmLck,
                               ProofPart::kVmPin, ProofPart::kHugePages}) {
    EXPECT_EQ(PartOf(proof, part).verdict, ProofVerdict::kProven) << proof.ToString();
  }
  const bool registers = level != PinLevel::kResident;
  EXPECT_EQ(PartOf(proof, ProofPart::kTransfer).verdict == ProofVerdict::kProven, registers);
  EXPECT_EQ(PartOf(proof, ProofPart::kBuffers).verdict == ProofVerdict::kProven, registers);
  EXPECT_TRUE(wired.BytesAreKept());
}

TEST_P(PinVerifierKernelTest, AMadvisePageoutBetweenTheLooksChangesNothing) {
  const auto& [level, options] = GetParam();
  WiredObject wired(level, options);
  if (IsLack(wired.status())) GTEST_SKIP() << wired.status();
  ASSERT_THAT(wired.status(), IsOk());

  const PinProof proof =
      wired.Verify({.disturb = [&] { madvise(wired.Bytes(), kSize, MADV_PAGEOUT); }});

  EXPECT_THAT(proof.status(), IsOk()) << proof.ToString();
  EXPECT_TRUE(wired.BytesAreKept());
}

INSTANTIATE_TEST_SUITE_P(All, PinVerifierKernelTest,
                         testing::Combine(testing::ValuesIn(kPinLevels), testing::ValuesIn(kKinds)),
                         [](const testing::TestParamInfo<Kind>& info) {
                           const VmObjectOptions& options = std::get<1>(info.param);
                           return ToString(std::get<0>(info.param)) + "_" +
                                  ToString(options.backing) + "_" + ToString(options.huge_pages) +
                                  (options.sealed ? "_sealed" : "");
                         });

TEST(PinVerifierKernelDisproofTest, WhatDontNeedTookFromAPinIsNamed) {
  WiredObject wired(PinLevel::kPinned, kKinds[1]);
  if (IsLack(wired.status())) GTEST_SKIP() << wired.status();
  ASSERT_THAT(wired.status(), IsOk());
  std::byte* const last = wired.Bytes() + kSize - kPageSize;

  const PinProof proof = wired.Verify({.disturb = [&] {
    ASSERT_EQ(madvise(last, kPageSize, MADV_DONTNEED), 0);
    *static_cast<volatile std::byte*>(last) = std::byte{1};  // Another frame.
  }});

  EXPECT_THAT(proof.status(),
              StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr("guest page 0x3ff000")));
  EXPECT_EQ(PartOf(proof, ProofPart::kTransfer).verdict, ProofVerdict::kDisproven);
  if (MayKnowFrames(proof)) {
    EXPECT_EQ(PartOf(proof, ProofPart::kFrames).verdict, ProofVerdict::kDisproven);
  }
}

TEST(PinVerifierKernelDisproofTest, ALockThatWasTakenBackIsSeen) {
  WiredObject wired(PinLevel::kGuarded, kKinds[1]);
  if (IsLack(wired.status())) GTEST_SKIP() << wired.status();
  ASSERT_THAT(wired.status(), IsOk());
  // Not munlock(3), of which AddressSanitizer makes nothing.
  ASSERT_EQ(syscall(SYS_munlock, wired.Bytes(), kSize), 0);

  const PinProof proof = wired.Verify();

  EXPECT_EQ(PartOf(proof, ProofPart::kLock).verdict, ProofVerdict::kDisproven) << proof.ToString();
  EXPECT_EQ(PartOf(proof, ProofPart::kVmLck).verdict, ProofVerdict::kDisproven);
  EXPECT_EQ(PartOf(proof, ProofPart::kTransfer).verdict, ProofVerdict::kProven);
}

TEST(PinVerifierKernelDisproofTest, CollapseMovesTheFramesOfALockAndOfNoPin) {
  constexpr int kCollapse = 25;  // MADV_COLLAPSE, Linux 6.1
  for (const PinLevel level : {PinLevel::kResident, PinLevel::kGuarded}) {
    WiredObject wired(level, kKinds[1]);
    if (IsLack(wired.status())) GTEST_SKIP() << wired.status();
    ASSERT_THAT(wired.status(), IsOk());
    int collapsed = -1;

    const PinProof proof =
        wired.Verify({.disturb = [&] { collapsed = madvise(wired.Bytes(), kSize, kCollapse); }});

    EXPECT_THAT(proof.status(), IsOk()) << proof.ToString();
    if (!MayKnowFrames(proof)) GTEST_SKIP() << "frame numbers cannot be known";
    if (level == PinLevel::kGuarded) {
      EXPECT_NE(collapsed, 0);
      EXPECT_THAT(PartOf(proof, ProofPart::kFrames).detail, HasSubstr("moved: 0"));
    } else if (collapsed == 0) {
      EXPECT_THAT(PartOf(proof, ProofPart::kFrames).detail, HasSubstr("as level 'resident'"));
    }
    EXPECT_TRUE(wired.BytesAreKept());
  }
}

// An unmapped page of a file is where it was: level 'pinned' keeps it through MADV_DONTNEED.
TEST(PinVerifierKernelDisproofTest, APageOfAFileThatLeftThePageTableOnlyIsStillProven) {
  WiredObject wired(PinLevel::kPinned, kKinds[2]);
  if (IsLack(wired.status())) GTEST_SKIP() << wired.status();
  ASSERT_THAT(wired.status(), IsOk());

  const PinProof proof = wired.Verify(
      {.disturb = [&] { ASSERT_EQ(madvise(wired.Bytes(), kSize, MADV_DONTNEED), 0); }});

  EXPECT_THAT(proof.status(), IsOk()) << proof.ToString();
  EXPECT_TRUE(wired.BytesAreKept());
}

TEST(PinVerifierKernelHugetlbTest, HugetlbMemoryIsProvenAtEveryLevel) {
  // Room for each level: Linux 6.1 lets go of pinned pages up to a second after they were unpinned.
  const uint64_t pages = std::size(kPinLevels) * (kSize / kHugePageSize);
  const absl::Status ran = RunWithHugetlbPool(pages, [] {
    for (const PinLevel level : kPinLevels) {
      WiredObject wired(level, {.size = kSize, .backing = MemoryBacking::kHugetlb});
      if (absl::IsUnimplemented(wired.status())) continue;
      ASSERT_THAT(wired.status(), IsOk());
      const PinProof proof = wired.Verify();
      EXPECT_EQ(proof.verdict(), ProofVerdict::kProven) << proof.ToString();
      EXPECT_THAT(PartOf(proof, ProofPart::kHugePages).detail, HasSubstr("(100 %)"));
      EXPECT_EQ(PartOf(proof, ProofPart::kLock).verdict, ProofVerdict::kNotProvable);
      EXPECT_TRUE(wired.BytesAreKept());
    }
  });
  if (absl::IsUnavailable(ran)) GTEST_SKIP() << ran;
  EXPECT_THAT(ran, IsOk());
}

// In a child, since capabilities that were dropped are gone.
void DropSysAdmin() {
  __user_cap_header_struct header = {_LINUX_CAPABILITY_VERSION_3, 0};
  __user_cap_data_struct data[2] = {};
  ASSERT_EQ(syscall(SYS_capget, &header, data), 0);
  data[0].effective &= ~(uint32_t{1} << CAP_SYS_ADMIN);
  ASSERT_EQ(syscall(SYS_capset, &header, data), 0);
}

TEST(PinVerifierKernelRightsTest, WithoutSysAdminItSaysWhichPartsAreMissing) {
  const absl::Status ran = RunInChild([] {
    DropSysAdmin();
    WiredObject wired(PinLevel::kGuarded, kKinds[1]);
    if (!wired.status().ok()) return wired.status();
    const PinProof proof = wired.Verify();
    EXPECT_EQ(proof.verdict(), ProofVerdict::kProven) << proof.ToString();
    EXPECT_THAT(proof.ToString(), HasSubstr("proven; not provable here: frames, page flags"));
    EXPECT_THAT(PartOf(proof, ProofPart::kFrames).detail, HasSubstr("CAP_SYS_ADMIN"));
    EXPECT_EQ(PartOf(proof, ProofPart::kTransfer).verdict, ProofVerdict::kProven);
    EXPECT_TRUE(wired.BytesAreKept());
    return absl::OkStatus();
  });
  if (IsLack(ran)) GTEST_SKIP() << ran;
  EXPECT_THAT(ran, IsOk());
}

}  // namespace
}  // namespace vmwire
