// Prints the bars: each figure beside its floor of the same run, the ratio, and whether the bar is
// met. A bar is judged by the ratio only. README.md of this folder says what P1 and the others are.
//
//   bars [--only BAR] [--rounds N] [--size-mib N]
//
// Exit status: 0 the figures were taken, whether their bars are met or missed; 1 something failed;
// 2 an option is wrong.
#include "bench/bars.h"

#include <cstdio>
#include <optional>
#include <string>
#include <vector>

#include "bench/raw_floor.h"
#include "bench/report.h"

namespace vmwire::bench {
namespace {

struct Bar {
  const char* number;
  void (*measure)(const Settings& settings);
};
constexpr Bar kBars[] = {{"P1", TranslateBar}, {"P2", HoldBar},     {"P3", WireAgainBar},
                         {"P4", PinPageBar},   {"P5", ColdWireBar}, {"P6", ShareBar},
                         {"P7", LaunchBar},    {"P9", DmaCopyBar},  {"P10", ManyRangesBar},
                         {"D", OnDemandBar},   {"B", BlockBar},     {"S", FirstByteBar}};

struct Request {
  Settings settings;
  std::string only;  // Empty: all bars.
};

int Run(const Request& request) {
  WarmUpHostMemory(request.settings.bytes + (uint64_t{256} << 20));
  PrintHeader();
  for (const Bar& bar : kBars) {
    if (request.only.empty() || request.only == bar.number) bar.measure(request.settings);
  }
  return 0;
}

// A whole number from 1 to a million, which is what both options take.
std::optional<int> ParseNumber(const std::string& text) {
  if (text.empty() || text.size() > 7) return std::nullopt;
  if (text.find_first_not_of("0123456789") != std::string::npos) return std::nullopt;
  const int number = std::stoi(text);
  if (number < 1 || number > 1'000'000) return std::nullopt;
  return number;
}

bool IsBar(const std::string& text) {
  for (const Bar& bar : kBars) {
    if (text == bar.number) return true;
  }
  return false;
}

// False: there is no such option, or it cannot have this value.
bool ParseOption(const std::string& name, const std::string& value, Request& request) {
  if (name == "--only") {
    request.only = value;
    return IsBar(value);
  }
  const std::optional<int> number = ParseNumber(value);
  if (!number.has_value()) return false;
  if (name == "--rounds") {
    request.settings.rounds = *number;
  } else if (name == "--size-mib") {
    request.settings.bytes = static_cast<uint64_t>(*number) << 20;
  } else {
    return false;
  }
  return true;
}

// Nullopt: an option is unknown, or lacks its value.
std::optional<Request> ParseArguments(const std::vector<std::string>& arguments) {
  Request request;
  for (size_t i = 1; i < arguments.size(); i += 2) {
    if (i + 1 == arguments.size()) return std::nullopt;
    if (!ParseOption(arguments[i], arguments[i + 1], request)) return std::nullopt;
  }
  return request;
}

}  // namespace
}  // namespace vmwire::bench

int main(int argc, char** argv) {
  const auto request = vmwire::bench::ParseArguments({argv, argv + argc});
  if (!request.has_value()) {
    std::fprintf(
        stderr,
        "usage: bars [--only P1|P2|P3|P4|P5|P6|P7|P9|P10|D|B|S] [--rounds N] [--size-mib N], each "
        "N from 1 to 1000000\n");
    return 2;
  }
  return vmwire::bench::Run(*request);
}
