// P7: a launch of hello, beside a program that makes the same system calls.
#include <string>
#include <vector>

#include "bench/bars.h"
#include "bench/child_process.h"
#include "bench/report.h"

namespace vmwire::bench {
namespace {

constexpr char kWindow[] = "0x4000000+0x400000";
constexpr double kMillisecond = 1e6;

std::vector<std::string> OurLaunch(const std::string& policy) {
  return {BuildFolder() + "/vmwire",
          "run",
          BuildFolder() + "/guests/hello",
          "--memory",
          "size=128M",
          "--wire",
          policy};
}

std::vector<std::string> BareLaunch() {
  return {BuildFolder() + "/bench/bare_launch", BuildFolder() + "/guests/hello", "0x8000000"};
}

Comparison CompareChildren(const Settings& settings, const std::vector<std::string>& ours,
                           const std::vector<std::string>& bare) {
  return Compare(8 * settings.rounds, [&] { return TimeChild(ours); },
                 {[&] { return TimeChild(bare); }});
}

void Launch(const Settings& settings, const std::string& policy,
            const std::vector<std::string>& ours, const std::vector<std::string>& bare) {
  PrintCalls({"P7", "hello, 128 MiB, policy " + policy + ", exec to exit", 2, "solo5-hvt 26 ms"},
             CompareChildren(settings, ours, bare));
}

void BeyondProcess(const Settings& settings) {
  const Comparison result =
      CompareChildren(settings, OurLaunch("none"), {BuildFolder() + "/bench/bare_process"});
  const double floor = result.BestFloor().Percentile(0.5);
  PrintTime({"P7a", "  policy none, time beyond a bare process", 0, ""},
            result.ours.Percentile(0.5) - floor, floor, 10 * kMillisecond);
}

}  // namespace

void LaunchBar(const Settings& settings) {
  Launch(settings, "none", OurLaunch("none"), BareLaunch());
  BeyondProcess(settings);
  std::vector<std::string> ours = OurLaunch("dma");
  ours.insert(ours.end(), {"--dma-window", kWindow});
  std::vector<std::string> bare = BareLaunch();
  bare.push_back(kWindow);
  Launch(settings, "dma (4 MiB)", ours, bare);
}

}  // namespace vmwire::bench
