#include "vmm/cli/doctor.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <fstream>
#include <string>

namespace vmwire {
namespace {

constexpr uint64_t kMiB = uint64_t{1} << 20;

HostLimits GoodLimits() {
  HostLimits limits;
  limits.memlock_soft = kUnlimited;
  limits.memlock_hard = kUnlimited;
  limits.memory_total = 1024 * kMiB;
  limits.memory_available = 512 * kMiB;
  limits.max_map_count = 65530;
  limits.thp_enabled = "madvise";
  limits.thp_shmem_enabled = "advise";
  return limits;
}

HostProbe GoodProbe() {
  HostProbe probe;
  probe.kvm_api_version = 12;
  probe.user_memory = 1;
  probe.memory_slots = 32764;
  probe.immediate_exit = 1;
  probe.readonly_memory = 1;
  probe.guest_memfd = 1;
  probe.guest_memfd_flags = 3;
  probe.has_buffer_tables = true;
  probe.has_buffer_cloning = true;
  probe.kvm_modules = {"kvm_intel"};
  return probe;
}

DoctorCheck CheckNamed(const std::vector<DoctorCheck>& checks, const std::string& name) {
  const auto found = std::find_if(checks.begin(), checks.end(),
                                  [&](const DoctorCheck& check) { return check.name == name; });
  if (found == checks.end()) {
    ADD_FAILURE() << "no check " << name;
    return {};
  }
  return *found;
}

void ExpectRemedies(const std::vector<DoctorCheck>& checks) {
  for (const DoctorCheck& check : checks) {
    if (check.verdict == DoctorVerdict::kPass) continue;
    EXPECT_FALSE(check.remedy.empty()) << check.name;
  }
}

TEST(JudgeHost, GoodHostPassesEverything) {
  const std::vector<DoctorCheck> checks = JudgeHost(GoodLimits(), GoodProbe());

  for (const DoctorCheck& check : checks) {
    EXPECT_EQ(check.verdict, DoctorVerdict::kPass) << check.name << ": " << check.detail;
  }
  EXPECT_EQ(DoctorExitStatus(checks), 0);
}

TEST(JudgeHost, HostWithNothingHasARemedyForEach) {
  HostProbe probe;
  probe.kvm_open_errno = ENOENT;
  probe.memfd_errno = EPERM;
  probe.io_uring_errno = ENOSYS;

  const std::vector<DoctorCheck> checks = JudgeHost(HostLimits(), probe);

  ExpectRemedies(checks);
  EXPECT_EQ(DoctorExitStatus(checks), 3);
}

TEST(JudgeHost, KvmWithoutCapabilitiesHasARemedyForEach) {
  HostProbe probe;
  probe.kvm_api_version = 12;

  const std::vector<DoctorCheck> checks = JudgeHost(GoodLimits(), probe);

  ExpectRemedies(checks);
  EXPECT_EQ(CheckNamed(checks, "KVM user memory").verdict, DoctorVerdict::kFail);
  EXPECT_EQ(CheckNamed(checks, "KVM memory slots").verdict, DoctorVerdict::kFail);
  EXPECT_EQ(CheckNamed(checks, "KVM immediate exit").verdict, DoctorVerdict::kFail);
  EXPECT_EQ(CheckNamed(checks, "KVM read-only memory").verdict, DoctorVerdict::kWarn);
  EXPECT_EQ(CheckNamed(checks, "KVM guest_memfd").verdict, DoctorVerdict::kWarn);
}

TEST(JudgeHost, GuestMemfdThatCannotBeMappedNamesTheKernelThatCan) {
  HostProbe probe = GoodProbe();
  probe.guest_memfd_flags = 0;

  const DoctorCheck check = CheckNamed(JudgeHost(GoodLimits(), probe), "KVM guest_memfd");

  EXPECT_EQ(check.verdict, DoctorVerdict::kWarn);
  EXPECT_NE(check.detail.find("cannot be mapped"), std::string::npos);
  EXPECT_NE(check.remedy.find("Linux 6.18"), std::string::npos);
}

TEST(JudgeHost, KernelWithoutCloningWarnsAndNamesTheKernelThatHasIt) {
  HostProbe probe = GoodProbe();
  probe.has_buffer_cloning = false;

  const std::vector<DoctorCheck> checks = JudgeHost(GoodLimits(), probe);
  const DoctorCheck check = CheckNamed(checks, "io_uring buffer cloning");

  EXPECT_EQ(check.verdict, DoctorVerdict::kWarn);
  EXPECT_NE(check.remedy.find("Linux 6.12"), std::string::npos);
  EXPECT_EQ(DoctorExitStatus(checks), 0);
}

TEST(JudgeHost, KernelWithoutSparseTablesCannotPinButStillRuns) {
  HostProbe probe = GoodProbe();
  probe.has_buffer_tables = false;

  const DoctorCheck check = CheckNamed(JudgeHost(GoodLimits(), probe), "io_uring");

  EXPECT_EQ(check.verdict, DoctorVerdict::kWarn);
  EXPECT_NE(check.remedy.find("--pin-level resident"), std::string::npos);
}

TEST(JudgeHost, HugetlbPoolSaysWhatIsFreeOrHowToFillIt) {
  HostLimits limits = GoodLimits();
  EXPECT_NE(CheckNamed(JudgeHost(limits, GoodProbe()), "hugetlb pool").detail.find("nr_hugepages"),
            std::string::npos);

  limits.hugetlb_2m_total = 8;
  limits.hugetlb_2m_free = 3;
  EXPECT_NE(CheckNamed(JudgeHost(limits, GoodProbe()), "hugetlb pool").detail.find("3 of 8"),
            std::string::npos);
}

TEST(JudgeHost, MissingRightToKvmNamesTheGroup) {
  HostProbe probe = GoodProbe();
  probe.kvm_open_errno = EACCES;

  const DoctorCheck check = CheckNamed(JudgeHost(GoodLimits(), probe), "/dev/kvm");

  EXPECT_EQ(check.verdict, DoctorVerdict::kFail);
  EXPECT_NE(check.remedy.find("usermod -aG kvm"), std::string::npos);
}

TEST(JudgeHost, KvmThatMakesNoVmFails) {
  HostProbe probe = GoodProbe();
  probe.kvm_create_errno = EBUSY;

  EXPECT_EQ(CheckNamed(JudgeHost(GoodLimits(), probe), "/dev/kvm").verdict, DoctorVerdict::kFail);
}

TEST(JudgeHost, ForeignKvmApiVersionFails) {
  HostProbe probe = GoodProbe();
  probe.kvm_api_version = 11;

  EXPECT_EQ(CheckNamed(JudgeHost(GoodLimits(), probe), "/dev/kvm").verdict, DoctorVerdict::kFail);
}

TEST(JudgeHost, KvmWithoutVmxOrSvmIsExplained) {
  HostProbe probe = GoodProbe();
  probe.kvm_modules = {"kvm_pvm"};

  const std::vector<DoctorCheck> checks = JudgeHost(GoodLimits(), probe);
  const DoctorCheck check = CheckNamed(checks, "guest ring 0");

  EXPECT_EQ(check.verdict, DoctorVerdict::kWarn);
  EXPECT_NE(check.detail.find("guests at CPL 0 are emulated"), std::string::npos);
  EXPECT_NE(check.detail.find("whatever --cpu hides"), std::string::npos);
  EXPECT_NE(check.remedy.find("--complete-emulation"), std::string::npos);
  EXPECT_NE(CheckNamed(checks, "/dev/kvm").detail.find("kvm_pvm"), std::string::npos);
  EXPECT_EQ(DoctorExitStatus(checks), 0);
}

TEST(JudgeHost, RingZeroIsEmulatedOnlyWhereNothingHelps) {
  HostProbe probe;
  EXPECT_TRUE(EmulatesRing0(probe)) << "no module, no flag";
  probe.has_vmx_or_svm = true;
  EXPECT_FALSE(EmulatesRing0(probe)) << "the flag alone: modules may be hidden";
  probe.kvm_modules = {"kvm_pvm"};
  EXPECT_TRUE(EmulatesRing0(probe));
  probe.kvm_modules = {"kvm_pvm", "kvm_amd"};
  EXPECT_FALSE(EmulatesRing0(probe));
}

TEST(JudgeHost, VcpuLimitIsTold) {
  HostProbe probe = GoodProbe();
  probe.vcpus = 2;
  probe.max_vcpus = 1024;
  EXPECT_EQ(CheckNamed(JudgeHost(GoodLimits(), probe), "KVM vCPUs").detail,
            "--cpus up to 255; at most 2 run at once here");

  probe.max_vcpus = 0;
  probe.vcpus = 0;
  EXPECT_EQ(CheckNamed(JudgeHost(GoodLimits(), probe), "KVM vCPUs").detail,
            "--cpus up to 4; at most 4 run at once here");
}

TEST(JudgeHost, UsualMemlockWarnsAndNamesTheHardLimit) {
  HostLimits limits = GoodLimits();
  limits.memlock_soft = 8 * kMiB;
  limits.memlock_hard = 16 * kMiB;

  const DoctorCheck check = CheckNamed(JudgeHost(limits, GoodProbe()), "RLIMIT_MEMLOCK");

  EXPECT_EQ(check.verdict, DoctorVerdict::kWarn);
  EXPECT_NE(check.detail.find("8 MiB"), std::string::npos);
  EXPECT_NE(check.remedy.find("ulimit -l 16384"), std::string::npos);
}

TEST(JudgeHost, MemlockOfNothingFails) {
  HostLimits limits = GoodLimits();
  limits.memlock_soft = 65536;
  limits.memlock_hard = 65536;

  const DoctorCheck check = CheckNamed(JudgeHost(limits, GoodProbe()), "RLIMIT_MEMLOCK");

  EXPECT_EQ(check.verdict, DoctorVerdict::kFail);
  EXPECT_NE(check.remedy.find("/etc/security/limits.d"), std::string::npos);
}

TEST(JudgeHost, CapabilityLiftsMemlock) {
  HostLimits limits = GoodLimits();
  limits.memlock_soft = 0;
  limits.may_exceed_memlock = true;

  EXPECT_EQ(CheckNamed(JudgeHost(limits, GoodProbe()), "RLIMIT_MEMLOCK").verdict,
            DoctorVerdict::kPass);
}

TEST(JudgeHost, TightCgroupWarnsAndFullOneFails) {
  HostLimits limits = GoodLimits();
  limits.cgroup = CgroupMemory{32 * kMiB, 16 * kMiB, "/sys/fs/cgroup/a"};
  EXPECT_EQ(CheckNamed(JudgeHost(limits, GoodProbe()), "memory cgroup").verdict,
            DoctorVerdict::kWarn);

  limits.cgroup->usage = 32 * kMiB;
  EXPECT_EQ(CheckNamed(JudgeHost(limits, GoodProbe()), "memory cgroup").verdict,
            DoctorVerdict::kFail);
}

TEST(JudgeHost, ThpOffWarns) {
  HostLimits limits = GoodLimits();
  limits.thp_enabled = "never";
  limits.thp_shmem_enabled = "deny";

  const std::vector<DoctorCheck> checks = JudgeHost(limits, GoodProbe());

  EXPECT_EQ(CheckNamed(checks, "THP, anonymous").verdict, DoctorVerdict::kWarn);
  EXPECT_EQ(CheckNamed(checks, "THP, memfd").verdict, DoctorVerdict::kWarn);
  EXPECT_EQ(DoctorExitStatus(checks), 0);
}

TEST(JudgeHost, IoUringSwitchedOffNamesTheSwitch) {
  HostLimits limits = GoodLimits();
  limits.io_uring_disabled = 2;
  HostProbe probe = GoodProbe();
  probe.io_uring_errno = EPERM;

  const DoctorCheck check = CheckNamed(JudgeHost(limits, probe), "io_uring");

  EXPECT_EQ(check.verdict, DoctorVerdict::kWarn);
  EXPECT_NE(check.remedy.find("kernel.io_uring_disabled=0"), std::string::npos);
}

TEST(FormatDoctorReport, AlignsDetailsAndPutsTheRemedyBelow) {
  const std::vector<DoctorCheck> checks = {{"a", DoctorVerdict::kPass, "fine", ""},
                                           {"long", DoctorVerdict::kFail, "bad", "do it"}};

  EXPECT_EQ(FormatDoctorReport(checks, false),
            "PASS  a     fine\n"
            "FAIL  long  bad\n"
            "            fix: do it\n");
}

TEST(FormatDoctorReport, ColorsTheVerdictOnly) {
  EXPECT_EQ(FormatDoctorReport({{"a", DoctorVerdict::kWarn, "b", "c"}}, true),
            "\x1b[33mWARN\x1b[0m  a  b\n         fix: c\n");
}

TEST(ProbeHost, MissingDeviceIsItsErrno) {
  EXPECT_EQ(ProbeHost("/nonexistent/kvm", "/nonexistent").kvm_open_errno, ENOENT);
}

TEST(ProbeHost, FlagsOfTheProcessorAreWholeWords) {
  const std::string path = testing::TempDir() + "vmwire-cpuinfo";
  const auto has = [&path](const std::string& text) {
    std::ofstream(path) << text;
    return ProbeHost("/nonexistent/kvm", "/nonexistent", path).has_vmx_or_svm;
  };
  EXPECT_TRUE(has("processor : 0\nflags\t\t: fpu svm sse\n"));
  EXPECT_TRUE(has("flags : vmx\n"));
  EXPECT_FALSE(has("flags : fpu svm_lock\nbugs : vmx\n"));
  EXPECT_FALSE(has(""));
  std::remove(path.c_str());
  EXPECT_FALSE(ProbeHost("/nonexistent/kvm", "/nonexistent", path).has_vmx_or_svm);
}

TEST(ProbeHost, DeviceThatIsNotKvmAnswersNothing) {
  const HostProbe probe = ProbeHost("/dev/null", "/nonexistent");

  EXPECT_EQ(probe.kvm_open_errno, 0);
  EXPECT_EQ(probe.user_memory, 0);
  EXPECT_TRUE(probe.kvm_modules.empty());
}

}  // namespace
}  // namespace vmwire
