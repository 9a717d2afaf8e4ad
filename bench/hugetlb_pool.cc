#include "bench/hugetlb_pool.h"

#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <fstream>

#include "absl/strings/str_format.h"

namespace vmwire::bench {
namespace {

constexpr char kPool[] = "/sys/kernel/mm/hugepages/hugepages-2048kB/nr_hugepages";

// 0 if the kernel has no such pages.
uint64_t PoolPages() {
  std::ifstream file(kPool);
  uint64_t pages = 0;
  file >> pages;
  return pages;
}

void SetPoolPages(uint64_t pages) {
  std::ofstream file(kPool);
  file << pages << std::flush;
}

class LargerPool {
 public:
  explicit LargerPool(uint64_t more) : before_(PoolPages()) {
    SetPoolPages(before_ + more);
    ready_ = PoolPages() == before_ + more;
  }
  LargerPool(const LargerPool&) = delete;
  LargerPool& operator=(const LargerPool&) = delete;
  ~LargerPool() { SetPoolPages(before_); }

  bool ready() const { return ready_; }

 private:
  const uint64_t before_;
  bool ready_ = false;
};

// For as long as this lives the terminal cannot end this process.
class NoInterrupts {
 public:
  NoInterrupts() : interrupt_(std::signal(SIGINT, SIG_IGN)), end_(std::signal(SIGTERM, SIG_IGN)) {}
  NoInterrupts(const NoInterrupts&) = delete;
  NoInterrupts& operator=(const NoInterrupts&) = delete;
  ~NoInterrupts() { Restore(); }
  void Restore() const {
    std::signal(SIGINT, interrupt_);
    std::signal(SIGTERM, end_);
  }

 private:
  void (*const interrupt_)(int);
  void (*const end_)(int);
};

// False: the child did not end well.
bool RunInChild(const std::function<void()>& body, const NoInterrupts& signals) {
  std::fflush(nullptr);
  const pid_t parent = getpid();
  const pid_t child = fork();
  if (child < 0) return false;
  if (child == 0) {
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != parent) _exit(1);
    signals.Restore();
    body();
    std::fflush(nullptr);
    _exit(0);
  }
  int status = 0;
  while (waitpid(child, &status, 0) < 0 && errno == EINTR) {
  }
  return WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

}  // namespace

absl::Status RunWithHugetlbPool(uint64_t pages, const std::function<void()>& body) {
  bool ended_well = false;
  {
    const NoInterrupts signals;
    const LargerPool pool(pages);
    if (!pool.ready()) {
      return absl::UnavailableError(absl::StrFormat(
          "%d more pages in %s cannot be had: it takes root, and memory that is not "
          "in pieces",
          pages, kPool));
    }
    ended_well = RunInChild(body, signals);
  }
  if (!ended_well) {
    std::fprintf(stderr, "what ran with hugetlb pages failed\n");
    std::exit(1);
  }
  return absl::OkStatus();
}

}  // namespace vmwire::bench
