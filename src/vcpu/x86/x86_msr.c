/* SPDX-License-Identifier: MIT */
/*
 * RDMSR and WRMSR. Which registers there are and what kind each is: x86_msr.def. Here: the table's lookup, and the registers with rules.
 */
#include "vcpu/x86/x86_msr.h"

#include "mem/tlb.h"
#include "util/log.h"
#include "vcpu/x86/x86_cpuid.h"
#include "vcpu/x86/x86_debug.h"
#include "vcpu/x86/x86_kvmclock.h"
#include "vcpu/x86/x86_mmu.h"
#include "vcpu/x86/x86_segment.h"
#include "vcpu/x86/x86_steal.h"

struct msr;
typedef int (*msr_read_fn)(struct x86_cpu *c, uint32_t n, uint64_t *v);
typedef int (*msr_write_fn)(struct x86_cpu *c, uint32_t n, uint64_t v);

enum msr_kind { MSR_DENY, MSR_NOTHING, MSR_VALUE, MSR_FIELD, MSR_FN };

/* ---- Time */

static int msr_tsc_read(struct x86_cpu *c, uint32_t n, uint64_t *v)
{
	(void)n;
	*v = vcpu_tsc_read(&c->vcpu);
	return 0;
}

/* The deadline timer and KVM's clock count this TSC. */
static void tsc_moved(struct x86_cpu *c)
{
	vcpu_timer_changed(&c->vcpu);
	x86_kvmclock_tsc_moved(c);
}

/* SDM 3B 18.17.3: a write to the TSC moves IA32_TSC_ADJUST by the same amount. */
static int msr_tsc_write(struct x86_cpu *c, uint32_t n, uint64_t v)
{
	(void)n;
	c->tsc_adjust += v - vcpu_tsc_read(&c->vcpu);
	tsc_moved(c);
	return 0;
}

static int msr_tsc_adjust_read(struct x86_cpu *c, uint32_t n, uint64_t *v)
{
	(void)n;
	*v = c->tsc_adjust;
	return x86_offers(c, X86_CPUID_TSC_ADJUST) ? 0 : -1;
}

static int msr_tsc_adjust_write(struct x86_cpu *c, uint32_t n, uint64_t v)
{
	(void)n;
	if (!x86_offers(c, X86_CPUID_TSC_ADJUST))
		return -1;
	c->tsc_adjust = v;
	tsc_moved(c);
	return 0;
}

static bool has_tsc_aux(const struct x86_cpu *c)
{
	return x86_offers(c, X86_CPUID_RDTSCP) || x86_offers(c, X86_CPUID_RDPID);
}

static int msr_tsc_aux_read(struct x86_cpu *c, uint32_t n, uint64_t *v)
{
	(void)n;
	*v = c->tsc_aux;
	return has_tsc_aux(c) ? 0 : -1;
}

static int msr_tsc_aux_write(struct x86_cpu *c, uint32_t n, uint64_t v)
{
	(void)n;
	if (!has_tsc_aux(c) || v >> 32)
		return -1;
	c->tsc_aux = (uint32_t)v;
	return 0;
}

/* ---- The interrupt controller's */

static int msr_intc_read(struct x86_cpu *c, uint32_t n, uint64_t *v)
{
	return c->vcpu.intc ? c->vcpu.intc->msr_read(&c->vcpu, n, v) : -1;
}

static int msr_intc_write(struct x86_cpu *c, uint32_t n, uint64_t v)
{
	return c->vcpu.intc ? c->vcpu.intc->msr_write(&c->vcpu, n, v) : -1;
}

static int msr_tsc_deadline_read(struct x86_cpu *c, uint32_t n, uint64_t *v)
{
	return x86_offers(c, X86_CPUID_TSC_DEADLINE) ? msr_intc_read(c, n, v) : -1;
}

static int msr_tsc_deadline_write(struct x86_cpu *c, uint32_t n, uint64_t v)
{
	return x86_offers(c, X86_CPUID_TSC_DEADLINE) ? msr_intc_write(c, n, v) : -1;
}

static int msr_x2apic_read(struct x86_cpu *c, uint32_t n, uint64_t *v)
{
	return x86_offers(c, X86_CPUID_X2APIC) ? msr_intc_read(c, n, v) : -1;
}

static int msr_x2apic_write(struct x86_cpu *c, uint32_t n, uint64_t v)
{
	return x86_offers(c, X86_CPUID_X2APIC) ? msr_intc_write(c, n, v) : -1;
}

/* ---- Speculation control: nothing to control, but the bits are kept */

static uint64_t spec_ctrl_valid(const struct x86_cpu *c)
{
	return (x86_offers(c, X86_CPUID_SPEC_CTRL) ? 1u << 0 : 0) | (x86_offers(c, X86_CPUID_STIBP) ? 1u << 1 : 0) |
	       (x86_offers(c, X86_CPUID_SSBD) ? 1u << 2 : 0) | (x86_offers(c, X86_CPUID_BHI_CTRL) ? 1u << 10 : 0);
}

static int msr_spec_ctrl_read(struct x86_cpu *c, uint32_t n, uint64_t *v)
{
	(void)n;
	*v = c->spec_ctrl;
	return spec_ctrl_valid(c) ? 0 : -1;
}

static int msr_spec_ctrl_write(struct x86_cpu *c, uint32_t n, uint64_t v)
{
	(void)n;
	if (!spec_ctrl_valid(c) || v & ~spec_ctrl_valid(c))
		return -1;
	c->spec_ctrl = v;
	return 0;
}

static int msr_pred_cmd_write(struct x86_cpu *c, uint32_t n, uint64_t v)
{
	(void)n;
	return x86_offers(c, X86_CPUID_SPEC_CTRL) && !(v & ~1ull) ? 0 : -1;
}

static int msr_arch_caps_read(struct x86_cpu *c, uint32_t n, uint64_t *v)
{
	(void)n;
	*v = c->cpuid->word[X86_CW_CAPS] | (uint64_t)c->cpuid->word[X86_CW_CAPSH] << 32;
	return x86_offers(c, X86_CPUID_ARCH_CAPS) ? 0 : -1;
}

/* ---- KVM's */

static bool has_kvmclock(const struct x86_cpu *c, uint32_t n)
{
	return x86_offers(c, n < X86_MSR_KVM_WALL_CLOCK ? X86_CPUID_KVM_CLOCK : X86_CPUID_KVM_CLOCK2);
}

static bool is_wall_clock(uint32_t n)
{
	return n == X86_MSR_KVM_WALL_CLOCK || n == X86_MSR_KVM_WALL_CLOCK_OLD;
}

static int msr_kvmclock_read(struct x86_cpu *c, uint32_t n, uint64_t *v)
{
	*v = is_wall_clock(n) ? c->kvmclock.wall : c->kvmclock.system;
	return has_kvmclock(c, n) ? 0 : -1;
}

static int msr_kvmclock_write(struct x86_cpu *c, uint32_t n, uint64_t v)
{
	if (!has_kvmclock(c, n))
		return -1;
	if (is_wall_clock(n))
		x86_kvmclock_wall_write(c, v);
	else
		x86_kvmclock_system_write(c, v);
	return 0;
}

static int msr_steal_time_read(struct x86_cpu *c, uint32_t n, uint64_t *v)
{
	(void)n;
	*v = c->steal.msr;
	return x86_offers(c, X86_CPUID_KVM_STEAL_TIME) ? 0 : -1;
}

static int msr_steal_time_write(struct x86_cpu *c, uint32_t n, uint64_t v)
{
	(void)n;
	return x86_offers(c, X86_CPUID_KVM_STEAL_TIME) ? x86_steal_msr_write(c, v) : -1;
}

/* ---- Memory types: kept, without effect */

static bool mtrr_type_ok(uint8_t type)
{
	return type == 0 || type == 1 || (type >= 4 && type <= 6);
}

static bool types_ok(uint64_t v, bool pat)
{
	for (unsigned i = 0; i < 8; i++) {
		uint8_t type = (uint8_t)(v >> 8 * i);

		if (!mtrr_type_ok(type) && !(pat && type == 7))
			return false;
	}
	return true;
}

static int msr_pat_write(struct x86_cpu *c, uint32_t n, uint64_t v)
{
	(void)n;
	if (!types_ok(v, true))
		return -1;
	c->pat = v;
	return 0;
}

static int msr_mtrr_def_write(struct x86_cpu *c, uint32_t n, uint64_t v)
{
	(void)n;
	if (v & ~0xcffull || !mtrr_type_ok((uint8_t)v))
		return -1;
	c->mtrr_def = v;
	return 0;
}

static int msr_mtrr_var_read(struct x86_cpu *c, uint32_t n, uint64_t *v)
{
	*v = c->mtrr_var[n - 0x200];
	return 0;
}

static int msr_mtrr_var_write(struct x86_cpu *c, uint32_t n, uint64_t v)
{
	bool mask = n & 1;

	if (v >> X86_PHYS_BITS || v & (mask ? 0x7ff : 0xf00) || (!mask && !mtrr_type_ok((uint8_t)v)))
		return -1;
	c->mtrr_var[n - 0x200] = v;
	return 0;
}

/* 250 (64K), 258, 259 (16K), 268..26F (4K) */
static unsigned mtrr_fixed_index(uint32_t n)
{
	return n == 0x250 ? 0 : n < 0x260 ? n - 0x258 + 1 : n - 0x268 + 3;
}

static int msr_mtrr_fixed_read(struct x86_cpu *c, uint32_t n, uint64_t *v)
{
	*v = c->mtrr_fixed[mtrr_fixed_index(n)];
	return 0;
}

static int msr_mtrr_fixed_write(struct x86_cpu *c, uint32_t n, uint64_t v)
{
	if (!types_ok(v, false))
		return -1;
	c->mtrr_fixed[mtrr_fixed_index(n)] = v;
	return 0;
}

/* ---- Machine checks: banks that never report anything, and keep what is written */

#define MC_BANKS X86_NR_MC_BANKS
enum { MC_CTL, MC_STATUS, MC_ADDR, MC_MISC };

static int msr_mcg_status_write(struct x86_cpu *c, uint32_t n, uint64_t v)
{
	(void)n;
	if (v & ~7ull)
		return -1;
	c->mcg_status = v;
	return 0;
}

static int msr_mc_bank_read(struct x86_cpu *c, uint32_t n, uint64_t *v)
{
	*v = c->mc_bank[n - 0x400];
	return 0;
}

/*
 * CTL takes all ones or none (SDM volume 3B, 16.3.2.1), STATUS may only be cleared. ADDR and MISC likewise by the manual, but hypervisors let them
 * be written, and their tests want it.
 */
static int msr_mc_bank_write(struct x86_cpu *c, uint32_t n, uint64_t v)
{
	if (((n & 3) == MC_CTL && v && v != ~0ull) || ((n & 3) == MC_STATUS && v))
		return -1;
	c->mc_bank[n - 0x400] = v;
	return 0;
}

/* ---- Control */

static int msr_zero_write(struct x86_cpu *c, uint32_t n, uint64_t v)
{
	(void)c;
	(void)n;
	return v ? -1 : 0;
}

/* LBR and BTF can be set; there are no records. */
static int msr_debugctl_write(struct x86_cpu *c, uint32_t n, uint64_t v)
{
	(void)n;
	if (v & ~0xffffull)
		return -1;
	c->debugctl = v & (X86_DEBUGCTL_LBR | X86_DEBUGCTL_BTF);
	return 0;
}

static int msr_pkrs_read(struct x86_cpu *c, uint32_t n, uint64_t *v)
{
	(void)n;
	*v = c->pkrs;
	return x86_offers(c, X86_CPUID_PKS) ? 0 : -1;
}

static int msr_pkrs_write(struct x86_cpu *c, uint32_t n, uint64_t v)
{
	(void)n;
	if (!x86_offers(c, X86_CPUID_PKS) || v >> 32)
		return -1;
	c->pkrs = (uint32_t)v;
	tlb_flush_all(&c->vcpu.env);
	return 0;
}

static int msr_xss_read(struct x86_cpu *c, uint32_t n, uint64_t *v)
{
	(void)n;
	*v = c->xss;
	return x86_offers(c, X86_CPUID_XSAVES) ? 0 : -1;
}

static int msr_xss_write(struct x86_cpu *c, uint32_t n, uint64_t v)
{
	(void)n;
	return x86_offers(c, X86_CPUID_XSAVES) && !v ? 0 : -1;
}

/* LMA follows CR0.PG (rt_cr.c) and cannot be written; LME is fixed while paging is on. */
static int msr_efer_write(struct x86_cpu *c, uint32_t n, uint64_t v)
{
	uint64_t valid = X86_EFER_LMA, old = c->efer;

	(void)n;
	valid |= x86_offers(c, X86_CPUID_SYSCALL) ? X86_EFER_SCE : 0;
	valid |= x86_offers(c, X86_CPUID_LM) ? X86_EFER_LME : 0;
	valid |= x86_offers(c, X86_CPUID_NX) ? X86_EFER_NXE : 0;
	if (v & ~valid || ((v ^ old) & X86_EFER_LME && c->cr0 & X86_CR0_PG))
		return -1;
	c->efer = (v & ~(uint64_t)X86_EFER_LMA) | (old & X86_EFER_LMA);
	if ((c->efer ^ old) & X86_EFER_NXE)
		tlb_flush_all(&c->vcpu.env);
	x86_mode_update(c);
	return 0;
}

#define CANONICAL(name, field) \
	static int msr_##name##_write(struct x86_cpu *c, uint32_t n, uint64_t v) \
	{ \
		(void)n; \
		if (!x86_canonical(c, v)) \
			return -1; \
		c->field = v; \
		return 0; \
	}
CANONICAL(sysenter_esp, sysenter_esp)
CANONICAL(sysenter_eip, sysenter_eip)
CANONICAL(lstar, lstar)
CANONICAL(cstar, cstar)
CANONICAL(kernel_gs_base, kernel_gs_base)
CANONICAL(fs_base, seg[X86_FS].base)
CANONICAL(gs_base, seg[X86_GS].base)

static int msr_sfmask_write(struct x86_cpu *c, uint32_t n, uint64_t v)
{
	(void)n;
	c->sfmask = (uint32_t)v;
	return 0;
}

/* ---- The table */

static const struct msr {
	uint32_t first, last;
	uint8_t read_kind, write_kind;
	union {
		uint64_t value;
		size_t field;
		msr_read_fn fn;
	} read;
	union {
		size_t field;
		msr_write_fn fn;
	} write;
} table[] = {
#define R_DENY .read_kind = MSR_DENY
#define R_VALUE(v) .read_kind = MSR_VALUE, .read.value = (v)
#define R_FIELD(f) .read_kind = MSR_FIELD, .read.field = offsetof(struct x86_cpu, f)
#define R_FN(name) .read_kind = MSR_FN, .read.fn = msr_##name##_read
#define W_DENY .write_kind = MSR_DENY
#define W_NOTHING .write_kind = MSR_NOTHING
#define W_FIELD(f) .write_kind = MSR_FIELD, .write.field = offsetof(struct x86_cpu, f)
#define W_FN(name) .write_kind = MSR_FN, .write.fn = msr_##name##_write
#define X86_MSR(from, to, r, w) { .first = from, .last = to, R_##r, W_##w },
#include "vcpu/x86/x86_msr.def"
#undef X86_MSR
};

static const struct msr *find(uint32_t n)
{
	size_t low = 0, high = ARRAY_LEN(table);

	while (low < high) {
		size_t mid = (low + high) / 2;

		if (n > table[mid].last)
			low = mid + 1;
		else
			high = mid;
	}
	return low < ARRAY_LEN(table) && n >= table[low].first ? &table[low] : NULL;
}

static uint64_t *field(struct x86_cpu *c, size_t offset)
{
	return (uint64_t *)((char *)c + offset);
}

/* The local APIC's, which kernels use all the time, are found without a search. */
static bool is_x2apic(uint32_t n)
{
	return n >> 8 == 8;
}

static int do_read(struct x86_cpu *c, uint32_t n, uint64_t *value)
{
	const struct msr *m;

	if (is_x2apic(n))
		return msr_x2apic_read(c, n, value);
	m = find(n);
	if (!m || m->read_kind == MSR_DENY)
		return -1;
	if (m->read_kind == MSR_FN)
		return m->read.fn(c, n, value);
	*value = m->read_kind == MSR_FIELD ? *field(c, m->read.field) : m->read.value;
	return 0;
}

static int do_write(struct x86_cpu *c, uint32_t n, uint64_t value)
{
	const struct msr *m;

	if (is_x2apic(n))
		return msr_x2apic_write(c, n, value);
	m = find(n);
	if (!m || m->write_kind == MSR_DENY)
		return -1;
	if (m->write_kind == MSR_FN)
		return m->write.fn(c, n, value);
	if (m->write_kind == MSR_FIELD)
		*field(c, m->write.field) = value;
	return 0;
}

int x86_msr_read(struct x86_cpu *c, uint32_t msr, uint64_t *value)
{
	if (do_read(c, msr, value) == 0)
		return 0;
	if (log_on(LOG_UNIMP | LOG_GUEST_ERRORS))
		log_write("cpu %u: read of MSR %#x refused\n", c->vcpu.index, msr);
	return -1;
}

int x86_msr_write(struct x86_cpu *c, uint32_t msr, uint64_t value)
{
	if (do_write(c, msr, value) == 0)
		return 0;
	if (log_on(LOG_UNIMP | LOG_GUEST_ERRORS))
		log_write("cpu %u: write of %#llx to MSR %#x refused\n", c->vcpu.index, (unsigned long long)value, msr);
	return -1;
}

void x86_msr_reset(struct x86_cpu *c)
{
	c->star = c->lstar = c->cstar = c->sfmask = c->kernel_gs_base = 0;
	c->sysenter_cs = c->sysenter_esp = c->sysenter_eip = 0;
	c->pat = 0x0007040600070406ull;
	c->misc_enable = 0x1801 | X86_MISC_MONITOR; /* fast strings; no BTS, no PEBS */
	c->monitor_on = false;
	c->steal = (struct x86_steal){ 0 };
	x86_kvmclock_reset(c);
	c->spec_ctrl = c->debugctl = c->mcg_status = c->xss = 0;
	c->smbase = 0x30000;
	c->tsc_aux = 0;
	c->pkru = c->pkrs = 0;
	c->mtrr_def = 0;
	for (unsigned i = 0; i < ARRAY_LEN(c->mc_bank); i++)
		c->mc_bank[i] = i % 4 == MC_CTL ? ~0ull : 0; /* every error is reported */
	for (unsigned i = 0; i < ARRAY_LEN(c->mtrr_fixed); i++)
		c->mtrr_fixed[i] = 0;
	for (unsigned i = 0; i < ARRAY_LEN(c->mtrr_var); i++)
		c->mtrr_var[i] = 0;
}
