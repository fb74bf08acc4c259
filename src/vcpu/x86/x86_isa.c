/* SPDX-License-Identifier: MIT */
/*
 * The x86 guest as the lower rooms see it: struct guest_isa for tcg, struct vcpu_arch for the run loop; CPU modes, reset, and
 * the events of a safepoint.
 */
#include "vcpu/x86/x86_isa.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "mem/aspace.h"
#include "mem/tlb.h"
#include "sched/clock.h"
#include "util/err.h"
#include "util/log.h"
#include "util/stats.h"
#include "vcpu/arch.h"
#include "vcpu/exec.h"
#include "vcpu/x86/decode/decode.h"
#include "vcpu/x86/rt/rt.h"
#include "vcpu/x86/tr/tr.h"
#include "vcpu/x86/x86_cpuid.h"
#include "vcpu/x86/x86_data_fault.h"
#include "vcpu/x86/x86_debug.h"
#include "vcpu/x86/x86_int.h"
#include "vcpu/x86/x86_kvmclock.h"
#include "vcpu/x86/x86_mmu.h"
#include "vcpu/x86/x86_msr.h"
#include "vcpu/x86/x86_segment.h"
#include "vcpu/x86/x86_smm.h"
#include "vcpu/x86/x86_steal.h"
#include "vcpu/x86/x86_x87.h"
#include "vcpu/x86/x86_xstate.h"

/* ---- Mode */

static uint32_t mode_of_cs(const struct x86_cpu *c)
{
	uint32_t attr = c->seg[X86_CS].attr;

	if (!(c->cr0 & X86_CR0_PE) || (c->eflags & X86_FL_VM))
		return attr & X86_SA_DB && !(c->eflags & X86_FL_VM) ? X86_MODE_32 : X86_MODE_16;
	if ((c->efer & X86_EFER_LMA) && (attr & X86_SA_L))
		return X86_MODE_64;
	return attr & X86_SA_DB ? X86_MODE_32 : X86_MODE_16;
}

/* Flat: every offset of the segment may be used for any access, so nothing needs checking. */
static bool flat(const struct x86_seg *s, bool code)
{
	uint32_t need = X86_SA_P | X86_SA_S | (code ? X86_SA_CODE | X86_SA_RW : X86_SA_RW);

	if ((s->attr & need) != need || s->limit != 0xffffffff)
		return false;
	return code || !(s->attr & (X86_SA_CODE | X86_SA_EXPAND_DOWN));
}

/* Outside 64-bit mode. */
static __attribute__((noinline)) uint32_t segment_flags(const struct x86_cpu *c)
{
	uint32_t f = 0;

	for (unsigned r = X86_ES; r <= X86_DS; r++)
		if (c->seg[r].base)
			f |= X86_TB_SEGBASE;
	/* Real mode with 64 KiB limits: 16-bit offsets cannot leave them except by an access that wraps; those check too. */
	for (unsigned r = X86_ES; r < X86_NR_SEGS; r++)
		if (!flat(&c->seg[r], r == X86_CS))
			f |= r >= X86_FS ? X86_TB_FGLIM : X86_TB_SEGLIM;
	return f;
}

/* `flag` if `mask` is set in reg; both are single bits. Branch-free: modes change at every system call. */
static inline uint32_t bit(uint64_t reg, uint64_t mask, uint32_t flag)
{
	return (uint32_t)((reg & mask) / mask) * flag;
}

static uint32_t privilege_flags(const struct x86_cpu *c)
{
	unsigned iopl = (c->eflags & X86_FL_IOPL) >> 12;
	uint32_t user = c->cpl ? bit(c->cr4, X86_CR4_TSD, X86_TB_TSD) | bit(c->cr4, X86_CR4_UMIP, X86_TB_UMIP) : 0;
	uint32_t f = (uint32_t)c->cpl << X86_TB_CPL_SHIFT | user;

	if (c->eflags & X86_FL_VM ? iopl == 3 : c->cpl <= iopl)
		f |= X86_TB_IOPL;
	if ((c->eflags & X86_FL_AC) && (c->cpl < 3 || (c->cr0 & X86_CR0_AM)))
		f |= X86_TB_AC;
	return f;
}

static __attribute__((noinline)) uint32_t control_flags_of(const struct x86_cpu *c)
{
	uint32_t cr0 = bit(c->cr0, X86_CR0_PE, X86_TB_PE) | bit(c->cr0, X86_CR0_TS, X86_TB_TS) | bit(c->cr0, X86_CR0_EM, X86_TB_EM) |
		       bit(c->cr0, X86_CR0_MP, X86_TB_MP);
	uint32_t cr4 = bit(c->cr4, X86_CR4_OSFXSR, X86_TB_OSFXSR) | bit(c->cr4, X86_CR4_OSXSAVE, X86_TB_OSXSAVE) |
		       bit(c->cr4, X86_CR4_FSGSBASE, X86_TB_FSGSBASE);

	return cr0 | cr4 | bit(c->efer, X86_EFER_LMA, X86_TB_LMA) | bit(c->xcr0, X86_XS_AVX, X86_TB_AVX) |
	       bit(c->xcr0, X86_XS_AVX512, X86_TB_AVX512);
}

/* They seldom change, modes with every system call. */
static uint32_t control_flags(struct x86_cpu *c)
{
	struct x86_control *k = &c->control;

	if (unlikely(k->cr0 != c->cr0 || k->cr4 != c->cr4 || k->efer != c->efer || k->xcr0 != c->xcr0)) {
		*k = (struct x86_control){ .cr0 = c->cr0, .cr4 = c->cr4, .efer = c->efer, .xcr0 = c->xcr0, .flags = control_flags_of(c) };
		tlb_modes_forget(&c->vcpu.env);
		c->tb_flags = TLB_NO_CPU_MODE; /* so that the mode is told anew */
	}
	return k->flags;
}

void x86_mode_update(struct x86_cpu *c)
{
	uint32_t mode, f;
	gva_t base;
	bool other; /* as generated code changes it, see x86_tr_stac() */

	if (!(c->cr0 & X86_CR0_PE))
		c->cpl = 0;
	else if (c->eflags & X86_FL_VM)
		c->cpl = 3;
	mode = mode_of_cs(c);
	base = mode == X86_MODE_64 ? 0 : c->seg[X86_CS].base;
	if (unlikely(base != c->fpu_cs_base))
		x86_fpu_cs_moved(c, base);
	f = mode | (mode == X86_MODE_64 ? 0 : segment_flags(c)) | privilege_flags(c) | control_flags(c);
	f |= bit(c->seg[X86_SS].attr, X86_SA_DB, X86_TB_SS32) | bit(c->eflags, X86_FL_VM, X86_TB_VM) | bit(c->eflags, X86_FL_TF, X86_TB_TF);
	if (c->shadow) {
		f |= X86_TB_SHADOW;
		c->block_shadow = c->shadow;
	}
	if (c->vcpu.debug.step != DEBUG_STEP_NONE)
		f |= X86_TB_STEP;
	if (c->bp_fetch)
		f |= X86_TB_BP | (c->eflags & X86_FL_RF ? X86_TB_RF : 0);
	if (f == c->tb_flags)
		return;
	c->tb_flags = f;
	other = c->cpl < 3 && (f & X86_TB_AC);
	tlb_mode_changed(&c->vcpu.env, other ? f & ~X86_TB_AC : f, c->cpl == 3, other);
}

static uint32_t tb_flags(struct tcg_env *env)
{
	return x86_cpu(env)->tb_flags;
}

/* ---- Reset */

static void reset_segments(struct x86_cpu *c)
{
	const uint32_t data = X86_SA_P | X86_SA_S | X86_SA_RW | X86_SA_ACCESSED;

	for (unsigned r = 0; r < X86_NR_SEGS; r++)
		c->seg[r] = (struct x86_seg){ .limit = 0xffff, .attr = data };
	c->seg[X86_CS] = (struct x86_seg){ .sel = 0xf000, .base = 0xffff0000, .limit = 0xffff, .attr = data | X86_SA_CODE };
	c->ldt = (struct x86_seg){ .limit = 0xffff, .attr = X86_SA_P | X86_LDT << 8 };
	c->tr = (struct x86_seg){ .limit = 0xffff, .attr = X86_SA_P | X86_TSS32_BUSY << 8 };
	c->gdt = c->idt = (struct x86_table){ .limit = 0xffff };
}

/* SDM volume 3A, table 9-1. INIT keeps the FPU, the vector registers, the MSRs and the TSC. */
static void reset_common(struct x86_cpu *c)
{
	struct tcg_env *env = &c->vcpu.env;

	memset(env->greg, 0, sizeof(env->greg));
	env->greg[X86_RDX] = x86_cpuid_signature(c);
	env->flags = 0;
	env->pc = 0xfffffff0; /* CS.base + FFF0 */
	c->eflags = X86_FL_FIXED1;
	c->cr0 = X86_CR0_ET | (c->cr0 & (X86_CR0_CD | X86_CR0_NW));
	c->cr2 = c->cr3 = c->cr4 = c->efer = 0;
	memset(c->dr, 0, sizeof(c->dr));
	c->dr[6] = 0xffff0ff0;
	c->dr[7] = 0x400;
	x86_debug_update(c);
	c->cpl = 0;
	c->smm = c->smi_pending = false;
	c->shadow = X86_SHADOW_NONE;
	c->nmi_blocked = c->init_pending = false;
	c->x87_ignored = 0;
	c->single_step_due = X86_STEP_NONE;
	c->debug_due = 0;
	c->fault = (struct x86_fault){ 0 };
	reset_segments(c);
	tlb_set_globals(env, false);
	tlb_switch(env, 0, false);
	tlb_flush_all(env);
	c->tb_flags = ~0u;
	x86_mode_update(c);
}

static void init_reset(struct x86_cpu *c)
{
	reset_common(c);
	if (c->vcpu.intc)
		c->vcpu.intc->reset(&c->vcpu, false);
	vcpu_set_run_state(&c->vcpu, c->vcpu.index ? VCPU_WAIT_SIPI : VCPU_RUNNING);
}

/* Flat protected or long mode, as a boot loader left it. */
static void apply_boot_state(struct x86_cpu *c, const struct vcpu_boot_state *b)
{
	const uint32_t data = X86_SA_P | X86_SA_S | X86_SA_RW | X86_SA_ACCESSED | X86_SA_DB | X86_SA_G;
	struct tcg_env *env = &c->vcpu.env;

	c->gdt = (struct x86_table){ b->desc_table, b->desc_limit };
	for (unsigned r = 0; r < X86_NR_SEGS; r++)
		c->seg[r] = (struct x86_seg){ .sel = b->data_sel, .limit = 0xffffffff, .attr = data };
	c->seg[X86_CS] = (struct x86_seg){ .sel = b->code_sel, .limit = 0xffffffff, .attr = data | X86_SA_CODE };
	c->cr0 = X86_CR0_PE | X86_CR0_ET;
	if (b->word_bits == 64) {
		c->seg[X86_CS].attr = (c->seg[X86_CS].attr & ~X86_SA_DB) | X86_SA_L;
		c->cr3 = b->root_table;
		c->cr4 = X86_CR4_PAE;
		c->efer = X86_EFER_LME | X86_EFER_LMA;
		c->cr0 |= X86_CR0_PG;
	}
	env->pc = b->entry;
	env->greg[X86_RAX] = b->arg[BOOT_ARG_A];
	env->greg[X86_RBX] = b->arg[BOOT_ARG_B];
	env->greg[X86_RSI] = b->arg[BOOT_ARG_SI];
	tlb_flush_all(env);
	x86_mode_update(c);
}

static void reset(struct vcpu *v)
{
	struct x86_cpu *c = x86_cpu(&v->env);

	c->cr0 = X86_CR0_CD | X86_CR0_NW;
	c->tsc_adjust = 0;
	c->tsc_offset = 0;
	reset_common(c);
	x86_msr_reset(c);
	if (vcpus[0]->boot.word_bits)
		c->mtrr_def = 0xc06; /* no firmware runs: enabled, write-back by default, as one would leave them */
	x86_fpu_reset(c);
	memset(v->env.vreg, 0, sizeof(v->env.vreg));
	memset(v->env.kreg, 0, sizeof(v->env.kreg));
	v->env.vec_used = 0;
	atomic_store(&v->env.request, 0);
	v->env.exit_code = TCG_EXIT_EVENT;
	v->exec->one_shot = false;
	if (v->intc)
		v->intc->reset(v, true);
	vcpu_set_run_state(v, v->index ? VCPU_WAIT_SIPI : VCPU_RUNNING);
	if (v->index == 0 && v->boot.word_bits)
		apply_boot_state(c, &v->boot);
}

/* ---- Events */

static void take_sipi(struct x86_cpu *c)
{
	struct vcpu *v = &c->vcpu;

	if (vcpu_run_state(v) != VCPU_WAIT_SIPI)
		return;
	x86_seg_set_real(c, X86_CS, (uint16_t)(__atomic_load_n(&v->sipi_vector, __ATOMIC_RELAXED) << 8));
	x86_set_ip(c, 0);
	vcpu_set_run_state(v, VCPU_RUNNING);
	x86_mode_update(c);
}

static bool interruptible(const struct x86_cpu *c)
{
	return (c->eflags & X86_FL_IF) && !c->shadow;
}

static bool intr_pending(struct vcpu *v)
{
	return v->intc && v->intc->pending(v) >= 0;
}

/* What cannot be delivered now is looked at when the guest enables it: generated code tests irq_waiting behind STI, IRET, ... */
static void note_waiting(struct x86_cpu *c)
{
	c->vcpu.env.irq_waiting = c->nmi_pending || c->init_pending || (c->smi_pending && !c->smm) || intr_pending(&c->vcpu);
}

static void take_nmi(struct x86_cpu *c)
{
	c->nmi_pending = false;
	c->nmi_blocked = true;
	vcpu_set_run_state(&c->vcpu, VCPU_RUNNING);
	x86_int_deliver_external(c, X86_NMI);
}

static void take_intr(struct x86_cpu *c)
{
	struct vcpu *v = &c->vcpu;
	int vector = v->intc->accept(v);

	if (vector < 0)
		return;
	stat_inc(STAT_interrupts);
	vcpu_set_run_state(v, VCPU_RUNNING);
	x86_int_deliver_external(c, (uint8_t)vector);
	if (unlikely(v->intr_sent))
		stat_time(STAT_TIME_ipi, (uint64_t)((__uint128_t)(clock_tsc() - v->intr_sent) * 1000000000u / clock_tsc_hz()));
}

/* A debugger steps through the program: not into what interrupts it. */
static bool steps(const struct x86_cpu *c)
{
	return c->vcpu.debug.step != DEBUG_STEP_NONE && vcpu_run_state(&c->vcpu) == VCPU_RUNNING;
}

/* Delivers one interrupt if one is deliverable. */
static void take_interrupt(struct x86_cpu *c)
{
	c->vcpu.env.irq_waiting = 1; /* if delivery faults, this is looked at again */
	if (c->nmi_pending && !c->nmi_blocked && !c->shadow)
		take_nmi(c);
	else if (interruptible(c) && !steps(c) && c->vcpu.intc)
		take_intr(c);
	note_waiting(c);
}

/* The instruction will run again from its start (vcpu_run_alone(), stores to its own code): what its block has marked beforehand is taken back. */
static void instruction_restarts(struct x86_cpu *c)
{
	c->single_step_due = X86_STEP_NONE;
	if (c->tb_flags & X86_TB_RF)
		c->eflags |= X86_FL_RF;
	if ((c->tb_flags & X86_TB_SHADOW) && !c->shadow)
		c->shadow = c->block_shadow;
}

static bool events(struct vcpu *v, uint32_t req)
{
	struct x86_cpu *c = x86_cpu(&v->env);

	aspace_see_hidden(c->smm); /* a reset by another thread may have ended the mode */
	if (req & VCPU_REQ_NMI)
		c->nmi_pending = true;
	if (req & VCPU_REQ_SMI)
		c->smi_pending = true;
	if (req & VCPU_REQ_INIT)
		c->init_pending = true;
	if (c->init_pending && !c->smm) /* SDM volume 3C, 33.3.3: it waits for RSM; a start-up does not */
		init_reset(c);
	if (req & VCPU_REQ_SIPI)
		take_sipi(c);
	if (vcpu_run_state(v) == VCPU_WAIT_SIPI)
		return false;
	x86_steal_report(c);
	x86_kvmclock_report(c);
	if (v->exec->one_shot)
		instruction_restarts(c);
	/* The instruction that the shadow, or RF, was for has run: its block cleared the field. Or one right behind STI starts again, alone. */
	if (!(c->tb_flags & X86_TB_SHADOW) != !c->shadow || ((c->tb_flags & X86_TB_RF) && !(c->eflags & X86_FL_RF)))
		x86_mode_update(c);
	if (unlikely(c->x87_ignored) && !c->shadow)
		x86_x87_ignored_return(c);
	if (c->fault.pending)
		x86_int_deliver_fault(c);
	if (unlikely(x86_code64(c) && !x86_canonical(c, v->env.pc))) /* before whatever would push it */
		x86_branch_fault(c);
	x86_debug_steps(c);
	if (x86_debug_due(c))
		x86_debug_trap(c);
	if (c->smi_pending && !c->smm && !c->shadow && vcpu_run_state(v) != VCPU_WAIT_SIPI) {
		c->smi_pending = false;
		x86_smm_enter(c);
	}
	if (vcpu_run_state(v) != VCPU_WAIT_SIPI)
		take_interrupt(c);
	if (c->debug_due && x86_debug_due(c)) /* of a task that an event switched to */
		x86_debug_trap(c);
	return vcpu_run_state(v) == VCPU_RUNNING;
}

static void stand(struct vcpu *v)
{
	x86_steal_stand(x86_cpu(&v->env));
}

static void go_on(struct vcpu *v)
{
	x86_steal_go_on(x86_cpu(&v->env));
}

static bool wakeable(struct vcpu *v)
{
	struct x86_cpu *c = x86_cpu(&v->env);

	if (atomic_load(&v->env.request))
		return true;
	if (vcpu_run_state(v) != VCPU_HALTED)
		return false;
	return (c->nmi_pending && !c->nmi_blocked) || (interruptible(c) && v->intc && v->intc->pending(v) >= 0);
}

static bool faulted(const struct vcpu *v)
{
	return ((const struct x86_cpu *)v)->fault.pending;
}

static void debug_changed(struct vcpu *v)
{
	struct x86_cpu *c = x86_cpu(&v->env);

	x86_debug_update(c);
	x86_mode_update(c);
}

/* ---- tcg's questions */

static void __attribute__((noreturn)) trap(struct tcg_env *env, enum guest_trap what)
{
	struct x86_cpu *c = x86_cpu(env);

	switch (what) {
	case GUEST_TRAP_DIVIDE:
		x86_fault_raise(c, X86_DE);
	case GUEST_TRAP_ALIGN:
		x86_fault_raise_err(c, X86_GP, 0);
	case GUEST_TRAP_VECTOR_FP:
		x86_fault_raise(c, c->cr4 & X86_CR4_OSXMMEXCPT ? X86_XM : X86_UD);
	case GUEST_TRAP_STACK_FP:
		x86_x87_error(c);
	case GUEST_TRAP_UNDEFINED:
		x86_fault_raise(c, X86_UD);
	}
	emu_bug("unknown trap %d", (int)what);
}

static size_t disasm(uint32_t flags, gva_t pc, const uint8_t *bytes, size_t avail, char *out, size_t out_size)
{
	return x86_disasm((enum x86_mode)(flags & X86_TB_MODE), pc, bytes, avail, out, out_size);
}

static const struct ir_rt runtime[] = {
#define X86_RT(name, effects) { #name, x86_rt_##name, effects },
#include "vcpu/x86/rt/rt_calls.def"
#undef X86_RT
};

static const char *const greg_names[TCG_NR_GREG] = { "rax", "rcx", "rdx", "rbx", "rsp", "rbp", "rsi", "rdi",
						     "r8", "r9", "r10", "r11", "r12", "r13", "r14", "r15" };

static const struct guest_isa x86_guest = {
	.name = "x86",
	.rt = runtime,
	.nr_rt = ARRAY_LEN(runtime),
	.greg_names = greg_names,
	.translate = x86_translate,
	.tb_flags = tb_flags,
	.trap = trap,
	.fpu_host_encoding = true,
	.fpu_exec = x86_fpu_exec,
	.shortcut = { .dst = X86_RDI, .src = X86_RSI, .count = X86_RCX, .value = X86_RAX,
		      .lo = X86_RAX, .hi = X86_RDX, .new_lo = X86_RBX, .new_hi = X86_RCX,
		      .down = offsetof(struct x86_cpu, eflags), .down_bits = X86_FL_DF },
	.disasm = disasm,
};

/* ---- Life */

/*
 * Most of a CPU is its TLB and jump cache, in which accesses scatter: on a huge page of the host they cost no TLB misses there. That is 6 MiB, so
 * small pages come first, of which one that idles touches few, and huge ones for those that are used. What lies before and behind the aligned part
 * is never touched and so is no memory.
 */
#define HUGE_PAGE (2u << 20)

static size_t mapping_size(void)
{
	return sizeof(struct x86_cpu) + 2 * HUGE_PAGE;
}

static size_t huge_size(void)
{
	return (sizeof(struct x86_cpu) + HUGE_PAGE - 1) & ~(size_t)(HUGE_PAGE - 1);
}

void x86_huge_state(struct tcg_env *env)
{
	if (madvise(env, huge_size(), MADV_HUGEPAGE))
		return;
#ifdef MADV_COLLAPSE
	madvise(env, huge_size(), MADV_COLLAPSE); /* at once; older host kernels do it by and by */
#endif
}

static struct vcpu *create(unsigned index, const struct vcpu_config *config, struct err *err)
{
	uint8_t *area = mmap(NULL, mapping_size(), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	struct x86_cpu *c = (void *)(((uintptr_t)area + HUGE_PAGE - 1) & ~(uintptr_t)(HUGE_PAGE - 1));

	if (area == MAP_FAILED) {
		err_set(err, "out of memory for vCPU %u", index);
		return NULL;
	}
	madvise(c, huge_size(), MADV_NOHUGEPAGE); /* before the first touch */
	c->mapping = area;
	if (x86_cpuid_init(c, index, config, err) < 0) {
		munmap(area, mapping_size());
		return NULL;
	}
	return &c->vcpu;
}

static void destroy(struct vcpu *v)
{
	munmap(x86_cpu(&v->env)->mapping, mapping_size());
}

const struct vcpu_arch vcpu_arch = {
	.guest = &x86_guest,
	.tlb = &x86_tlb_ops,
	.create = create,
	.free = destroy,
	.reset = reset,
	.events = events,
	.wakeable = wakeable,
	.stand = stand,
	.go_on = go_on,
	.dump = x86_dump,
	.faulted = faulted,
	.debug_changed = debug_changed,
	.debug_describe = x86_gdb_describe,
	.debug_reg_read = x86_gdb_read,
	.debug_reg_write = x86_gdb_write,
	.debug_mmu_mode = X86_MMU_KERNEL_AC,
};

uint64_t vcpu_tsc_read(const struct vcpu *v)
{
	const struct x86_cpu *c = (const struct x86_cpu *)v;

	return clock_tsc() + c->tsc_offset + c->tsc_adjust;
}

int vcpu_check_model(const char *model, struct err *err)
{
	return x86_cpuid_check(model, err);
}

void vcpu_print_models(FILE *out)
{
	x86_cpuid_print_models(out);
}
