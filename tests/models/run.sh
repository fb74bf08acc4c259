#!/bin/bash
# SPDX-License-Identifier: MIT
#
# Checks the protocol models with spin: each model as it is must pass a complete search, each mutation must be caught.
# One line per case; exit status 0 if all is well, 1 if not, 77 (skipped) without spin.
#
#   run.sh               all cases
#   run.sh tb_life       the cases of one model
#   MODELS_FULL=1        larger configurations as well (minutes, up to 2 GB at a time)
#   MODELS_JOBS=n        cases at a time (default: host CPUs, at most 2)
#   CC                   compiler for spin's verifiers
#
# A case is: model, pass|caught, macros.
set -u

here=$(cd "$(dirname "$0")" && pwd)
read -ra cc <<<"${CC:-gcc}" # may carry options

cases() {
	# Halt and kick.
	pass kick_park SENDS=1
	pass kick_park WORKS=0
	full kick_park
	for m in RELAXED_REQUEST TOKEN_FIRST NO_WAKE HALT_BLINDLY PARK_OVERWRITES BLIND_WAIT TAKE_RELAXED CLEAR_OUT_LATE \
		CLEAR_OUT_RELAXED NOT_NOTED CLEAR_REQ_LATE; do
		caught kick_park "$m"
	done

	# Making a page code: two vCPUs doing two things each, three doing one each.
	pass code_page OPS=2
	pass code_page VCPUS=3 OPS=1
	full code_page OPS=3
	for m in RELAXED_JOIN STATE_BEFORE_JOIN NO_REJOIN RELAXED_ARM NO_REVOKE NO_WAIT KEEP_OWN NO_ARMING FORGET_LATE \
		GEN_LATE NO_GEN_CHECK NO_GEN_BUMP DISARM_NO_BUMP NO_STORE_FENCE RELAXED_POST RELAXED_ENTRY NO_ENTRY_POLL \
		WAIT_INSIDE WAIT_LOCKED OPEN_NO_JOIN OPEN_NO_BUMP OPEN_WHEN_ARMING OPEN_UNLOCKED OPEN_NOT_CLOSED CLOSE_OWN_ONLY \
		CLOSE_KEEP_OWN LATE_NO_BUMP KEEP_OPEN CLOSE_KEEP_OPEN OPEN_BY_SET UNLOCKED_BLINDLY SAME_UNOPENED; do
		caught code_page "$m"
	done

	# Write access to a whole region; mail whose sender may sleep.
	pass region_write
	full region_write OPS1=3
	for m in RELAXED_JOIN COUNT_BEFORE_JOIN COUNT_LATE NO_COUNT COUNT_AS_FLAG BY_PAGE_ONLY FORGET_LATE L0_KEPT LARGE_KEPT \
		PAGE_AS_LARGE; do
		caught region_write "$m"
	done
	caught region_write NO_FIRST_LOOK NO_REJOIN ONE_PAGE OPS1=3
	pass mailbox
	full mailbox OPS=3
	for m in RELAXED_POST RELAXED_ENTRY ENTER_BLINDLY RELAXED_LEAVE LEAVE_BLINDLY NO_WAKE ANSWER_PLAIN SLEEP_BLINDLY ONE_REF \
		WAIT_INSIDE; do
		caught mailbox "$m"
	done

	# Late immediates and kept versions.
	pass tb_version
	full tb_version OPS=3
	for m in FIND_FIRST COPY_UNCHECKED KEEP_UNPUBLISHED MAKE_BEHIND IGNORE_CONSTANT LATE_QUIET LATE_LASTS ALL_LATE; do
		caught tb_version "$m"
	done

	# Stopping all vCPUs for the user.
	pass pause
	full pause STOPS1=1
	for m in ASK_LATE ASK_QUIETLY STAND_QUIETLY STAND_BLINDLY WAIT_BLINDLY GO_QUIETLY END_AS_RUNS REQUEST_DROPPED STOP_DROPPED; do
		caught pause "$m"
	done

	# The vCPU's host timer; the I/O loop's calls; the physical memory map.
	pass cpu_timer
	for m in SET_FIRST HANDLER_KEEPS HANDLER_QUIET NOT_SET_AGAIN TAKE_LATE; do
		caught cpu_timer "$m"
	done
	pass evloop
	for m in READ_LATE NO_WAKE FIRST_BLINDLY STOP_LATE STOP_QUIETLY; do
		caught evloop "$m"
	done
	pass map_change
	for m in ASK_FIRST WALK_KEPT RUNNING_ONLY; do
		caught map_change "$m"
	done

	# A note for a vCPU that stands still, in place of a flush IPI.
	pass pv_flush
	full pv_flush OPS=4
	for m in CLEAR_PLAIN FLUSH_FIRST NO_FLUSH CLEAR_LATE MARK_EARLY NOTE_BLINDLY NOTE_FIRST RELAXED_IPI; do
		caught pv_flush "$m"
	done

	# Life of a block: a store to either page; two killers of one two-page block; two translators of one block.
	pass tb_life
	pass tb_life FIRST_PAGE=1
	pass tb_life WRITERS=2 SLOTS=2
	pass tb_life COLD RUNNERS=0 TRANSLATORS=2 SLOTS=3
	full tb_life STORES=2 SLOTS=3
	full tb_life STORES=2 SLOTS=3 FIRST_PAGE=1
	full tb_life WRITERS=2 SLOTS=3
	full tb_life COLD RUNNERS=0 TRANSLATORS=2 SLOTS=3 STORES=2
	for m in NO_ENTRY_PATCH KEEP_IN_TABLE NO_LIVE_CHECK NO_UNCHAIN_IN NO_GRACE NO_PURGE PURGE_FIRST UNLINK_UNNOTICED \
		NO_ONLINE_PURGE RELAXED_ONLINE STORE_FIRST; do
		caught tb_life "$m"
	done
	caught tb_life NO_UNCHAIN_OUT FIRST_PAGE=1
	for m in ONE_LOCK LOCK_UNORDERED NO_RECHECK KILLER_OFFLINE; do
		caught tb_life "$m" WRITERS=2 SLOTS=2
	done
	caught tb_life NO_GEN_CHECK COLD RUNNERS=0 TRANSLATORS=2 SLOTS=3
	caught tb_life GEN_EARLY WRITERS=2 SLOTS=3

	# Code memory under pressure: alone, with a segment to spare, with a rival.
	pass tb_evict
	pass tb_evict SEGS=2
	pass tb_evict RIVALS=1
	pass tb_evict RIVALS=1 SEGS=2 BLOCKS=2
	for m in RECENT_KEPT RECENT_UNNOTICED RECENT_DEAD NO_PARK_PURGE HOLD_BLINDLY UNLINKED_LATE BATCH_AT_ONCE EVICT_NO_REF \
		REF_BLINDLY NO_OWNER_REF PUT_UNLISTED GONE_AT_KILL WAIT_ONLINE NUDGE_ONCE; do
		caught tb_evict "$m" RIVALS=1
	done
	caught tb_evict NOT_FORGOTTEN
	caught tb_evict PURGE_READS_BLOCK RIVALS=1 SEGS=2 BLOCKS=2
	caught tb_evict KEPT_ACROSS RIVALS=1

	# Who has a block in private caches.
	pass tb_hold
	for m in HOLD_BLINDLY MANY_BLINDLY LET_GO_EARLY NOT_FORGOTTEN; do
		caught tb_hold "$m"
	done
}

only=${1:-}
pass() { [ -z "$only" ] || [ "$1" = "$only" ] || return 0; echo "$1" pass "${@:2}"; }
caught() { [ -z "$only" ] || [ "$1" = "$only" ] || return 0; echo "$1" caught "${@:2}"; }
full() { [ -z "${MODELS_FULL:-}" ] || pass "$@"; }

report() { # status word, then the case
	printf '%-6s %-12s %s%s\n' "$1" "$2" "$3" "${*:4}"
}

run_case() {
	model=$1 want=$2
	shift 2
	macros=("${@/#/-D}")
	label="${*:-as it is}"
	[ "$want" = pass ] || label="caught: $label"
	dir=$(mktemp -d "$work/case.XXXXXX") && cd "$dir" || exit 1
	cp "$here"/*.pml . || exit 1
	# A caught mutation needs few states: there compile time is what counts.
	[ "$want" = pass ] && opt=-O1 || opt=-O0
	compact=
	[ -z "${MODELS_FULL:-}" ] || compact=-DCOLLAPSE
	if ! spin "${macros[@]}" -a "$model.pml" >out 2>&1 ||
		! "${cc[@]}" "$opt" -w -DSAFETY $compact -DMEMLIM=1900 -o pan pan.c >>out 2>&1; then
		report FAIL "$model" "$label (does not build)"
		cat out
		exit 1
	fi
	limit=3600 # only a model that does not end takes so long: an idle host needs some 10 s for the largest
	[ -z "${MODELS_FULL:-}" ] || limit=36000
	timeout "$limit" ./pan -m100000 -w20 >out 2>&1
	states=$(awk '/states, stored/ { print $1; exit }' out)
	ok=0
	if [ "$want" = pass ]; then
		grep -q 'errors: 0' out && ! grep -qE 'Search not completed|too small|out of memory|truncated' out && ok=1
	else
		grep -q 'errors: 1' out && [ -s "$model.pml.trail" ] &&
			grep -qE '^pan:1: (assertion violated|invalid end state)' out && ! grep -q 'invalid array index' out && ok=1
	fi
	if [ "$ok" = 1 ]; then
		report ok "$model" "$label" " ($states states)"
	else
		report FAIL "$model" "$label"
		tail -n 40 out
	fi
	cd "$work" && rm -rf "$dir"
	[ "$ok" = 1 ]
}

if [ "${1:-}" = --case ]; then # one case, for the loop below
	work=$2
	shift 2
	run_case "$@"
	exit
fi

if ! command -v spin >/dev/null || ! command -v "${cc[0]}" >/dev/null; then
	echo "models: spin or ${cc[0]} is not installed: skipped"
	exit 77
fi
jobs=${MODELS_JOBS:-$(nproc 2>/dev/null || echo 1)}
[ -n "${MODELS_JOBS:-}" ] || [ "$jobs" -le 2 ] || jobs=2
work=$(mktemp -d "${TMPDIR:-/tmp}/models.XXXXXX") || exit 1
trap 'rm -rf "$work"' EXIT
trap 'exit 1' INT TERM
cases >"$work/cases"
if [ ! -s "$work/cases" ]; then
	echo "models: there is no model \"$only\""
	exit 1
fi
xargs -P "$jobs" -L 1 bash "$here/run.sh" --case "$work" <"$work/cases"
status=$?
[ "$status" = 0 ] || status=1
echo "models: $(wc -l <"$work/cases") cases, $([ "$status" = 0 ] && echo all as expected || echo NOT as expected)"
exit "$status"
