#include "vmm/run_summary.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <chrono>
#include <nlohmann/json.hpp>
#include <string>

namespace vmwire {
namespace {

using testing::HasSubstr;
using testing::Not;

RunSummary SummaryOfTest() {
  RunSummary summary;
  summary.config.memory_bytes = 8 << 20;
  summary.wired_bytes = 4 << 20;
  summary.minor_faults = 12;
  summary.guest_memory =
      HostUsage{.resident_bytes = 4 << 20, .huge_bytes = 2 << 20, .locked_bytes = 4 << 20};
  summary.beyond_guest_memory = 1 << 20;
  const auto now = Timeline::Clock::now();
  summary.timeline.Mark(Step::kOpen, now + std::chrono::milliseconds(1));
  summary.timeline.Mark(Step::kMap, now + std::chrono::milliseconds(3));
  summary.run.exits.Add(KVM_EXIT_IO);
  summary.run.exits.Add(KVM_EXIT_IO);
  summary.run.exits.Add(KVM_EXIT_HLT);
  return summary;
}

TEST(RunSummaryTest, TheTableHasARowForEachFigure) {
  const std::string table = SummaryTable(SummaryOfTest());

  for (const std::string row : {"until open", "until map", "4.0 MiB", "2.0 MiB (50 %)", "12, 0",
                                "KVM_EXIT_IO                    2", "KVM_EXIT_HLT"}) {
    EXPECT_THAT(table, HasSubstr(row));
  }
}

TEST(RunSummaryTest, WhatTheHostDoesNotSayIsAbsent) {
  RunSummary summary = SummaryOfTest();
  summary.guest_memory.reset();
  summary.beyond_guest_memory.reset();

  EXPECT_THAT(SummaryTable(summary), Not(HasSubstr("on the host")));
  const nlohmann::json json = nlohmann::json::parse(SummaryJson(summary));
  EXPECT_FALSE(json.contains("host"));
  EXPECT_FALSE(json.contains("beyond_guest_memory_bytes"));
}

TEST(RunSummaryTest, AStepThatWasNotReachedIsAbsent) {
  const RunSummary summary = SummaryOfTest();

  EXPECT_THAT(SummaryTable(summary), Not(HasSubstr("until wire")));
  EXPECT_FALSE(nlohmann::json::parse(SummaryJson(summary))["time_ns"].contains("wire"));
}

TEST(RunSummaryTest, NothingResidentIsNoHugePageShare) {
  RunSummary summary = SummaryOfTest();
  summary.guest_memory = HostUsage{};

  EXPECT_THAT(SummaryTable(summary), HasSubstr("0.0 MiB (0 %)"));
}

TEST(RunSummaryTest, TheProofIsInTheJsonIfThereIsOne) {
  RunSummary summary = SummaryOfTest();
  EXPECT_FALSE(nlohmann::json::parse(SummaryJson(summary)).contains("proof"));
  summary.proof = PinProof{
      .ranges = {{.name = "[0x0, 0x1000)",
                  .host = HostRange::Create(HostAddress(0x1000), 0x1000).value(),
                  .level = PinLevel::kGuarded,
                  .backing = MemoryBacking::kMemfd,
                  .parts = {{ProofPart::kFrames, ProofVerdict::kNotProvable, "no right to know"},
                            {ProofPart::kBuffers, ProofVerdict::kProven, "one"}}}},
      .process = {{ProofPart::kVmLck, ProofVerdict::kProven, "enough"}},
      .seed = 7};

  const nlohmann::json json = nlohmann::json::parse(SummaryJson(summary))["proof"];

  EXPECT_EQ(json["verdict"], "proven");
  EXPECT_EQ(json["seed"], 7);
  EXPECT_EQ(json["ranges"][0]["range"], "[0x0, 0x1000)");
  EXPECT_EQ(json["ranges"][0]["level"], "guarded");
  EXPECT_EQ(json["ranges"][0]["parts"]["frames"]["verdict"], "not_provable");
  EXPECT_EQ(json["ranges"][0]["parts"]["frames"]["detail"], "no right to know");
  EXPECT_EQ(json["process"]["VmLck"]["verdict"], "proven");
}

TEST(RunSummaryTest, TheJsonIsOneLineWithTheSameFigures) {
  const std::string text = SummaryJson(SummaryOfTest());

  EXPECT_EQ(text.find('\n'), text.size() - 1);
  const nlohmann::json json = nlohmann::json::parse(text);
  EXPECT_EQ(json["guest_memory_bytes"], 8 << 20);
  EXPECT_EQ(json["wired_bytes"], 4 << 20);
  EXPECT_EQ(json["host"]["huge_bytes"], 2 << 20);
  EXPECT_EQ(json["exits"]["KVM_EXIT_IO"], 2);
  EXPECT_LT(json["time_ns"]["open"], json["time_ns"]["map"]);
}

}  // namespace
}  // namespace vmwire
