// The command line of `vmwire run`, from words to a configuration.
//
// Invariants: a RunOptions that was parsed is consistent in itself; what the host says to it is the
// machine's to find out.
// Thread safety: values.
#ifndef VMWIRE_VMM_CLI_RUN_OPTIONS_H_
#define VMWIRE_VMM_CLI_RUN_OPTIONS_H_

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "vmm/boot/guest_image.h"
#include "vmm/machine_config.h"

namespace CLI {
class App;
}

namespace vmwire {

struct RunOptions {
  std::string image_path;
  ImageOptions image;
  MachineConfig machine;
  bool verify = false;
  bool stats = false;
  bool json = false;
};

// The words as they were given.
struct RunArguments {
  std::string image_path;
  std::string format = "auto";
  std::string start;
  std::string memory;
  std::string wire = "all";
  std::vector<std::string> dma_windows;
  std::string pin_level = "guarded";
  std::string wire_limit;
  bool irqchip = false;
  std::vector<std::string> disks;
  bool rng = false;
  bool console = false;
  bool balloon = false;
  bool dma_engine = false;
  std::string dma_keep;
  bool verify = false;
  bool stats = false;
  bool json = false;
};

// Declares the options of `run` on `command`, to be parsed into `arguments`, which outlives it.
void DeclareImageOptions(CLI::App& command, RunArguments& arguments);
void DeclareRunOptions(CLI::App& command, RunArguments& arguments);

// InvalidArgument, naming the option and the nearest value that there is: a value is not one of
// those that the option takes; a DMA window without
// --wire dma. Errors of ParseMemoryOption, ParseDmaWindow, ParseDiskOption and ParseByteSize.
absl::StatusOr<RunOptions> ResolveRunOptions(const RunArguments& arguments);
absl::StatusOr<ImageOptions> ResolveImageOptions(const RunArguments& arguments);

}  // namespace vmwire

#endif  // VMWIRE_VMM_CLI_RUN_OPTIONS_H_
