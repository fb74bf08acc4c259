/* SPDX-License-Identifier: MIT */
/*
 * Cases in the engines. A small run loop takes the place of vcpu/exec.c's: a fault is not delivered but is the case's outcome.
 * Terminators lead to HLTs, which user mode may not execute.
 */
#include "diff/engine.h"

#include <string.h>

#include "diff/segments.h"
#include "mem/aspace.h"
#include "mem/code_watch.h"
#include "mem/ram.h"
#include "mem/tlb.h"
#include "tcg/cache/tb.h"
#include "tcg/rewritten.h"
#include "util/err.h"
#include "util/log.h"
#include "util/rcu.h"
#include "util/stats.h"
#include "vcpu/arch.h"
#include "vcpu/exec.h"
#include "vcpu/mailbox.h"
#include "vcpu/x86/x86_cpu.h"
#include "vcpu/x86/x86_cpuid.h"
#include "vcpu/x86/x86_segment.h"
#include "vcpu/x86/x86_x87.h"
#include "vcpu/x86/x86_xstate.h"

#define RAM_BYTES (16ull << 20)
#define CODE_BYTES (64ull << 20)
#define TABLES 0x1000u          /* page tables: one page per level and region */
#define CODE_TABLE (TABLES + 0x3000)
#define DATA_TABLE (TABLES + 0x5000)
#define ALIAS_TABLE (TABLES + 0x6000)
#define CODE_GPA 0x400000u      /* in a region of its own */
#define STUBS_GPA 0x600000u
#define TABLES_GPA 0x700000u    /* descriptor tables */
#define DIFF_TABLES 0xffff800000000000ull /* where they are in linear memory, in the kernel's half */
#define LDT_OFFSET 0x400u
#define TSS_OFFSET 0x800u
#define TSS_BYTES 0x68u
#define PTE_P 1ull
#define PTE_W 2ull
#define PTE_U 4ull
#define PTE_NX (1ull << 63)
#define MAX_BLOCKS 100000       /* blocks a case may run before it counts as hung */

/*
 * Guest-physical pages of the arena: scattered, so that accesses over a page end are in two places, or contiguous, so that a TLB entry may
 * cover them all.
 */
static const uint32_t layouts[2][DIFF_DATA_PAGES] = {
	{ 0x205000, 0x203000, 0x209000, 0x201000 },
	{ 0x210000, 0x211000, 0x212000, 0x213000 },
};
static const uint32_t *data_gpa = layouts[0];

static struct x86_cpu *cpu;
static uint32_t old_off, old_len;

/* ---- Set-up */

static void pte(uint32_t table, unsigned index, uint64_t entry)
{
	memcpy(ram_ptr(table + index * 8), &entry, 8);
}

static void map_arena(uint32_t table, const uint32_t *pages)
{
	data_gpa = pages;
	for (unsigned i = 0; i < DIFF_DATA_PAGES; i++)
		pte(table, (DIFF_DATA >> 12 & 511) + i,
		    pages[i] | PTE_P | PTE_U | PTE_NX | (DIFF_DATA + i * DIFF_PAGE == DIFF_DATA_RO ? 0 : PTE_W));
}

/* Code, and for cases that write themselves its alias. */
static void map_code(bool writable)
{
	for (unsigned i = 0; i < DIFF_CODE_PAGES; i++) {
		uint64_t page = (CODE_GPA + i * DIFF_PAGE) | PTE_P | PTE_U | (writable ? PTE_W : 0);

		pte(CODE_TABLE, (DIFF_CODE >> 12 & 511) + i, page);
		pte(ALIAS_TABLE, (DIFF_ALIAS >> 12 & 511) + i, writable ? page | PTE_NX : 0);
	}
}

static void open_code(bool writable)
{
	static bool is_writable;

	if (writable == is_writable)
		return;
	is_writable = writable;
	map_code(writable);
	tlb_flush_all(&cpu->vcpu.env);
}

/* One last-level table each for code, stubs and data, all in the first GiB. */
static void make_tables(void)
{
	const uint32_t pml4 = TABLES, pdpt = TABLES + 0x1000, pd = TABLES + 0x2000, stubs = TABLES + 0x4000;
	const uint64_t open = PTE_P | PTE_W | PTE_U;

	pte(pml4, 0, pdpt | open);
	pte(pdpt, 0, pd | open);
	pte(pd, DIFF_CODE >> 21, CODE_TABLE | open);
	pte(pd, DIFF_STUBS >> 21, stubs | open);
	pte(pd, DIFF_DATA >> 21, DATA_TABLE | open);
	pte(stubs, DIFF_STUBS >> 12 & 511, STUBS_GPA | PTE_P | PTE_U);
	pte(CODE_TABLE, DIFF_STUBS16_PAGE >> 12 & 511, (STUBS_GPA + DIFF_PAGE) | PTE_P | PTE_U);
	pte(pml4, 256, (TABLES + 0x7000) | PTE_P | PTE_W); /* DIFF_TABLES */
	pte(TABLES + 0x7000, 0, (TABLES + 0x8000) | PTE_P | PTE_W);
	pte(TABLES + 0x8000, 0, (TABLES + 0x9000) | PTE_P | PTE_W);
	pte(TABLES + 0x9000, 0, TABLES_GPA | PTE_P | PTE_W);
	pte(pd, DIFF_ALIAS >> 21, ALIAS_TABLE | open);
	map_code(false);
	map_arena(DATA_TABLE, layouts[0]);
}

static void descriptor(uint32_t gpa, const struct diff_seg *seg)
{
	uint64_t d = diff_seg_descriptor(seg);

	memcpy(ram_ptr(gpa), &d, 8);
}

/* As Linux has them: the kernel's code and data, two users' of code, one of data; behind them the local table. */
static void make_segments(struct x86_cpu *c)
{
	static const uint16_t user[] = { DIFF_SEL_USER32, DIFF_SEL_USER_DS, DIFF_SEL_USER64 };
	static const uint64_t cpu_number = 0x0040f50000000001; /* 7B: the limit is the CPU's number */
	static const uint64_t kernel[3] = { 0x00cf9b000000ffff, 0x00af9b000000ffff, 0x00cf93000000ffff };

	memcpy(ram_ptr(TABLES_GPA + 8), kernel, sizeof(kernel));
	memcpy(ram_ptr(TABLES_GPA + 15 * 8), &cpu_number, sizeof(cpu_number));
	for (unsigned i = 0; i < 3; i++) {
		struct diff_seg seg;

		diff_seg(user[i], &seg);
		descriptor(TABLES_GPA + (user[i] & ~7u), &seg);
	}
	for (unsigned i = 0; i < DIFF_NR_SEGS; i++)
		descriptor(TABLES_GPA + LDT_OFFSET + i * 8, &diff_ldt[i]);
	c->gdt = (struct x86_table){ DIFF_TABLES, 16 * 8 - 1 };
	c->ldt = (struct x86_seg){ .sel = 0x40, .base = DIFF_TABLES + LDT_OFFSET, .limit = DIFF_NR_SEGS * 8 - 1,
				   .attr = X86_SA_P | X86_LDT << 8 };
	c->idt.limit = 0;
	c->tr = (struct x86_seg){ .sel = 0x50, .base = DIFF_TABLES + TSS_OFFSET, .limit = TSS_BYTES - 1, .attr = X86_SA_P | X86_TSS32_BUSY << 8 };
	memcpy(ram_ptr(TABLES_GPA + TSS_OFFSET + 0x66), &(uint16_t){ TSS_BYTES }, 2); /* no port bitmap */
}

static struct x86_seg cached(uint16_t sel)
{
	struct diff_seg s;

	if (!diff_seg(sel, &s) || s.null)
		return (struct x86_seg){ .sel = sel, .limit = 0xffffffff };
	return (struct x86_seg){ .sel = sel, .base = s.base, .limit = s.limit,
				 .attr = (uint32_t)(diff_seg_descriptor(&s) >> 32) & (X86_SA_TYPE | 0xf0f000) };
}

static void enter_user_mode(struct x86_cpu *c)
{
	make_segments(c);
	c->cr0 = X86_CR0_PE | X86_CR0_MP | X86_CR0_ET | X86_CR0_NE | X86_CR0_WP | X86_CR0_AM | X86_CR0_PG;
	c->cr3 = TABLES;
	c->cr4 = X86_CR4_PAE | X86_CR4_OSFXSR | X86_CR4_OSXMMEXCPT | X86_CR4_FSGSBASE;
	if (x86_offers(c, X86_CPUID_AVX)) {
		c->cr4 |= X86_CR4_OSXSAVE;
		c->xcr0 = x86_xcr0_supported(c) & (X86_XS_X87 | X86_XS_SSE | X86_XS_AVX | X86_XS_AVX512);
	}
	c->efer = X86_EFER_SCE | X86_EFER_LME | X86_EFER_LMA | X86_EFER_NXE;
	c->cpl = 3;
	tlb_flush_all(&c->vcpu.env);
}

static int start_thread(struct err *err)
{
	struct vcpu *v = &cpu->vcpu;

	/* A stopped run loop comes back at once, and leaves this thread known as the vCPU's. */
	v->exec->stop = true;
	vcpu_exec_thread(v);
	v->exec->stop = false;
	if (tcg_thread_init(&v->exec->tcg, &v->env, err) < 0)
		return -1;
	mailbox_enter(v);
	return 0;
}

/* Where vendors differ the CPU does as its name says: it has the host's. */
static const char *cpu_model(void)
{
	return host_is_amd() ? "max,vendor=AuthenticAMD" : "max,vendor=GenuineIntel";
}

bool engine_exact_flags;

int engine_init(bool interp, const char *log, struct err *err)
{
	struct vcpu_config config = { .nr = 1, .sockets = 1, .cores = 1, .threads = 1, .cpu_model = cpu_model() };

	config.interp = interp;
	config.tb_size = CODE_BYTES;
	config.exact_flags = engine_exact_flags;
	rcu_register();
	if (log && log_parse_items(log, err) < 0)
		return -1;
	if (stats_init(1) < 0)
		return err_set(err, "no memory");
	stats_attach(0);
	if (ram_init(RAM_BYTES, err) < 0 || aspace_add_ram(&aspace_mem, 0, RAM_BYTES, 0, false) < 0)
		return -1;
	if (vcpus_create(&config, err) < 0)
		return -1;
	cpu = x86_cpu(&vcpus[0]->env);
	vcpu_arch.reset(&cpu->vcpu);
	memset(ram_ptr(CODE_GPA), 0xcc, DIFF_CODE_PAGES * DIFF_PAGE);
	diff_stub_page(ram_ptr(STUBS_GPA));
	diff_stub16_page(ram_ptr(STUBS_GPA + DIFF_PAGE));
	for (unsigned k = 0; k < DIFF_NR_TERMS; k++)
		memset(ram_ptr(STUBS_GPA + k * DIFF_STUB_LEN), 0xf4, 1);
	make_tables();
	if (start_thread(err) < 0)
		return -1;
	enter_user_mode(cpu);
	return 0;
}

/* Also in the process that runs no engine. */
bool engine_has(unsigned feature)
{
	static struct vcpu *model;
	const struct vcpu_config config = { .nr = 1, .sockets = 1, .cores = 1, .threads = 1, .cpu_model = cpu_model() };
	struct err err;

	if (!model)
		model = vcpu_arch.create(0, &config, &err);
	return model && x86_has(x86_cpu(&model->env), feature);
}

/* ---- State in and out */

static void write_code(const struct diff_case *c)
{
	static uint8_t fill[DIFF_MAX_CODE + 64];
	uint8_t term1[DIFF_TERM_LEN];

	memset(fill, 0xcc, sizeof(fill));
	if (old_len)
		(void)dma_write(CODE_GPA + old_off, fill, old_len);
	memcpy(fill, c->code, c->code_len);
	for (unsigned k = 0; k < DIFF_NR_TERMS; k += 2)
		if (c->term[k] + DIFF_TERM_LEN <= DIFF_CODE_END)
			diff_term_code(c, k, fill + (c->term[k] - DIFF_CODE - c->code_off));
	old_off = c->code_off;
	old_len = diff_code_extent(c);
	(void)dma_write(CODE_GPA + old_off, fill, old_len);
	diff_term_code(c, 1, term1);
	if (memcmp(ram_ptr(CODE_GPA + DIFF_TERM1 - DIFF_CODE), term1, sizeof(term1)))
		(void)dma_write(CODE_GPA + DIFF_TERM1 - DIFF_CODE, term1, sizeof(term1));
}

static void write_arena(const struct diff_case *c)
{
	uint8_t copy[DIFF_DATA_SIZE];

	memcpy(copy, diff_image(c->image), sizeof(copy));
	diff_apply_pokes(c, copy);
	for (unsigned i = 0; i < DIFF_DATA_PAGES; i++)
		memcpy(ram_ptr(data_gpa[i]), copy + i * DIFF_PAGE, DIFF_PAGE);
}

static void load_state(const struct diff_case *c)
{
	const struct diff_state *s = &c->in;
	struct tcg_env *env = &cpu->vcpu.env;

	memcpy(env->greg, s->gpr, sizeof(env->greg));
	env->pc = s->rip;
	x86_eflags_set(cpu, (uint32_t)s->flags);
	cpu->cpl = 3;
	for (unsigned i = 0; i < X86_NR_SEGS; i++)
		cpu->seg[i] = cached(s->sel[i]);
	if (c->mode == DIFF_64) {
		cpu->seg[X86_FS].base = s->fs_base;
		cpu->seg[X86_GS].base = s->gs_base;
	}
	for (unsigned i = 0; i < 16; i++) {
		memcpy(env->vreg[i].b, s->fx.xmm[i], 16);
		memcpy(env->vreg[i].b + 16, s->upper[i], 16);
		memcpy(env->vreg[i].b + 32, s->wide.top[i], 32);
		memcpy(env->vreg[i + 16].b, s->wide.more[i], 64);
	}
	memcpy(env->kreg, s->wide.k, sizeof(env->kreg));
	env->vec_used = memcmp(&s->wide, &(struct diff_wide){ 0 }, sizeof(s->wide)) ? TCG_VEC_ALL : 0;
	env->mxcsr = s->fx.mxcsr;
	memcpy(env->fpu_image, &s->fx, 160);
	x86_fpu_written(env);
	cpu->fault = (struct x86_fault){ 0 };
	cpu->cr2 = 0;
	cpu->shadow = cpu->single_step_due = false;
	x86_mode_update(cpu);
}

static void store_state(struct diff_outcome *o)
{
	struct tcg_env *env = &cpu->vcpu.env;
	struct diff_state *s = &o->out;

	memcpy(s->gpr, env->greg, sizeof(env->greg));
	s->rip = env->pc;
	s->flags = x86_eflags_get(cpu);
	for (unsigned i = 0; i < X86_NR_SEGS; i++)
		s->sel[i] = cpu->seg[i].sel;
	s->fs_base = cpu->seg[X86_FS].base;
	s->gs_base = cpu->seg[X86_GS].base;
	x86_fpu_read(env);
	memcpy(&s->fx, env->fpu_image, 160);
	for (unsigned i = 0; i < 16; i++) {
		memcpy(s->fx.xmm[i], env->vreg[i].b, 16);
		memcpy(s->upper[i], env->vreg[i].b + 16, 16);
		memcpy(s->wide.top[i], env->vreg[i].b + 32, 32);
		memcpy(s->wide.more[i], env->vreg[i + 16].b, 64);
	}
	memcpy(s->wide.k, env->kreg, sizeof(env->kreg));
	s->fx.mxcsr = env->mxcsr;
}

/* ---- Running */

static struct tb *find(struct vcpu *v, bool stepwise)
{
	struct tb *tb;

	for (;;) {
		if (v->exec->one_shot || stepwise) {
			v->exec->one_shot = false;
			tb = tcg_one_shot_block(&v->exec->tcg, &v->env);
			v->exec->in_one_shot = true;
		} else {
			tb = tcg_find_block(&v->exec->tcg, &v->env);
		}
		if (tb)
			return tb;
		v->exec->in_one_shot = false;
		mailbox_leave(v);
		tcg_make_room(&v->exec->tcg);
		mailbox_enter(v);
	}
}

/* Until a fault is pending; false: it never came. */
static bool run_to_fault(struct vcpu *v, uint8_t how)
{
	static volatile unsigned blocks; /* survives the unwinding */
	struct tb *tb, *last = NULL;

	blocks = 0;
	sigsetjmp(v->exec->unwind, 0);
	v->exec->in_run = false;
	v->exec->in_one_shot = false;
	v->env.exit_code = TCG_EXIT_EVENT;
	last = NULL;
	while (!cpu->fault.pending && !cpu->single_step_due) {
		/* What events() of x86_isa.c does for a machine. */
		if ((cpu->tb_flags & X86_TB_SHADOW) && !cpu->shadow)
			x86_mode_update(cpu);
		if (++blocks > MAX_BLOCKS)
			return false;
		if (atomic_exchange(&v->env.request, 0))
			last = NULL;
		tb = find(v, how & DIFF_STEPWISE);
		if (last)
			tb_chain(last, (unsigned)v->env.exit_index, tb);
		if (how & DIFF_NAG)
			atomic_store(&v->env.request, VCPU_REQ_QUIESCE);
		v->exec->in_run = true;
		tcg_backend->run(&v->env, tb->code);
		v->exec->in_run = false;
		last = v->env.exit_code == TCG_EXIT_CHAIN && !v->exec->in_one_shot ? v->env.exit_tb : NULL;
		v->exec->one_shot |= v->env.exit_code == TCG_EXIT_ALONE;
		v->exec->in_one_shot = false;
	}
	return true;
}

/* At the HLT of a stub? Then the program ended at its terminator. */
static bool at_terminator(const struct diff_case *c)
{
	uint64_t off = cpu->vcpu.env.pc - DIFF_STUBS;

	if (cpu->fault.raised.vector != X86_GP || off % DIFF_STUB_LEN || off / DIFF_STUB_LEN >= DIFF_NR_TERMS)
		return false;
	cpu->vcpu.env.pc = c->term[off / DIFF_STUB_LEN];
	cpu->seg[X86_CS].sel = c->in.sel[X86_CS]; /* the stub may have changed it */
	return true;
}

/* Of INT n Linux allows user mode 3 and 4, as traps. Errors of the other gates name them (SDM volume 3A, 6.13). */
static void soft_outcome(struct diff_outcome *o, const struct x86_event *e)
{
	if (e->vector == X86_BP || e->vector == X86_OF) {
		cpu->vcpu.env.pc = e->next_pc;
	} else {
		o->error = e->vector * 8u + 2;
		o->vector = X86_GP;
	}
}

static void fault_outcome(const struct diff_case *c, struct diff_outcome *o)
{
	const struct x86_event *e = &cpu->fault.raised;

	if (!cpu->fault.pending) {
		o->vector = X86_DB; /* single step: a trap, rip is behind */
	} else if (at_terminator(c)) {
		o->vector = DIFF_END;
	} else {
		o->vector = e->vector;
		o->error = e->has_error ? e->error : 0;
		if (e->soft)
			soft_outcome(o, e);
	}
	o->cr2 = o->vector == X86_PF ? cpu->cr2 : 0;
}

static void run_once(const struct diff_case *c, struct diff_outcome *o, uint8_t *arena)
{
	struct vcpu *v = &cpu->vcpu;

	write_arena(c);
	load_state(c);
	tcg_safepoint(&v->exec->tcg);
	if (run_to_fault(v, c->how))
		fault_outcome(c, o);
	else
		o->vector = DIFF_HANG;
	store_state(o);
	for (unsigned i = 0; i < DIFF_DATA_PAGES; i++)
		memcpy(arena + i * DIFF_PAGE, ram_ptr(data_gpa[i]), DIFF_PAGE);
	o->mem_hash = diff_hash(c, arena, ram_ptr(CODE_GPA));
}

/* Half of the programs that write themselves have immediates that are read at run time, from their first block on. */
static void know_as_rewritten(const struct diff_case *c)
{
	for (unsigned i = 0; i < c->code_len && c->code_off % 2; i++)
		rewritten_mark(CODE_GPA + c->code_off + i, REWRITTEN_WELL);
}

void engine_run(const struct diff_case *c, struct diff_outcome out[2], uint8_t *after)
{
	uint8_t arena[DIFF_DATA_SIZE];

	memset(out, 0, 2 * sizeof(*out));
	out[1].vector = DIFF_NOT_RUN;
	if (c->how & DIFF_FLUSH) {
		map_arena(DATA_TABLE, layouts[c->how & DIFF_FLAT ? 1 : 0]);
		tlb_flush_all(&cpu->vcpu.env);
	}
	open_code(c->smc);
	write_code(c);
	for (unsigned k = 0; k < (c->twice ? 2 : 1); k++) {
		if (k && c->smc)
			write_code(c);
		if (c->smc)
			know_as_rewritten(c);
		run_once(c, &out[k], arena);
		if (after)
			memcpy(after + k * DIFF_DATA_SIZE, arena, DIFF_DATA_SIZE);
		if (out[k].vector == DIFF_HANG)
			break;
	}
}
