/* SPDX-License-Identifier: MIT */
/*
 * Segments of 32-bit programs: LDT segments with bases and limits, 16-bit code and stacks (the upper half of ESP, which
 * IRET would give away, is the kernel's to protect), segment loads, and under a 64-bit kernel the far jump into 64-bit
 * code and back.
 */
#include "user32.h"

static const char *const me = "segments32";
static uint64_t sum;

struct user_desc {
	uint32_t entry, base, limit, flags;
};

enum { DESC_32BIT = 1, DESC_DATA = 0, DESC_DOWN = 2, DESC_CODE = 4, DESC_READ_ONLY = 8, DESC_PAGES = 0x10, DESC_ABSENT = 0x20 };

static uint32_t ldt_set(uint32_t entry, const void *base, uint32_t limit, uint32_t flags)
{
	struct user_desc d = {entry, (uint32_t)base, limit, flags};

	if (sys3(SYS_modify_ldt, 0x11, &d, sizeof(d)))
		fail(me, "modify_ldt");
	return entry << 3 | 7;
}

static void segv(int sig, void *info, struct ucontext32 *uc)
{
	(void)info;
	sum = hash_u32(hash_u32(sum, (uint32_t)sig), uc->mc.trapno);
	sum = hash_u32(sum, uc->mc.err);
	uc->mc.eip = uc->mc.edi;
	uc->mc.eax = 0xdead;
}

/* --- bases, limits and types --- */

static uint8_t area[8192] __attribute__((aligned(4096)));

static uint32_t load_es(uint32_t sel, uint32_t offset)
{
	uint32_t v;

	__asm__ volatile("pushl %%es\n\tmovl $1f, %%edi\n\tmovl %1, %%es\n\tmovl %%es:(%2), %%eax\n1:\tpopl %%es"
			 : "=&a"(v) : "r"(sel), "r"(offset) : "edi", "memory");
	return v;
}

static uint32_t store_fs(uint32_t sel, uint32_t offset, uint32_t v)
{
	__asm__ volatile("pushl %%fs\n\tmovl $1f, %%edi\n\tmovl %1, %%fs\n\tmovl %0, %%fs:(%2)\n1:\tpopl %%fs"
			 : "+a"(v) : "r"(sel), "r"(offset) : "edi", "memory");
	return v;
}

static void test_data(void)
{
	uint32_t bytes = ldt_set(0, area + 16, 99, DESC_32BIT), down = ldt_set(1, area, 0xfff, DESC_32BIT | DESC_DOWN);
	uint32_t pages = ldt_set(2, area, 1, DESC_32BIT | DESC_PAGES), ro = ldt_set(3, area, 4095, DESC_32BIT | DESC_READ_ONLY);
	uint32_t absent = ldt_set(4, area, 4095, DESC_32BIT | DESC_ABSENT);
	static const uint32_t offsets[] = {0, 4, 95, 96, 97, 99, 100, 0xffc, 0xffd, 0x1000, 0x1ffc, 0x1ffd, 0x2000, 0xfffffffc};

	sum = FNV_BASIS;
	set_handler(SIGSEGV, (void *)segv, SA_SIGINFO);
	set_handler(SIGBUS, (void *)segv, SA_SIGINFO);
	for (unsigned i = 0; i < sizeof(area); i++)
		area[i] = (uint8_t)(i ^ i >> 8);
	for (unsigned i = 0; i < ARRAY_LEN(offsets); i++) {
		const uint32_t sels[] = {bytes, pages, ro, absent};

		for (unsigned s = 0; s < ARRAY_LEN(sels); s++) {
			sum = hash_u32(sum, load_es(sels[s], offsets[i]));
			sum = hash_u32(sum, store_fs(sels[s], offsets[i], offsets[i] * 3 + s));
		}
		if (offsets[i] >= 0xffc && offsets[i] < 0x1ffd)
			sum = hash_u32(sum, load_es(down, offsets[i]));
	}
	sum = hash_u32(sum, load_es(0, 0));
	sum = hash_bytes(sum, area, sizeof(area));
	for (uint32_t n = 0; n < 6; n++) {
		uint32_t sel = n << 3 | 7, limit = 0x1111, rights = 0x2222, zf;

		__asm__ volatile("lsl %2, %0\n\tlar %2, %1" : "+r"(limit), "+r"(rights) : "r"(sel) : "cc");
		sum = hash_u32(hash_u32(sum, limit), rights & 0xf0ff00);
		__asm__ volatile("verr %w1\n\tsetz %b0\n\tverw %w1\n\tsetz %h0" : "=&a"(zf) : "d"(sel) : "cc");
		sum = hash_u32(sum, zf & 0xffff);
	}
	report(me, "data", sum);
}

/* --- 16-bit code in the LDT, called far; its stack is ours --- */

__asm__(".globl code16, code16_end\ncode16:\n\t.code16\n\tpushw %ax\n\tpopw %dx\n\tmovw $0x1234, %bx\n\taddw %dx, %bx\n\t"
	"movw $5, %cx\n1:\taddw %cx, %bx\n\tloop 1b\n\tshlw $3, %bx\n\tlretl\n\t.code32\ncode16_end:");
extern const uint8_t code16[];

static void test_code16(void)
{
	struct {
		uint32_t offset;
		uint16_t sel;
	} __attribute__((packed)) far = {0, (uint16_t)ldt_set(5, code16, 0xffff, DESC_CODE)};
	uint64_t h = FNV_BASIS;

	for (uint32_t i = 0; i < 1000; i++) {
		uint32_t a = i * 77, b = 0xabcd0000, c = 0xffff0000, d = 0x77770000;

		__asm__ volatile("lcall *%4" : "+a"(a), "+b"(b), "+c"(c), "+d"(d) : "m"(far) : "cc", "memory");
		h = hash_u32(hash_u32(h, a), b);
		h = hash_u32(hash_u32(h, c), d);
	}
	report(me, "code16", h);
}

/* --- a 16-bit stack: ESP's upper half survives interrupts, system calls and signals --- */

static void nothing(int sig)
{
	(void)sig;
}

static void test_stack16(void)
{
	static uint8_t stack[8192] __attribute__((aligned(4096)));
	uint32_t sel = ldt_set(6, stack, 0xffff, 0);
	long on[4] = {0, 1000, 0, 1000}, off[4] = {0};
	uint32_t bad = 0;

	set_handler(SIGALRM, (void *)nothing, SA_ONSTACK);
	sys3(SYS_setitimer, 0, on, 0);
	for (uint32_t i = 0; i < 3000; i++) {
		uint32_t want = (0x12340000 + (i << 16)) | 0x1800, got;

		/* gettid through int $0x80, then long enough for a timer tick now and then. */
		__asm__ volatile("movl %%ss, %%edi\n\tmovl %%esp, %%esi\n\tmovw %w2, %%ss\n\tmovl %1, %%esp\n\t"
				 "movl $224, %%eax\n\tint $0x80\n\tmovl $500, %%ecx\n1:\tdecl %%ecx\n\tjnz 1b\n\t"
				 "movl %%esp, %%eax\n\tmovw %%di, %%ss\n\tmovl %%esi, %%esp"
				 : "=&a"(got) : "b"(want), "d"(sel) : "ecx", "esi", "edi", "memory", "cc");
		bad += got != want;
		/* PUSH and POP wrap within 64 KiB and leave the upper half alone. */
		__asm__ volatile("movl %%ss, %%edi\n\tmovl %%esp, %%esi\n\tmovw %w2, %%ss\n\tmovl %1, %%esp\n\tpushl %%ebx\n\t"
				 "pushw %%bx\n\tpopl %%eax\n\tpopw %%ax\n\tmovl %%esp, %%eax\n\tmovw %%di, %%ss\n\tmovl %%esi, %%esp"
				 : "=&a"(got) : "b"(want), "d"(sel) : "ecx", "esi", "edi", "memory", "cc");
		bad += got != want;
	}
	sys3(SYS_setitimer, 0, off, 0);
	report(me, "stack16", hash_u32(FNV_BASIS, bad));
}

/* --- 64-bit code --- */

__asm__(".globl to_64\nto_64:\n\tpushl %ebx\n\tpushl %esi\n\tpushl %edi\n\tmovl 16(%esp), %eax\n\tmovl %eax, %esi\n\t"
	"xorl %edx, %edx\n\tmovl $1000, %ecx\n\tljmp $0x33, $1f\n\t.code64\n"
	"1:\tmovabsq $6364136223846793005, %r8\n\tmovq %rax, %r15\n2:\timulq %r8, %r15\n\taddq %rcx, %r15\n\trolq $9, %r15\n\t"
	"pushq %r15\n\tpopq %r9\n\txorq %r9, %rdx\n\tmovq 0(%rip), %r10\n\tdecl %ecx\n\tjnz 2b\n\tmovq %rdx, %rax\n\tshrq $32, %rdx\n\t"
	"movl %eax, %eax\n\tsubq $8, %rsp\n\tmovl $3f, (%rsp)\n\tmovl $0x23, 4(%rsp)\n\tlretl\n\t.code32\n"
	"3:\tpopl %edi\n\tpopl %esi\n\tpopl %ebx\n\tret");
uint64_t to_64(uint32_t seed);

static uint64_t same_in_32(uint32_t seed)
{
	uint64_t x = seed, y = 0;

	for (uint32_t i = 1000; i; i--) {
		x = x * 6364136223846793005ull + i;
		x = x << 9 | x >> 55;
		y ^= x;
	}
	return y;
}

static void test_code64(void)
{
	uint16_t cs;
	uint64_t h = FNV_BASIS;

	__asm__("movw %%cs, %0" : "=r"(cs));
	for (uint32_t i = 1; i < 200; i++) {
		uint64_t v = cs == 0x23 ? to_64(i) : same_in_32(i);

		h = hash_u32(hash_u32(h, (uint32_t)v), (uint32_t)(v >> 32));
	}
	report(me, "code64", h);
}

/* --- system calls and signals keep the selectors --- */

static void clobber(int sig)
{
	(void)sig;
	__asm__ volatile("xorl %%eax, %%eax\n\tmovl %%eax, %%fs\n\tmovl %%eax, %%gs" : : : "eax");
}

static void test_selectors(void)
{
	uint32_t a = ldt_set(0, area, 0xffff, DESC_32BIT), b = ldt_set(1, area + 4096, 0xffff, DESC_32BIT), fs, gs, x, y;
	uint64_t h = FNV_BASIS;

	set_handler(SIGUSR2, (void *)clobber, 0);
	area[0] = 0x5a;
	area[4096] = 0xa5;
	for (unsigned i = 0; i < 500; i++) {
		__asm__ volatile("movl %0, %%fs\n\tmovl %1, %%gs" : : "r"(a), "r"(b));
		if (i & 1)
			vsys(SYS_sched_yield, 0, 0, 0, 0, 0);
		else
			sys2(SYS_tkill, sys0(SYS_gettid), SIGUSR2);
		__asm__ volatile("movl %%fs, %0\n\tmovl %%gs, %1\n\tmovzbl %%fs:0, %2\n\tmovzbl %%gs:0, %3"
				 : "=&r"(fs), "=&r"(gs), "=&r"(x), "=&r"(y));
		h = hash_u32(hash_u32(h, fs), gs);
		h = hash_u32(hash_u32(h, x), y);
	}
	__asm__ volatile("movl %0, %%fs\n\tmovl %0, %%gs" : : "r"(0));
	report(me, "selectors", h);
}

int program(int argc, char **argv, char **env)
{
	static uint8_t altstack[16384];
	struct {
		void *sp;
		int flags;
		size_t size;
	} ss = {altstack, 0, sizeof(altstack)};

	(void)argc;
	(void)argv;
	(void)env;
	sys2(SYS_sigaltstack, &ss, 0);
	test_data();
	test_code16();
	test_stack16();
	test_code64();
	test_selectors();
	return 0;
}
