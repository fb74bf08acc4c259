/* SPDX-License-Identifier: MIT */
/*
 * Cases on the host CPU.
 *
 * Code pages are one file, mapped where the case wants them, where a case writes them by another name, and for the harness. A terminator jumps to a stub in
 * low memory and from there to its own entry of native_entry.S. Faults come as signals, whose context has the
 * registers, vector, error code and address. 16-bit and 32-bit code runs in Linux's 32-bit code segment and in segments of our own
 * (segments.h); signals find the way back from them, too.
 */
#define _GNU_SOURCE
#include "diff/native.h"

#include <asm/ldt.h>
#include <cpuid.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/ucontext.h>
#include <unistd.h>

#include "diff/segments.h"
#include "vcpu/x86/x86_cpu.h"

#define HWCAP2_FSGSBASE_BIT 2u
#define XSTATE_YMM 4u
#define XSTATE_AVX512 0xe0u
#define XSTATE_FIRST_WIDE 5u

/*
 * The XSAVE area; SDM volume 1, 13.4: the offset of the upper halves of the vector registers is the same on every CPU, those of AVX-512's
 * components CPUID tells.
 */
struct xarea {
	struct diff_fx fx;
	uint64_t xstate_bv, header[7];
	union {
		uint8_t upper[16][16];
		uint8_t rest[4096 - 576];
	};
} __attribute__((aligned(64)));

/* AVX-512's components: k, top, more of struct diff_wide. */
static const struct {
	uint16_t at, size;
} wide_parts[3] = {
	{ offsetof(struct diff_wide, k), 64 }, { offsetof(struct diff_wide, top), 512 }, { offsetof(struct diff_wide, more), 1024 },
};
static uint32_t wide_offset[3]; /* in the area */

/* Of native_entry.S. */
extern uint64_t native_in_gpr[16], native_in_flags, native_in_fs, native_in_gs;
extern uint64_t native_out_gpr[16], native_out_flags, native_out_fs, native_out_gs, native_host_sp, native_host_fs;
extern uint32_t native_term, native_bases, native_xmask;
extern uint16_t native_in_sel[6], native_out_sel[6];
extern struct xarea native_in_x, native_out_x;
extern uint32_t native_out_env[7];
struct far_pointer {
	uint32_t offset;
	uint16_t sel;
} __attribute__((aligned(8)));
extern struct far_pointer native_far;
void native_enter(void);
void native_leave0(void);
void native_leave1(void);
void native_leave2(void);
void native_abort(void) __attribute__((noreturn));
void native_signal(int sig, siginfo_t *info, void *context);
void native_on_signal(int sig, siginfo_t *info, void *context);

uint64_t native_in_gpr[16], native_in_flags, native_in_fs, native_in_gs;
uint64_t native_out_gpr[16], native_out_flags, native_out_fs, native_out_gs, native_host_sp, native_host_fs;
uint32_t native_term;  /* terminator that was reached */
uint32_t native_bases; /* load FS and GS bases */
uint32_t native_xmask; /* XSAVE components */
uint16_t native_in_sel[6], native_out_sel[6];
struct far_pointer native_far;
struct xarea native_in_x, native_out_x;
uint32_t native_out_env[7]; /* FNSTENV: AMD's CPUs save the last instruction's pointers in no other way */
bool native_has_avx, native_has_avx512;

static uint8_t *code_rw;                /* the code pages, writable */
static struct diff_outcome *current;    /* of the case that runs; NULL otherwise */
static uint32_t old_off, old_len;       /* what the last case left in the code pages */

static bool has_xsave(void)
{
	uint32_t a, b, c, d;

	return __get_cpuid(1, &a, &b, &c, &d) && (c >> 27 & 1);
}

static uint32_t xcr0(void)
{
	uint32_t a, d;

	__asm__("xgetbv" : "=a"(a), "=d"(d) : "c"(0));
	return a;
}

bool native_possible(const char **why)
{
	struct user_desc none = { .entry_number = 0, .read_exec_only = 1, .seg_not_present = 1 };

	if (!(getauxval(AT_HWCAP2) & HWCAP2_FSGSBASE_BIT)) {
		*why = "the host kernel does not let user programs write FS and GS bases";
		return false;
	}
	if (syscall(SYS_modify_ldt, 0x11, &none, sizeof(none))) {
		*why = "the host kernel does not let user programs have segments";
		return false;
	}
	*why = "the host has no XSAVE";
	native_has_avx = __builtin_cpu_supports("avx");
	native_has_avx512 = __builtin_cpu_supports("avx512f");
	return has_xsave();
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

/* Each 64-bit stub: jmp [pointer]; the pointers stand behind the stubs. Nothing here can be written by a case. */
static void make_stubs(void)
{
	void (*const leave[DIFF_NR_TERMS])(void) = { native_leave0, native_leave1, native_leave2 };
	int fd = memfd_create("diff-stubs", 0);
	uint8_t page[DIFF_PAGE], page16[DIFF_PAGE];

	diff_stub_page(page);
	for (uint32_t k = 0; k < DIFF_NR_TERMS; k++) {
		uint8_t *p = page + k * DIFF_STUB_LEN;
		uint32_t pointer = DIFF_STUBS + 0x800 + k * 8;

		memcpy(p, "\xff\x24\x25", 3);
		memcpy(p + 3, &pointer, 4);
		memcpy(page + 0x800 + k * 8, &leave[k], 8);
	}
	diff_stub16_page(page16);
	if (fd < 0 || write(fd, page, sizeof(page)) != (ssize_t)sizeof(page) || write(fd, page16, sizeof(page16)) != (ssize_t)sizeof(page16))
		die("memfd");
	map_at(DIFF_STUBS, DIFF_PAGE, PROT_READ | PROT_EXEC, MAP_SHARED, fd, 0);
	map_at(DIFF_STUBS16_PAGE, DIFF_PAGE, PROT_READ | PROT_EXEC, MAP_SHARED, fd, DIFF_PAGE);
	close(fd);
}

static void make_segments(void)
{
	for (unsigned i = 0; i < DIFF_NR_SEGS; i++) {
		const struct diff_seg *s = &diff_ldt[i];
		struct user_desc d = { .entry_number = i, .base_addr = s->base, .seg_32bit = s->big, .contents = s->kind,
				       .read_exec_only = s->readonly, .seg_not_present = s->absent, .useable = 1 };

		d.limit_in_pages = s->limit > 0xfffff;
		d.limit = d.limit_in_pages ? s->limit >> 12 : s->limit;
		if (syscall(SYS_modify_ldt, 0x11, &d, sizeof(d)))
			die("modify_ldt");
	}
}

/*
 * System calls are the harness's, which is above 4 GiB: wherever a case runs, there are none. A case that makes one gets SIGSYS, which
 * ends the process.
 */
static void confine(void)
{
	struct sock_filter code[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, instruction_pointer) + 4),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, 0, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_TRAP),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	struct sock_fprog filter = { sizeof(code) / sizeof(code[0]), code };

	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) || prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &filter))
		die("seccomp");
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

static void find_wide(void)
{
	uint32_t a, b, c, d;

	for (unsigned i = 0; i < 3; i++)
		if (__get_cpuid_count(0xd, XSTATE_FIRST_WIDE + i, &a, &b, &c, &d) && b + a <= sizeof(struct xarea))
			wide_offset[i] = b;
		else
			native_xmask &= ~XSTATE_AVX512;
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
	map_at(DIFF_ALIAS, len, PROT_NONE, MAP_SHARED, fd, 0);
	close(fd);
	memset(code_rw, 0xcc, len);
	data = map_at(DIFF_DATA, DIFF_DATA_SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	memset(data, 1, DIFF_DATA_SIZE);
	make_stubs();
	make_segments();
	native_xmask = 3 | (xcr0() & (XSTATE_YMM | XSTATE_AVX512));
	find_wide();
	__asm__("rdfsbase %0" : "=r"(native_host_fs));
	catch_signals();
	confine();
}

static uint64_t linear_pc(uint16_t cs, uint64_t offset)
{
	struct diff_seg seg;

	return diff_seg(cs, &seg) && !seg.wide ? (uint32_t)(seg.base + offset) : offset;
}

static void copy_vectors(struct diff_state *s, const struct xarea *x)
{
	memcpy(&s->fx, &x->fx, sizeof(s->fx));
	if (native_xmask & x->xstate_bv & XSTATE_YMM)
		memcpy(s->upper, x->upper, sizeof(s->upper));
	else
		memset(s->upper, 0, sizeof(s->upper));
	memset(&s->wide, 0, sizeof(s->wide));
	for (unsigned i = 0; i < 3; i++)
		if (native_xmask & x->xstate_bv & (1u << (XSTATE_FIRST_WIDE + i)))
			memcpy((uint8_t *)&s->wide + wide_parts[i].at, (const uint8_t *)x + wide_offset[i], wide_parts[i].size);
}

static void copy_gregs(struct diff_state *s, const ucontext_t *uc)
{
	static const uint8_t order[16] = { REG_RAX, REG_RCX, REG_RDX, REG_RBX, REG_RSP, REG_RBP, REG_RSI, REG_RDI,
					   REG_R8, REG_R9, REG_R10, REG_R11, REG_R12, REG_R13, REG_R14, REG_R15 };

	for (unsigned i = 0; i < 16; i++)
		s->gpr[i] = (uint64_t)uc->uc_mcontext.gregs[order[i]];
	s->flags = (uint64_t)uc->uc_mcontext.gregs[REG_EFL];
	memcpy(s->sel, native_out_sel, sizeof(s->sel));
	s->sel[X86_CS] = (uint16_t)uc->uc_mcontext.gregs[REG_CSGSFS];
	s->sel[X86_SS] = (uint16_t)(uc->uc_mcontext.gregs[REG_CSGSFS] >> 48);
	s->rip = linear_pc(s->sel[X86_CS], (uint64_t)uc->uc_mcontext.gregs[REG_RIP]);
	copy_vectors(s, (const struct xarea *)uc->uc_mcontext.fpregs);
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
	o->cr2 = o->vector == X86_PF ? (uint64_t)uc->uc_mcontext.gregs[REG_CR2] : 0;
	native_abort();
}

/* Only cases that write themselves may. */
static void open_code(bool writable)
{
	static bool is_writable;

	if (writable == is_writable)
		return;
	is_writable = writable;
	if (mprotect((void *)(uintptr_t)DIFF_CODE, DIFF_CODE_PAGES * DIFF_PAGE, PROT_READ | PROT_EXEC | (writable ? PROT_WRITE : 0)) ||
	    mprotect((void *)(uintptr_t)DIFF_ALIAS, DIFF_CODE_PAGES * DIFF_PAGE, writable ? PROT_READ | PROT_WRITE : PROT_NONE))
		die("mprotect");
}

static void write_code(const struct diff_case *c)
{
	open_code(c->smc);
	memset(code_rw + old_off, 0xcc, old_len);
	memcpy(code_rw + c->code_off, c->code, c->code_len);
	for (uint32_t k = 0; k < DIFF_NR_TERMS; k++)
		if (c->term[k] + DIFF_TERM_LEN <= DIFF_CODE_END)
			diff_term_code(c, k, code_rw + (c->term[k] - DIFF_CODE));
	old_off = c->code_off;
	old_len = diff_code_extent(c);
}

static void load_state(const struct diff_case *c)
{
	const struct diff_state *s = &c->in;

	memcpy(native_in_gpr, s->gpr, sizeof(native_in_gpr));
	memcpy(native_in_sel, s->sel, sizeof(native_in_sel));
	native_in_flags = s->flags;
	native_in_fs = s->fs_base;
	native_in_gs = s->gs_base;
	native_bases = c->mode == DIFF_64;
	native_in_x.fx = s->fx;
	native_in_x.xstate_bv = native_xmask;
	memcpy(native_in_x.upper, s->upper, sizeof(s->upper));
	for (unsigned i = 0; native_xmask & XSTATE_AVX512 && i < 3; i++)
		memcpy((uint8_t *)&native_in_x + wide_offset[i], (const uint8_t *)&s->wide + wide_parts[i].at, wide_parts[i].size);
	native_far = (struct far_pointer){ (uint32_t)s->rip - (c->mode == DIFF_64 ? 0 : diff_seg_base(s->sel[X86_CS])), s->sel[X86_CS] };
}

static void store_pointers(struct diff_fx *fx)
{
	fx->fip = native_out_env[3];
	fx->fop = native_out_env[4] >> 16 & 0x7ff;
	fx->fdp = native_out_env[5];
}

static void store_state(const struct diff_case *c, struct diff_outcome *o)
{
	memcpy(o->out.gpr, native_out_gpr, sizeof(native_out_gpr));
	memcpy(o->out.sel, native_out_sel, sizeof(native_out_sel));
	o->out.sel[X86_CS] = c->in.sel[X86_CS]; /* the stub has changed it */
	o->out.flags = native_out_flags;
	o->out.fs_base = native_out_fs;
	o->out.gs_base = native_out_gs;
	copy_vectors(&o->out, &native_out_x);
	store_pointers(&o->out.fx);
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

static void run_once(const struct diff_case *c, struct diff_outcome *out, uint8_t *arena)
{
	fill_arena(c, arena);
	write_code(c);
	load_state(c);
	current = out;
	native_enter();
	if (current)
		store_state(c, out);
	current = NULL;
}

/*
 * AMD's CPUs forget the pointers when an operating system, ours or the one under it, switches threads: they are 0 then, as they are behind
 * FNINIT, until the next instruction sets some. A run after which one is 0 is repeated, so that only zeros that mean it are left.
 */
static bool pointers_may_be_lost(const struct diff_outcome *o)
{
	return o->vector == DIFF_END && (!o->out.fx.fip || !o->out.fx.fdp);
}

void native_run(const struct diff_case *c, struct diff_outcome *out, uint8_t *after)
{
	uint8_t *arena = (uint8_t *)(uintptr_t)DIFF_DATA, copy[DIFF_DATA_SIZE];

	run_once(c, out, arena);
	for (unsigned n = 0; n < 4 && pointers_may_be_lost(out); n++)
		run_once(c, out, arena);
	memcpy(copy, arena, DIFF_DATA_SIZE);
	out->mem_hash = diff_hash(c, copy, code_rw);
	if (after)
		memcpy(after, copy, DIFF_DATA_SIZE);
}
