/* SPDX-License-Identifier: MIT */
/*
 * What a debugger outside of the guest needs of the vCPUs: break points, watch points, single steps, memory as a vCPU sees it.
 *
 * Threads: main, with all vCPUs paused, except where said. A vCPU that meets a point, or has done its step, stands still by itself before it does
 *          anything else, and tells the listener; it goes on when vcpu_debug_resume() says so.
 * Rule:    the points are [excl]: changed only while all vCPUs are paused, read by all.
 */
#ifndef COHORT_VCPU_DEBUGGER_H
#define COHORT_VCPU_DEBUGGER_H

#include "vcpu/vcpu.h"

#define DEBUG_MAX_POINTS 128

/* Clients tell two kinds of break points apart, and may have both at one place; here they are alike. */
enum debug_kind { DEBUG_SOFT_CODE, DEBUG_HARD_CODE, DEBUG_WRITE, DEBUG_READ, DEBUG_ACCESS };

struct debug_point {
	enum debug_kind kind;
	gva_t addr;
	uint64_t len; /* of code: 1 */
};

static inline bool debug_is_code(enum debug_kind kind)
{
	return kind <= DEBUG_HARD_CODE;
}

extern struct debug_point debug_points[DEBUG_MAX_POINTS];
extern unsigned nr_debug_points;

/* 0; or -ENOSPC, -EINVAL (length 0, or beyond the end of addresses), -ENOENT. A point that is there already is not added again. */
int must_check debug_point_add(enum debug_kind kind, gva_t addr, uint64_t len);
int must_check debug_point_remove(enum debug_kind kind, gva_t addr, uint64_t len);
void debug_points_clear(void);
bool debug_stop_still_holds(const struct vcpu *v); /* v met a watch point, and that is still there */

/* Guest memory by v's present translation, RAM only, with no privilege but the kernel's. 0, or -EFAULT: some of it is not there. */
int must_check debug_read(struct vcpu *v, gva_t addr, void *buf, size_t len);
int must_check debug_write(struct vcpu *v, gva_t addr, const void *buf, size_t len);

/* Called on the vCPU's thread, no lock held, when a vCPU has stopped by itself. Set before the first point or step. */
void debug_set_listener(void (*stopped)(void));

/* Before v goes on: it executes one instruction and stops, or runs. Forgets why it stopped last. */
void debug_set_step(struct vcpu *v, bool step);

/* The safepoint's side, on the vCPU's thread. Stands still until it is resumed, or to end. */
void debug_stand_still(struct vcpu *v);

#endif
