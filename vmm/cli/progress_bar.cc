#include "vmm/cli/progress_bar.h"

#include <unistd.h>

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "vmm/cli/byte_size.h"
#include "vmm/cli/terminal.h"

namespace vmwire {
namespace {

// Carriage return, then "erase to the end of the line" (ECMA-48 EL).
constexpr char kEraseLine[] = "\r\x1b[K";
constexpr int kBarColumns = 20;
constexpr double kGiB = 1 << 30;

// "[#####               ]"
std::string Bar(double share) {
  const int filled = static_cast<int>(share * kBarColumns);
  return absl::StrCat("[", std::string(static_cast<size_t>(filled), '#'),
                      std::string(static_cast<size_t>(kBarColumns - filled), ' '), "]");
}

std::string TimeLeft(double seconds) {
  if (seconds < 60) return absl::StrFormat("%.0f s left", seconds);
  const auto whole = static_cast<int64_t>(std::min(seconds, 1e9));
  return absl::StrFormat("%d min %d s left", whole / 60, whole % 60);
}

}  // namespace

ProgressSink TerminalSink(int fd) {
  ProgressSink sink;
  sink.is_terminal = IsTerminal(fd);
  sink.width = TerminalWidth(fd);
  // A terminal that is gone is no reason to fail the run.
  sink.write = [fd](const std::string& text) {
    [[maybe_unused]] const ssize_t written = ::write(fd, text.data(), text.size());
  };
  sink.now = [] { return std::chrono::steady_clock::now(); };
  return sink;
}

ProgressBar::ProgressBar(std::string label)
    : ProgressBar(std::move(label), TerminalSink(STDERR_FILENO)) {}

ProgressBar::ProgressBar(std::string label, ProgressSink sink)
    : label_(std::move(label)),
      sink_(std::move(sink)),
      start_(sink_.now()),
      next_draw_(start_ + kFirstDraw) {}

ProgressBar::~ProgressBar() { Finish(); }

bool ProgressBar::Update(uint64_t done, uint64_t total) {
  if (!sink_.is_terminal || is_finished_ || total == 0) return true;
  const std::chrono::steady_clock::time_point now = sink_.now();
  if (now < next_draw_) return true;
  next_draw_ = now + kRedraw;
  is_drawn_ = true;
  sink_.write(absl::StrCat(kEraseLine, Line(std::min(done, total), total, now - start_)));
  return true;
}

void ProgressBar::Finish() {
  if (is_drawn_ && !is_finished_) sink_.write(kEraseLine);
  is_finished_ = true;
}

std::string ProgressBar::Line(uint64_t done, uint64_t total,
                              std::chrono::duration<double> elapsed) const {
  const double bytes_per_second = static_cast<double>(done) / elapsed.count();
  std::string line =
      absl::StrFormat("%s %s %s of %s, %.2f GiB/s", label_,
                      Bar(static_cast<double>(done) / static_cast<double>(total)),
                      FormatByteSize(done), FormatByteSize(total), bytes_per_second / kGiB);
  if (done > 0) {
    absl::StrAppend(&line, ", ", TimeLeft(static_cast<double>(total - done) / bytes_per_second));
  }
  // A wrapped line could not be erased; the last column is left free, since some terminals wrap
  // there.
  const auto widest = static_cast<size_t>(std::max(sink_.width - 1, 1));
  return line.substr(0, widest);
}

}  // namespace vmwire
