#include "tests/support/process.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <chrono>

namespace vmwire {
namespace {

// Long enough for a sanitizer's build on a busy machine; a test that meets it has hung.
constexpr std::chrono::seconds kPatience{120};

void Drain(int& fd, std::string& text) {
  std::array<char, 4096> buffer;
  const ssize_t bytes = read(fd, buffer.data(), buffer.size());
  if (bytes > 0) {
    text.append(buffer.data(), static_cast<size_t>(bytes));
  } else {
    close(fd);
    fd = -1;
  }
}

}  // namespace

Process::Process(const std::vector<std::string>& command, const std::function<bool()>& in_child) {
  std::array<int, 2> out;
  std::array<int, 2> err;
  if (pipe2(out.data(), O_CLOEXEC) != 0 || pipe2(err.data(), O_CLOEXEC) != 0) {
    ADD_FAILURE() << "no pipe";
    return;
  }
  std::vector<char*> argv;
  for (const std::string& word : command) argv.push_back(const_cast<char*>(word.c_str()));
  argv.push_back(nullptr);
  pid_ = fork();
  if (pid_ == 0) {
    const int nothing = open("/dev/null", O_RDONLY);
    dup2(nothing, STDIN_FILENO);
    dup2(out[1], STDOUT_FILENO);
    dup2(err[1], STDERR_FILENO);
    if (in_child && !in_child()) _exit(125);
    execv(argv[0], argv.data());
    _exit(127);
  }
  close(out[1]);
  close(err[1]);
  out_ = out[0];
  err_ = err[0];
}

Process::~Process() {
  if (pid_ > 0) {
    kill(pid_, SIGKILL);
    waitpid(pid_, nullptr, 0);
  }
  if (out_ >= 0) close(out_);
  if (err_ >= 0) close(err_);
}

void Process::Signal(int signal) const { kill(pid_, signal); }

bool Process::ReadSome() {
  if (out_ < 0 && err_ < 0) return false;
  std::array<pollfd, 2> files = {pollfd{out_, POLLIN, 0}, pollfd{err_, POLLIN, 0}};
  if (poll(files.data(), files.size(),
           static_cast<int>(std::chrono::milliseconds(kPatience).count())) <= 0) {
    ADD_FAILURE() << "no output and no end within " << kPatience.count() << " s";
    kill(pid_, SIGKILL);
    return false;
  }
  if (files[0].revents != 0) Drain(out_, result_.out);
  if (files[1].revents != 0) Drain(err_, result_.err);
  return true;
}

bool Process::WaitForOutput(const std::string& text) {
  while (result_.out.find(text) == std::string::npos) {
    if (!ReadSome()) return false;
  }
  return true;
}

void Process::CloseOutput() {
  if (out_ >= 0) close(out_);
  out_ = -1;
}

int Process::UnreadOutput() const {
  int bytes = 0;
  return ioctl(out_, FIONREAD, &bytes) == 0 ? bytes : 0;
}

bool Process::HasEnded() const {
  siginfo_t info = {};
  // WNOWAIT: its status stays for Finish.
  return waitid(P_PID, static_cast<id_t>(pid_), &info, WEXITED | WNOHANG | WNOWAIT) == 0 &&
         info.si_pid == pid_;
}

ProcessResult Process::Finish() {
  while (ReadSome()) {
  }
  int status = 0;
  if (pid_ > 0 && waitpid(pid_, &status, 0) == pid_) {
    if (WIFEXITED(status)) result_.exit_status = WEXITSTATUS(status);
    if (WIFSIGNALED(status)) result_.signal = WTERMSIG(status);
  }
  pid_ = -1;
  return result_;
}

ProcessResult Process::Run(const std::vector<std::string>& command,
                           const std::function<bool()>& in_child) {
  return Process(command, in_child).Finish();
}

}  // namespace vmwire
