// S1: from exec of the command to the first byte that a guest prints, for an image of each format.
#include <string>
#include <vector>

#include "bench/bars.h"
#include "bench/child_process.h"
#include "bench/report.h"

namespace vmwire::bench {
namespace {

constexpr double kMillisecond = 1e6;
constexpr double kBar = 50 * kMillisecond;

// With the memory that `vmwire run` gives such an image by itself.
void FirstByte(const Settings& settings, const std::string& guest, const std::string& format) {
  const std::vector<std::string> ours = {BuildFolder() + "/vmwire", "run",
                                         BuildFolder() + "/guests/" + guest};
  const std::vector<std::string> bare = {BuildFolder() + "/bench/bare_process"};
  const Comparison result = Compare(4 * settings.rounds, [&] { return TimeToFirstByte(ours); },
                                    {[&] { return TimeChild(bare); }});
  PrintTime({"S1", "exec to first byte, " + guest + ", " + format, 0,
             "the floor is a process that does nothing"},
            result.ours.Percentile(0.5), result.BestFloor().Percentile(0.5), kBar);
}

}  // namespace

void FirstByteBar(const Settings& settings) {
  FirstByte(settings, "hello16", "boot sector");
  FirstByte(settings, "hello", "ELF64");
  FirstByte(settings, "multiboot", "multiboot");
  FirstByte(settings, "multiboot2", "multiboot2");
  FirstByte(settings, "pvh", "PVH");
}

}  // namespace vmwire::bench
