#include "vmm/cli/run_options.h"

#include <CLI/CLI.hpp>
#include <initializer_list>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "memory/status_macros.h"
#include "vmm/cli/byte_size.h"
#include "vmm/cli/cpu_option.h"
#include "vmm/cli/disk_option.h"
#include "vmm/cli/duration.h"
#include "vmm/cli/expect_watch.h"
#include "vmm/cli/memory_option.h"
#include "vmm/cli/suggest.h"

namespace vmwire {
namespace {

constexpr char kCommandLineOption[] = "cmdline";

// The status of a value with the option that it was given to in front.
absl::Status Of(const std::string& option, const absl::Status& status) {
  return absl::Status(status.code(), absl::StrCat(option, ": ", std::string(status.message())));
}

// The one of `choices` whose name is `word`.
template <typename T>
absl::StatusOr<T> Choose(const std::string& option, const std::string& word,
                         std::initializer_list<T> choices) {
  std::vector<std::string> known;
  for (const T choice : choices) {
    known.emplace_back(ToString(choice));
    if (known.back() == word) return choice;
  }
  return absl::InvalidArgumentError(
      absl::StrCat(option, ": ", UnknownWordMessage("value", word, known)));
}

absl::Status ResolveMemory(const RunArguments& arguments, RunOptions& options) {
  if (arguments.memory.empty()) return absl::OkStatus();
  const absl::StatusOr<MemoryOption> memory = ParseMemoryOption(arguments.memory);
  if (!memory.ok()) return Of("--memory", memory.status());
  MachineConfig& machine = options.machine;
  options.has_memory_size = memory->size.has_value();
  machine.memory_bytes = memory->size.value_or(kDefaultMemoryBytes);
  machine.backing = memory->backing;
  machine.huge_pages = memory->huge_pages;
  machine.sealed = memory->sealed;
  return absl::OkStatus();
}

absl::Status ResolveWiring(const RunArguments& arguments, MachineConfig& machine) {
  VMWIRE_ASSIGN_OR_RETURN(machine.wire, Choose("--wire", arguments.wire,
                                               {WirePolicyKind::kAll, WirePolicyKind::kDma,
                                                WirePolicyKind::kOnDemand, WirePolicyKind::kNone}));
  VMWIRE_ASSIGN_OR_RETURN(machine.pin_level,
                          Choose("--pin-level", arguments.pin_level,
                                 {PinLevel::kResident, PinLevel::kPinned, PinLevel::kGuarded}));
  if (!arguments.dma_windows.empty() && machine.wire != WirePolicyKind::kDma) {
    return absl::InvalidArgumentError(absl::StrCat("--dma-window is for --wire dma; with --wire ",
                                                   arguments.wire, " it would do nothing"));
  }
  for (const std::string& text : arguments.dma_windows) {
    const absl::StatusOr<GuestRange> window = ParseDmaWindow(text);
    if (!window.ok()) return Of("--dma-window", window.status());
    machine.dma_windows.push_back(*window);
  }
  if (!arguments.wire_limit.empty()) {
    const absl::StatusOr<uint64_t> limit = ParseByteSize(arguments.wire_limit);
    if (!limit.ok()) return Of("--wire-limit", limit.status());
    machine.wire_limit = *limit;
  }
  return absl::OkStatus();
}

absl::Status ResolveDevices(const RunArguments& arguments, MachineConfig& machine) {
  DeviceConfig& devices = machine.devices;
  for (const std::string& text : arguments.disks) {
    const absl::StatusOr<DiskConfig> disk = ParseDiskOption(text);
    if (!disk.ok()) return Of("--disk", disk.status());
    devices.disks.push_back(*disk);
  }
  devices.rng = arguments.rng;
  devices.console = arguments.console;
  devices.balloon = arguments.balloon;
  devices.dma_engine = arguments.dma_engine;
  if (arguments.dma_keep.empty()) return absl::OkStatus();
  if (machine.wire != WirePolicyKind::kOnDemand) {
    return absl::InvalidArgumentError(
        absl::StrCat("--dma-keep is for --wire on-demand; with "
                     "--wire ",
                     arguments.wire, " it would do nothing"));
  }
  const absl::StatusOr<uint64_t> keep = ParseByteSize(arguments.dma_keep);
  if (!keep.ok()) return Of("--dma-keep", keep.status());
  devices.dma_keep_bytes = *keep;
  return absl::OkStatus();
}

absl::Status ResolveCpus(const RunArguments& arguments, MachineConfig& machine) {
  if (arguments.cpus == 0 || arguments.cpus > kMaxCpus) {
    return absl::InvalidArgumentError(
        absl::StrCat("--cpus: a machine has 1 to ", kMaxCpus, " CPUs, not ", arguments.cpus));
  }
  machine.cpus = arguments.cpus;
  machine.complete_emulation = arguments.complete_emulation;
  machine.devices_on_command_line = arguments.virtio_cmdline;
  if (arguments.cpu.empty()) return absl::OkStatus();
  absl::StatusOr<std::vector<std::string>> hidden = ParseCpuOption(arguments.cpu);
  if (!hidden.ok()) return Of("--cpu", hidden.status());
  machine.cpu_hide = *std::move(hidden);
  return absl::OkStatus();
}

absl::Status ResolveInteraction(const RunArguments& arguments, RunOptions& options) {
  if (arguments.interactive.empty()) return absl::OkStatus();
  if (arguments.interactive == "serial") {
    options.interactive = Interaction::kSerial;
    return absl::OkStatus();
  }
  if (arguments.interactive != "console") {
    return absl::InvalidArgumentError(
        absl::StrCat("--interactive: ",
                     UnknownWordMessage("value", arguments.interactive, {"serial", "console"})));
  }
  if (!arguments.console) {
    return absl::InvalidArgumentError("--interactive=console needs the console: add --console");
  }
  options.interactive = Interaction::kConsole;
  return absl::OkStatus();
}

// What is watched while the guest runs.
absl::Status ResolveWatching(const RunArguments& arguments, RunOptions& options) {
  for (const std::string& word :
       std::vector<std::string>(absl::StrSplit(arguments.trace, ',', absl::SkipEmpty()))) {
    if (word == "io") {
      options.trace_io = true;
    } else if (word == "emulation") {
      options.trace_emulation = true;
    } else {
      return absl::InvalidArgumentError(
          absl::StrCat("--trace: ", UnknownWordMessage("value", word, {"io", "emulation"})));
    }
  }
  if (options.trace_emulation && !arguments.complete_emulation) {
    return absl::InvalidArgumentError(
        "--trace emulation is for --complete-emulation; without that it would do nothing");
  }
  if (!arguments.expect.empty()) {
    absl::StatusOr<std::regex> expression = ParseExpression(arguments.expect);
    if (!expression.ok()) return Of("--expect", expression.status());
    options.expect = *std::move(expression);
  }
  if (!arguments.timeout.empty()) {
    const absl::StatusOr<std::chrono::milliseconds> limit = ParseDuration(arguments.timeout);
    if (!limit.ok()) return Of("--timeout", limit.status());
    options.timeout = *limit;
  }
  return absl::OkStatus();
}

absl::Status ResolveModules(const RunArguments& arguments, ImageOptions& options) {
  // The kernels that take an initrd take it as their first module.
  if (!arguments.initrd.empty())
    options.modules.push_back({.path = arguments.initrd, .command_line = ""});
  for (const std::string& text : arguments.modules) {
    const size_t comma = text.find(',');
    const std::string path = text.substr(0, comma);
    if (path.empty()) {
      return absl::InvalidArgumentError("--module: there is no path; write FILE or FILE,TEXT");
    }
    options.modules.push_back(
        {.path = path, .command_line = comma == std::string::npos ? "" : text.substr(comma + 1)});
  }
  return absl::OkStatus();
}

// What a guest is given beside its memory, and how it is watched.
void DeclareGuestOptions(CLI::App& command, RunArguments& arguments) {
  command.add_option("--cpus", arguments.cpus, "How many CPUs the guest has (default: 1)")
      ->type_name("N");
  command
      .add_option("--cpu", arguments.cpu,
                  "CPU features that the guest is not to see, by their names in /proc/cpuinfo: "
                  "hide=NAME+NAME...")
      ->type_name("hide=NAME+...");
  command.add_flag("--complete-emulation", arguments.complete_emulation,
                   "Do instructions that this KVM cannot emulate, where they are simple: INT3, INT "
                   "n, XGETBV, CLAC/STAC, CMPXCHG16B, MOVBE");
  command.add_flag("--virtio-cmdline", arguments.virtio_cmdline,
                   "Name the virtio devices on a Linux command line too, for kernels without ACPI");
  command
      .add_option("--expect", arguments.expect,
                  "End the run with status 0 once the guest prints a line in which REGEX "
                  "(ECMAScript) matches; 5 if it ends without")
      ->type_name("REGEX");
  command
      .add_option(
          "--timeout", arguments.timeout,
          "End the whole run after this time (30s, 500ms, 2m) with status 124 and the state "
          "of each CPU")
      ->type_name("DURATION");
  command.add_flag("--interactive{serial}", arguments.interactive,
                   "Give stdin to the guest's serial port, or with =console to its virtio console; "
                   "a terminal is put in raw mode, and Ctrl-A x ends the machine");
  command
      .add_option(
          "--trace", arguments.trace,
          "io: at the end, list on stderr the ports and addresses that the guest touched and "
          "no device answers; emulation: a line on stderr for each instruction that "
          "--complete-emulation completes; comma-separated")
      ->type_name("io,emulation");
}

// The devices that do DMA.
void DeclareDeviceOptions(CLI::App& command, RunArguments& arguments) {
  command
      .add_option("--disk", arguments.disks,
                  "A virtio block device over a file or block device: path=FILE, readonly, direct "
                  "(past the page cache); comma-separated; may be given again")
      ->type_name("path=FILE,...")
      ->expected(1)
      ->allow_extra_args(false)
      ->take_all();
  command.add_flag("--rng", arguments.rng, "A virtio entropy device, from the host's getrandom");
  command.add_flag("--console", arguments.console,
                   "A virtio console: the guest's output on stdout, its input from stdin");
  command.add_flag("--balloon", arguments.balloon,
                   "A virtio balloon, with statistics and free page reporting; wired memory is "
                   "never given back");
  command.add_flag("--dma-engine", arguments.dma_engine,
                   "A DMA engine: copies, fills, compares and checksums by descriptor rings");
  command
      .add_option("--dma-keep", arguments.dma_keep,
                  "How much --wire on-demand keeps wired for devices (default: 64M)")
      ->type_name("SIZE");
}

// An empty value is what a script's unset variable gives. It is not the same as no option, and no
// option but a text can mean something by it.
void RefuseEmptyValues(CLI::App& command) {
  const CLI::Validator not_empty(
      [](const std::string& value) {
        return std::string(value.empty() ? "the value is empty" : "");
      },
      "");
  for (CLI::Option* const option : command.get_options()) {
    if (!option->check_lname(kCommandLineOption)) option->check(not_empty);
  }
}

void DeclareImage(CLI::App& command, RunArguments& arguments) {
  command
      .add_option("IMAGE", arguments.image_path,
                  "The guest image: a static ELF, a flat binary, a multiboot or PVH kernel, or "
                  "Linux (bzImage, vmlinux)")
      ->required();
  command
      .add_option("--format", arguments.format,
                  "auto (by content), elf, flat, multiboot, multiboot2, pvh or linux")
      ->type_name("FORMAT");
  command
      .add_option(absl::StrCat("--", kCommandLineOption, ",--append"), arguments.command_line,
                  "The guest's command line")
      ->type_name("TEXT");
  command.add_option("--initrd", arguments.initrd, "A file that the guest finds in its memory")
      ->type_name("FILE");
  command
      .add_option("--module", arguments.modules,
                  "The same with a command line of its own; may be given again")
      ->type_name("FILE[,TEXT]")
      ->expected(1)
      ->allow_extra_args(false)
      ->take_all();
  command
      .add_option("--start", arguments.start,
                  "How the guest is entered: real16, protected32, long64-ring0 or long64-ring3; "
                  "else as the image says")
      ->type_name("MODE");
}

}  // namespace

void DeclareImageOptions(CLI::App& command, RunArguments& arguments) {
  DeclareImage(command, arguments);
  RefuseEmptyValues(command);
}

void DeclareRunOptions(CLI::App& command, RunArguments& arguments) {
  DeclareImage(command, arguments);
  command
      .add_option(
          "--memory", arguments.memory,
          "Guest memory: size=SIZE, backing=anonymous|memfd|hugetlb|guest_memfd, "
          "hugepages=thp|none, sealed (memfd and hugetlb); comma-separated "
          "(default: backing=anonymous,hugepages=thp and a size by the image: 4M for our own "
          "formats, 64M for multiboot and PVH, 256M for Linux, and more for modules)")
      ->type_name("KEY=VALUE,...");
  command
      .add_option("--wire", arguments.wire,
                  "What is wired before it becomes a slot: all, dma (the windows only), on-demand "
                  "(nothing at first; what a device reaches when it does) or none (default: all)")
      ->type_name("POLICY");
  command
      .add_option(
          "--dma-window", arguments.dma_windows,
          "A range that --wire dma wires, beside those that the image declares; may be given again")
      ->type_name("GPA+LEN")
      ->expected(1)
      ->allow_extra_args(false)
      ->take_all();
  command
      .add_option(
          "--pin-level", arguments.pin_level,
          "What wired memory is: resident (never reclaimed), pinned (its frames do not move) or "
          "guarded (both, and what would detach them is refused; the default)")
      ->type_name("LEVEL");
  command
      .add_option("--wire-limit", arguments.wire_limit,
                  "Refuse to wire more than this, whatever the host allows")
      ->type_name("SIZE");
  command.add_flag("--irqchip", arguments.irqchip,
                   "Give the guest KVM's interrupt controller and timer, where KVM has them; HLT "
                   "then waits for an interrupt instead of ending the run");
  DeclareGuestOptions(command, arguments);
  DeclareDeviceOptions(command, arguments);
  command.add_flag("--verify", arguments.verify,
                   "Prove each wired range before the guest runs, and print the proof on stderr");
  command.add_flag("--stats", arguments.stats,
                   "Print a table of times, memory and exits on stderr at the end");
  command.add_flag("--json", arguments.json,
                   "Print the same as one line of JSON on stderr at the end");
  RefuseEmptyValues(command);
}

absl::StatusOr<ImageOptions> ResolveImageOptions(const RunArguments& arguments) {
  ImageOptions options;
  VMWIRE_ASSIGN_OR_RETURN(
      options.format,
      Choose("--format", arguments.format,
             {ImageFormatChoice::kAuto, ImageFormatChoice::kElf, ImageFormatChoice::kFlat,
              ImageFormatChoice::kMultiboot, ImageFormatChoice::kMultiboot2,
              ImageFormatChoice::kPvh, ImageFormatChoice::kLinux}));
  options.command_line = arguments.command_line;
  VMWIRE_RETURN_IF_ERROR(ResolveModules(arguments, options));
  if (!arguments.start.empty()) {
    VMWIRE_ASSIGN_OR_RETURN(
        options.start, Choose("--start", arguments.start,
                              {StartMode::kReal16, StartMode::kProtected32, StartMode::kLong64Ring0,
                               StartMode::kLong64Ring3}));
  }
  return options;
}

absl::StatusOr<RunOptions> ResolveRunOptions(const RunArguments& arguments) {
  RunOptions options;
  options.image_path = arguments.image_path;
  VMWIRE_ASSIGN_OR_RETURN(options.image, ResolveImageOptions(arguments));
  VMWIRE_RETURN_IF_ERROR(ResolveMemory(arguments, options));
  VMWIRE_RETURN_IF_ERROR(ResolveWiring(arguments, options.machine));
  options.machine.irqchip = arguments.irqchip;
  VMWIRE_RETURN_IF_ERROR(ResolveCpus(arguments, options.machine));
  VMWIRE_RETURN_IF_ERROR(ResolveDevices(arguments, options.machine));
  VMWIRE_RETURN_IF_ERROR(ResolveWatching(arguments, options));
  VMWIRE_RETURN_IF_ERROR(ResolveInteraction(arguments, options));
  options.verify = arguments.verify;
  options.stats = arguments.stats;
  options.json = arguments.json;
  return options;
}

}  // namespace vmwire
