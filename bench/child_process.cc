#include "bench/child_process.h"

#include <fcntl.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <filesystem>

extern char** environ;

namespace vmwire::bench {

namespace {

using Clock = std::chrono::steady_clock;

double NanosecondsFrom(Clock::time_point start) {
  return std::chrono::duration<double, std::nano>(Clock::now() - start).count();
}

[[noreturn]] void Fail(const std::string& what) {
  std::fprintf(stderr, "%s failed\n", what.c_str());
  std::exit(1);
}

// Starts `command` with `stdout_fd` as its stdout.
pid_t Spawn(const std::vector<std::string>& command, int stdout_fd) {
  std::vector<char*> argv;
  for (const std::string& word : command) argv.push_back(const_cast<char*>(word.c_str()));
  argv.push_back(nullptr);
  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  posix_spawn_file_actions_adddup2(&actions, stdout_fd, STDOUT_FILENO);
  pid_t child = 0;
  const int error = posix_spawn(&child, argv[0], &actions, nullptr, argv.data(), environ);
  posix_spawn_file_actions_destroy(&actions);
  if (error != 0) Fail(command[0]);
  return child;
}

void WaitFor(pid_t child, const std::string& name) {
  int status = -1;
  waitpid(child, &status, 0);
  if (!WIFEXITED(status) || WEXITSTATUS(status) != 0) Fail(name);
}

}  // namespace

double TimeChild(const std::vector<std::string>& command) {
  const int nowhere = open("/dev/null", O_WRONLY | O_CLOEXEC);
  const auto start = Clock::now();
  WaitFor(Spawn(command, nowhere), command[0]);
  const double time = NanosecondsFrom(start);
  close(nowhere);
  return time;
}

double TimeToFirstByte(const std::vector<std::string>& command) {
  int ends[2];
  if (pipe2(ends, O_CLOEXEC) != 0) Fail("pipe2");
  const auto start = Clock::now();
  const pid_t child = Spawn(command, ends[1]);
  close(ends[1]);
  char byte = 0;
  if (read(ends[0], &byte, 1) != 1) Fail(command[0] + " printed nothing and");
  const double time = NanosecondsFrom(start);
  char rest[4096];
  while (read(ends[0], rest, sizeof(rest)) > 0) {
  }
  close(ends[0]);
  WaitFor(child, command[0]);
  return time;
}

std::string BuildFolder() {
  return std::filesystem::read_symlink("/proc/self/exe").parent_path().parent_path().string();
}

}  // namespace vmwire::bench
