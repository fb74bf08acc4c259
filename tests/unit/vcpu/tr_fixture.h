/* SPDX-License-Identifier: MIT */
/*
 * A CPU that only translates: mode bits and features, two pages of code, the runtime table's names and effects.
 */
#ifndef COHORT_TESTS_UNIT_VCPU_TR_FIXTURE_H
#define COHORT_TESTS_UNIT_VCPU_TR_FIXTURE_H

#include "support/test.h"

#include <stdio.h>
#include <string.h>

#include "vcpu/x86/tr/tr.h"
#include "vcpu/x86/x86_cpuid.h"

#define TR_FIXTURE_TEXT 65536

struct tr_fixture {
	struct x86_cpu *cpu;
	struct ir_block *ir;
	uint8_t page[2 * GUEST_PAGE_SIZE];
	char *text;
	size_t text_len;
	bool late; /* immediates are read when the block runs */
};

static struct tr_fixture *tr_fixture_of_fetch; /* for the callback, which has no context of its own */

static const struct ir_rt tr_fixture_rt[] = {
#define X86_RT(name, effects) { #name, NULL, effects },
#include "vcpu/x86/rt/rt_calls.def"
#undef X86_RT
};

static const struct x86_cpuid_model tr_fixture_model = {.vendor = "GenuineIntel"};

static inline int tr_fixture_init(struct tr_fixture *f)
{
	f->cpu = aligned_alloc(64, (sizeof(*f->cpu) + 63) & ~(size_t)63);
	f->ir = malloc(sizeof(*f->ir));
	f->text = malloc(TR_FIXTURE_TEXT);
	if (!f->cpu || !f->ir || !f->text)
		return -1;
	memset(f->cpu, 0, sizeof(*f->cpu));
	memset(f->cpu->features, 0xff, sizeof(f->cpu->features));
	f->cpu->cpuid = &tr_fixture_model;
	tr_fixture_of_fetch = f;
	return 0;
}

static inline void tr_fixture_fini(struct tr_fixture *f)
{
	free(f->cpu);
	free(f->ir);
	free(f->text);
}

static inline const uint8_t *tr_fixture_fetch(struct tcg_env *env, gva_t page)
{
	(void)env;
	assert_int_equal(page % GUEST_PAGE_SIZE, 0);
	return tr_fixture_of_fetch->page + GUEST_PAGE_SIZE;
}

static inline void tr_fixture_line(void *opaque, const char *line)
{
	struct tr_fixture *f = opaque;
	int n = snprintf(f->text + f->text_len, TR_FIXTURE_TEXT - f->text_len, "%s\n", line);

	if (n > 0 && f->text_len + (size_t)n < TR_FIXTURE_TEXT)
		f->text_len += (size_t)n;
}

/* Without listing: what the random test and benchmarks run. */
static inline void tr_fixture_run(struct tr_fixture *f, uint32_t flags, gva_t pc, unsigned max_insns)
{
	size_t off = pc % GUEST_PAGE_SIZE;
	struct guest_code code = {
		.pc = pc, .bytes = f->page + off, .avail = GUEST_PAGE_SIZE - off, .fetch_next = tr_fixture_fetch, .late = f->late
	};

	f->cpu->tb_flags = flags;
	f->cpu->cpl = (uint8_t)((flags & X86_TB_CPL) >> X86_TB_CPL_SHIFT);
	f->ir->rt = tr_fixture_rt;
	f->ir->nr_rt = ARRAY_LEN(tr_fixture_rt);
	x86_translate(&f->cpu->vcpu.env, f->ir, &code, max_insns);
}

static inline void tr_fixture_check(struct tr_fixture *f)
{
	unsigned where;
	const char *bad = ir_verify(f->ir, &where);

	f->text_len = 0;
	f->text[0] = 0;
	if (bad) {
		ir_print(f->ir, tr_fixture_line, f);
		print_message("verifier: %s at %u\n%s", bad, where, f->text);
		fail();
	}
}

static inline void tr_fixture_translate(struct tr_fixture *f, uint32_t flags, gva_t pc, const char *bytes, size_t len,
					unsigned max_insns)
{
	memset(f->page, 0xcc, sizeof(f->page));
	memcpy(f->page + pc % GUEST_PAGE_SIZE, bytes, len);
	tr_fixture_run(f, flags, pc, max_insns);
	tr_fixture_check(f);
	for (unsigned n = 0; n < f->ir->nr_insns; n++) { /* listing without presets of liveness */
		struct ir_insn i = f->ir->insn[n];
		char line[256];

		i.fl_live = 0;
		ir_print_insn(f->ir, &i, line, sizeof(line));
		tr_fixture_line(f, line);
	}
}

/* All words of pattern (to len) occur in line, in order; the first one at its start. */
static inline bool tr_fixture_words(const char *line, size_t line_len, const char *pattern, size_t len)
{
	char l[512], p[256], *save, *at = l;

	snprintf(l, sizeof(l), "%.*s", (int)line_len, line);
	snprintf(p, sizeof(p), "%.*s", (int)len, pattern);
	for (char *w = strtok_r(p, " ", &save); w; w = strtok_r(NULL, " ", &save)) {
		at = strstr(at, w);
		if (!at)
			return false;
		at += strlen(w);
	}
	return true;
}

/* NULL, or the first of the patterns separated by | that no line matches behind the one before. */
static inline const char *tr_fixture_match(const struct tr_fixture *f, const char *patterns)
{
	const char *line = f->text;

	while (*patterns) {
		size_t len = strcspn(patterns, "|");

		for (;; line++) {
			size_t line_len = strcspn(line, "\n");

			if (!line_len)
				return patterns;
			if (tr_fixture_words(line, line_len, patterns, len))
				break;
			line += line_len;
		}
		line += strcspn(line, "\n") + 1;
		patterns += len + (patterns[len] == '|');
	}
	return NULL;
}

#endif
