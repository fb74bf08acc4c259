# SPDX-License-Identifier: MIT
# Work inside the guest: user programs against a native run, CPU hotplug, concurrent code invalidation.

# compare SMP PROGRAM...: the same binaries in the guest and on the host print the same lines. $cpu: the model to ask for.
compare() {
	local smp=$1 names line busybox=${native_busybox:-$guest_dir/busybox}
	shift
	names=$*
	boot "$work/console" "$limit" "$smp" 1G "cohort.run=programs,${names// /,} cohort.dmesg=1" -no-reboot ${cpu:+-cpu "$cpu"}
	(cd "$work" && USER_DIR=$guest_dir/user USER32_DIR=$guest_dir/user32 BUSYBOX=$busybox \
		"$busybox" sh "$here/guest/programs" "$@") | grep '^OUT ' >"$work/native"
	grep '^OUT ' "$work/console" >"$work/guest"
	line=$(diff "$work/native" "$work/guest" | grep -m 1 '^[<>]')
	[ -z "$line" ] || failed "differs from native ($(diff "$work/native" "$work/guest" | grep -c '^[<>]') lines): $line"
	[ -s "$work/native" ] || failed "the native run printed nothing"
	check_boot "$work/console" "$smp"
}

test_user_integer() { compare 1 intmix; }
test_user_float() { compare 1 fp; }
test_user_float_traps() { compare 1 fptrap; }
test_user_x87() { compare 1 x87; }
test_user_avx2() {
	grep -qw avx2 /proc/cpuinfo || skipped "the host has no AVX2"
	compare 2 avx2_v3
}
test_user_avx512() {
	grep -qw avx512vl /proc/cpuinfo || skipped "the host has no AVX-512"
	cpu=max,+avx512f,+avx512bw,+avx512cd,+avx512dq,+avx512vl compare 2 avx512_v4
}
test_user_vectors() { compare 2 vectors; }
test_user_threads() { compare 4 threads; }
test_user_signals() { compare 2 signals; }
test_user_alignment_check() { compare 1 aligncheck; }
test_user_processes() { compare 4 forkexec; }
test_user_code() { compare 4 jit; }
test_user_utilities() { compare 2 utilities; }

# 32-bit programs under the 64-bit kernel. Nothing to compare with on a host whose kernel does not run them.
programs32="calls32 signals32 segments32 float32"
test_user_32bit() {
	"$guest_dir/user32/float32" >/dev/null 2>&1 || skipped "the host's kernel does not run 32-bit programs"
	compare 4 $programs32
}

hotplug() {
	boot "$work/console" "$limit" "$1" 512M "cohort.run=hotplug,$2 cohort.dmesg=1" -no-reboot
	check_boot "$work/console" "$1"
	check_result "$work/console" hotplug
}

test_hotplug() { hotplug 2 50; }
test_hotplug_smp_4() { hotplug 4 17; }

invalidate() {
	boot "$work/console" "$limit" "$1" 512M "cohort.run=smc,1200,${SEED:-$((RANDOM + 1))}" -no-reboot
	grep '^INFO\|^smc' "$work/console"
	! grep -q '^smc stale .*[1-9]' "$work/console" || failed "$(grep -m 1 '^smc stale .*[1-9]' "$work/console")"
	check_boot "$work/console" "$1"
	check_result "$work/console" smc
}

test_smc_smp_2() { invalidate 2; }
test_smc_smp_4() { invalidate 4; }
test_smc_smp_16() { invalidate 16; }

# Only Debian's full kernel comes with the modules.
kernel_code() {
	[ "${BOOT_KERNEL:-full}" = full ] || skipped "the modules are those of Debian's full kernel"
	boot "$work/console" "$limit" "$1" 512M "cohort.run=kernelcode,$2" -no-reboot
	check_boot "$work/console" "$1"
	check_result "$work/console" kernelcode
	grep -q 'test_bpf: Summary: [1-9][0-9]* PASSED, 0 FAILED' "$work/console" || failed "test_bpf did not pass"
}

test_kernel_code_smp_4() { kernel_code 4 2; }
test_kernel_code_smp_8() { kernel_code 8 1; }
