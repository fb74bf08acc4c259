/* SPDX-License-Identifier: MIT */
/*
 * Code written at run time: by the thread that runs it, next to the instruction being executed, across page
 * boundaries, through a second mapping of the same memory, with W^X flips, by remapping, by system calls and string
 * instructions, and by several threads each on code of its own that shares pages with the others'.
 *
 * An x86 thread that stores to its own code through the same linear address needs no more than a jump (Intel SDM
 * volume 3, section 9.1.3; AMD not even that); through another address it needs a serialising instruction.
 *
 *   jit [THREADS [ROUNDS]]
 */
#define _GNU_SOURCE
#include "user.h"

#include <pthread.h>
#include <sys/mman.h>
#include <unistd.h>

enum { PAGE = 4096, MAX_THREADS = 64 };
typedef uint64_t (*code_fn)(uint64_t);

static const char *const me = "jit";
static long rounds;
static int nthreads;
static int rwx = PROT_READ | PROT_WRITE | PROT_EXEC;

static unsigned char *map_code(size_t size, int prot)
{
	unsigned char *p = mmap(NULL, size, prot, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (p == MAP_FAILED)
		fail(me, "mmap");
	return p;
}

static void serialize(void)
{
	unsigned a = 0, c = 0;

	__asm__ volatile("cpuid" : "+a"(a), "+c"(c) : : "rbx", "rdx", "memory");
}

/* Emits a random function of one argument and returns its length; *value becomes what it computes from x. */
static size_t emit_random(unsigned char *out, uint64_t *rng, uint64_t x, uint64_t *value)
{
	unsigned char *p = out;
	uint64_t v = x;
	int n = 1 + (int)(rng_next(rng) % 12);

	memcpy(p, "\x48\x89\xf8", 3); /* mov rax, rdi */
	p += 3;
	while (n--) {
		uint64_t r = rng_next(rng);
		uint32_t imm = (uint32_t)(r >> 32) & 0x7fffffff;

		switch (r % 6) {
		case 0: memcpy(p, "\x48\x05", 2); memcpy(p + 2, &imm, 4); p += 6; v += imm; break;
		case 1: memcpy(p, "\x48\x35", 2); memcpy(p + 2, &imm, 4); p += 6; v ^= imm; break;
		case 2: memcpy(p, "\x48\x69\xc0", 3); memcpy(p + 3, &imm, 4); p += 7; v *= imm; break;
		case 3: memcpy(p, "\x48\xc1\xc0\x0b", 4); p += 4; v = v << 11 | v >> 53; break;
		case 4: memcpy(p, "\xeb\x02\x0f\x0b", 4); p += 4; break; /* jmp over ud2 */
		case 5: memcpy(p, "\x48\x8d\x44\x40\x07", 5); p += 5; v = v * 3 + 7; break; /* lea rax, [rax+rax*2+7] */
		}
	}
	*p++ = 0xc3;
	*value = v;
	return (size_t)(p - out);
}

static uint64_t check_call(const void *code, uint64_t x, uint64_t expect, const char *what)
{
	uint64_t got;

	__asm__ volatile("" ::: "memory");
	got = ((code_fn)(uintptr_t)code)(x);
	if (got != expect)
		fail(me, what);
	return got;
}

/* A new function over the old one, anywhere on the page, or across the boundary of two. */
static void test_rewrite(size_t from, const char *topic)
{
	unsigned char *code = map_code(2 * PAGE, rwx);
	uint64_t rng = 21, sum = FNV_BASIS, expect;

	for (long i = 0; i < rounds; i++) {
		unsigned char *at = code + from + rng_next(&rng) % 64;

		emit_random(at, &rng, (uint64_t)i, &expect);
		for (int again = 0; again < 3; again++)
			sum = hash_u64(sum, check_call(at, (uint64_t)i, expect, topic));
	}
	munmap(code, 2 * PAGE);
	report(me, topic, sum);
}

/* Only one half of a function that spans two pages changes: first the bytes behind the boundary, then those before. */
static void test_halves(void)
{
	unsigned char *code = map_code(2 * PAGE, rwx), *at = code + PAGE - 7;
	uint64_t sum = FNV_BASIS;

	/* mov rax, rdi; nop; add rax, imm32 (on the boundary: opcode 2 bytes before, immediate split); xor rax, imm32 */
	memcpy(at, "\x48\x89\xf8\x90\x48\x05\x01\x00\x00\x00\x48\x35\x00\x00\x00\x00\xc3", 17);
	for (long i = 0; i < rounds; i++) {
		uint32_t add = at[6] | (uint32_t)i % 0x7fff << 8, mask = (uint32_t)i * 3 & 0x7fffffff;

		memcpy(at + 7, (unsigned char *)&add + 1, 3);
		memcpy(at + 12, &mask, 4);
		sum = hash_u64(sum, check_call(at, 5, (5 + (uint64_t)add) ^ mask, "halves"));
		at[6] = (unsigned char)i;
		add = (add & ~0xffu) | (unsigned char)i;
		sum = hash_u64(sum, check_call(at, 5, (5 + (uint64_t)add) ^ mask, "halves"));
	}
	munmap(code, 2 * PAGE);
	report(me, "halves", sum);
}

/*
 * Code that changes the very next instruction, then loops back: the store must be seen at once.
 * 0: movl $K, imm(%rip) [c7 05 disp32 imm32]; 10: movl $old, %eax [b8 imm32]; 15: ret
 */
static void test_next(void)
{
	unsigned char *code = map_code(PAGE, rwx);
	uint64_t sum = FNV_BASIS;

	for (long i = 0; i < rounds; i++) {
		unsigned char *at = code + (i % 61);
		uint32_t disp = 1, value = (uint32_t)i * 2654435761u, old = 0xdeadbeef;

		memcpy(at, "\xc7\x05", 2);
		memcpy(at + 2, &disp, 4);
		memcpy(at + 6, &value, 4);
		at[10] = 0xb8;
		memcpy(at + 11, &old, 4);
		at[15] = 0xc3;
		sum = hash_u64(sum, check_call(at, 0, value, "next"));
	}
	munmap(code, PAGE);
	report(me, "next", sum);
}

/* REP STOSB fills the bytes right behind itself with NOPs, where a UD2 stood. */
static void test_rep(void)
{
	unsigned char *code = map_code(2 * PAGE, rwx);
	uint64_t sum = FNV_BASIS;

	for (long i = 0; i < rounds / 4 + 1; i++) {
		unsigned char *at = code + PAGE - 40 + i % 80;
		uint32_t n = 16 + (uint32_t)i % 100;

		memcpy(at, "\x48\x8d\x3d\x09\x00\x00\x00", 7); /* lea rdi, [rip+9]: the byte behind rep stosb */
		at[7] = 0xb9;                                  /* mov ecx, n */
		memcpy(at + 8, &n, 4);
		memcpy(at + 12, "\xb0\x90", 2);                /* mov al, 0x90 */
		memcpy(at + 14, "\xf3\xaa", 2);                /* rep stosb */
		for (uint32_t k = 0; k < n; k += 2)
			memcpy(at + 16 + k, "\x0f\x0b", 2);
		memcpy(at + 16 + n, "\x48\x89\xf8\xc3", 4);    /* mov rax, rdi; ret */
		sum = hash_u64(sum, check_call(at, 0, (uintptr_t)(at + 16 + n), "rep") - (uintptr_t)code);
	}
	munmap(code, 2 * PAGE);
	report(me, "rep", sum);
}

/* Written through one mapping, run through another. */
static void test_alias(void)
{
	int fd = memfd_create("jit", 0);
	unsigned char *w, *x;
	uint64_t rng = 22, sum = FNV_BASIS, expect;

	if (fd < 0 || ftruncate(fd, 2 * PAGE))
		fail(me, "memfd");
	w = mmap(NULL, 2 * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	x = mmap(NULL, 2 * PAGE, PROT_READ | PROT_EXEC, MAP_SHARED, fd, 0);
	if (w == MAP_FAILED || x == MAP_FAILED)
		fail(me, "mmap");
	for (long i = 0; i < rounds; i++) {
		size_t at = PAGE - 50 + rng_next(&rng) % 100;

		emit_random(w + at, &rng, (uint64_t)i, &expect);
		serialize();
		sum = hash_u64(sum, check_call(x + at, (uint64_t)i, expect, "alias"));
	}
	/* And by the kernel's hand. */
	for (long i = 0; i < rounds / 4; i++) {
		unsigned char buf[128];
		size_t size = emit_random(buf, &rng, 9, &expect);

		if (pwrite(fd, buf, size, PAGE - 9) != (ssize_t)size)
			fail(me, "pwrite");
		serialize();
		sum = hash_u64(sum, check_call(x + PAGE - 9, 9, expect, "alias-write"));
	}
	munmap(w, 2 * PAGE);
	munmap(x, 2 * PAGE);
	close(fd);
	report(me, "alias", sum);
}

/* Writable, then executable, never both. */
static void test_flip(void)
{
	unsigned char *code = map_code(PAGE, PROT_READ | PROT_WRITE);
	uint64_t rng = 23, sum = FNV_BASIS, expect;

	for (long i = 0; i < rounds / 4; i++) {
		if (mprotect(code, PAGE, PROT_READ | PROT_WRITE))
			fail(me, "mprotect");
		emit_random(code, &rng, (uint64_t)i, &expect);
		if (mprotect(code, PAGE, PROT_READ | PROT_EXEC))
			fail(me, "mprotect");
		sum = hash_u64(sum, check_call(code, (uint64_t)i, expect, "flip"));
	}
	munmap(code, PAGE);
	report(me, "flip", sum);
}

/* The same address, other memory: mremap swaps two code pages; a fresh page takes a dead one's place. */
static void test_remap(void)
{
	unsigned char *base = map_code(4 * PAGE, rwx), *a = base, *b = base + PAGE, *spare = base + 2 * PAGE;
	uint64_t rng = 24, sum = FNV_BASIS, va, vb;

	emit_random(a, &rng, 77, &va);
	emit_random(b, &rng, 77, &vb);
	for (long i = 0; i < rounds / 4; i++) {
		uint64_t t = va;

		sum = hash_u64(sum, check_call(a, 77, va, "remap") ^ check_call(b, 77, vb, "remap"));
		if (mremap(a, PAGE, PAGE, MREMAP_MAYMOVE | MREMAP_FIXED, spare) == MAP_FAILED ||
		    mremap(b, PAGE, PAGE, MREMAP_MAYMOVE | MREMAP_FIXED, a) == MAP_FAILED ||
		    mremap(spare, PAGE, PAGE, MREMAP_MAYMOVE | MREMAP_FIXED, b) == MAP_FAILED)
			fail(me, "mremap");
		va = vb;
		vb = t;
		if (i % 8 == 7) {
			if (mmap(b, PAGE, rwx, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0) == MAP_FAILED)
				fail(me, "mmap");
			emit_random(b, &rng, 77, &vb);
		}
	}
	munmap(base, 4 * PAGE);
	report(me, "remap", sum);
}

/* Threads rewrite and run functions of their own that lie on pages they all share. */
static unsigned char *common;
static uint64_t thread_sum[MAX_THREADS];

static void *thread_body(void *arg)
{
	long id = (long)arg;
	unsigned char *at = common + id * 128;
	uint64_t rng = 100 + (uint64_t)id, sum = FNV_BASIS, expect;

	for (long i = 0; i < rounds / 4; i++) {
		emit_random(at, &rng, (uint64_t)i, &expect);
		sum = hash_u64(sum, check_call(at, (uint64_t)i, expect, "threads"));
		sum = hash_u64(sum, check_call(at, (uint64_t)i, expect, "threads"));
	}
	thread_sum[id] = sum;
	return NULL;
}

static void test_threads(void)
{
	pthread_t t[MAX_THREADS];

	common = map_code((size_t)(nthreads * 128 + PAGE), rwx);
	common += 64; /* some threads' functions cross pages */
	for (long i = 0; i < nthreads; i++) {
		if (pthread_create(&t[i], NULL, thread_body, (void *)i))
			fail(me, "pthread_create");
	}
	for (int i = 0; i < nthreads; i++)
		pthread_join(t[i], NULL);
	report(me, "threads", hash_bytes(FNV_BASIS, thread_sum, sizeof(thread_sum[0]) * (size_t)nthreads));
}

int main(int argc, char **argv)
{
	nthreads = (int)arg_long(argc, argv, 1, 8);
	rounds = arg_long(argc, argv, 2, 1000);
	if (nthreads < 1 || nthreads > MAX_THREADS)
		fail(me, "bad number of threads");
	test_rewrite(0, "page");
	test_rewrite(PAGE - 80, "cross");
	test_halves();
	test_next();
	test_rep();
	test_alias();
	test_flip();
	test_remap();
	test_threads();
	return 0;
}
