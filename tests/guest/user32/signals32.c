/* SPDX-License-Identifier: MIT */
/*
 * Signals of 32-bit programs: both kinds of frame, faults repaired, skipped and reported, single steps, and timers whose
 * handlers disturb the FPU of a computation that must come out the same.
 */
#include "user32.h"

static const char *const me = "signals32";
static uint64_t sum;
static uint32_t fault_eip, faults;
__attribute__((used)) const uint32_t nowhere[2];
static volatile uint32_t ticks, steps;
static uint8_t *pages;
static uint8_t altstack[32768];

enum { PAGE = 4096 };

/* --- a fault is repaired in the handler; the instruction starts again with nothing done --- */

static void repair(int sig, void *info, struct ucontext32 *uc)
{
	(void)info;
	sum = hash_u32(hash_u32(sum, (uint32_t)sig), uc->mc.trapno);
	sum = hash_u32(sum, uc->mc.err & ~2u);
	sum = hash_u32(sum, uc->mc.cr2 - (uint32_t)pages);
	if (sys3(SYS_mprotect, uc->mc.cr2 & ~(PAGE - 1u), PAGE, PROT_R | PROT_W))
		quit(3);
}

static void test_restart(void)
{
	struct {
		void *sp;
		int flags;
		size_t size;
	} ss = {altstack, 0, sizeof(altstack)};
	uint32_t seed = 7;

	sum = FNV_BASIS;
	sys2(SYS_sigaltstack, &ss, 0);
	set_handler(SIGSEGV, (void *)repair, SA_SIGINFO | SA_ONSTACK);
	for (unsigned i = 0; i < 300; i++) {
		uint8_t *edge = pages + PAGE * (1 + i % 3);
		uint32_t v = rng_next(&seed), carry, count = 300, save;
		uint8_t *di = edge - 100, *si = pages;

#define LOCK() sys3(SYS_mprotect, edge, PAGE, i & 1 ? 0 : PROT_R)
		LOCK();
		__asm__ volatile("stc\n\tadcl %2, %1\n\tsbbl %0, %0" : "=r"(carry), "+m"(*(uint32_t *)(edge - 3)) : "r"(v) : "cc");
		LOCK();
		__asm__ volatile("rep movsb" : "+D"(di), "+S"(si), "+c"(count) : : "memory");
		LOCK();
		/* PUSHA runs into the locked page midway: nothing may have moved. */
		__asm__ volatile("movl %%esp, %0\n\tleal 24(%1), %%esp\n\tpushal\n\tmovl %0, %%esp" : "=&S"(save) : "D"(edge) : "memory");
		*(uint32_t *)(edge + 4) = 0;  /* ESI, ESP and EBP of the image are addresses of this run */
		*(uint32_t *)(edge - 4) = *(uint32_t *)(edge - 8) = 0;
		for (int k = -12; k < 24; k += 4)
			*(uint32_t *)(edge + k) = 0;
		LOCK();
		__asm__ volatile("xchgl %0, %1" : "+r"(v), "+m"(*(uint32_t *)(edge + 16)));
		sum = hash_u32(sum, carry ^ v ^ count);
		sum = hash_bytes(sum, edge - 128, 512);
	}
	report(me, "restart", sum);
}

/* --- faults: number, error code and address as the kernel tells them; the handler skips the instruction --- */

static void skip(int sig, void *info, struct ucontext32 *uc)
{
	(void)info;
	sum = hash_u32(hash_u32(sum, (uint32_t)sig), uc->mc.trapno);
	sum = hash_u32(sum, uc->mc.trapno == 14 ? uc->mc.err & ~0x10u : uc->mc.err);
	if (uc->mc.trapno == 14)
		sum = hash_u32(sum, uc->mc.cr2);
	sum = hash_u32(sum, uc->mc.eip - fault_eip);
	uc->mc.eip = uc->mc.edi;
	faults++;
}

/* EDI: where to go on. */
#define FAULT(text)                                                                                                    \
	__asm__ volatile("movl $1f, %0\n\tmovl $2f, %%edi\n1:\t" text "\n\tmovl $0, %0\n2:"                               \
			 : "=m"(fault_eip) : : "eax", "ecx", "edx", "edi", "memory", "cc")

static void test_faults(void)
{
	static const int signals[] = {SIGSEGV, SIGFPE, SIGILL, SIGBUS, SIGTRAP};

	sum = FNV_BASIS;
	for (unsigned i = 0; i < ARRAY_LEN(signals); i++)
		set_handler(signals[i], (void *)skip, SA_SIGINFO);
	for (unsigned i = 0; i < 20; i++) {
		FAULT("movl $1, 8");
		FAULT("xorl %%ecx, %%ecx\n\tdivl %%ecx");
		FAULT("movl $0x80000000, %%eax\n\tcltd\n\tmovl $-1, %%ecx\n\tidivl %%ecx");
		FAULT("movb $5, %%al\n\taam $0");
		FAULT("ud2");
		FAULT("hlt");
		FAULT("cli");
		FAULT("inb $0x80, %%al");
		FAULT("int $0x81");
		FAULT("int $13");
		FAULT("int3");
		FAULT("movb $0x7f, %%al\n\taddb $1, %%al\n\tinto");
		FAULT("movl %%eax, %%cr0");
		FAULT("lgdt (%%esp)");
		FAULT("movl $0x1234, %%eax\n\tmovw %%ax, %%es");
		FAULT("movl $5000, %%eax\n\tpushl $10\n\tpushl $1\n\tmovl %%esp, %%edx\n\taddl $8, %%esp\n\tboundl %%eax, (%%edx)");
		FAULT(".byte 0xf0, 0x01, 0xc2"); /* LOCK ADD to a register */
		FAULT("jmp *%%fs:0");
		FAULT("lcall *nowhere");
	}
	sum = hash_u32(sum, faults);
	report(me, "faults", sum);
}

/* --- single steps, over both ways into the kernel too --- */

static void step(int sig, void *info, struct ucontext32 *uc)
{
	(void)sig;
	(void)info;
	(void)uc;
	steps++;
}

static void test_steps(void)
{
	uint32_t r = 0, mypid = (uint32_t)sys0(SYS_getpid);
	uint64_t h = FNV_BASIS;

	set_handler(SIGTRAP, (void *)step, SA_SIGINFO);
	for (unsigned i = 0; i < 50; i++) {
		uint32_t pid80, pidv, before = steps;

		__asm__ volatile("pushfl\n\torl $0x100, (%%esp)\n\tpopfl\n\taddl $3, %0\n\tpushl %0\n\tpopl %%ecx\n\t"
				 "movl $5, %%ecx\n1:\tdecl %%ecx\n\tjnz 1b\n\tmovl %%ds, %%eax\n\tmovl %%eax, %%ds\n\tnop\n\t"
				 "pushfl\n\tandl $~0x100, (%%esp)\n\tpopfl" : "+r"(r) : : "eax", "ecx", "cc", "memory");
		h = hash_u32(h, steps - before);
		__asm__ volatile("pushfl\n\torl $0x100, (%%esp)\n\tpopfl\n\tmovl $20, %%eax\n\tint $0x80\n\t"
				 "pushfl\n\tandl $~0x100, (%%esp)\n\tpopfl" : "=a"(pid80) : : "cc", "memory");
		/* How many instructions the kernel's entry code has is its own affair. */
		__asm__ volatile("pushfl\n\torl $0x100, (%%esp)\n\tpopfl\n\tmovl $20, %%eax\n\tcall *vsyscall_entry\n\t"
				 "pushfl\n\tandl $~0x100, (%%esp)\n\tpopfl" : "=a"(pidv) : : "cc", "memory");
		h = hash_u32(h, pid80 == mypid && pidv == mypid);
	}
	report(me, "steps", hash_u32(h, r));
}

/* --- the plain frame, with and without a way back of our own; registers changed in it --- */

static void plain(int sig)
{
	__asm__ volatile("fninit\n\tfldpi\n\tpcmpeqd %%xmm3, %%xmm3\n\tstd\n\tcld" : : : "xmm3", "memory");
	sum = hash_u32(sum, (uint32_t)sig);
}

static void change(int sig, void *info, struct ucontext32 *uc)
{
	(void)sig;
	(void)info;
	uc->mc.ebx += 0x01010101;
	uc->mc.esi ^= 0xffffffff;
	uc->mc.ebp -= 5;
	uc->mc.eflags ^= 0x801; /* CF, OF */
}

static void test_frames(void)
{
	uint32_t tid = (uint32_t)sys0(SYS_gettid), ebx, esi, ebp, fl;

	sum = FNV_BASIS;
	set_handler(SIGUSR2, (void *)plain, 0);
	for (unsigned i = 0; i < 200; i++) {
		sys2(SYS_tkill, tid, SIGUSR2);
		vsys(SYS_tkill, (long)tid, SIGUSR2, 0, 0, 0);
	}
	set_handler(SIGUSR2, (void *)change, SA_SIGINFO);
	for (unsigned i = 0; i < 200; i++) {
		__asm__ volatile("pushl %%ebp\n\tmovl $0x1000, %%ebp\n\tmovl $0x2000, %%esi\n\tmovl %4, %%ebx\n\tmovl $12, %%ecx\n\t"
				 "testl %%eax, %%eax\n\tint $0x80\n\tpushfl\n\tmovl %%ebp, %%edx\n\tpopl %%ecx\n\tpopl %%ebp"
				 : "=b"(ebx), "=S"(esi), "=d"(ebp), "=c"(fl) : "D"(tid), "a"(SYS_tkill) : "cc", "memory");
		sum = hash_u32(hash_u32(sum, ebx - tid), esi);
		sum = hash_u32(hash_u32(sum, ebp), fl & 0x8d5);
	}
	report(me, "frames", sum);
}

/* --- timers --- */

static void tick(int sig, void *info, struct ucontext32 *uc)
{
	(void)sig;
	(void)info;
	(void)uc;
	__asm__ volatile("fninit\n\tfldpi\n\tfldpi\n\tfmulp\n\tpcmpeqd %%xmm0, %%xmm0\n\tpcmpeqd %%xmm7, %%xmm7\n\tstd\n\tcld"
			 : : : "xmm0", "xmm7", "memory", "cc");
	ticks++;
}

static uint64_t compute(void)
{
	uint64_t a = 1, h;
	uint32_t lo = 1, hi = 0;
	long double y = 0.25L;
	double x = 0.5;

	for (int i = 0; i < 20000; i++) {
		a = a * 6364136223846793005ull + 1442695040888963407ull;
		__asm__("addl %2, %0\n\tadcl %3, %1\n\troll $7, %0" : "+r"(lo), "+r"(hi) : "r"((uint32_t)a), "r"((uint32_t)(a >> 32)) : "cc");
		x = x * 3.999 * (1.0 - x);
		y = y * 3.998L * (1.0L - y);
		__asm__ volatile("movd %0, %%xmm0\n\tpaddd %%xmm0, %%xmm7\n\tpshufd $0x39, %%xmm7, %%xmm7\n\tmovd %%xmm7, %0" : "+r"(hi) : : "xmm0", "xmm7");
	}
	h = hash_bytes(FNV_BASIS, &a, sizeof(a));
	h = hash_u32(hash_u32(h, lo), hi);
	h = hash_bytes(h, &x, sizeof(x));
	return hash_bytes(h, &y, 10);
}

static void test_timer(void)
{
	long on[4] = {0, 2000, 0, 2000}, off[4] = {0};
	uint64_t first;

	__asm__ volatile("pxor %%xmm7, %%xmm7" : : : "xmm7");
	first = compute();
	set_handler(SIGALRM, (void *)tick, SA_SIGINFO);
	sys3(SYS_setitimer, 0, on, 0);
	for (unsigned i = 0; i < 300 || ticks < 20; i++) {
		__asm__ volatile("pxor %%xmm7, %%xmm7" : : : "xmm7");
		if (compute() != first)
			fail(me, "an interrupted computation changed");
	}
	sys3(SYS_setitimer, 0, off, 0);
	report(me, "timer", first);
}

int program(int argc, char **argv, char **env)
{
	(void)argc;
	(void)argv;
	(void)env;
	pages = map_pages(5 * PAGE, PROT_R | PROT_W);
	if (!pages || !vsyscall_entry)
		fail(me, "set-up");
	for (unsigned i = 0; i < 5 * PAGE; i++)
		pages[i] = (uint8_t)(i * 7);
	test_restart();
	test_faults();
	test_steps();
	test_frames();
	test_timer();
	return 0;
}
