// Whatever a user gives that cannot be: one clear line on stderr, nothing on stdout, exit status 2.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdint>
#include <fstream>
#include <iterator>
#include <random>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "memory/host_limits.h"
#include "tests/end_to_end/command.h"
#include "vmm/guest_layout.h"

namespace vmwire {
namespace {

using testing::AllOf;
using testing::HasSubstr;
using testing::IsEmpty;

struct BadInput {
  std::string name;
  std::vector<std::string>
      arguments;  // "HELLO" and "MULTIBOOT" stand for these guests, "SCRATCH/..." for a file.
  std::string message;
};

std::string Content(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

// Random bytes that are no boot sector.
std::string Noise() {
  std::mt19937 random(1);
  std::string noise(4096, '\0');
  std::generate(noise.begin(), noise.end(), [&] { return static_cast<char>(random() & 0xff); });
  noise[510] = 0;
  return noise;
}

class BadInputTest : public testing::TestWithParam<BadInput> {
 protected:
  void SetUp() override {
    const std::string hello = Content(GuestPath("hello"));
    scratch_.File("empty", "");
    scratch_.File("noise", Noise());
    scratch_.File("truncated", hello.substr(0, 100));
    scratch_.File("half", hello.substr(0, 4100));  // Into the first segment.
    std::string other = hello;
    other[18] = static_cast<char>(183);  // e_machine: EM_AARCH64
    scratch_.File("aarch64", other);
    std::string elf32 = hello;
    elf32[4] = 1;  // EI_CLASS: ELFCLASS32
    scratch_.File("elf32", elf32);
    std::string large = std::string(512, '\0');
    large[510] = '\x55';
    large[511] = static_cast<char>(0xaa);
    scratch_.File("large", large + std::string(900 * 1024, '\0'));
  }

  std::vector<std::string> Expand(const std::vector<std::string>& words) const {
    std::vector<std::string> expanded;
    for (const std::string& word : words) {
      if (word == "HELLO") {
        expanded.push_back(GuestPath("hello"));
      } else if (word == "MULTIBOOT") {
        expanded.push_back(GuestPath("multiboot"));
      } else if (word.rfind("SCRATCH", 0) == 0) {
        expanded.push_back(scratch_.path() + word.substr(7));
      } else {
        expanded.push_back(word);
      }
    }
    return expanded;
  }

  ScratchFolder scratch_;
};

TEST_P(BadInputTest, IsRefusedWithStatus2AndALineThatHelps) {
  const ProcessResult result = Vmwire(Expand(GetParam().arguments));
  EXPECT_EQ(result.exit_status, 2);
  EXPECT_THAT(result.out, IsEmpty());
  EXPECT_THAT(result.err, HasSubstr(GetParam().message));
}

const BadInput kImages[] = {
    {"Missing", {"run", "SCRATCH/none"}, "No such file"},
    {"Empty", {"run", "SCRATCH/empty"}, "empty"},
    {"Directory", {"run", "SCRATCH"}, "directory"},
    {"Device", {"run", "/dev/zero"}, "not a regular file"},
    {"Truncated", {"run", "SCRATCH/truncated"}, "offset"},
    {"HalfAnElf", {"run", "SCRATCH/half"}, "offset"},
    {"Noise", {"run", "SCRATCH/noise"}, "--format flat"},
    {"OtherMachine", {"run", "SCRATCH/aarch64"}, "machine"},
    {"Elf32HeaderOnAnElf64", {"run", "SCRATCH/elf32"}, "no program headers"},
    {"DynamicExecutable", {"run", "/bin/true"}, "-static"},
    {"TooLargeForRealMode", {"run", "SCRATCH/large"}, "0x"},
    {"LargerThanGuestMemory", {"run", "HELLO", "--memory", "1M"}, "--memory size="},
    {"InspectedNoise", {"inspect", "SCRATCH/noise"}, "refused"},
};

const BadInput kMemory[] = {
    {"Zero", {"run", "HELLO", "--memory", "size=0"}, "size"},
    {"Negative", {"run", "HELLO", "--memory", "size=-4M"}, "negative"},
    {"Unaligned", {"run", "HELLO", "--memory", "size=4194305"}, "page"},
    {"Fraction", {"run", "HELLO", "--memory", "size=1.5M"}, "1.5M"},
    {"NoNumber", {"run", "HELLO", "--memory", "size=lots"}, "lots"},
    {"Beyond64Bits", {"run", "HELLO", "--memory", "size=99999999999999999999"}, "64 bits"},
    {"UnknownKey", {"run", "HELLO", "--memory", "sise=4M"}, "did you mean 'size'"},
    {"UnknownBacking", {"run", "HELLO", "--memory", "backing=memfx"}, "did you mean 'memfd'"},
    {"UnknownBackingNearGuestMemfd",
     {"run", "HELLO", "--memory", "backing=guest-memfd"},
     "did you mean 'guest_memfd'"},
    {"HugetlbNotWholePages", {"run", "HELLO", "--memory", "3M,backing=hugetlb"}, "2 MiB"},
    {"HugePagesOfHugetlb",
     {"run", "HELLO", "--memory", "backing=hugetlb,hugepages=thp"},
     "hugepages"},
    {"SealedAnonymous", {"run", "HELLO", "--memory", "4M,sealed"}, "backing=memfd"},
    {"SealedWithValue", {"run", "HELLO", "--memory", "backing=memfd,sealed=1"}, "no value"},
    {"UnknownHugePages", {"run", "HELLO", "--memory", "hugepages=tph"}, "did you mean 'thp'"},
};

const BadInput kOptions[] = {
    {"NoCommand", {}, "--help"},
    {"UnknownCommand", {"rnu", "HELLO"}, "did you mean 'run'"},
    {"UnknownOption", {"run", "HELLO", "--memroy", "4M"}, "did you mean '--memory'"},
    {"NoImage", {"run"}, "IMAGE"},
    {"UnknownPolicy", {"run", "HELLO", "--wire", "dmaa"}, "did you mean 'dma'"},
    {"UnknownLevel", {"run", "HELLO", "--pin-level", "pined"}, "did you mean 'pinned'"},
    {"UnknownLevelNearGuarded",
     {"run", "HELLO", "--pin-level", "gaurded"},
     "did you mean 'guarded'"},
    {"VerifyMistyped", {"run", "HELLO", "--verfy"}, "did you mean '--verify'"},
    {"VerifyWithNonsense", {"run", "HELLO", "--verify=perhaps"}, "--verify"},
    {"UnknownFormat", {"run", "HELLO", "--format", "elff"}, "did you mean 'elf'"},
    {"UnknownStart", {"run", "HELLO", "--start", "real61"}, "did you mean 'real16'"},
    {"WindowWithoutPolicy", {"run", "HELLO", "--dma-window", "0x200000+4K"}, "--wire dma"},
    {"WindowUnaligned",
     {"run", "HELLO", "--wire", "dma", "--dma-window", "0x200001+4K"},
     "page-aligned"},
    {"WindowWithoutLength", {"run", "HELLO", "--wire", "dma", "--dma-window", "0x200000"}, "+"},
    {"DiskKeyMistyped", {"run", "HELLO", "--disk", "path=a,readonyl"}, "did you mean 'readonly'"},
    {"DiskWithoutPath", {"run", "HELLO", "--disk", "readonly"}, "path=FILE"},
    {"DiskMistyped", {"run", "HELLO", "--disc", "path=a"}, "did you mean '--disk'"},
    {"KeepWithoutOnDemand", {"run", "HELLO", "--dma-keep", "1M"}, "--wire on-demand"},
    {"KeepNoSize", {"run", "HELLO", "--wire", "on-demand", "--dma-keep", "much"}, "--dma-keep"},
    {"PolicyNearOnDemand", {"run", "HELLO", "--wire", "ondemand"}, "did you mean 'on-demand'"},
    {"WireLimitNoSize", {"run", "HELLO", "--wire-limit", "much"}, "--wire-limit"},
    {"WireLimitEmpty", {"run", "HELLO", "--wire-limit", ""}, "--wire-limit: the value is empty"},
};

// What a guest is given beside its memory, and how it is watched.
const BadInput kGuestOptions[] = {
    {"ExpectEmpty", {"run", "HELLO", "--expect", ""}, "--expect: the value is empty"},
    {"ExpectUnclosed", {"run", "HELLO", "--expect", "(a"}, "--expect: '(a' is no regular"},
    {"ExpectLooksAhead", {"run", "HELLO", "--expect", "a(?!b)"}, "--expect: 'a(?!b)' looks ahead"},
    {"TimeoutEmpty", {"run", "HELLO", "--timeout", ""}, "--timeout: the value is empty"},
    {"TimeoutNoDuration", {"run", "HELLO", "--timeout", "soon"}, "write for example 30s"},
    {"TimeoutZero", {"run", "HELLO", "--timeout", "0s"}, "--timeout: '0s'"},
    {"NoCpus", {"run", "HELLO", "--cpus", "0"}, "--cpus"},
    {"CpusEmpty", {"run", "HELLO", "--cpus", ""}, "--cpus: the value is empty"},
    {"CpusNoNumber", {"run", "HELLO", "--cpus", "many"}, "--cpus"},
    {"CpuUnknownFeature", {"run", "HELLO", "--cpu", "hide=avxx"}, "did you mean 'avx'"},
    {"CpuUnknownKey", {"run", "HELLO", "--cpu", "hid=avx"}, "did you mean 'hide'"},
    {"InteractiveMistyped", {"run", "HELLO", "--interactive=seriel"}, "did you mean 'serial'"},
    {"InteractiveWithoutConsole", {"run", "HELLO", "--interactive=console"}, "add --console"},
    {"TraceMistyped", {"run", "HELLO", "--trace", "emulatoin"}, "did you mean 'emulation'"},
    {"TraceOfNoEmulation", {"run", "HELLO", "--trace", "emulation"}, "--complete-emulation"},
    {"ModuleWithoutPath", {"run", "HELLO", "--module", ",text"}, "FILE,TEXT"},
    {"ModuleEmpty", {"run", "HELLO", "--module", ""}, "--module: the value is empty"},
    {"ModuleMissing", {"run", "MULTIBOOT", "--module", "SCRATCH/none"}, "No such file"},
    {"InitrdEmpty", {"run", "HELLO", "--initrd", ""}, "--initrd: the value is empty"},
    {"InitrdMissing", {"run", "MULTIBOOT", "--initrd", "SCRATCH/none"}, "No such file"},
    {"InspectedWithEmptyFormat",
     {"inspect", "HELLO", "--format", ""},
     "--format: the value is empty"},
};

std::string NameOf(const testing::TestParamInfo<BadInput>& info) { return info.param.name; }

INSTANTIATE_TEST_SUITE_P(Image, BadInputTest, testing::ValuesIn(kImages), NameOf);
INSTANTIATE_TEST_SUITE_P(Memory, BadInputTest, testing::ValuesIn(kMemory), NameOf);
INSTANTIATE_TEST_SUITE_P(Option, BadInputTest, testing::ValuesIn(kOptions), NameOf);
INSTANTIATE_TEST_SUITE_P(GuestOption, BadInputTest, testing::ValuesIn(kGuestOptions), NameOf);

// What can only be refused once KVM says what its CPU can address, or the host what it has.
class LimitTest : public LaunchTest {};

TEST_F(LimitTest, MoreMemoryThanAGuestCanHaveIsRefused) {
  const ProcessResult result = Vmwire({"run", GuestPath("hello"), "--memory", "1000T"});
  EXPECT_EQ(result.exit_status, 2);
  EXPECT_THAT(result.err, HasSubstr("1099511627776000"));
}

TEST_F(LimitTest, MoreMemoryThanTheHostHasIsRefused) {
  const absl::StatusOr<HostLimits> limits = ReadHostLimits();
  ASSERT_TRUE(limits.ok()) << limits.status();
  const uint64_t total = limits->memory_total + limits->swap_total;
  const uint64_t size = (total + kGiB) / kPageSize * kPageSize;
  if (size > kMaxGuestMemory) GTEST_SKIP() << "a guest cannot have more memory than this host has";

  const ProcessResult result =
      Vmwire({"run", GuestPath("hello"), "--memory", std::to_string(size), "--wire", "none"});
  EXPECT_EQ(result.exit_status, 2);
  EXPECT_THAT(result.err, HasSubstr("--memory size"));
}

TEST_F(LimitTest, AWindowOutsideOfMemoryIsRefused) {
  const ProcessResult result =
      Vmwire({"run", GuestPath("hello"), "--wire", "dma", "--dma-window", "0x400000+4K"});
  EXPECT_EQ(result.exit_status, 2);
  EXPECT_THAT(result.err, HasSubstr("[0x400000, 0x401000)"));
}

TEST_F(LimitTest, AWireLimitTooSmallSaysWhatIsNeededUsedAndAllowed) {
  const ProcessResult result =
      Vmwire({"run", GuestPath("hello"), "--memory", "8M", "--wire-limit", "1M"});
  EXPECT_EQ(result.exit_status, 2);
  EXPECT_THAT(result.out, IsEmpty());
  EXPECT_THAT(result.err, AllOf(HasSubstr("needs 8388608"), HasSubstr("0 are in use"),
                                HasSubstr("allows 1048576"), HasSubstr("--wire-limit")));
}

TEST_F(LimitTest, RlimitMemlockTooSmallSaysWhatIsNeededUsedAndAllowed) {
  const ProcessResult result = Vmwire({"run", GuestPath("hello"), "--memory", "16M"},
                                      [] { return LimitLockedMemory(8 << 20); });
  EXPECT_EQ(result.exit_status, 2);
  EXPECT_THAT(result.err,
              AllOf(HasSubstr("needs 16777216"), HasSubstr("RLIMIT_MEMLOCK allows 8388608"),
                    HasSubstr("ulimit -l"), HasSubstr("--wire none")));
}

TEST_F(LimitTest, TheDefaultMemoryFitsTheUsualRlimitMemlock) {
  const ProcessResult result =
      Vmwire({"run", GuestPath("hello")}, [] { return LimitLockedMemory(8 << 20); });
  EXPECT_EQ(result.exit_status, 0) << result.err;
}

}  // namespace
}  // namespace vmwire
