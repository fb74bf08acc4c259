/* SPDX-License-Identifier: MIT */
/*
 * Local APIC registers: the xAPIC window, the x2APIC MSRs, IA32_APIC_BASE and IA32_TSC_DEADLINE (SDM vol. 3, 11.4.1,
 * 11.12). The table in lapic_regs.def says who may touch what; each register has a read and a write function.
 */
#include "hw/core/ticks.h"
#include "hw/intc/lapic.h"
#include "sched/clock.h"
#include "util/bitops.h"
#include "util/cost.h"
#include "util/log.h"
#include "util/stats.h"
#include "vcpu/vcpu.h"

#define MSR_APIC_BASE 0x1bu
#define MSR_TSC_DEADLINE 0x6e0u
#define MSR_X2APIC_FIRST 0x800u

#define ESR_SEND_ILLEGAL_VECTOR 0x20u
#define ESR_ILLEGAL_REGISTER 0x80u

#define REG_LDR 0x0d
#define REG_ICR_LO 0x30
#define REG_LVT_FIRST 0x32

#define ICR_LOGICAL 0x800u
#define ICR_ASSERT 0x4000u
#define ICR_LEVEL 0x8000u
#define ICR_SHORTHAND 0xc0000u
#define ICR_VALID 0x000ccfffu

enum shorthand { TO_DEST, TO_SELF, TO_ALL, TO_OTHERS };

/* Access rights. */
#define MMIO_R 1u
#define MMIO_W 2u
#define MMIO_RW 3u
#define X2_R 4u
#define X2_W 8u
#define R (MMIO_R | X2_R)
#define W (MMIO_W | X2_W)
#define RW (R | W)

struct reg {
	uint32_t access;
	uint32_t reserved;
	uint32_t (*read)(struct lapic *l, unsigned reg);
	void (*write)(struct lapic *l, unsigned reg, uint32_t value);
};

static uint32_t read_zero(struct lapic *l, unsigned reg)
{
	(void)l;
	(void)reg;
	return 0;
}

static uint32_t read_id(struct lapic *l, unsigned reg)
{
	(void)reg;
	return lapic_mode(l) == LAPIC_X2APIC ? l->id : l->id << 24;
}

static uint32_t read_version(struct lapic *l, unsigned reg)
{
	(void)l;
	(void)reg;
	return LAPIC_VERSION;
}

static uint32_t read_tpr(struct lapic *l, unsigned reg)
{
	(void)reg;
	return atomic_load_explicit(&l->tpr, memory_order_relaxed);
}

static void write_tpr(struct lapic *l, unsigned reg, uint32_t value)
{
	(void)reg;
	atomic_store_explicit(&l->tpr, value & 0xff, memory_order_relaxed);
	lapic_recheck(l);
}

static uint32_t read_ppr(struct lapic *l, unsigned reg)
{
	(void)reg;
	return lapic_ppr(l);
}

/* Arbitration priority: SDM vol. 3, 11.6.2.4. */
static uint32_t read_apr(struct lapic *l, unsigned reg)
{
	uint32_t tpr = read_tpr(l, reg), isr = 0, irr = 0;

	for (int i = 3; i >= 0 && !isr; i--)
		if (l->isr[i])
			isr = (uint32_t)(i * 64 + 63 - __builtin_clzll(l->isr[i]));
	for (int i = 3; i >= 0 && !irr; i--) {
		uint64_t w = atomic_load(&l->in->vectors[i]);

		if (w)
			irr = (uint32_t)(i * 64 + 63 - __builtin_clzll(w));
	}
	if (tpr >> 4 >= irr >> 4 && tpr >> 4 > isr >> 4)
		return tpr;
	irr &= 0xf0;
	isr &= 0xf0;
	tpr &= 0xf0;
	return tpr > isr ? (tpr > irr ? tpr : irr) : (isr > irr ? isr : irr);
}

static void write_eoi(struct lapic *l, unsigned reg, uint32_t value)
{
	(void)reg;
	(void)value;
	lapic_eoi(l);
}

static uint32_t read_ldr(struct lapic *l, unsigned reg)
{
	(void)reg;
	return atomic_load_explicit(&l->ldr, memory_order_relaxed);
}

static void write_ldr(struct lapic *l, unsigned reg, uint32_t value)
{
	(void)reg;
	atomic_store_explicit(&l->ldr, value & 0xff000000u, memory_order_relaxed);
}

static uint32_t read_dfr(struct lapic *l, unsigned reg)
{
	(void)reg;
	return atomic_load_explicit(&l->dfr, memory_order_relaxed);
}

static void write_dfr(struct lapic *l, unsigned reg, uint32_t value)
{
	(void)reg;
	atomic_store_explicit(&l->dfr, value | 0x0fffffffu, memory_order_relaxed);
}

static uint32_t read_svr(struct lapic *l, unsigned reg)
{
	(void)reg;
	return atomic_load_explicit(&l->svr, memory_order_relaxed);
}

/* Software disable masks all LVT entries; what is in IRR and ISR stays (SDM vol. 3, 11.4.7.2). */
static void write_svr(struct lapic *l, unsigned reg, uint32_t value)
{
	(void)reg;
	atomic_store_explicit(&l->svr, value & 0x1ff, memory_order_relaxed);
	if (!(value & LAPIC_SVR_ENABLE))
		lapic_lvt_mask_all(l);
	lapic_recheck(l);
}

static uint32_t read_isr(struct lapic *l, unsigned reg)
{
	return (uint32_t)(l->isr[(reg & 7) >> 1] >> (reg & 1) * 32);
}

static uint32_t read_tmr(struct lapic *l, unsigned reg)
{
	return (uint32_t)(atomic_load(&l->tmr[(reg & 7) >> 1]) >> (reg & 1) * 32);
}

static uint32_t read_irr(struct lapic *l, unsigned reg)
{
	return (uint32_t)(atomic_load(&l->in->vectors[(reg & 7) >> 1]) >> (reg & 1) * 32);
}

static uint32_t read_esr(struct lapic *l, unsigned reg)
{
	(void)reg;
	return l->esr;
}

/* A write latches the errors since the last write. */
static void write_esr(struct lapic *l, unsigned reg, uint32_t value)
{
	(void)reg;
	(void)value;
	l->esr = atomic_exchange(&l->errors, 0);
}

static bool is_deassert(uint32_t icr)
{
	/* INIT level de-assert: nothing since the Pentium 4 */
	return (icr >> 8 & 7) == APIC_DM_INIT && (icr & ICR_LEVEL) && !(icr & ICR_ASSERT);
}

static bool is_illegal_vector(const struct apic_msg *msg)
{
	return (msg->mode == APIC_DM_FIXED || msg->mode == APIC_DM_LOWEST) && msg->vector < 16;
}

static struct apic_msg message(uint32_t icr, uint32_t dest, bool wide)
{
	return (struct apic_msg){
		.dest = dest,
		.vector = icr & 0xff,
		.mode = icr >> 8 & 7,
		.logical = icr & ICR_LOGICAL,
		/* The trigger bit is for INIT de-assert; IPIs are edges. */
		.level = false,
		.wide = wide,
		.sent = stats_timed ? clock_tsc() : 0,
	};
}

/* The one APIC that a write of the ICR in x2APIC mode names; NULL: none, or not so easily told. */
static const struct lapic *only_target(const struct lapic *l, uint64_t icr)
{
	uint64_t id = icr >> 32;

	if (icr & ICR_SHORTHAND)
		return NULL;
	if (icr & ICR_LOGICAL) {
		if (!is_pow2(id & 0xffff))
			return NULL;
		id = (id >> 16) * 16 + (unsigned)__builtin_ctzll(id);
	}
	return id < l->bus->nr_ids ? l->bus->by_id[id] : NULL;
}

/*
 * The line that the send will write comes while the rest of the way there is gone. No earlier: the target looks at it all the time, and would have
 * it back by then.
 */
static void expect_send(const struct lapic *l, uint64_t icr)
{
	const struct lapic *to = only_target(l, icr);

	if (to)
		prefetch_write(to->in);
}

/* SDM vol. 3, 11.6.1. `dest` is as wide as the mode's. */
static void send_ipi(struct lapic *l, uint32_t icr, uint32_t dest)
{
	struct apic_msg msg = message(icr, dest, lapic_mode(l) == LAPIC_X2APIC);
	enum cost_op was;

	if (is_deassert(icr))
		return;
	if (is_illegal_vector(&msg)) {
		lapic_error(l, ESR_SEND_ILLEGAL_VECTOR);
		return;
	}
	stat_inc(STAT_ipis_sent);
	was = cost_enter(COST_ipi); /* counted by lapic_deliver() */
	switch ((enum shorthand)(icr >> 18 & 3)) {
	case TO_DEST:
		apic_bus_send(l->bus, &msg, l->rotor++);
		break;
	case TO_SELF:
		lapic_deliver(l, &msg);
		break;
	case TO_ALL:
		apic_bus_broadcast(l->bus, &msg, NULL);
		break;
	case TO_OTHERS:
		apic_bus_broadcast(l->bus, &msg, l);
		break;
	}
	cost_end(was);
}

bool lapic_ipi(struct lapic *l, uint32_t dest, uint32_t icr)
{
	struct apic_msg msg = message(icr & ~ICR_LOGICAL, dest, true);
	enum cost_op was;
	bool accepted;

	if (dest >= l->bus->nr_ids || !l->bus->by_id[dest] || is_deassert(icr) || is_illegal_vector(&msg))
		return false;
	stat_inc(STAT_ipis_sent);
	was = cost_enter(COST_ipi);
	accepted = lapic_deliver(l->bus->by_id[dest], &msg);
	cost_end(was);
	return accepted;
}

static uint32_t read_icr_lo(struct lapic *l, unsigned reg)
{
	(void)reg;
	return l->icr_lo;
}

static void write_icr_lo(struct lapic *l, unsigned reg, uint32_t value)
{
	(void)reg;
	l->icr_lo = value & ICR_VALID;
	send_ipi(l, value, l->icr_hi >> 24);
}

static uint32_t read_icr_hi(struct lapic *l, unsigned reg)
{
	(void)reg;
	return l->icr_hi;
}

static void write_icr_hi(struct lapic *l, unsigned reg, uint32_t value)
{
	(void)reg;
	l->icr_hi = value & 0xff000000u;
}

static uint32_t read_lvt(struct lapic *l, unsigned reg)
{
	return lapic_lvt_read(l, reg - REG_LVT_FIRST);
}

static void write_lvt(struct lapic *l, unsigned reg, uint32_t value)
{
	lapic_lvt_write(l, reg - REG_LVT_FIRST, value);
}

static uint32_t read_initial(struct lapic *l, unsigned reg)
{
	(void)reg;
	return l->timer_initial;
}

static void write_initial(struct lapic *l, unsigned reg, uint32_t value)
{
	(void)reg;
	lapic_timer_set_initial(l, value);
}

static uint32_t read_current(struct lapic *l, unsigned reg)
{
	(void)reg;
	return lapic_timer_current(l);
}

static uint32_t read_divide(struct lapic *l, unsigned reg)
{
	(void)reg;
	return l->timer_divide;
}

static void write_divide(struct lapic *l, unsigned reg, uint32_t value)
{
	(void)reg;
	lapic_timer_set_divide(l, value);
}

static void write_self_ipi(struct lapic *l, unsigned reg, uint32_t value)
{
	(void)reg;
	send_ipi(l, (value & 0xff) | TO_SELF << 18, 0);
}

#define BANK8(i, r) \
	[(i)] = {R, 0, r, NULL}, [(i) + 1] = {R, 0, r, NULL}, [(i) + 2] = {R, 0, r, NULL}, \
	[(i) + 3] = {R, 0, r, NULL}, [(i) + 4] = {R, 0, r, NULL}, [(i) + 5] = {R, 0, r, NULL}, \
	[(i) + 6] = {R, 0, r, NULL}, [(i) + 7] = {R, 0, r, NULL},

static const struct reg regs[0x40] = {
#define LAPIC_REG(index, name, access, reserved, read, write) [index] = {access, reserved, read, write},
#define LAPIC_BANK(first, name, read) BANK8(first, read)
#include "hw/intc/lapic_regs.def"
#undef LAPIC_REG
#undef LAPIC_BANK
};

/* The xAPIC window. */

uint64_t lapic_reg_read(struct lapic *l, unsigned reg)
{
	if (reg >= ARRAY_LEN(regs) || !(regs[reg].access & MMIO_R)) {
		if (reg >= ARRAY_LEN(regs) || !regs[reg].access)
			lapic_error(l, ESR_ILLEGAL_REGISTER);
		return 0;
	}
	return regs[reg].read(l, reg);
}

void lapic_reg_write(struct lapic *l, unsigned reg, uint32_t value)
{
	if (reg >= ARRAY_LEN(regs) || !(regs[reg].access & MMIO_W)) {
		if (reg >= ARRAY_LEN(regs) || !regs[reg].access)
			lapic_error(l, ESR_ILLEGAL_REGISTER);
		return;
	}
	regs[reg].write(l, reg, value);
}

static uint64_t window_read(void *opaque, uint64_t off, unsigned size)
{
	struct vcpu *v = vcpu_self();
	struct lapic *l = v ? v->intc_opaque : NULL;

	(void)opaque;
	(void)size;
	if (!l || lapic_mode(l) != LAPIC_XAPIC)
		return ~0ull;
	return off & 0xf ? 0 : lapic_reg_read(l, (unsigned)(off >> 4));
}

static void window_write(void *opaque, uint64_t off, uint64_t value, unsigned size)
{
	struct vcpu *v = vcpu_self();
	struct lapic *l = v ? v->intc_opaque : NULL;

	(void)opaque;
	(void)size;
	if (l && lapic_mode(l) == LAPIC_XAPIC && !(off & 0xf))
		lapic_reg_write(l, (unsigned)(off >> 4), (uint32_t)value);
}

const struct mmio_ops lapic_mmio_ops = {
	.read = window_read,
	.write = window_write,
	.min_size = 4,
	.max_size = 4,
};

/* MSRs. */

/*
 * Legal transitions (SDM vol. 3, figure 11-27): disabled <-> xAPIC -> x2APIC -> disabled. The window stays at its
 * default address: no system software moves it, and one that does is told by -d unimp.
 */
static int write_base(struct lapic *l, uint64_t value)
{
	uint64_t old = atomic_load_explicit(&l->base, memory_order_relaxed);
	uint64_t enables = LAPIC_BASE_EN | LAPIC_BASE_EXTD;

	if (value & ~(0xffffffffff000ull | LAPIC_BASE_BSP | enables))
		return -1;
	if ((value & enables) == LAPIC_BASE_EXTD)
		return -1;
	if ((value & LAPIC_BASE_EXTD) && !(old & LAPIC_BASE_EN))
		return -1;
	if ((old & LAPIC_BASE_EXTD) && (value & enables) == LAPIC_BASE_EN)
		return -1;
	if ((value & 0xffffffffff000ull) != LAPIC_DEFAULT_BASE && log_on(LOG_UNIMP))
		log_write("local APIC %u: window not moved to %#llx\n", l->id, (unsigned long long)value);
	if ((old & LAPIC_BASE_EN) && !(value & LAPIC_BASE_EN)) {
		atomic_store(&l->base, value);
		lapic_reset(l, false);
		return 0;
	}
	atomic_store(&l->base, value);
	if ((value & LAPIC_BASE_EXTD) && !(old & LAPIC_BASE_EXTD)) {
		atomic_store(&l->ldr, l->id >> 4 << 16 | 1u << (l->id & 15));
		l->icr_hi = 0;
	}
	return 0;
}

static const struct reg *x2apic_reg(const struct lapic *l, uint32_t msr, uint32_t access)
{
	uint32_t i = msr - MSR_X2APIC_FIRST;

	if (lapic_mode(l) != LAPIC_X2APIC || i >= ARRAY_LEN(regs) || !(regs[i].access & access))
		return NULL;
	return &regs[i];
}

int lapic_msr_read(struct lapic *l, uint32_t msr, uint64_t *value)
{
	const struct reg *r;

	if (msr == MSR_APIC_BASE) {
		*value = atomic_load_explicit(&l->base, memory_order_relaxed);
		return 0;
	}
	if (msr == MSR_TSC_DEADLINE) {
		*value = lapic_timer_tsc_deadline(l);
		return 0;
	}
	r = x2apic_reg(l, msr, X2_R);
	if (!r)
		return -1;
	*value = r->read(l, msr - MSR_X2APIC_FIRST);
	if (msr - MSR_X2APIC_FIRST == REG_ICR_LO)
		*value |= (uint64_t)l->icr_hi << 32;
	return 0;
}

int lapic_msr_write(struct lapic *l, uint32_t msr, uint64_t value)
{
	const struct reg *r;

	if (msr == MSR_APIC_BASE)
		return write_base(l, value);
	if (msr == MSR_TSC_DEADLINE) {
		lapic_timer_set_tsc_deadline(l, value);
		return 0;
	}
	if (msr == MSR_X2APIC_FIRST + REG_ICR_LO)
		expect_send(l, value);
	r = x2apic_reg(l, msr, X2_W);
	if (!r || ((uint32_t)value & r->reserved))
		return -1;
	if (msr - MSR_X2APIC_FIRST == REG_ICR_LO) {
		l->icr_lo = (uint32_t)value & ICR_VALID;
		l->icr_hi = (uint32_t)(value >> 32);
		send_ipi(l, (uint32_t)value, l->icr_hi);
		return 0;
	}
	if (value >> 32)
		return -1;
	r->write(l, msr - MSR_X2APIC_FIRST, (uint32_t)value);
	return 0;
}
