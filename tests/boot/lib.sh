# SPDX-License-Identifier: MIT
#
# Shared by the boot tests (sourced). A test is a shell function; it calls boot and the checks below, and ends at the
# first failure with a reason on standard output. Everything it writes goes to $work, which is removed when it passes.

. "$(dirname "${BASH_SOURCE[0]}")/../../scripts/lib.sh"

# Lines that a healthy kernel log does not have.
bad_kernel_lines='WARNING:|\bBUG\b|\bOops\b|[Cc]all [Tt]race|soft lockup|hard LOCKUP|self-detected stall|detected stalls|stalls on CPU'
bad_kernel_lines+='|[Uu]nstable|nobody cared|No irq handler|Kernel panic|general protection|segfault at|invalid opcode'
bad_kernel_lines+='|\[Firmware (Bug|Warn)\]|spurious APIC|[Ss]purious interrupt|APIC error|timer.*not connected'
bad_kernel_lines+='|blocked for more than|starved for|workqueue lockup'
bad_kernel_lines+='|[Mm]issed (timer )?interrupt|lost .*interrupt|failed to come online|do_boot_cpu failed|Unknown NMI|COHORT-POWEROFF-FAILED'
# QEMU's TCG has a known flaw with the TSC on several CPUs; it is not what these tests are after.
qemu_known='TSC unstable due to TSCs unsynchronized|Unstable clock detected'

# Ends the test.
failed() {
	printf 'reason: %s\n' "$*"
	exit 1
}

skipped() {
	printf 'skip: %s\n' "$*"
	exit 77
}

# said FILE [N]: its last N lines that are not empty (one without N) as a part of a reason.
said() {
	grep -av '^[[:space:]]*$' "$1" | tail -n "${2:-1}" | tr '\n\t' '| ' | tr -cd '[:print:]' | sed 's/|$//' | tail -c 500
}

# boot LOG SECONDS SMP MEM APPEND [ARG...]: runs the emulator to its end, console in LOG without carriage returns,
# standard error in LOG.err; sets status. $kernel and $initrd choose what is booted.
boot() {
	local log=$1 seconds=$2 smp=$3 mem=$4 append=$5
	shift 5
	set_emu_common "$emulator"
	status=0
	timeout -k 5 "$seconds" "$emulator" "${emu_common[@]}" -smp "$smp" -m "$mem" -kernel "$kernel" -initrd "$initrd" \
		-append "console=ttyS0 $append" "$@" </dev/null >"$log.raw" 2>"$log.err" || status=$?
	tr -d '\r' <"$log.raw" >"$log"
	rm -f "$log.raw"
}

# The guest came up with this many CPUs, ended well, and its log is clean.
check_boot() {
	local log=$1 smp=$2
	[ "$status" != 124 ] && [ "$status" != 137 ] || failed "timed out; the guest's last lines: $(said "$log" 3)"
	grep -q "^COHORT-BOOT-OK cpus=$smp\$" "$log" ||
		failed "no marker for $smp CPUs (exit status $status): $(said "$log.err"); the guest's last lines: $(said "$log" 3)"
	[ "$status" = 0 ] || failed "exit status $status after boot: $(said "$log.err"); the guest's last lines: $(said "$log" 3)"
	check_kernel_log "$log"
}

check_kernel_log() {
	local known='^$' line
	! is_qemu "$emulator" || known=$qemu_known
	line=$(grep -E "$bad_kernel_lines" "$1" | grep -vE "$known" | head -n 1)
	[ -z "$line" ] || failed "kernel log: $line"
}

# check_result LOG NAME: the script of that name ran and ended with status 0. What it says of itself is the reason, or the last it printed: the
# shell of a script that dies tells why.
check_result() {
	! grep -q "^COHORT-RESULT $2 status=0\$" "$1" || return 0
	sed '/^COHORT-RESULT/q' "$1" >"$1.script"
	failed "$2: $(grep -a '^FAIL' "$1.script" >"$1.why" && said "$1.why" 5 || said "$1.script" 4)"
}

# Seconds of CPU time that process $1 has used, in clock ticks.
cpu_ticks() {
	sed 's/.*) //' "/proc/$1/stat" | awk '{ print $12 + $13 }'
}
