# SPDX-License-Identifier: MIT
# Far more CPUs than the host has, all of them at work.

# What passes is that each CPU gets on, timers fire everywhere, and the kernel has nothing to complain of: no lockup, no stall, no hung task. How even
# it was is only printed, for that is the host's to say, too.
test_crowd_smp_64() {
	kernel=$guest_dir/vmlinuz-cloud
	boot "$work/console" "$limit" 64 1G "cohort.run=crowd,10,4 cohort.dmesg=1" -no-reboot
	grep '^INFO' "$work/console"
	check_boot "$work/console" 64
	check_result "$work/console" crowd
}
