# What the scripts of tests/linux and guests/recipes share. To be sourced by bash after .ci/common.sh.

# Everything that is fetched and built is kept here.
cache=${XDG_CACHE_HOME:-$HOME/.cache}/vmwire-linux

# The kernels and the numbers of CPUs of tests/linux/run; a case is NAME-CPUS.
linux_kernels=(small-vmlinux small-bzimage cloud-vmlinux cloud-bzimage)
linux_cpus=(1 2)

# Prints the files of a kernel of that list.
kernel_image() {
  case $1 in
    small-vmlinux) echo "$cache/small/vmlinux" ;;
    small-bzimage) echo "$cache/small/bzImage" ;;
    cloud-vmlinux) echo "$cache/cloud/vmlinux" ;;
    cloud-bzimage) compgen -G "$cache/cloud/boot/vmlinuz-*" | head -n 1 ;;
  esac
}
kernel_initrd() { echo "$cache/${1%%-*}/initramfs"; }

# True if this machine's KVM has neither VMX nor SVM to run a guest's kernel with, and emulates it.
emulates_ring0() {
  if [ -d /sys/module/kvm_intel ] || [ -d /sys/module/kvm_amd ]; then return 1; fi
  [ -d /sys/module/kvm_pvm ] || ! grep -qwE 'vmx|svm' /proc/cpuinfo
}

# Prints the name of the package that PACKAGE stands for: the one that it depends on whose name begins with PREFIX, or without
# a PREFIX itself. Nothing if apt does not know it.
real_package() {
  if [ -n "${2:-}" ]; then
    apt-cache depends "$1" 2>/dev/null | awk -v prefix="$2" '/Depends: / && index($2, prefix) == 1 { print $2; exit }'
  elif apt-cache show "$1" >/dev/null 2>&1; then
    echo "$1"
  fi
}

# Unpacks a Debian package into $cache/NAME, unless it is there: fetch_package NAME PACKAGE [PREFIX], the latter two as for
# real_package. (It is called where `set -e` does not hold.)
fetch_package() {
  local name=$1 package part=$cache/$1.part
  shift
  if [ -d "$cache/$name" ]; then return; fi
  package=$(real_package "$@")
  if [ -z "$package" ] && [ "$(id -u)" = 0 ]; then
    apt-get update -q >&2
    package=$(real_package "$@")
  fi
  if [ -z "$package" ]; then
    step fetch "apt knows no package behind $1: run \`sudo apt-get update\`"
    return 1
  fi
  step fetch "$package"
  rm -rf "$part"
  mkdir -p "$part/tree" || return
  (cd "$part" && apt-get download -q "$package" && dpkg-deb -x "$package"_*.deb tree) >"$cache/fetch.log" 2>&1 || {
    cat "$cache/fetch.log" >&2
    return 1
  }
  mv "$part/tree" "$cache/$name" && rm -rf "$part"
}

# Makes a kernel of `linux_kernels` ready in the cache, and its initramfs. (It is called where `set -e` does not hold.)
prepare_kernel() {
  mkdir -p "$cache" || return
  case $1 in
    small-*)
      "$root/tests/linux/build_kernel" || return
      "$root/tests/linux/make_initramfs" "$cache/small/initramfs"
      ;;
    cloud-*)
      fetch_package cloud linux-image-cloud-amd64 linux-image- || return
      if [ ! -e "$cache/cloud/vmlinux" ]; then
        "$root/tests/linux/extract_vmlinux" "$(kernel_image cloud-bzimage)" "$cache/cloud/vmlinux" || return
      fi
      "$root/tests/linux/make_initramfs" "$cache/cloud/initramfs" "$cache/cloud/lib/modules"
      ;;
  esac
}

# Sets emulation_command_line and emulation_options to what a kernel and `vmwire run` need beside the rest on this machine's
# KVM: nothing, unless that emulates CPL 0. KVM's emulator lacks the instructions of these features, or they go with ones
# that it lacks.
add_emulation_options() {
  emulation_command_line=() emulation_options=()
  if ! emulates_ring0; then return; fi
  emulation_command_line=(noxsave clearcpuid=popcnt,smap,invpcid,pcid,rdrand,rdseed,fsgsbase,clflushopt,clwb)
  emulation_options=(--complete-emulation)
}
