# SPDX-License-Identifier: MIT
#
# Runs freestanding test programs (sourced by run and by tests/stress/run). The caller has set `emulator` and
# `images`, a directory of its own; `launch`, if it is set, is a command that runs the emulator given to it.

. "$(dirname "${BASH_SOURCE[0]}")/../../../scripts/lib.sh"

# A build with ThreadSanitizer knows what is no race of its own.
export TSAN_OPTIONS=${TSAN_OPTIONS:-suppressions=$(realpath "$(dirname "${BASH_SOURCE[0]}")/../../support/tsan.supp")}

passed=0 failed=0
launch=()

# run_program LABEL SECONDS CPUS PROGRAM APPEND [EMULATOR_ARG...]: runs it to its end; prints "ok LABEL" or
# "FAIL LABEL: why".
# The output stays in $images/LABEL.log. One that does not end tells the state of its CPUs first (SIGUSR2).
run_program() {
	local label=$1 seconds=$2 cpus=$3 program=$4 append=$5 log=$images/${1//[ \/]/-}.log status=0 why start=$SECONDS
	shift 5
	set_emu_common "$emulator"
	! is_qemu "$emulator" || emu_common+=(-cpu max)
	timeout -k 5 -s USR2 "$seconds" "${launch[@]}" "$emulator" "${emu_common[@]}" -nodefaults -m 256M -smp "$cpus" \
		-device isa-debug-exit,iobase=0x501,iosize=1 -no-reboot -kernel "$images/$program.bin" \
		-append "cpus=$cpus $append" "$@" </dev/null >"$log" 2>"$log.err" || status=$?
	why=$(failure_of "$log" "$status" "$seconds")
	grep -a '^#' "$log"
	if [ -z "$why" ]; then
		passed=$((passed + 1))
		printf 'ok %s: %s, %d s\n' "$label" "$(tail -n 1 "$log")" $((SECONDS - start))
		rm -f "$log" "$log.err"
	else
		failed=$((failed + 1))
		printf 'FAIL %s: %s\n' "$label" "$why"
		grep -av '^#' "$log" | tail -n 40 | sed 's/^/    /'
		grep -avE '^(XMM|ZMM|FPR)' "$log.err" | tail -n 120 | sed 's/^/    /'
	fi
	[ -z "$why" ]
}

# Why a run failed, or nothing. The emulator's status is 1 when the program passed.
failure_of() {
	local log=$1 status=$2 seconds=$3
	if [ "$status" = 137 ] || [ "$status" = 124 ]; then
		printf 'still running after %s s; last line: %s' "$seconds" "$(tail -n 1 "$log")"
	elif grep -aq '^FAIL' "$log"; then
		grep -a '^FAIL' "$log" | sed 's/^FAIL //' | tr '\n' ';'
	elif [ "$status" -gt 128 ]; then
		printf 'the emulator was killed by signal %d: %s' $((status - 128)) "$(tail -n 1 "$log.err")"
	elif [ "$status" != 1 ]; then
		printf 'exit status %d: %s' "$status" "$(tail -n 1 "$log.err")"
	elif ! grep -aq ' passed, 0 failed' "$log"; then
		printf 'ended without a result; last line: %s' "$(tail -n 1 "$log")"
	fi
}

# Keeps images and logs only if something failed.
report_and_exit() {
	[ "$failed" != 0 ] || rm -rf "$images"
	printf '%d passed, %d failed\n' "$passed" "$failed"
	[ "$failed" = 0 ]
	exit
}
