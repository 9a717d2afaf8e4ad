// Runs a program to its end for a test: what it printed, and how it ended.
//
// Invariants: the child is gone, and its pipes are closed, when Run or Finish returns; a child that
// outlives its time is killed, which fails the test.
// Thread safety: none.
#ifndef VMWIRE_TESTS_SUPPORT_PROCESS_H_
#define VMWIRE_TESTS_SUPPORT_PROCESS_H_

#include <sys/types.h>

#include <functional>
#include <string>
#include <vector>

namespace vmwire {

struct ProcessResult {
  int exit_status = -1;  // -1 if a signal ended it.
  int signal = 0;
  std::string out;
  std::string err;
};

class Process {
 public:
  // Starts `command`; its input is empty. `in_child` runs between fork and exec, for limits, rights
  // and namespaces; a false from it ends the child with status 125.
  explicit Process(const std::vector<std::string>& command,
                   const std::function<bool()>& in_child = {});
  Process(const Process&) = delete;
  Process& operator=(const Process&) = delete;
  ~Process();

  pid_t pid() const { return pid_; }
  void Signal(int signal) const;
  // Reads stdout until it holds `text`, or the time is up.
  bool WaitForOutput(const std::string& text);
  // Goes away as the reader of stdout, as `head` does.
  void CloseOutput();
  // Bytes of stdout that the child has written and nobody has read.
  int UnreadOutput() const;
  // True once the child has died. Reads nothing, unlike Finish.
  bool HasEnded() const;
  // Reads on to the end of the child.
  ProcessResult Finish();

  static ProcessResult Run(const std::vector<std::string>& command,
                           const std::function<bool()>& in_child = {});

 private:
  bool ReadSome();

  pid_t pid_ = -1;
  int out_ = -1;
  int err_ = -1;
  ProcessResult result_;
};

}  // namespace vmwire

#endif  // VMWIRE_TESTS_SUPPORT_PROCESS_H_
