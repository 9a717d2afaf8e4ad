// Google Benchmark: a launch of hello from exec to exit, by policy, beside the bare program with
// the same system calls (and the same memory wired) and a process that does nothing.
#include <benchmark/benchmark.h>

#include <string>
#include <vector>

#include "bench/child_process.h"

namespace vmwire::bench {
namespace {

void TimeLaunch(benchmark::State& state, const std::vector<std::string>& command) {
  for (auto unused : state) state.SetIterationTime(TimeChild(command) * 1e-9);
}

void RegisterOne(const std::string& name, const std::vector<std::string>& command) {
  benchmark::RegisterBenchmark(name.c_str(),
                               [command](benchmark::State& state) { TimeLaunch(state, command); })
      ->UseManualTime()
      ->Unit(benchmark::kMillisecond);
}

void RegisterPair(const std::string& policy, const std::vector<std::string>& our_window,
                  const std::vector<std::string>& bare_window) {
  const std::string hello = BuildFolder() + "/guests/hello";
  std::vector<std::string> ours = {
      BuildFolder() + "/vmwire", "run", hello, "--memory", "size=128M", "--wire", policy};
  ours.insert(ours.end(), our_window.begin(), our_window.end());
  RegisterOne("BM_Launch/" + policy, ours);
  std::vector<std::string> bare = {BuildFolder() + "/bench/bare_launch", hello, "0x8000000"};
  bare.insert(bare.end(), bare_window.begin(), bare_window.end());
  RegisterOne("BM_BareLaunch/" + policy, bare);
}

void RegisterAll() {
  RegisterPair("none", {}, {});
  RegisterPair("dma", {"--dma-window", "0x4000000+0x400000"}, {"0x4000000+0x400000"});
  RegisterPair("all", {}, {"0+0x8000000"});
  RegisterOne("BM_BareProcess", {BuildFolder() + "/bench/bare_process"});
}

}  // namespace
}  // namespace vmwire::bench

int main(int argc, char** argv) {
  vmwire::bench::RegisterAll();
  benchmark::Initialize(&argc, argv);
  if (benchmark::ReportUnrecognizedArguments(argc, argv)) return 2;
  benchmark::RunSpecifiedBenchmarks();
  return 0;
}
