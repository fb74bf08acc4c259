/* SPDX-License-Identifier: MIT */
/*
 * See x86_64_fixture.h.
 */
#define _GNU_SOURCE
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "mem/tlb.h"
#include "tcg/backend/x86_64/stubs.h"
#include "tcg/cache/tb.h"
#include "tcg/opt/opt.h"
#include "unit/tcg/x86_64_fixture.h"
#include "util/err.h"

struct fx fx;

#define CODE_SIZE (1u << 20)
#define STUB_SIZE (64u << 10)

/* ---- What the cache would know */

static const uint8_t *code_of_block;
static gva_t pc_of_block;

bool tb_trap_lookup(const void *host_pc, struct backend_trap *out, gva_t *pc)
{
	uint32_t off = (uint32_t)((const uint8_t *)host_pc - code_of_block);

	for (unsigned n = 0; n < fx.out->nr_traps; n++) {
		if (fx.out->trap[n].host_off == off) {
			*out = fx.out->trap[n];
			*pc = pc_of_block + fx.out->trap[n].pc_off;
			return true;
		}
	}
	return false;
}

/* ---- Slow path */

static unsigned page_of(gva_t va)
{
	return (unsigned)((va - FX_BASE) >> 12);
}

/* The page's own place in the window, so that no two pages have the same displacement; between pages nothing is mapped. */
static uint8_t *place_of(unsigned page)
{
	return fx.window + (page ^ 5) * 2 * GUEST_PAGE_SIZE;
}

static void fill(struct tcg_env *env, gva_t va, unsigned mode)
{
	struct tlb_entry *e = &env->tlb.l1[mode][TLB_L1_LARGE + (va >> 12 & (TLB_L1_SIZE - 1))];
	uint64_t page = va & GUEST_PAGE_MASK;

	e->tag[0] = e->tag[1] = page | (page_of(va) == FX_PAGE_GLOBAL ? 0 : FX_CTX);
	e->disp = (uint64_t)(uintptr_t)place_of(page_of(va)) - page;
	e->lo = e->wlo = page;
	e->span = e->wspan = GUEST_PAGE_SIZE;
}

/* What C may do to host vectors. */
static void spoil_vectors(void)
{
	fx.c_mxcsr |= __builtin_ia32_stmxcsr();
	if (__builtin_cpu_supports("avx512bw"))
		__asm__ volatile("vpternlogd $255, %zmm16, %zmm16, %zmm16; vpternlogd $255, %zmm31, %zmm31, %zmm31\n"
				 "kxnorq %k1, %k1, %k1; kxnorq %k7, %k7, %k7");
#define SPOIL(n) __asm__ volatile("pcmpeqd %%xmm" #n ", %%xmm" #n : : : "xmm" #n)
	if (__builtin_cpu_supports("avx"))
		__asm__ volatile("vzeroall" : : : "memory");
	SPOIL(0);
	SPOIL(1);
	SPOIL(2);
	SPOIL(3);
	SPOIL(4);
	SPOIL(5);
	SPOIL(6);
	SPOIL(7);
	SPOIL(8);
	SPOIL(9);
	SPOIL(10);
	SPOIL(11);
	SPOIL(12);
	SPOIL(13);
	SPOIL(14);
	SPOIL(15);
#undef SPOIL
}

void *tlb_access_slow(struct tcg_env *env, gva_t va, unsigned size, enum tlb_access access, unsigned mode, unsigned slot, bool align)
{
	(void)slot;
	(void)access;
	fx.slow++;
	if (env->tlb.wide_turn <= 0)
		env->tlb.wide_turn = FX_WIDE_TURN;
	spoil_vectors();
	env->bounce_addr = va;
	env->bounce_size = size;
	if (va - FX_BASE > FX_SIZE - size || page_of(va) == FX_PAGE_FAULT || page_of(va + size - 1) == FX_PAGE_FAULT ||
	    (align && (va & (size - 1))))
		fx.backend->unwind(env);
	if (page_of(va) != page_of(va + size - 1) || page_of(va) == FX_PAGE_MMIO) {
		env->bounce_kind = page_of(va) == FX_PAGE_MMIO ? TLB_BOUNCE_MMIO : TLB_BOUNCE_SPLIT;
		memcpy(env->bounce, fx.mem + (va - FX_BASE), size);
		return env->bounce;
	}
	env->bounce_kind = page_of(va) == FX_PAGE_CODE ? TLB_BOUNCE_CODE : TLB_BOUNCE_NONE;
	if (!env->bounce_kind)
		fill(env, va, mode);
	return place_of(page_of(va)) + (va & ~GUEST_PAGE_MASK);
}

/* Bytes that are not wanted may be where a fault would come from; in the buffer they are rubbish. */
void *tlb_access_partial(struct tcg_env *env, gva_t va, unsigned size, uint64_t which, enum tlb_access access, unsigned mode,
			 bool align)
{
	(void)mode;
	fx.slow++;
	spoil_vectors();
	env->bounce_addr = va;
	env->bounce_size = size;
	env->bounce_which = which;
	if (align && which && (va & (size - 1)))
		fx.backend->unwind(env);
	memset(env->bounce, 0x99, sizeof(env->bounce));
	for (unsigned n = 0; n < size; n++) {
		if (!(which >> n & 1))
			continue;
		if (va + n - FX_BASE >= FX_SIZE || page_of(va + n) == FX_PAGE_FAULT)
			fx.backend->unwind(env);
		env->bounce[n] = fx.mem[va + n - FX_BASE];
	}
	env->bounce_kind = access == TLB_READ ? TLB_BOUNCE_NONE : TLB_BOUNCE_PARTIAL;
	return env->bounce;
}

static void commit_partial(struct tcg_env *env)
{
	for (unsigned n = 0; n < env->bounce_size; n++)
		if (env->bounce_which >> n & 1)
			fx.mem[env->bounce_addr - FX_BASE + n] = env->bounce[n];
}

void tlb_commit(struct tcg_env *env)
{
	fx.commits++;
	if (env->bounce_kind == TLB_BOUNCE_PARTIAL)
		commit_partial(env);
	else if (env->bounce_kind != TLB_BOUNCE_CODE)
		memcpy(fx.mem + (env->bounce_addr - FX_BASE), env->bounce, env->bounce_size);
	memset(env->bounce, 0xee, sizeof(env->bounce));
	env->bounce_kind = TLB_BOUNCE_NONE;
	spoil_vectors();
}

/* ---- A guest */

static uint64_t rt_add3(struct tcg_env *env, uint64_t a, uint64_t b, uint64_t c)
{
	(void)env;
	fx.rt_calls++;
	return a + 3 * b + 5 * c;
}

static uint64_t rt_flags(struct tcg_env *env, uint64_t a, uint64_t b, uint64_t c)
{
	(void)b;
	(void)c;
	env->flags = (env->flags ^ a) & F_ALL;
	return env->flags;
}

static uint64_t rt_greg(struct tcg_env *env, uint64_t a, uint64_t b, uint64_t c)
{
	uint64_t sum = 0;

	(void)b;
	(void)c;
	for (unsigned n = 0; n < TCG_NR_GREG; n++) {
		sum += env->greg[n] * (n + 1);
		env->greg[n] ^= a;
	}
	return sum;
}

static uint64_t rt_fault(struct tcg_env *env, uint64_t a, uint64_t b, uint64_t c)
{
	(void)a;
	(void)b;
	(void)c;
	fx.backend->unwind(env);
	abort();
}

/* Each vector's low quadword plus 1, in env; and host vectors are C's. */
static uint64_t rt_vectors(struct tcg_env *env, uint64_t a, uint64_t b, uint64_t c)
{
	(void)a;
	(void)b;
	(void)c;
	for (unsigned n = 0; n < TCG_NR_VREG; n++)
		env->vreg[n].q[0]++;
	spoil_vectors();
	return 0;
}

/* How many registers of the stack FPU are in use. */
static uint64_t rt_fpu(struct tcg_env *env, uint64_t a, uint64_t b, uint64_t c)
{
	(void)a;
	(void)b;
	(void)c;
	fx.backend->fpu_save(env);
	return (uint64_t)__builtin_popcount(env->fpu_image[4]);
}

static const struct ir_rt rts[FX_RT_COUNT] = {
	[FX_RT_ADD3] = { "add3", rt_add3, RT_PURE },
	[FX_RT_FLAGS] = { "flags", rt_flags, RT_READS_FLAGS | RT_WRITES_FLAGS },
	[FX_RT_GREG] = { "greg", rt_greg, RT_READS_GREG | RT_WRITES_GREG | RT_FAULTS },
	[FX_RT_FAULT] = { "fault", rt_fault, RT_FAULTS },
	[FX_RT_VECTORS] = { "vectors", rt_vectors, RT_READS_VEC | RT_WRITES_VEC },
	[FX_RT_FPU] = { "fpu", rt_fpu, RT_FPU },
};

static void __attribute__((noreturn)) trap(struct tcg_env *env, enum guest_trap what)
{
	fx.c_mxcsr |= __builtin_ia32_stmxcsr();
	fx.trap = 1 + what;
	fx.backend->unwind(env);
	abort();
}

static void no_fpu(struct tcg_env *env, uint64_t word, void *mem, uint64_t *greg)
{
	(void)env;
	(void)word;
	(void)mem;
	(void)greg;
}

const struct guest_isa fx_isa = { .name = "test", .rt = rts, .nr_rt = FX_RT_COUNT, .trap = trap, .fpu_host_encoding = true, .fpu_exec = no_fpu };

/* ---- Running */

/* Guest memory: in one piece for the tests, each page somewhere else for the code under test. */
static int map_memory(void)
{
	int fd = memfd_create("memory", 0);

	if (fd < 0 || ftruncate(fd, FX_SIZE))
		return -1;
	fx.mem = mmap(NULL, FX_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	fx.window = mmap(NULL, 2 * FX_SIZE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	for (unsigned n = 0; n < FX_PAGES; n++)
		if (mmap(place_of(n), GUEST_PAGE_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED, fd, n * GUEST_PAGE_SIZE) == MAP_FAILED)
			return -1;
	close(fd);
	return 0;
}

int fx_setup(void **state)
{
	struct err err = { "" };
	int fd = memfd_create("code", 0);
	long used;

	(void)state;
	if (fd < 0 || ftruncate(fd, CODE_SIZE))
		return -1;
	fx.code_rw = mmap(NULL, CODE_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	fx.code_rx = mmap(NULL, CODE_SIZE, PROT_READ | PROT_EXEC, MAP_SHARED, fd, 0);
	close(fd);
	if (map_memory())
		return -1;
	fx.env = mmap(NULL, sizeof(*fx.env), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	fx.out = calloc(1, sizeof(*fx.out));
	fx.env->mxcsr = 0x1f80;
	fx.env->fpu_image[0] = 0x7f;
	fx.env->fpu_image[1] = 0x03;
	used = backend_native.init(&fx_isa, fx.code_rw, fx.code_rx, STUB_SIZE, &err);
	if (used < 0 || backend_interp.init(&fx_isa, NULL, NULL, 0, &err) < 0 || backend_native.thread_init(fx.env, &err)) {
		fprintf(stderr, "%s\n", err.text);
		return -1;
	}
	fx.stub_bytes = (size_t)used;
	return 0;
}

int fx_teardown(void **state)
{
	(void)state;
	backend_native.thread_fini(fx.env);
	munmap(fx.env, sizeof(*fx.env));
	munmap(fx.mem, FX_SIZE);
	munmap(fx.window, 2 * FX_SIZE);
	munmap(fx.code_rw, CODE_SIZE);
	munmap(fx.code_rx, CODE_SIZE);
	free(fx.out);
	return 0;
}

static uint64_t next(uint64_t *s)
{
	*s = *s * 6364136223846793005ull + 1442695040888963407ull;
	return *s ^ *s >> 29;
}

static void reset_tlb(struct tcg_env *env)
{
	memset(env->l0, 0, sizeof(env->l0));
	for (unsigned m = 0; m < TLB_NR_MODES; m++)
		for (unsigned k = 0; k < 2; k++)
			for (unsigned n = 0; n < TLB_L0_SLOTS; n++)
				env->l0[m][k][n].lo = TLB_SLOT_INVALID_LO;
	memset(&env->tlb, 0xff, sizeof(env->tlb));
	env->tlb.ctx = FX_CTX;
	memset(env->tlb.l0_live, 0, sizeof(env->tlb.l0_live));
	memset(env->tlb.l0_global, 0, sizeof(env->tlb.l0_global));
	env->tlb.wide = env->tlb.wide_first;
	env->tlb.wide_mask = (TLB_WIDE_FIRST - 1) * sizeof(struct tlb_wide_entry);
	env->tlb.wide_turn = FX_WIDE_TURN;
	for (unsigned n = 0; n < TLB_L0_SLOTS; n++)
		env->l0_budget[n] = n & 3;
}

void fx_reset_state(uint64_t seed)
{
	struct tcg_env *env = fx.env;

	for (unsigned n = 0; n < TCG_NR_GREG; n++)
		env->greg[n] = next(&seed) >> (next(&seed) & 63);
	for (unsigned n = 0; n < TCG_NR_VREG; n++)
		for (unsigned k = 0; k < 4; k++)
			env->vreg[n].q[k] = next(&seed);
	for (unsigned n = 0; n < FX_SIZE / 8; n++)
		((uint64_t *)(void *)fx.mem)[n] = next(&seed);
	for (unsigned n = 0; n < TCG_NR_ZREG; n++)
		memset(env->vreg[n].b + (n < TCG_NR_VREG ? 32 : 0), 0, n < TCG_NR_VREG ? 32 : 64);
	memset(env->kreg, 0, sizeof(env->kreg));
	env->vec_used = 0;
	env->flags = next(&seed) & F_ALL;
	env->pc = 0;
	env->request = 0;
	env->exit_code = 99;
	env->bounce_kind = 0;
	if (!fx.keep_tlb)
		reset_tlb(env);
	memset(env->jc_tag, 0xff, sizeof(env->jc_tag));
	memset(env->jx, 0xff, sizeof(env->jx));
	env->jc_salt = 0;
	fx.slow = fx.commits = fx.trap = fx.rt_calls = fx.c_mxcsr = 0;
}

void fx_catch_signals(void)
{
	struct err err;

	if (signals_init(&err))
		abort();
}

/* Both signs of all widths. */
static const uint8_t fx_guest_code[16] = { 0x12, 0x84, 0x7f, 0xfe, 0x80, 0x01, 0xff, 0x7e, 0x81, 0xf0, 0x0f, 0xa5, 0x5a, 0xc3, 0x3c, 0x99 };

void fx_begin(struct ir_block *b)
{
	ir_reset(b);
	b->pc = FX_PC;
	b->rt = rts;
	b->nr_rt = FX_RT_COUNT;
	b->code = fx_guest_code;
}

const void *fx_compile(struct ir_block *b, size_t at, struct tb *tb)
{
	size_t off = fx.stub_bytes + 4096 + at;

	off = (off + 63) & ~(size_t)63;
	if (backend_native.compile(b, tb, fx.code_rw + off, fx.code_rx + off, CODE_SIZE - off, fx.out) != BACKEND_OK)
		return NULL;
	code_of_block = fx.code_rx + off;
	pc_of_block = b->pc;
	return fx.code_rx + off;
}

void fx_run(const struct backend *backend, struct ir_block *b)
{
	static uint64_t prog[1 << 16];
	const void *code;

	fx.backend = backend;
	if (backend == &backend_native) {
		code = fx_compile(b, 0, NULL);
	} else {
		code = backend->compile(b, NULL, (uint8_t *)prog, (uint8_t *)prog, sizeof(prog), fx.out) == BACKEND_OK ? prog : NULL;
	}
	if (!code) {
		fprintf(stderr, "the block does not compile\n");
		abort();
	}
	backend->run(fx.env, code);
}
