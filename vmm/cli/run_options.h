// The command line of `vmwire run`, from words to a configuration.
//
// Invariants: a RunOptions that was parsed is consistent in itself; what the host says to it is the
// machine's to find out.
// Thread safety: values.
#ifndef VMWIRE_VMM_CLI_RUN_OPTIONS_H_
#define VMWIRE_VMM_CLI_RUN_OPTIONS_H_

#include <chrono>
#include <cstdint>
#include <optional>
#include <regex>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "vmm/boot/guest_image.h"
#include "vmm/machine_config.h"

namespace CLI {
class App;
}

namespace vmwire {

// To whom stdin goes, beside the virtio console, which has it unless somebody else has.
enum class Interaction {
  kNone,
  kSerial,   // The guest's serial port; a terminal is raw.
  kConsole,  // The virtio console; a terminal is raw.
};

struct RunOptions {
  std::string image_path;
  ImageOptions image;
  MachineConfig machine;
  // Without, the machine's memory is DefaultMemoryFor the image.
  bool has_memory_size = false;
  // What ends the run with status 0 when the guest prints it.
  std::optional<std::regex> expect = std::nullopt;
  // How long the whole run may take, from the loading of the image on.
  std::optional<std::chrono::milliseconds> timeout = std::nullopt;
  Interaction interactive = Interaction::kNone;
  bool trace_io = false;
  bool trace_emulation = false;
  bool verify = false;
  bool stats = false;
  bool json = false;
};

// The words as they were given.
struct RunArguments {
  std::string image_path;
  std::string format = "auto";
  std::string start;
  std::string command_line;
  std::string initrd;
  std::vector<std::string> modules;
  uint32_t cpus = 1;
  std::string cpu;
  bool virtio_cmdline = false;
  bool complete_emulation = false;
  std::string trace;
  std::string expect;
  std::string timeout;
  std::string interactive;
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

// Declares the options of `run` on `command`, to be parsed into `arguments`, which outlives it. An
// empty value is an error of parsing, but for the guest's command line.
void DeclareImageOptions(CLI::App& command, RunArguments& arguments);
void DeclareRunOptions(CLI::App& command, RunArguments& arguments);

// InvalidArgument, naming the option and the nearest value that there is: a value is not one of
// those that the option takes; a DMA window without --wire dma, a console without --console, a
// trace of emulation without --complete-emulation, no CPU or too many, a module without a path.
// Errors of ParseMemoryOption, ParseDmaWindow, ParseDiskOption, ParseByteSize, ParseCpuOption,
// ParseExpression and ParseDuration.
absl::StatusOr<RunOptions> ResolveRunOptions(const RunArguments& arguments);
absl::StatusOr<ImageOptions> ResolveImageOptions(const RunArguments& arguments);

}  // namespace vmwire

#endif  // VMWIRE_VMM_CLI_RUN_OPTIONS_H_
