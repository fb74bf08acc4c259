/* SPDX-License-Identifier: MIT */
/*
 * See evex_word.h. Each thread has a cache of instructions, direct-mapped by word and immediate, and one piece of code around them:
 *
 *     load the image; call the instruction (memory at [rsi], the integer in rax); store the image; return
 *
 * Registers are the operation's own, so there are far too many operations to keep all: an entry is written again when another one wants its place,
 * and since the thread has executed the old one, it serializes (Intel SDM volume 3, 8.1.3). Code memory is one memfd mapped twice, writable and
 * executable.
 */
#define _GNU_SOURCE
#include "tcg/evex_word.h"

#include <cpuid.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "tcg/backend/x86_64/asm.h"
#include "tcg/backend/x86_64/lower_evex.h"
#include "tcg/ir/evex.h"

#define NR_SLOTS 2048u
#define SLOT_BYTES 32u
#define FRAME_BYTES 4096u
#define CODE_BYTES (FRAME_BYTES + NR_SLOTS * SLOT_BYTES)

typedef void (*frame_fn)(struct evex_word_regs *regs, void *mem, const void *insn);

struct words {
	uint8_t *rw, *rx;
	struct {
		int64_t word;
		uint8_t imm;
		bool used;
	} slot[NR_SLOTS];
};

static pthread_key_t key; /* [const] after init(): each thread's struct words */
static pthread_once_t once = PTHREAD_ONCE_INIT;

static void words_free(void *p)
{
	struct words *w = p;

	munmap(w->rw, CODE_BYTES);
	munmap(w->rx, CODE_BYTES);
	free(w);
}

static void init(void)
{
	if (pthread_key_create(&key, words_free))
		abort(); /* no host lacks keys at its start */
}

/* ---- The code around */

static struct rm field(size_t offset)
{
	return rm_mem(R_DI, R_NONE, 0, (int32_t)offset);
}
#define FIELD(name) field(offsetof(struct evex_word_regs, name))

static void move_all(struct as *s, bool load)
{
	for (unsigned n = 0; n < TCG_NR_ZREG; n++)
		as_evex(s, (load ? OP_MOVUPS_RM : OP_MOVUPS_MR) | OP_L2, 0, n, 0,
			field(offsetof(struct evex_word_regs, vreg) + n * sizeof(union tcg_vreg)));
	for (unsigned k = 0; k < TCG_NR_KREG; k++)
		as_vex(s, OP_0F | OP_W | (load ? 0x90u : 0x91u), k, 0, field(offsetof(struct evex_word_regs, kreg) + k * 8));
}

static void emit_frame(struct as *s)
{
	as_op(s, OP_0F | 0xae, 3, FIELD(host_mxcsr)); /* stmxcsr */
	as_op(s, OP_0F | 0xae, 2, FIELD(mxcsr));      /* ldmxcsr */
	move_all(s, true);
	as_load(s, R_AX, FIELD(gpr));
	as_op(s, 0xff, 2, rm_reg(R_DX)); /* call */
	as_bytes(s, "\x9c\x59", 2);      /* pushfq; pop rcx */
	as_store(s, FIELD(flags), R_CX);
	as_store(s, FIELD(gpr), R_AX);
	move_all(s, false);
	as_op(s, OP_0F | 0xae, 3, FIELD(mxcsr));
	as_op(s, OP_0F | 0xae, 2, FIELD(host_mxcsr));
	as_bytes(s, "\xc5\xf8\x77\xc3", 4); /* vzeroupper; ret */
}

static struct words *words_new(void)
{
	int fd = memfd_create("cohort-evex", MFD_CLOEXEC);
	struct words *w = calloc(1, sizeof(*w));
	void *rw = MAP_FAILED, *rx = MAP_FAILED;

	if (w && fd >= 0 && ftruncate(fd, CODE_BYTES) == 0) {
		rw = mmap(NULL, CODE_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
		rx = mmap(NULL, CODE_BYTES, PROT_READ | PROT_EXEC, MAP_SHARED, fd, 0);
	}
	if (fd >= 0)
		close(fd);
	if (rw == MAP_FAILED || rx == MAP_FAILED) {
		if (rw != MAP_FAILED)
			munmap(rw, CODE_BYTES);
		if (rx != MAP_FAILED)
			munmap(rx, CODE_BYTES);
		free(w);
		return NULL;
	}
	w->rw = rw;
	w->rx = rx;
	emit_frame(&(struct as){ .base = w->rw, .p = w->rw, .end = w->rw + FRAME_BYTES, .rx = w->rx });
	return w;
}

static struct words *words_of_thread(void)
{
	struct words *w;

	pthread_once(&once, init);
	w = pthread_getspecific(key);
	if (w)
		return w;
	w = words_new();
	if (w && pthread_setspecific(key, w)) {
		words_free(w);
		return NULL;
	}
	return w;
}

/* ---- The instruction */

static void serialize(void)
{
	unsigned a, b, c, d;

	__cpuid(0, a, b, c, d);
	__asm__ volatile("" : : "r"(a), "r"(b), "r"(c), "r"(d));
}

static void emit_insn(struct as *s, int64_t word, uint8_t imm, bool mem)
{
	struct ir_evex e = ir_evex_unpack(word);
	struct rm rm = mem ? rm_mem(R_SI, R_NONE, 0, 0) : rm_reg(e.rm_int ? R_AX : e.rm);

	evex_emit(s, &e, e.reg_int ? R_AX : e.reg, rm, imm);
	as_u8(s, 0xc3);
}

static const void *find(struct words *w, int64_t word, uint8_t imm, bool mem)
{
	uint64_t hash = ((uint64_t)word * 2 + mem) * 0x9e3779b97f4a7c15ull + imm * 0xd1342543de82ef95ull;
	unsigned n = (unsigned)(hash >> 40) % NR_SLOTS;
	size_t at = FRAME_BYTES + (size_t)n * SLOT_BYTES;
	int64_t tagged = word ^ (int64_t)((uint64_t)mem << 63);

	if (!w->slot[n].used || w->slot[n].word != tagged || w->slot[n].imm != imm) {
		struct as s = { .base = w->rw + at, .p = w->rw + at, .end = w->rw + at + SLOT_BYTES, .rx = w->rx + at };

		emit_insn(&s, word, imm, mem);
		if (w->slot[n].used)
			serialize();
		w->slot[n].used = true;
		w->slot[n].word = tagged;
		w->slot[n].imm = imm;
	}
	return w->rx + at;
}

int evex_word_run(int64_t word, uint8_t imm, struct evex_word_regs *regs, void *mem)
{
	struct words *w = words_of_thread();
	frame_fn frame;

	if (!w)
		return -1;
	frame = (frame_fn)(uintptr_t)w->rx;
	frame(regs, mem, find(w, word, imm, mem != NULL));
	return 0;
}
