# SPDX-License-Identifier: MIT
# Bad input: exactly one line on standard error, exit status 1, no crash. Only Cohort promises that.

# refuses ARG...: the emulator with these arguments. What it says must match $expect, if that is set.
refuses() {
	local code=0
	timeout -k 5 30 "$emulator" -display none -serial stdio "$@" </dev/null >"$work/out" 2>"$work/err" || code=$?
	[ $code = 1 ] || failed "exit status $code, expected 1, for: $*"
	[ "$(wc -l <"$work/err")" = 1 ] || failed "$(wc -l <"$work/err") lines on standard error, expected 1, for: $*"
	[ ! -s "$work/out" ] || failed "output on the console for: $*"
	grep -qE -e "${expect:-.}" "$work/err" || failed "message '$(cat "$work/err")' does not match '$expect' for: $*"
}

only_cohort() {
	! is_qemu "$emulator" || skipped "QEMU words its complaints in its own way"
}

test_bad_kernel() {
	only_cohort
	local size expect=kernel
	expect=missing refuses -kernel "$work/missing"
	refuses -kernel "$work"
	: >"$work/empty"
	refuses -kernel "$work/empty"
	head -c 2000000 /dev/urandom >"$work/random"
	refuses -kernel "$work/random"
	head -c 100 /dev/urandom >"$work/short"
	refuses -kernel "$work/short"
	for size in 300 512 600 1024 20000 1000000; do
		head -c $size "$kernel" >"$work/truncated"
		refuses -kernel "$work/truncated"
	done
	if [ "$(id -u)" != 0 ]; then
		cp "$kernel" "$work/unreadable" && chmod 0 "$work/unreadable"
		refuses -kernel "$work/unreadable"
	fi
}

test_bad_initrd() {
	only_cohort
	local expect=initrd
	expect=missing refuses -kernel "$kernel" -initrd "$work/missing"
	refuses -kernel "$kernel" -initrd "$work"
	truncate -s 600M "$work/huge"
	refuses -m 256M -kernel "$kernel" -initrd "$work/huge"
	rm -f "$work/huge"
	expect='kernel' refuses -initrd "$initrd"
}

# What is inside the initrd is the guest's business: a broken one makes the guest panic, not the emulator.
test_broken_initrd_content() {
	local log=$work/console
	head -c 300000 /dev/urandom >"$work/random"
	initrd=$work/random
	boot "$log" "$limit" 1 512M "panic=-1" -no-reboot
	[ "$status" = 0 ] || failed "exit status $status"
	grep -q 'Kernel panic' "$log" || failed "no panic in the guest"
	head -c 300000 "$(dirname "$kernel")/initramfs-test.cpio.gz" >"$work/truncated"
	initrd=$work/truncated
	boot "$log" "$limit" 1 512M "panic=-1" -no-reboot
	[ "$status" = 0 ] || failed "exit status $status with a truncated initrd"
	grep -q 'Kernel panic' "$log" || failed "no panic in the guest with a truncated initrd"
}

test_bad_options() {
	only_cohort
	local k=(-kernel "$kernel")
	refuses
	refuses -nonsense
	expect=nonsense refuses "${k[@]}" -nonsense
	refuses "${k[@]}" stray-argument
	for value in 0 -1 x 1x 100000 '' 4,sockets=3 4,cores=0 4,nonsense=1; do
		expect=smp refuses "${k[@]}" -smp "$value"
	done
	for value in 0 -5 x 12Q 99999999T ''; do
		expect='-m|memory' refuses "${k[@]}" -m "$value"
	done
	for value in kvm nonsense tcg,thread=banana tcg,engine=banana tcg,tb-size=x tcg,nonsense=1; do
		expect=accel refuses "${k[@]}" -accel "$value"
	done
	expect=cpu refuses "${k[@]}" -cpu no-such-model
	expect=cpu refuses "${k[@]}" -cpu max,+no-such-feature
	expect='serial|chardev' refuses "${k[@]}" -serial nonsense:x
	expect=device refuses "${k[@]}" -device no-such-device
	expect='debug-exit|device' refuses "${k[@]}" -device isa-debug-exit,iobase=zzz
	expect='-d' refuses "${k[@]}" -d no-such-item
	# An option whose argument is missing.
	for option in -kernel -initrd -append -smp -m -cpu -accel -serial -monitor -device -d -D -name; do
		expect=${option#-} refuses "$option"
	done
}

test_too_little_memory() {
	only_cohort
	local size expect='memory|-m|too small'
	for size in 1K 64K 1M 4M 8M; do
		refuses -kernel "$kernel" -initrd "$initrd" -m $size
	done
}

test_more_memory_than_the_host_has() {
	only_cohort
	expect='memory|-m' refuses -kernel "$kernel" -m 1000000G
}

test_unwritable_files() {
	only_cohort
	expect=missing/log refuses -kernel "$kernel" -d int -D "$work/missing/log"
	expect=log refuses -kernel "$kernel" -d int -D "$work"
	expect='serial|missing' refuses -kernel "$kernel" -serial file:"$work/missing/log"
	expect=missing/stats refuses -kernel "$kernel" -stats=text:"$work/missing/stats"
	expect=stats refuses -kernel "$kernel" -stats=json:"$work"
}

test_help_and_version() {
	local option
	for option in -help -version; do
		"$emulator" $option </dev/null >"$work/out" 2>"$work/err" || failed "$option: exit status $?"
		[ -s "$work/out" ] && [ ! -s "$work/err" ] || failed "$option belongs on standard output"
	done
	# A full device is noticed.
	[ ! -w /dev/full ] || is_qemu "$emulator" || ! "$emulator" -help >/dev/full 2>"$work/err" || failed "-help to a full disk succeeds"
}
