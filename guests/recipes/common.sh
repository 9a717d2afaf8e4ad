# What the recipes share. To be sourced by bash after tests/linux/common.sh.

# Takes the recipe's words for `vmwire run` apart, so that what a recipe gives itself is not given twice. Sets `options` to the
# words without the guest's command line, `command_line` to that of the recipe with the user's behind it, and `dry_run`:
# take_options COMMAND-LINE [OPTION...]
take_options() {
  command_line=$1 options=() dry_run=no
  shift
  while [ $# -gt 0 ]; do
    case $1 in
      --dry-run) dry_run=yes ;;
      --cmdline | --append)
        if [ $# -lt 2 ]; then
          echo "$1 needs a value: what is added to the guest's command line" >&2
          exit 2
        fi
        command_line+=" $2"
        shift
        ;;
      --cmdline=* | --append=*) command_line+=" ${1#*=}" ;;
      *) options+=("$1") ;;
    esac
    shift
  done
}

# Adds WORDs to `options` unless the user gave the option themselves, which is the first of them: add_default WORD...
add_default() {
  local option
  for option in "${options[@]}"; do
    if [ "$option" = "$1" ] || [[ $option == "$1="* ]]; then return; fi
  done
  options+=("$@")
}

# Runs `vmwire run IMAGE` with `options` and `command_line` in place of this script; with --dry-run only prints these words, one a
# line: run_image IMAGE
run_image() {
  local words=("$root/build/release/vmwire" run "$1" --cmdline "$command_line" "${options[@]}")
  if [ "$dry_run" = yes ]; then
    printf '%s\n' "${words[@]}"
    exit
  fi
  exec "${words[@]}"
}
