// A thread between what a person types and a device that reads from a descriptor: it looks for the
// escape key in between.
//
//   input fd --> filter --> pipe --> output()
//
// Invariants: every byte that the filter lets through is written, in order, unless the object goes
// or the reader does. The filter sees what is typed also while nobody reads from the pipe, up to
// kMostWaiting bytes.
// Thread safety: made and destroyed by one thread; `filter` is called on the object's own.
#ifndef VMWIRE_VMM_CLI_FILTERED_INPUT_H_
#define VMWIRE_VMM_CLI_FILTERED_INPUT_H_

#include <cstddef>
#include <functional>
#include <memory>
#include <span>
#include <thread>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "devices/event_fd.h"

namespace vmwire {

class FilteredInput {
 public:
  using Filter = std::function<std::vector<std::byte>(std::span<const std::byte>)>;
  static constexpr size_t kMostWaiting = 65536;

  // ResourceExhausted: no descriptors, or no thread. REQUIRES: `input` stays open while the object
  // lives, and nobody else reads from it.
  static absl::StatusOr<std::unique_ptr<FilteredInput>> Start(int input, Filter filter);
  FilteredInput(const FilteredInput&) = delete;
  FilteredInput& operator=(const FilteredInput&) = delete;
  ~FilteredInput();

  // To be read from; ends when the input does. Stays the object's.
  int output() const { return read_end_; }

 private:
  FilteredInput(int input, Filter filter, int read_end, int write_end, EventFd stop)
      : input_(input),
        filter_(std::move(filter)),
        read_end_(read_end),
        write_end_(write_end),
        stop_(std::move(stop)) {}
  void Run();
  void ReadInput();
  void WriteWaiting();

  const int input_;
  const Filter filter_;
  const int read_end_;
  int write_end_;
  const EventFd stop_;
  // The thread's own.
  std::vector<std::byte> waiting_;
  bool input_ended_ = false;
  std::thread thread_;
};

}  // namespace vmwire

#endif  // VMWIRE_VMM_CLI_FILTERED_INPUT_H_
