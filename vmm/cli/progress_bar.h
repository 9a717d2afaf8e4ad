// The line that shows how far a long wiring is: bytes, GiB/s and the time left. Nothing for a short
// one, and nothing where no person watches.
//
// Invariants: writes only to a terminal; draws first after kFirstDraw, at most ten times a second,
// never wider than the terminal; what it drew is erased when it ends.
//
// Thread safety: none; Update is for the thread that wires.
#ifndef VMWIRE_VMM_CLI_PROGRESS_BAR_H_
#define VMWIRE_VMM_CLI_PROGRESS_BAR_H_

#include <chrono>
#include <cstdint>
#include <functional>
#include <string>

namespace vmwire {

// Where a bar draws and what it tells the time by.
struct ProgressSink {
  bool is_terminal = false;
  int width = 80;  // Columns.
  std::function<void(const std::string&)> write;
  std::function<std::chrono::steady_clock::time_point()> now;
};

// The file descriptor `fd` and the steady clock.
ProgressSink TerminalSink(int fd);

class ProgressBar {
 public:
  static constexpr std::chrono::milliseconds kFirstDraw{500};
  static constexpr std::chrono::milliseconds kRedraw{100};

  // A bar on stderr that starts with `label`. The time counts from here.
  explicit ProgressBar(std::string label);
  ProgressBar(std::string label, ProgressSink sink);

  ProgressBar(const ProgressBar&) = delete;
  ProgressBar& operator=(const ProgressBar&) = delete;
  ~ProgressBar();

  // `done` of `total` bytes are wired. Always true, "go on", so that it may serve as a
  // WireProgress.
  bool Update(uint64_t done, uint64_t total);

  // Erases the line. May be called again; an Update after it does nothing.
  void Finish();

 private:
  std::string Line(uint64_t done, uint64_t total, std::chrono::duration<double> elapsed) const;

  const std::string label_;
  const ProgressSink sink_;
  std::chrono::steady_clock::time_point start_;
  std::chrono::steady_clock::time_point next_draw_;
  bool is_drawn_ = false;
  bool is_finished_ = false;
};

}  // namespace vmwire

#endif  // VMWIRE_VMM_CLI_PROGRESS_BAR_H_
