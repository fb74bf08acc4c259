/* SPDX-License-Identifier: MIT */
/*
 * Cases on the host CPU.
 *
 * Code pages are one file mapped twice, executable where the case wants them and writable elsewhere. A terminator jumps to a stub in
 * low memory and from there to its own entry of native_entry.S. Faults come as signals, whose context has the
 * registers, vector, error code and address.
 */
#define _GNU_SOURCE
#include "diff/native.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/mman.h>
#include <sys/ucontext.h>
#include <unistd.h>

#define HWCAP2_FSGSBASE_BIT 2u

/* Of native_entry.S. */
extern uint64_t native_in_gpr[16], native_in_flags, native_in_fs, native_in_gs, native_target;
extern uint64_t native_out_gpr[16], native_out_flags, native_out_fs, native_out_gs, native_host_sp, native_host_fs;
extern uint32_t native_term;
extern struct diff_fx native_in_fx, native_out_fx;
extern uint8_t native_in_upper[16][16], native_out_upper[16][16];
void native_enter(void);
void native_leave0(void);
void native_leave1(void);
void native_leave2(void);
void native_abort(void) __attribute__((noreturn));
void native_signal(int sig, siginfo_t *info, void *context);
void native_on_signal(int sig, siginfo_t *info, void *context);

uint64_t native_in_gpr[16], native_in_flags, native_in_fs, native_in_gs, native_target;
uint64_t native_out_gpr[16], native_out_flags, native_out_fs, native_out_gs, native_host_sp, native_host_fs;
uint32_t native_term; /* terminator that was reached */
struct diff_fx native_in_fx, native_out_fx;
uint8_t native_in_upper[16][16], native_out_upper[16][16];
bool native_has_avx;

static uint8_t *code_rw;                /* the code pages, writable */
static struct diff_outcome *current;    /* of the case that runs; NULL otherwise */
static uint32_t old_off, old_len;       /* what the last case left in the code pages */

bool native_possible(const char **why)
{
	*why = "the host kernel does not let user programs write FS and GS bases";
	native_has_avx = __builtin_cpu_supports("avx");
	return getauxval(AT_HWCAP2) & HWCAP2_FSGSBASE_BIT;
}

static void die(const char *what)
{
	perror(what);
	_exit(2);
}

static uint8_t *map_at(uint64_t addr, size_t len, int prot, int flags, int fd, off_t off)
{
	void *p = mmap((void *)(uintptr_t)addr, len, prot, flags | (addr ? MAP_FIXED_NOREPLACE : 0), fd, off);

	if (p == MAP_FAILED || (addr && (uintptr_t)p != addr))
		die("mapping the test's memory");
	return p;
}

/* Each stub: jmp [pointer]; the pointers stand behind the stubs. Nothing here can be written by a case. */
static void make_stubs(void)
{
	void (*const leave[DIFF_NR_TERMS])(void) = { native_leave0, native_leave1, native_leave2 };
	uint8_t *s = map_at(DIFF_STUBS, DIFF_PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	for (uint32_t k = 0; k < DIFF_NR_TERMS; k++) {
		uint8_t *p = s + k * DIFF_STUB_LEN;
		uint32_t pointer = DIFF_STUBS + 0x800 + k * 8;

		memcpy(p, "\xff\x24\x25", 3);
		memcpy(p + 3, &pointer, 4);
		memcpy(s + 0x800 + k * 8, &leave[k], 8);
	}
	if (mprotect(s, DIFF_PAGE, PROT_READ | PROT_EXEC))
		die("mprotect");
}

static void catch_signals(void)
{
	static const int signals[] = { SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGTRAP };
	struct sigaction sa = { .sa_sigaction = native_signal, .sa_flags = SA_SIGINFO | SA_ONSTACK | SA_NODEFER };
	stack_t ss = { .ss_size = 256u << 10 };

	ss.ss_sp = map_at(0, ss.ss_size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (sigaltstack(&ss, NULL))
		die("sigaltstack");
	for (unsigned i = 0; i < sizeof(signals) / sizeof(signals[0]); i++)
		if (sigaction(signals[i], &sa, NULL))
			die("sigaction");
}

void native_init(void)
{
	size_t len = DIFF_CODE_PAGES * DIFF_PAGE;
	int fd = memfd_create("diff-code", 0);
	uint8_t *data;

	if (fd < 0 || ftruncate(fd, (off_t)len))
		die("memfd");
	code_rw = map_at(0, len, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	map_at(DIFF_CODE, len, PROT_READ | PROT_EXEC, MAP_SHARED, fd, 0);
	close(fd);
	memset(code_rw, 0xcc, len);
	data = map_at(DIFF_DATA, DIFF_DATA_SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	memset(data, 1, DIFF_DATA_SIZE);
	make_stubs();
	__asm__("rdfsbase %0" : "=r"(native_host_fs));
	catch_signals();
}

/* The extended area behind a signal frame's FXSAVE image, standard form (SDM volume 1, 13.4.3). */
#define FRAME_SW_RESERVED 464u
#define FRAME_MAGIC 0x46505853u
#define FRAME_XSTATE_BV 512u
#define FRAME_UPPER 576u

static void copy_upper(struct diff_state *s, const uint8_t *frame)
{
	uint32_t magic;
	uint64_t in_use;

	memset(s->upper, 0, sizeof(s->upper));
	memcpy(&magic, frame + FRAME_SW_RESERVED, 4);
	memcpy(&in_use, frame + FRAME_XSTATE_BV, 8);
	if (native_has_avx && magic == FRAME_MAGIC && (in_use & 4))
		memcpy(s->upper, frame + FRAME_UPPER, sizeof(s->upper));
}

static void copy_gregs(struct diff_state *s, const ucontext_t *uc)
{
	static const uint8_t order[16] = { REG_RAX, REG_RCX, REG_RDX, REG_RBX, REG_RSP, REG_RBP, REG_RSI, REG_RDI,
					   REG_R8, REG_R9, REG_R10, REG_R11, REG_R12, REG_R13, REG_R14, REG_R15 };

	for (unsigned i = 0; i < 16; i++)
		s->gpr[i] = (uint64_t)uc->uc_mcontext.gregs[order[i]];
	s->rip = (uint64_t)uc->uc_mcontext.gregs[REG_RIP];
	s->flags = (uint64_t)uc->uc_mcontext.gregs[REG_EFL];
	memcpy(&s->fx, uc->uc_mcontext.fpregs, sizeof(s->fx));
	copy_upper(s, (const uint8_t *)uc->uc_mcontext.fpregs);
}

void native_on_signal(int sig, siginfo_t *info, void *context)
{
	const ucontext_t *uc = context;
	struct diff_outcome *o = current;

	if (!o) {
		fprintf(stderr, "diff: signal %d in the tester itself at %#llx, address %p\n", sig, uc->uc_mcontext.gregs[REG_RIP],
			info->si_addr);
		_exit(3);
	}
	current = NULL;
	copy_gregs(&o->out, uc);
	o->out.fs_base = native_out_fs;
	o->out.gs_base = native_out_gs;
	o->vector = (uint8_t)uc->uc_mcontext.gregs[REG_TRAPNO];
	o->error = (uint32_t)uc->uc_mcontext.gregs[REG_ERR];
	o->cr2 = o->vector == 14 ? (uint64_t)uc->uc_mcontext.gregs[REG_CR2] : 0;
	native_abort();
}

static void write_code(const struct diff_case *c)
{
	memset(code_rw + old_off, 0xcc, old_len);
	memcpy(code_rw + c->code_off, c->code, c->code_len);
	for (uint32_t k = 0; k < DIFF_NR_TERMS; k++)
		diff_term_code(c->term, k, code_rw + (c->term[k] - DIFF_CODE));
	old_off = c->code_off;
	old_len = c->term[2] + DIFF_TERM_LEN - DIFF_CODE - c->code_off;
}

static void load_state(const struct diff_state *s)
{
	memcpy(native_in_gpr, s->gpr, sizeof(native_in_gpr));
	native_in_flags = s->flags;
	native_in_fs = s->fs_base;
	native_in_gs = s->gs_base;
	native_in_fx = s->fx;
	memcpy(native_in_upper, s->upper, sizeof(native_in_upper));
	native_target = s->rip;
}

static void store_state(const struct diff_case *c, struct diff_outcome *o)
{
	memcpy(o->out.gpr, native_out_gpr, sizeof(native_out_gpr));
	o->out.flags = native_out_flags;
	o->out.fs_base = native_out_fs;
	o->out.gs_base = native_out_gs;
	o->out.fx = native_out_fx;
	memcpy(o->out.upper, native_out_upper, sizeof(native_out_upper));
	o->out.rip = c->term[native_term % DIFF_NR_TERMS];
	o->vector = DIFF_END;
	o->error = 0;
	o->cr2 = 0;
}

static void protect(int prot)
{
	if (mprotect((void *)(uintptr_t)DIFF_DATA_RO, DIFF_PAGE, prot))
		die("mprotect");
}

/* The arena for this case. Two system calls, but only where the read-only page changes. */
static void fill_arena(const struct diff_case *c, uint8_t *arena)
{
	static uint32_t ro_image = ~0u;
	static bool ro_poked;
	bool pokes_ro = false;
	uint8_t copy[DIFF_DATA_SIZE];

	for (unsigned i = 0; i < c->nr_pokes; i++)
		pokes_ro |= c->poke[i].addr + c->poke[i].len > DIFF_DATA_RO;
	memcpy(copy, diff_image(c->image), DIFF_DATA_SIZE);
	diff_apply_pokes(c, copy);
	if (c->image != ro_image || pokes_ro || ro_poked) {
		protect(PROT_READ | PROT_WRITE);
		memcpy(arena, copy, DIFF_DATA_SIZE);
		protect(PROT_READ);
		ro_image = c->image;
		ro_poked = pokes_ro;
	} else {
		memcpy(arena, copy, DIFF_DATA_RO - DIFF_DATA);
	}
}

void native_run(const struct diff_case *c, struct diff_outcome *out, uint8_t *after)
{
	uint8_t *arena = (uint8_t *)(uintptr_t)DIFF_DATA, copy[DIFF_DATA_SIZE];

	fill_arena(c, arena);
	write_code(c);
	load_state(&c->in);
	current = out;
	native_enter();
	if (current)
		store_state(c, out);
	current = NULL;
	memcpy(copy, arena, DIFF_DATA_SIZE);
	out->mem_hash = diff_hash(c, copy);
	if (after)
		memcpy(after, copy, DIFF_DATA_SIZE);
}
