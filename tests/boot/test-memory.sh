# SPDX-License-Identifier: MIT
# Memory that the emulator takes from the host for the guest's code, and gives back.

# code_kib PID: of the code region's writable mapping, as far as the host has memory for it.
code_kib() {
	awk '/^[0-9a-f]+-[0-9a-f]+ / { code = $2 == "rw-s" && /memfd:cohort-code/ } code && $1 == "Rss:" { kib += $2 } END { print kib + 0 }' \
		"/proc/$1/smaps"
}

# A guest boots, runs all kinds of programs, and stays in a small loop then. By and by no more than the loop's code is left, 4 MiB with what the
# kernel does once in a while, of the 40 that were made; and the loop goes on.
cold_left=8192

test_cold_code_gives_memory_back() {
	only_cohort
	local child now loops made deadline=$((SECONDS + limit))
	kernel=$guest_dir/vmlinuz-cloud
	start "$work/console" 2 512M "cohort.run=loop" --stats
	until grep -aq '^COHORT-LOOP' "$work/console"; do
		kill -0 $pid 2>/dev/null || failed "the emulator ended: $(tail -n 1 "$work/console.err")"
		[ $SECONDS -lt $deadline ] || failed "no loop within $limit s: $(tail -n 1 "$work/console")"
		sleep 0.2
	done
	child=$(cat "/proc/$pid/task/$pid/children")
	child=${child%% *}
	while :; do
		now=$(code_kib "$child") || failed "the emulator ended: $(tail -n 1 "$work/console.err")"
		[ "$now" -gt $cold_left ] || break
		[ $SECONDS -lt $deadline ] || failed "$now KiB of code after $limit s"
		sleep 0.5
	done
	loops=$(grep -ac '^COHORT-LOOP' "$work/console")
	until [ "$(grep -ac '^COHORT-LOOP' "$work/console")" -gt $((loops + 1)) ]; do
		kill -0 $pid 2>/dev/null || failed "the emulator ended: $(tail -n 1 "$work/console.err")"
		[ $SECONDS -lt $deadline ] || failed "the loop has stopped: $(tail -n 1 "$work/console")"
		sleep 0.2
	done
	kill -TERM $pid
	wait $pid
	made=$(awk '$1 == "code_bytes" { print int($2 / 1024) }' "$work/console.err")
	echo "code: $now KiB of $made"
	[ "$made" -ge $((cold_left * 4)) ] || failed "no more than $made KiB of code were made"
	tr -d '\r' <"$work/console" >"$work/log"
	check_kernel_log "$work/log"
}
