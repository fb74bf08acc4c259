/* SPDX-License-Identifier: MIT */
#include "vcpu/debugger.h"

#include <errno.h>
#include <string.h>

#include "mem/aspace.h"
#include "mem/tlb.h"
#include "util/futex.h"
#include "vcpu/arch.h"
#include "vcpu/mailbox.h"

struct debug_point debug_points[DEBUG_MAX_POINTS];
unsigned nr_debug_points;

static void (*listener)(void); /* [const] once there are points or steps */

/* ---- Points */

static void points_changed(void)
{
	for (unsigned i = 0; i < nr_vcpus; i++)
		vcpu_arch.debug_changed(vcpus[i]);
}

static struct debug_point *point_find(enum debug_kind kind, gva_t addr, uint64_t len)
{
	for (unsigned i = 0; i < nr_debug_points; i++) {
		struct debug_point *p = &debug_points[i];

		if (p->kind == kind && p->addr == addr && (debug_is_code(kind) || p->len == len))
			return p;
	}
	return NULL;
}

int debug_point_add(enum debug_kind kind, gva_t addr, uint64_t len)
{
	if (!len || addr + (len - 1) < addr)
		return -EINVAL;
	if (point_find(kind, addr, len))
		return 0;
	if (nr_debug_points == DEBUG_MAX_POINTS)
		return -ENOSPC;
	debug_points[nr_debug_points++] = (struct debug_point){ kind, addr, debug_is_code(kind) ? 1 : len };
	points_changed();
	return 0;
}

int debug_point_remove(enum debug_kind kind, gva_t addr, uint64_t len)
{
	struct debug_point *p = point_find(kind, addr, len);

	if (!p)
		return -ENOENT;
	*p = debug_points[--nr_debug_points];
	points_changed();
	return 0;
}

bool debug_stop_still_holds(const struct vcpu *v)
{
	static const enum debug_kind kinds[] = {
		[DEBUG_STOP_WRITE] = DEBUG_WRITE, [DEBUG_STOP_READ] = DEBUG_READ, [DEBUG_STOP_ACCESS] = DEBUG_ACCESS };

	for (unsigned i = 0; v->debug.stop >= DEBUG_STOP_WRITE && i < nr_debug_points; i++)
		if (debug_points[i].kind == kinds[v->debug.stop] && debug_points[i].addr == v->debug.addr)
			return true;
	return false;
}

void debug_points_clear(void)
{
	nr_debug_points = 0;
	points_changed();
}

/* ---- Memory */

/* The first bytes of [addr, addr + len), as many as lie in one page. */
static int physical(struct vcpu *v, gva_t addr, size_t len, gpa_t *pa, size_t *here)
{
	uint64_t left = GUEST_PAGE_SIZE - (addr & ~GUEST_PAGE_MASK);
	struct tlb_walk w;

	if (tlb_ops->probe(&v->env, addr, TLB_READ, vcpu_arch.debug_mmu_mode, &w))
		return -EFAULT;
	*pa = w.pa + (addr - w.va);
	*here = len < left ? len : (size_t)left;
	return 0;
}

int debug_read(struct vcpu *v, gva_t addr, void *buf, size_t len)
{
	for (uint8_t *p = buf; len;) {
		size_t n;
		gpa_t pa;

		if (physical(v, addr, len, &pa, &n) || dma_read(pa, p, n))
			return -EFAULT;
		p += n;
		addr += n;
		len -= n;
	}
	return 0;
}

int debug_write(struct vcpu *v, gva_t addr, const void *buf, size_t len)
{
	for (const uint8_t *p = buf; len;) {
		size_t n;
		gpa_t pa;

		if (physical(v, addr, len, &pa, &n) || dma_write(pa, p, n))
			return -EFAULT;
		p += n;
		addr += n;
		len -= n;
	}
	return 0;
}

/* ---- Stopping and going on */

void debug_set_listener(void (*stopped)(void))
{
	listener = stopped;
}

void debug_set_step(struct vcpu *v, bool step)
{
	v->debug.stop = DEBUG_STOP_NONE;
	v->debug.step = step ? DEBUG_STEP_ARMED : DEBUG_STEP_NONE;
	vcpu_arch.debug_changed(v);
}

/* From here to the pause that the listener asks for, and through it. The caller is outside and RCU-offline. */
void debug_stand_still(struct vcpu *v)
{
	listener();
	vcpu_wait_for_pause(v);
}
