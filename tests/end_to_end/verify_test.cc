// `vmwire run --verify`: the proof of what is wired, before the guest runs.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <linux/capability.h>
#include <sys/prctl.h>
#include <unistd.h>

#include <cstdlib>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "tests/end_to_end/command.h"

namespace vmwire {
namespace {

using testing::AllOf;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Not;
using testing::StartsWith;

class VerifyTest : public LaunchTest {
 protected:
  static std::string FirstLine(const std::string& text) { return text.substr(0, text.find('\n')); }
};

TEST_F(VerifyTest, TouchWiredWholeIsProvenAndFindsWhatItFindsWithout) {
  const ProcessResult plain = Vmwire({"run", "--wire", "all", GuestPath("touch")});
  const ProcessResult verified = Vmwire({"run", "--wire", "all", "--verify", GuestPath("touch")});

  EXPECT_EQ(verified.exit_status, 0) << verified.err;
  EXPECT_EQ(FirstLine(verified.out), FirstLine(plain.out));
  EXPECT_THAT(verified.err,
              StartsWith("[0x0, 0x400000) guarded, anonymous, 4194304 bytes: proven"));
  EXPECT_THAT(verified.err,
              AllOf(HasSubstr("residency        proven"), HasSubstr("buffers          proven"),
                    HasSubstr("DMA round trip   proven"), HasSubstr("VmLck            proven"),
                    HasSubstr("VmPin            proven"), Not(HasSubstr("DISPROVEN"))));
}

TEST_F(VerifyTest, EachDmaWindowHasItsProof) {
  const ProcessResult result = Vmwire({"run", "--wire", "dma", "--dma-window", "1M+64K",
                                       "--dma-window", "3M+4K", "--verify", GuestPath("hello")});
  EXPECT_EQ(result.exit_status, 0) << result.err;
  EXPECT_THAT(result.err,
              HasSubstr("[0x100000, 0x110000) guarded, anonymous, 65536 bytes: proven"));
  EXPECT_THAT(result.err, HasSubstr("[0x300000, 0x301000) guarded, anonymous, 4096 bytes: proven"));
}

TEST_F(VerifyTest, WithPolicyNoneItSaysThatNothingIsWired) {
  const ProcessResult result = Vmwire({"run", "--wire", "none", "--verify", GuestPath("hello")});
  EXPECT_EQ(result.exit_status, 0);
  EXPECT_EQ(result.err, "nothing is wired, so there is nothing to prove\n");
}

TEST_F(VerifyTest, WithoutVerifyThereIsNoProof) {
  EXPECT_THAT(Vmwire({"run", GuestPath("hello")}).err, IsEmpty());
}

TEST_F(VerifyTest, TheOtherLevelsSayWhatTheyDoNotGive) {
  const ProcessResult resident =
      Vmwire({"run", "--verify", "--pin-level", "resident", GuestPath("hello")});
  EXPECT_EQ(resident.exit_status, 0);
  EXPECT_THAT(
      resident.err,
      HasSubstr("DMA round trip   not provable here: no registered buffer at level 'resident'"));
  const ProcessResult pinned =
      Vmwire({"run", "--verify", "--pin-level", "pinned", GuestPath("hello")});
  EXPECT_EQ(pinned.exit_status, 0);
  EXPECT_THAT(pinned.err, HasSubstr("lock             not provable here: level 'pinned'"));
}

TEST_F(VerifyTest, TheJsonHasTheProofToo) {
  const ProcessResult result = Vmwire({"run", "--verify", "--json", GuestPath("hello")});
  ASSERT_EQ(result.exit_status, 0) << result.err;
  const size_t json_start = result.err.rfind("\n{");
  ASSERT_NE(json_start, std::string::npos);
  const nlohmann::json proof = nlohmann::json::parse(result.err.substr(json_start))["proof"];
  EXPECT_EQ(proof["verdict"], "proven");
  ASSERT_EQ(proof["ranges"].size(), 1u);
  EXPECT_EQ(proof["ranges"][0]["range"], "[0x0, 0x400000)");
  EXPECT_EQ(proof["ranges"][0]["parts"]["DMA round trip"]["verdict"], "proven");
}

TEST_F(VerifyTest, WithoutSysAdminTheMissingPartsAreNamed) {
  const ProcessResult result = Vmwire({"run", "--verify", GuestPath("hello")}, [] {
    return prctl(PR_CAPBSET_DROP, CAP_SYS_ADMIN) == 0 || geteuid() != 0;
  });
  EXPECT_EQ(result.exit_status, 0) << result.err;
  EXPECT_THAT(result.err, HasSubstr("proven; not provable here: frames, page flags"));
  EXPECT_THAT(result.err, HasSubstr("DMA round trip   proven"));
}

TEST_F(VerifyTest, AProofThatFailsEndsTheLaunchBeforeTheGuestRuns) {
#ifdef VMWIRE_LYING_MLOCK
  const ProcessResult result = Vmwire({"run", "--verify", GuestPath("hello")}, [] {
    return setenv("LD_PRELOAD", VMWIRE_LYING_MLOCK, 1) == 0;
  });
  EXPECT_EQ(result.exit_status, 3);
  EXPECT_THAT(result.out, IsEmpty());
  EXPECT_THAT(result.err, AllOf(HasSubstr("[0x0, 0x400000) guarded"), HasSubstr("DISPROVEN"),
                                HasSubstr("the pins of [0x0, 0x400000) do not hold: lock"),
                                HasSubstr("guest page 0x0")));
#else
  GTEST_SKIP() << "a sanitizer's runtime wants to be the first that is loaded";
#endif
}

// What the default level needs, in a container that forbids it.
class NoIoUringTest : public LaunchTest {
 protected:
  static ProcessResult Run(std::vector<std::string> options) {
    options.insert(options.begin(), {"run", GuestPath("hello")});
    return Vmwire(options, ForbidIoUring);
  }
};

TEST_F(NoIoUringTest, TheDefaultIsRefusedAndWhatHelpsIsNamed) {
  const ProcessResult result = Run({});
  EXPECT_EQ(result.exit_status, 3);
  EXPECT_THAT(result.out, IsEmpty());
  EXPECT_THAT(result.err, AllOf(HasSubstr("io_uring"), HasSubstr("--pin-level resident")));
}

TEST_F(NoIoUringTest, WhatHelpsHelps) {
  EXPECT_EQ(Run({"--pin-level", "resident"}).exit_status, 0);
  EXPECT_EQ(Run({"--wire", "none"}).exit_status, 0);
}

}  // namespace
}  // namespace vmwire
