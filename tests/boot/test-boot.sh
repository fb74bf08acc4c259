# SPDX-License-Identifier: MIT
# Coming up and going down: numbers of CPUs, memory sizes, ends.

# Seconds that a boot may take: a busy 2-core host with sanitizers or the interpreter is far slower than an idle one.
limit=${BOOT_LIMIT:-480}

boot_smp() {
	boot "$work/console" "$limit" "$1" 1G "cohort.run=smoke,$1 cohort.dmesg=1" -no-reboot
	check_boot "$work/console" "$1"
	check_result "$work/console" smoke
}

test_smp_1() { boot_smp 1; }
test_smp_2() { boot_smp 2; }
test_smp_4() { boot_smp 4; }
test_smp_8() { boot_smp 8; }
test_smp_16() { boot_smp 16; }

# With KVM's clock, though Linux prefers a TSC that is as good, and its IPIs by hypercall.
test_paravirtual() {
	local line
	boot "$work/console" "$limit" 4 1G "cohort.run=smoke,4 cohort.dmesg=1 clocksource=kvm-clock" -no-reboot \
		-cpu max,+kvmclock,+kvm-pv-ipi
	check_boot "$work/console" 4
	check_result "$work/console" smoke
	for line in 'kvm-clock: Using msrs 4b564d01 and 4b564d00' 'clocksource: Switched to clocksource kvm-clock' 'setup PV IPIs'; do
		grep -q "$line" "$work/console" || failed "no '$line' in the kernel log"
	done
}

test_cloud_kernel() {
	kernel=$guest_dir/vmlinuz-cloud
	boot_smp 4
}

# The uncompressed kernel inside Debian's, started at its PVH entry.
test_pvh_kernel() {
	local setup offset size
	command -v xz >/dev/null || skipped "no xz"
	setup=$((($(od -An -tu1 -j 497 -N 1 "$kernel") + 1) * 512))
	offset=$(od -An -tu4 -j 584 -N 4 "$kernel")
	size=$(od -An -tu4 -j 588 -N 4 "$kernel")
	# The size of the result follows the compressed data.
	tail -c +$((setup + offset + 1)) "$kernel" | head -c $((size - 4)) | xz -dc >"$work/vmlinux" 2>/dev/null ||
		skipped "the kernel is not compressed by xz"
	kernel=$work/vmlinux
	boot_smp 4
}

# A hypervisor that is a multiboot image, with Linux as its first guest. (In -initrd, two commas stand for one.)
test_xen() {
	"$cohort_src/scripts/fetch-guest" xen || failed "cannot fetch the hypervisor"
	initrd="$kernel console=hvc0 cohort.run=none cohort.dmesg=1,$initrd"
	kernel=$guest_dir/xen
	boot "$work/console" "$limit" 2 1G "com1=115200,8n1 console=com1 loglvl=all noreboot" -no-reboot
	grep -q '^(XEN) Brought up 2 CPUs' "$work/console" || failed "no hypervisor: $(tail -n 1 "$work/console.err")"
	grep -q 'Hypervisor detected: Xen PV' "$work/console" || failed "Linux does not run under the hypervisor"
	check_boot "$work/console" 2
	check_result "$work/console" none
}

# MemTotal must lie between the size less the kernel's own and the size.
boot_mem() {
	local total
	boot "$work/console" "$limit" 2 "$1" "cohort.run=smoke,2" -no-reboot
	check_boot "$work/console" 2
	check_result "$work/console" smoke
	total=$(sed -n 's/.*memtotal_kb=\([0-9]*\).*/\1/p' "$work/console")
	[ "$total" -ge "$2" ] && [ "$total" -le "$3" ] || failed "-m $1 gives $total kB, expected $2 to $3"
}

test_mem_256m() { boot_mem 256M 180000 262144; }
test_mem_3g() { boot_mem 3G 2900000 3145728; }
test_mem_8g() { boot_mem 8G 7900000 8388608; }

# numa_node NODE CPUS DISTANCES MIN_KB MAX_KB: what the guest says of a node.
numa_node() {
	local line kb
	line=$(grep "^NODE $1 " "$work/console") || failed "the guest has no node $1"
	[[ $line == *" cpus=$2 distances=$3 "* ]] || failed "'$line', expected CPUs $2, distances $3"
	kb=${line##*kb=}
	[ "$kb" -ge "$4" ] && [ "$kb" -le "$5" ] || failed "node $1 has $kb kB, expected $4 to $5"
}

# Node 1 lies on both sides of the hole below 4 GiB; node 2 has memory only.
test_numa() {
	boot "$work/console" "$limit" 4,sockets=2,cores=2 5G "cohort.run=numa" -no-reboot \
		-numa node,cpus=0,cpus=2,memdev=a -numa node,cpus=1,cpus=3,mem=3584M -numa node,mem=512M \
		-object memory-backend-ram,id=a,size=1G,host-nodes=0,policy=bind \
		-numa dist,src=0,dst=1,val=21 -numa dist,src=0,dst=2,val=31 -numa dist,src=1,dst=2,val=41
	check_boot "$work/console" 4
	check_result "$work/console" numa
	numa_node 0 0,2 10/21/31 800000 1048576
	numa_node 1 1,3 21/10/41 3400000 3670016
	numa_node 2 "" 31/41/10 400000 524288
}

# A node of the host's that is not there.
test_numa_host_node_missing() {
	boot "$work/console" "$limit" 1 512M "cohort.run=none" -numa node,memdev=a \
		-object memory-backend-ram,id=a,size=512M,host-nodes=63,policy=bind
	[ "$status" = 1 ] || failed "exit status $status"
	grep -q '^cohort: -numa: node 0: the host does not have all of its host-nodes' "$work/console.err" ||
		failed "$(tail -n 1 "$work/console.err")"
}

test_poweroff() {
	boot "$work/console" "$limit" 4 512M "cohort.run=none" -no-reboot
	check_boot "$work/console" 4
	grep -q 'reboot: Power down' "$work/console" || failed "the kernel did not power down"
}

# isa-debug-exit: a guest that writes V leaves with status 2 * V + 1.
test_debug_exit() {
	boot "$work/console" "$limit" 1 512M "cohort.run=none,3 cohort.end=exit" -no-reboot \
		-device isa-debug-exit,iobase=0xf4,iosize=0x04
	grep -q '^COHORT-BOOT-OK' "$work/console" || failed "no marker"
	[ "$status" = 7 ] || failed "exit status $status, expected 7"
}

test_reboot_exits_with_no_reboot() {
	boot "$work/console" "$limit" 2 512M "cohort.run=none cohort.end=reboot" -no-reboot
	check_boot "$work/console" 2
	[ "$(grep -c '^COHORT-BOOT-OK' "$work/console")" = 1 ] || failed "booted more than once"
}

# Waits until FILE holds COUNT markers; fails when the emulator ends first or time runs out.
await_markers() {
	local file=$1 count=$2 pid=$3 deadline=$((SECONDS + limit))
	while [ "$(grep -ac '^COHORT-BOOT-OK' "$file")" -lt "$count" ]; do
		kill -0 "$pid" 2>/dev/null || failed "the emulator ended: $(said "$file.err"); the guest's last lines: $(said "$file" 3)"
		[ $SECONDS -lt $deadline ] || failed "no marker number $count within $limit s: $(said "$file" 3)"
		sleep 0.2
	done
}

# start LOG SMP MEM APPEND [ARG...]: runs the emulator in the background; sets pid. It dies with the test.
start() {
	local log=$1 smp=$2 mem=$3 append=$4
	shift 4
	set_emu_common "$emulator"
	timeout -k 5 $((limit * 2)) "$emulator" "${emu_common[@]}" -smp "$smp" -m "$mem" -kernel "$kernel" \
		-initrd "$initrd" -append "console=ttyS0 $append" "$@" </dev/null >"$log" 2>"$log.err" &
	pid=$!
	trap 'kill $pid 2>/dev/null; wait $pid 2>/dev/null' EXIT
}

test_reboot_boots_again() {
	start "$work/console" 4 512M "cohort.run=none cohort.end=reboot"
	await_markers "$work/console" 3 $pid
	check_kernel_log "$work/console"
}

# Threads of a process that run, or want to.
running() {
	sed -n 's/^\([0-9]*\) (.*) R .*/\1/p' /proc/"$1"/task/*/stat 2>/dev/null | sort
}

# How often its threads have gone to sleep.
sleeps() {
	awk '/^voluntary_ctxt_switches/ { n += $2 } END { print n + 0 }' /proc/"$1"/task/*/status
}

# watch_rest SECONDS PID: sets wakes, how often threads have woken in a second, and busy, the threads found running in every of several looks.
# Neither depends on how fast the host is, or on what else it does: only a thread that never sleeps is always found running, if only in a queue.
watch_rest() {
	local before start=$SECONDS i
	before=$(sleeps "$2")
	busy=$(running "$2")
	for ((i = 0; i < $1 * 5; i++)); do
		sleep 0.2
		busy=$(comm -12 <(echo "$busy") <(running "$2"))
	done
	wakes=$((($(sleeps "$2") - before) / (SECONDS - start + 1)))
}

# An idle guest leaves the host alone: no thread computes, and all together wake less often than a tick of one CPU would make them.
test_idle() {
	local smp=4 child busy wakes allowed=150 deadline=$((SECONDS + limit))
	start "$work/console" $smp 512M "cohort.run=none cohort.end=hang"
	await_markers "$work/console" 1 $pid
	child=$(cat "/proc/$pid/task/$pid/children")
	child=${child%% *}
	# The kernel has work to finish after boot, and so has the emulator, which looks what of its code still runs: as long as the host lets them.
	while watch_rest 10 "$child" && [ -n "$busy" -o "$wakes" -gt $allowed ]; do
		[ $SECONDS -lt $deadline ] || failed "no rest within $limit s: $wakes wake-ups in a second on $smp idle vCPUs, allowed $allowed; busy:" \
			"$(for t in $busy; do cat "/proc/$child/task/$t/comm"; done | tr '\n' ' ')"
	done
	echo "$wakes wake-ups in a second, $(cpu_ticks "$child") clock ticks since the start"
}

# SIGTERM ends the emulator whatever the guest does.
test_sigterm() {
	local code=0
	start "$work/console" 2 512M "cohort.run=none cohort.end=hang"
	await_markers "$work/console" 1 $pid
	kill -TERM $pid
	wait $pid || code=$?
	# Cohort dies of the signal after it has tidied up, as shells and supervisors like it; QEMU leaves with 0.
	[ $code = 143 ] || [ $code = 0 ] || failed "exit status $code"
}
