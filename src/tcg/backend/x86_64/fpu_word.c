/* SPDX-License-Identifier: MIT */
/*
 * See fpu_word.h. Every distinct operation gets a stub, once:
 *
 *     load the image; load rax and the flags; the operation; store them and the image; return
 *
 * found by a hash table of the operation's own bytes. Stubs are never freed: after the replacement of registers and of immediates that mean
 * the same there are fewer than MAX_STUBS operations. Lock-free: a key is won by compare-and-exchange; a stub is written to a slot of its
 * own and then published. Code memory is one memfd mapped twice, writable and executable.
 */
#define _GNU_SOURCE
#include "tcg/backend/x86_64/fpu_word.h"

#include <pthread.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define MAX_STUBS 65536u
#define STUB_BYTES 64u
#define TABLE_SIZE (2 * MAX_STUBS)

#define HAS_IMM (1ull << 40)
#define REG_FORM (1ull << 41)
#define WIDE (1ull << 42)

typedef void (*stub_fn)(struct fpu_word_regs *regs, void *mem);

/* [atomic] key 0: empty; never changes again. code: release store of a finished stub, acquire load by who calls it. */
static struct {
	_Atomic uint64_t key;
	_Atomic(stub_fn) code;
} *table; /* [const] after init() */
static uint8_t *stubs_rw, *stubs_rx; /* [const] after init() */
static _Atomic uint32_t nr_stubs;
static pthread_once_t once = PTHREAD_ONCE_INIT;

static void init(void)
{
	const size_t size = (size_t)MAX_STUBS * STUB_BYTES;
	int fd = memfd_create("cohort-fpu", MFD_CLOEXEC);
	void *rw, *rx, *t;

	if (fd < 0)
		return;
	if (ftruncate(fd, (off_t)size) < 0) {
		close(fd);
		return;
	}
	rw = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	rx = mmap(NULL, size, PROT_READ | PROT_EXEC, MAP_SHARED, fd, 0);
	t = mmap(NULL, TABLE_SIZE * sizeof(*table), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	close(fd);
	if (rw == MAP_FAILED || rx == MAP_FAILED || t == MAP_FAILED)
		return;
	stubs_rw = rw;
	stubs_rx = rx;
	table = t;
}

/* ---- The operation's bytes */

static unsigned map_of(uint64_t w)
{
	return w >> 8 & 0xff;
}

static unsigned opcode_of(uint64_t w)
{
	return w >> 16 & 0xff;
}

/* Which ModRM fields name a register outside the unit (map 0F): general or vector. */
static bool reg_is_outside(unsigned opcode, unsigned prefix)
{
	return opcode == 0xc5 || opcode == 0xd7 || opcode == 0x2a || (opcode == 0xd6 && prefix == 0xf3);
}

static bool rm_is_outside(unsigned opcode, unsigned prefix)
{
	return opcode == 0x6e || opcode == 0x7e || opcode == 0xc4 || opcode == 0x2c || opcode == 0x2d || (opcode == 0xd6 && prefix == 0xf2);
}

static unsigned modrm(uint64_t w)
{
	unsigned m = w >> 24 & 0xff, op = opcode_of(w), prefix = w & 0xff;

	if (map_of(w) == 1 && reg_is_outside(op, prefix))
		m &= ~0x38u;
	if (!(w & REG_FORM))
		return (m & 0x38) | 6; /* [rsi] */
	if (map_of(w) == 1 && rm_is_outside(op, prefix))
		m &= ~7u;
	return m | 0xc0;
}

/* The immediate, or a smaller one that means the same. */
static uint8_t immediate(uint64_t w)
{
	uint8_t imm = (uint8_t)(w >> 32);

	switch (map_of(w) << 8 | opcode_of(w)) {
	case 0x171: /* shifts */
	case 0x172:
	case 0x173:
		return imm > 64 ? 64 : imm;
	case 0x1c4: /* words of four */
	case 0x1c5:
		return imm & 3;
	case 0x30f: /* byte shift of two registers */
		return imm > 16 ? 16 : imm;
	default:
		return imm;
	}
}

static unsigned encode(uint64_t w, uint8_t *out)
{
	static const uint8_t escape[4] = { 0, 0, 0x38, 0x3a };
	unsigned n = 0, map = map_of(w) & 3;

	if (w & 0xff)
		out[n++] = (uint8_t)w;
	if (w & WIDE && map == 1 && (opcode_of(w) == 0x6e || opcode_of(w) == 0x7e))
		out[n++] = 0x48;
	if (map)
		out[n++] = 0x0f;
	if (escape[map])
		out[n++] = escape[map];
	out[n++] = (uint8_t)opcode_of(w);
	if (!(map == 1 && opcode_of(w) == 0x77)) /* EMMS has no ModRM */
		out[n++] = (uint8_t)modrm(w);
	if (w & HAS_IMM)
		out[n++] = immediate(w);
	return n;
}

/* ---- Stubs */

static stub_fn stub_write(const uint8_t *insn, unsigned len)
{
	static const uint8_t before[] = {
		0x48, 0x0f, 0xae, 0x0f,                   /* fxrstor64 [rdi] */
		0x48, 0x8b, 0x87, 0x00, 0x02, 0x00, 0x00, /* mov rax, [rdi + 512] */
		0xff, 0xb7, 0x08, 0x02, 0x00, 0x00, 0x9d, /* push [rdi + 520]; popfq */
	};
	static const uint8_t after[] = {
		0x9c, 0x8f, 0x87, 0x08, 0x02, 0x00, 0x00, /* pushfq; pop [rdi + 520] */
		0x48, 0x89, 0x87, 0x00, 0x02, 0x00, 0x00, /* mov [rdi + 512], rax */
		0x48, 0x0f, 0xae, 0x07, 0xc3,             /* fxsave64 [rdi]; ret */
	};
	uint32_t slot = atomic_fetch_add(&nr_stubs, 1);
	uint8_t *p;

	_Static_assert(offsetof(struct fpu_word_regs, gpr) == 512 && offsetof(struct fpu_word_regs, flags) == 520, "as in the stub");
	_Static_assert(sizeof(before) + 9 + sizeof(after) <= STUB_BYTES, "a slot is large enough");
	if (slot >= MAX_STUBS) {
		atomic_store(&nr_stubs, MAX_STUBS);
		return NULL;
	}
	p = stubs_rw + (size_t)slot * STUB_BYTES;
	memcpy(p, before, sizeof(before));
	memcpy(p + sizeof(before), insn, len);
	memcpy(p + sizeof(before) + len, after, sizeof(after));
	return (stub_fn)(uintptr_t)(stubs_rx + (size_t)slot * STUB_BYTES);
}

static stub_fn stub_find(uint64_t word)
{
	uint8_t insn[16] = { 0 };
	unsigned len = encode(word, insn);
	uint64_t key;
	stub_fn code;

	memcpy(&key, insn, 8); /* no operation has more bytes; none begins with a zero */
	for (uint32_t i = 0; i < TABLE_SIZE; i++) {
		uint32_t at = ((uint32_t)((key * 0x9e3779b97f4a7c15ull) >> 47) + i) % TABLE_SIZE;
		uint64_t there = atomic_load_explicit(&table[at].key, memory_order_acquire);

		if (!there && atomic_compare_exchange_strong(&table[at].key, &there, key))
			there = key;
		if (there != key)
			continue;
		code = atomic_load_explicit(&table[at].code, memory_order_acquire);
		if (!code) {
			code = stub_write(insn, len); /* another thread may do the same: either stub will do */
			atomic_store_explicit(&table[at].code, code, memory_order_release);
		}
		return code;
	}
	return NULL;
}

int fpu_word_run(uint64_t word, struct fpu_word_regs *regs, void *mem)
{
	uint32_t control;
	uint16_t fcw;
	stub_fn code;

	pthread_once(&once, init);
	if (!table)
		return -1;
	code = stub_find(word);
	if (!code)
		return -1;
	__asm__ volatile("stmxcsr %0; fnstcw %1" : "=m"(control), "=m"(fcw));
	code(regs, mem);
	__asm__ volatile("fninit; fldcw %1; ldmxcsr %0" : : "m"(control), "m"(fcw));
	return 0;
}
