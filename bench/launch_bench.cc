// Google Benchmark: a launch of hello from exec to exit, by policy, beside the bare program with
// the same system calls and a process that does nothing.
#include <benchmark/benchmark.h>

#include <string>
#include <vector>

#include "bench/child_process.h"

namespace vmwire::bench {
namespace {

std::string build_folder;

void TimeLaunch(benchmark::State& state, const std::vector<std::string>& command) {
  for (auto unused : state) state.SetIterationTime(TimeChild(command) * 1e-9);
}

void Register() {
  const std::string hello = build_folder + "/guests/hello";
  for (const std::string policy : {"none", "dma", "all"}) {
    const std::vector<std::string> ours = {
        build_folder + "/vmwire", "run", hello, "--memory", "size=128M", "--wire", policy};
    benchmark::RegisterBenchmark(("BM_Launch/" + policy).c_str(),
                                 [ours](benchmark::State& state) { TimeLaunch(state, ours); })
        ->UseManualTime()
        ->Unit(benchmark::kMillisecond);
  }
  const std::vector<std::string> bare = {build_folder + "/bench/bare_launch", hello, "0x8000000"};
  benchmark::RegisterBenchmark("BM_BareLaunch",
                               [bare](benchmark::State& state) { TimeLaunch(state, bare); })
      ->UseManualTime()
      ->Unit(benchmark::kMillisecond);
  const std::vector<std::string> idle = {build_folder + "/bench/bare_process"};
  benchmark::RegisterBenchmark("BM_BareProcess",
                               [idle](benchmark::State& state) { TimeLaunch(state, idle); })
      ->UseManualTime()
      ->Unit(benchmark::kMillisecond);
}

}  // namespace
}  // namespace vmwire::bench

int main(int argc, char** argv) {
  const std::string self = argv[0];
  const size_t bench = self.rfind("/bench/");
  vmwire::bench::build_folder = bench == std::string::npos ? ".." : self.substr(0, bench);
  vmwire::bench::Register();
  benchmark::Initialize(&argc, argv);
  if (benchmark::ReportUnrecognizedArguments(argc, argv)) return 2;
  benchmark::RunSpecifiedBenchmarks();
  return 0;
}
