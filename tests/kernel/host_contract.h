// What the contract tests of HostMemory share: both hosts, with a limit that can be set, which the
// process cannot exceed.
//
// Thread safety: none.
#ifndef VMWIRE_TESTS_KERNEL_HOST_CONTRACT_H_
#define VMWIRE_TESTS_KERNEL_HOST_CONTRACT_H_

#include <gtest/gtest.h>

#include <cstdint>
#include <optional>
#include <string>

#include "memory/host_memory.h"
#include "memory/host_memory_linux.h"
#include "tests/fakes/fake_host_memory.h"
#include "tests/fakes/journal.h"
#include "tests/support/memlock_limit.h"
#include "tests/support/status_matchers.h"

namespace vmwire {

inline constexpr uint64_t kContractSize = 16 * kPageSize;

enum class HostKind { kFake, kLinux };

inline std::string HostKindName(const testing::TestParamInfo<HostKind>& info) {
  return info.param == HostKind::kFake ? "fake" : "linux";
}

class ContractHost {
 public:
  explicit ContractHost(HostKind kind) {
    if (kind == HostKind::kFake) {
      fake_.emplace(journal_);
    } else {
      linux_.emplace();
      // A ring is charged by the rights that its maker had.
      limit_.emplace();
    }
  }

  HostMemory& memory() {
    if (fake_.has_value()) return *fake_;
    return *linux_;
  }
  // Null: the real host.
  FakeHostMemory* fake() { return fake_.has_value() ? &*fake_ : nullptr; }
  absl::Status SetMemlockLimit(uint64_t bytes) {
    if (fake_.has_value()) {
      fake_->SetMemlockLimit(bytes);
      return absl::OkStatus();
    }
    return limit_->Set(bytes);
  }

 private:
  Journal journal_;
  std::optional<FakeHostMemory> fake_;
  std::optional<HostMemoryLinux> linux_;
  std::optional<MemlockLimit> limit_;
};

class HostContractTest : public testing::TestWithParam<HostKind> {
 protected:
  HostMemory& memory() { return host_.memory(); }
  bool is_fake() { return host_.fake() != nullptr; }

  HostRange Map(uint64_t size = kContractSize, uint64_t congruent_to = 0,
                std::optional<int> file = {}) {
    const auto range = memory().Map({.size = size, .congruent_to = congruent_to, .file = file});
    EXPECT_THAT(range, IsOk());
    return *range;
  }
  // A file of kContractSize bytes.
  int MakeFile() {
    const auto file = memory().CreateMemfd({.name = "contract"});
    EXPECT_THAT(file, IsOk());
    EXPECT_THAT(memory().ResizeFile(*file, kContractSize), IsOk());
    return *file;
  }
  // Resident, in small pages.
  HostRange MapResident() {
    const HostRange range = Map();
    // A kernel without huge pages refuses, and needs none of it.
    memory().Advise(range, HostAdvice::kNoHugePages).IgnoreError();
    EXPECT_THAT(memory().Advise(range, HostAdvice::kPopulateWrite), IsOk());
    return range;
  }
  HostRange PageOf(const HostRange& range, uint64_t page) {
    return *range.Slice(page * kPageSize, kPageSize);
  }
  HostUsage UsageOf(const HostRange& range) {
    const auto usage = memory().Usage(range);
    EXPECT_THAT(usage, IsOk());
    return usage.value_or(HostUsage{});
  }

  ContractHost host_{GetParam()};
};

// With a table of four registered buffers, which a host may have switched off.
class HostBufferContractTest : public HostContractTest {
 protected:
  void SetUp() override {
    const auto table = memory().CreateBufferTable(4);
    if (!table.ok()) GTEST_SKIP() << "no io_uring buffers: " << table.status();
    table_ = *table;
  }
  void TearDown() override {
    if (table_ != nullptr) memory().DestroyBufferTable(table_);
  }

  BufferTable table_ = nullptr;
};

}  // namespace vmwire

#endif  // VMWIRE_TESTS_KERNEL_HOST_CONTRACT_H_
