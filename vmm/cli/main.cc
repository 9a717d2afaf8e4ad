// The vmwire command: run, inspect, doctor.
#include <fcntl.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <new>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/escaping.h"
#include "memory/status_macros.h"
#include "vmm/boot/boot_plan.h"
#include "vmm/boot/guest_image.h"
#include "vmm/cli/doctor.h"
#include "vmm/cli/exit_status.h"
#include "vmm/cli/messages.h"
#include "vmm/cli/run_command.h"
#include "vmm/cli/run_options.h"
#include "vmm/cli/suggest.h"
#include "vmm/guest_layout.h"
#include "vmm/timeline.h"

namespace vmwire {
namespace {

constexpr char kExamples[] = R"(
Examples:
  vmwire run build/release/guests/hello
  vmwire run build/release/guests/touch --memory size=1G --stats
  vmwire run kernel.elf --memory size=64M,backing=memfd --wire dma --dma-window 0x200000+1M
  vmwire run boot.bin --format flat --start real16
  vmwire run build/release/guests/touch --verify
  vmwire run vmlinuz --initrd initrd.img --cmdline "console=ttyS0" --cpus 2 --interactive
  vmwire run kernel.elf --module data.bin --expect 'tests passed' --timeout 30s
  vmwire inspect kernel.elf
  vmwire doctor

Exit status of run: 0 the guest ended well, 1 the monitor failed, 2 usage or bad input, 3 the host lacks or
refuses something, 4 the guest died, 5 it ended without the text of --expect, 6 it reset its machine,
16 + n the guest's own code n (1 to 100), 124 the time of --timeout was over.)";

const std::vector<std::string> kCommands = {"run", "inspect", "doctor"};

// What `run` finds wrong with an image that was loaded, whatever memory it is given.
absl::Status CheckStart(const GuestImage& image) {
  VMWIRE_RETURN_IF_ERROR(CheckStartable(image));
  if (ProtocolOf(image.format) == BootProtocol::kVmwire) return absl::OkStatus();
  constexpr uint32_t kAddressBits = 64;  // What a CPU has is for the machine to find out.
  VMWIRE_ASSIGN_OR_RETURN(const GuestLayout layout,
                          GuestLayout::Create(*MemoryNeeded(image), kAddressBits));
  return PlanBoot(image, {.layout = layout}).status();
}

int InspectCommand(const RunArguments& arguments) {
  const absl::StatusOr<ImageOptions> options = ResolveImageOptions(arguments);
  if (!options.ok()) {
    PrintError(options.status());
    return ExitStatusOf(options.status());
  }
  const absl::StatusOr<GuestImage> image = LoadGuestImage(arguments.image_path, *options);
  if (!image.ok()) {
    PrintError("refused: " + std::string(image.status().message()));
    return ExitStatusOf(image.status());
  }
  std::fputs(Describe(*image).c_str(), stdout);
  if (const absl::Status start = CheckStart(*image); !start.ok()) {
    PrintError("refused: " + std::string(start.message()));
    return ExitStatusOf(start);
  }
  return kExitOk;
}

int LaunchCommand(const RunArguments& arguments, Timeline& timeline) {
  const absl::StatusOr<RunOptions> options = ResolveRunOptions(arguments);
  if (!options.ok()) {
    PrintError(options.status());
    return ExitStatusOf(options.status());
  }
  return RunCommand(*options, timeline);
}

// Prints why the command line cannot be used, with the nearest word for one that nobody knows.
int UsageError(const CLI::App& app, const CLI::ParseError& error) {
  const std::vector<std::string> extras = app.remaining(true);
  const std::vector<CLI::App*> chosen = app.get_subcommands();
  if (extras.empty()) {
    PrintError(error.what());
  } else if (const bool is_option = extras.front().rfind('-', 0) == 0;
             chosen.empty() && !is_option) {
    PrintError(UnknownWordMessage("command", extras.front(), kCommands));
  } else if (!is_option) {
    PrintError("unexpected argument '" + absl::CEscape(extras.front()) + "'");
  } else {
    std::vector<std::string> known;
    for (const CLI::Option* option : (chosen.empty() ? app : *chosen.front()).get_options()) {
      if (option->nonpositional()) known.push_back(option->get_name());
    }
    PrintError(UnknownWordMessage("option", extras.front(), known));
  }
  std::fputs("Try 'vmwire --help'.\n", stderr);
  return kExitBadInput;
}

// Else a file that we open, a disk perhaps, would be what the guest prints to. The stand-ins can be
// used for neither: reading and writing fails as it does with a closed descriptor.
bool HoldStandardDescriptors() {
  for (const int fd : {STDIN_FILENO, STDOUT_FILENO, STDERR_FILENO}) {
    if (fcntl(fd, F_GETFD) >= 0) continue;
    // The lowest that is free, which is this one.
    if (open("/dev/null", fd == STDIN_FILENO ? O_WRONLY : O_RDONLY) != fd) return false;
  }
  return true;
}

int Main(int argc, char** argv) {
  Timeline timeline;
  if (!HoldStandardDescriptors()) {
    PrintError("a standard descriptor is closed, and /dev/null cannot be opened in its place");
    return kExitHostLacks;
  }
  CLI::App app(
      "Launches tiny guests from wired memory: faulted in and pinned before it becomes a KVM "
      "memory slot.",
      "vmwire");
  app.footer(kExamples);
  app.set_version_flag("--version", "vmwire " VMWIRE_VERSION);
  app.require_subcommand(1);
  RunArguments arguments;
  CLI::App* const run = app.add_subcommand("run", "Launch a guest image");
  DeclareRunOptions(*run, arguments);
  CLI::App* const inspect =
      app.add_subcommand("inspect", "Say what a guest image is, or why it would be refused");
  DeclareImageOptions(*inspect, arguments);
  CLI::App* const doctor =
      app.add_subcommand("doctor", "Check what this host must give, and how to get what it lacks");

  try {
    app.parse(argc, argv);
  } catch (const CLI::Success& success) {
    return app.exit(success);
  } catch (const CLI::ParseError& error) {
    return UsageError(app, error);
  }
  if (run->parsed()) return LaunchCommand(arguments, timeline);
  if (inspect->parsed()) return InspectCommand(arguments);
  return doctor->parsed() ? RunDoctor() : kExitBadInput;
}

}  // namespace
}  // namespace vmwire

int main(int argc, char** argv) {
  try {
    return vmwire::Main(argc, argv);
  } catch (const std::bad_alloc&) {
    vmwire::PrintError("out of memory");
    return vmwire::kExitMonitorFailed;
  }
}
