# What the commands of this repository share. To be sourced by bash, with `root` set to the repository.

# Says on stderr what is being done: step NAME TEXT...
step() {
  local name=$1
  shift
  printf '==> %s: %s\n' "$name" "$*" >&2
}

# Prints in one sentence why /dev/kvm cannot be used, with the remedy; nothing if it can.
kvm_problem() {
  # Looked for first: to open what is not there with <> would make a file of it.
  if [ ! -c /dev/kvm ]; then
    echo 'there is no /dev/kvm: enable VT-x or SVM in the firmware (in a virtual machine: nested virtualization), then' \
      '`sudo modprobe kvm_intel` or `sudo modprobe kvm_amd`'
  elif [ ! -r /dev/kvm ] || [ ! -w /dev/kvm ]; then
    echo "/dev/kvm may not be opened by $(id -un): run \`sudo usermod -aG kvm $(id -un)\`, then log in again"
  elif ! { : <>/dev/kvm; } 2>/dev/null; then
    echo '/dev/kvm cannot be opened, as if no hypervisor module drove it: run `sudo modprobe kvm_intel` or `sudo modprobe kvm_amd`'
  fi
}

# On a terminal, shows its input as one line that is drawn over again; else drops it.
show_progress() {
  local line
  if [ ! -t 2 ] || [ "${TERM:-dumb}" = dumb ]; then
    cat >/dev/null
    return
  fi
  local width
  width=$(tput cols 2>/dev/null || echo 80)
  while IFS= read -r line; do printf '\r\033[K%.*s' "$((width - 1))" "$line" >&2; done
  printf '\r\033[K' >&2
}

# Runs a command into the log file, quietly unless it fails: logged LOG COMMAND...
logged() {
  local log=$1
  shift
  if "$@" 2>&1 | tee -a "$log" | show_progress; then return; fi
  tail -n 40 "$log" >&2
  printf '%s\n' "==> failed: $*" "==> the whole log: $log" >&2
  return 1
}

# Configures and builds: build PRESET [TARGET...]; without a target, everything. One at a time for each preset.
build() {
  local preset=$1
  shift
  local folder=$root/build/$preset log=$root/build/$preset.log
  mkdir -p "$folder"
  step build "$preset${*:+: $*}$([ -e "$folder/build.ninja" ] || echo '; the first time takes some minutes')"
  (
    flock 9
    : >"$log"
    # Ninja itself configures anew when a CMakeLists.txt changed, but it does not know the presets.
    if [ ! -e "$folder/build.ninja" ] || [ "$root/CMakePresets.json" -nt "$folder/configured" ]; then
      cd "$root" && logged "$log" cmake --preset "$preset" || exit
      touch "$folder/configured"
    fi
    # A test program that was renamed or removed would still be there, and be run.
    logged "$log" cmake --build "$folder" ${*:+--target "$@"} && logged "$log" ninja -C "$folder" -t cleandead
  ) 9>"$root/build/$preset.lock"
}
