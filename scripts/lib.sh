# SPDX-License-Identifier: MIT
#
# Shared by the shell scripts of this repository (sourced, never run): where things are, how to say them, and how
# to start an emulator. Everything here works for Cohort and, for comparison, for QEMU: set COHORT_EMU to a
# qemu-system-x86_64 and the same scripts drive that.
#
# Environment:
#   COHORT_EMU    emulator to run; default: cohort in the build directory ($COHORT_BUILD, else the current one, else
#                 the source directory)
#   COHORT_ARGS   further emulator arguments, split at spaces (e.g. "-accel tcg,engine=interp")
#   COHORT_CACHE  where downloaded and built guest files live; default: cache/ in the source directory

cohort_src=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
cohort_cache=${COHORT_CACHE:-$cohort_src/cache}
guest_dir=$cohort_cache/guest
prog=${0##*/}

say() { printf '%s: %s\n' "$prog" "$*"; }

die() {
	printf '%s: %s\n' "$prog" "$*" >&2
	exit 1
}

# The emulator's path, absolute, or nothing when there is none.
find_emulator() {
	local dir
	if [ -n "${COHORT_EMU:-}" ]; then
		command -v -- "$COHORT_EMU"
		return
	fi
	for dir in "${COHORT_BUILD:-.}" . "$cohort_src"; do
		if [ -x "$dir/cohort" ]; then
			(cd "$dir" && printf '%s/cohort\n' "$PWD")
			return
		fi
	done
	return 1
}

is_qemu() {
	case ${1##*/} in
	qemu*) return 0 ;;
	*) return 1 ;;
	esac
}

# Sets emu_common: the arguments every non-interactive run starts with. The console is standard output. QEMU is
# trimmed to the devices Cohort has too, so that comparisons do not charge it for a network card and a display.
set_emu_common() {
	if is_qemu "$1"; then
		emu_common=(-accel tcg,thread=multi -nodefaults -display none -serial stdio)
	else
		emu_common=(-display none -serial stdio)
	fi
	# shellcheck disable=SC2206 # split at spaces on purpose
	emu_common+=(${COHORT_ARGS:-})
}
