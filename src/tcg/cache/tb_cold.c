/* SPDX-License-Identifier: MIT */
/*
 * Cold code. Which blocks run is not recorded, for that would cost those that do; so what is cold is found out by trying. A segment that was filled long
 * ago is emptied, the oldest first: what still runs is built anew, and stands in young segments then, close together; what does not is gone, and so is its
 * memory (code_give_back()).
 *
 * Building anew takes a vCPU some 2 ms for a segment of 256 KiB, if all of it runs. So there are pauses: short ones while few new segments are needed
 * for those that are emptied, long ones while it is as many. Then this costs 2% of a CPU for half a second, and 0.05% for as long as nothing is cold. It has
 * nothing to do with the evictions of a full cache, which go on by themselves.
 *
 * Threads: the loop's, by a timer.
 */
#include "tcg/cache/tb.h"

#include "sched/clock.h"
#include "sched/timer.h"
#include "tcg/cache/code_region.h"
#include "util/stats.h"

#define WINDOW 4 /* segments after which the pause is thought over */

static struct timer timer;
static struct {
	unsigned emptied; /* of this window */
	unsigned taken;   /* code_segments_taken() at its begin */
	vclock_ns_t pause;
} sweep; /* [owner: the loop thread] */

static void think_over(void)
{
	bool in_vain = code_segments_taken() - sweep.taken > WINDOW / 2;

	if (!in_vain)
		sweep.pause = TB_COLD_PAUSE_NS;
	else if (sweep.pause < TB_COLD_PAUSES * TB_COLD_PAUSE_NS)
		sweep.pause *= 2;
	if (sweep.pause > TB_COLD_PAUSES * TB_COLD_PAUSE_NS)
		sweep.pause = TB_COLD_PAUSES * TB_COLD_PAUSE_NS;
	sweep.emptied = 0;
}

vclock_ns_t tb_cold_sweep(vclock_ns_t now)
{
	struct code_segment *seg;

	if (sweep.emptied == WINDOW)
		think_over();
	seg = code_segment_aged(now - TB_COLD_AGE_NS);
	if (!seg)
		return now + TB_COLD_PAUSES * TB_COLD_PAUSE_NS;
	if (!sweep.emptied)
		sweep.taken = code_segments_taken();
	tb_evict_segment(seg);
	tb_reclaim_poll(true);
	stat_inc(STAT_segments_aged);
	sweep.emptied++;
	return now + sweep.pause;
}

static void run(void *opaque)
{
	(void)opaque;
	timer_arm(&timer, tb_cold_sweep(clock_now()));
}

void tb_cold_init(void)
{
	sweep.emptied = 0;
	sweep.pause = TB_COLD_PAUSE_NS;
	timer_init(&timer, run, NULL);
	timer_arm(&timer, clock_now() + TB_COLD_AGE_NS);
}

void tb_cold_fini(void)
{
	timer_fini(&timer);
}
