/* SPDX-License-Identifier: MIT */
/*
 * Places are a small direct-mapped table; each has a list of versions, those used last first.
 */
#include "tcg/versions.h"

#include <stdlib.h>
#include <string.h>

#include "mem/ram.h"
#include "tcg/cache/code_region.h"
#include "tcg/cache/tb.h"
#include "tcg/wander.h"
#include "util/log.h"

#define PLACE_BITS 6
#define MAX_VERSIONS 32        /* of a place */
#define MAX_BYTES (256u << 10) /* of memory for versions of one vCPU */
#define MAX_WORDS 128          /* guest code that a version depends on, in words of 8 bytes */
#define IN_VAIN 128            /* versions made, and none of them found: then the place rests... */
#define REST 4096              /* ...for so many builds */

struct version {
	struct version *next;
	size_t size;          /* of all this, tb too */
	ram_off_t first;      /* of the words, a multiple of 8 */
	unsigned nr_words;
	uint64_t *word, *mask; /* nr_words: the guest's code, and which bytes of it matter */
	struct tb *tb;        /* as it was before it was published */
	uint8_t *code;        /* as it was at tb->code */
	struct backend_moves moves;
};

struct version_place {
	ram_off_t phys;
	gva_t pc;
	uint32_t flags;
	unsigned wander_age;  /* when the versions were made: they should know what wanders now */
	unsigned nr, in_vain, rest;
	struct version *first;
};

struct versions {
	size_t bytes;
	struct version_place place[1u << PLACE_BITS];
};

struct versions *versions_new(void)
{
	return calloc(1, sizeof(struct versions));
}

void version_free(struct version *v)
{
	if (!v)
		return;
	free(v->tb);
	free(v);
}

static void forget(struct versions *vs, struct version_place *p)
{
	while (p->first) {
		struct version *v = p->first;

		p->first = v->next;
		vs->bytes -= v->size;
		version_free(v);
	}
	p->nr = 0;
}

static void forget_all(struct versions *vs)
{
	for (unsigned n = 0; n < ARRAY_LEN(vs->place); n++)
		forget(vs, &vs->place[n]);
}

void versions_free(struct versions *vs)
{
	if (vs)
		forget_all(vs);
	free(vs);
}

static bool is_resting(struct versions *vs, struct version_place *p)
{
	if (p->in_vain == IN_VAIN) {
		forget(vs, p);
		p->in_vain = 0;
		p->rest = REST;
	}
	if (!p->rest)
		return false;
	p->rest--;
	return true;
}

struct version_place *versions_place(struct versions *vs, ram_off_t phys, gva_t pc, uint32_t flags)
{
	/* The two addresses have their low bits in common. */
	uint64_t h = (phys ^ (pc >> GUEST_PAGE_BITS) << 16 ^ (uint64_t)flags << 40) * 0x9e3779b97f4a7c15ull;
	struct version_place *p = &vs->place[h >> (64 - PLACE_BITS)];

	/* Listings show all translations. */
	if (!tcg_backend->move || log_on(LOG_IN_ASM | LOG_OP | LOG_OP_OPT))
		return NULL;
	if (p->phys != phys || p->pc != pc || p->flags != flags) {
		forget(vs, p);
		*p = (struct version_place){ .phys = phys, .pc = pc, .flags = flags };
	}
	if (is_resting(vs, p))
		return NULL;
	if (p->wander_age != wander_age()) {
		forget(vs, p);
		p->wander_age = wander_age();
	}
	return p;
}

static uint64_t guest_word(const struct version *v, unsigned n)
{
	return __atomic_load_n((const uint64_t *)(const void *)ram_ptr(v->first + n * 8), __ATOMIC_RELAXED);
}

static bool is_there(const struct version *v)
{
	for (unsigned n = 0; n < v->nr_words; n++)
		if ((guest_word(v, n) ^ v->word[n]) & v->mask[n])
			return false;
	return true;
}

const struct version *versions_find(struct version_place *p)
{
	for (struct version **at = &p->first; *at; at = &(*at)->next) {
		struct version *v = *at;

		if (!is_there(v))
			continue;
		*at = v->next;
		v->next = p->first;
		p->first = v;
		p->in_vain = 0;
		return v;
	}
	return NULL;
}

static void set_mask(struct version *v, ram_off_t from, ram_off_t to, bool matters)
{
	uint8_t *mask = (uint8_t *)v->mask;

	memset(mask + (from - v->first), matters ? 0xff : 0, to - from);
}

/* Bytes that the block watches, but for late ones. They are on its page. */
static void take_guest_code(struct version *v, const struct tb *tb)
{
	memset(v->mask, 0, v->nr_words * 8);
	set_mask(v, tb->phys - tb->watch_before, tb->phys + tb->watch_len, true);
	for (unsigned n = 0; n < tb->nr_late; n++)
		set_mask(v, tb->phys + tb->late[n].off, tb->phys + tb->late[n].off + tb->late[n].len, false);
	for (unsigned n = 0; n < v->nr_words; n++)
		v->word[n] = guest_word(v, n);
}

struct version *version_make(const struct tb *tb, const struct backend_code *code)
{
	ram_off_t first = (tb->phys - tb->watch_before) & ~(ram_off_t)7, end = (tb->phys + tb->watch_len + 7) & ~(ram_off_t)7;
	unsigned nr_words = (unsigned)((end - first) / 8);
	size_t outward = code->moves.nr_outward * sizeof(uint32_t);
	size_t size = sizeof(struct version) + nr_words * 2 * sizeof(uint64_t) + outward + code->size;
	struct version *v;

	if (tb->page2 != TB_NO_PAGE || nr_words > MAX_WORDS || code->moves.nr_outward > BACKEND_MAX_OUTWARD)
		return NULL;
	v = malloc(size);
	if (!v)
		return NULL;
	*v = (struct version){ .size = size + tb_bytes(tb), .first = first, .nr_words = nr_words, .moves = code->moves };
	v->tb = tb_clone(NULL, tb);
	if (!v->tb) {
		free(v);
		return NULL;
	}
	v->word = (uint64_t *)(v + 1);
	v->mask = v->word + nr_words;
	v->moves.outward = (uint32_t *)(v->mask + nr_words);
	v->code = (uint8_t *)(v->moves.outward + code->moves.nr_outward);
	memcpy(v->moves.outward, code->outward, outward);
	memcpy(v->code, code_rw(tb->code), code->size);
	take_guest_code(v, tb);
	return v;
}

static void drop_last(struct versions *vs, struct version_place *p)
{
	struct version **at = &p->first;

	while ((*at)->next)
		at = &(*at)->next;
	vs->bytes -= (*at)->size;
	version_free(*at);
	*at = NULL;
	p->nr--;
}

void versions_keep(struct versions *vs, struct version_place *p, struct version *v)
{
	if (vs->bytes + v->size > MAX_BYTES)
		forget_all(vs);
	if (p->nr == MAX_VERSIONS)
		drop_last(vs, p);
	v->next = p->first;
	p->first = v;
	p->nr++;
	p->in_vain++;
	vs->bytes += v->size;
}

size_t version_code_size(const struct version *v)
{
	return v->tb->code_size;
}

struct tb *version_copy(const struct version *v, struct code_segment *seg, uint8_t *rx)
{
	struct tb *tb = tb_clone(seg, v->tb);

	if (!tb)
		return NULL;
	memcpy(code_rw(rx), v->code, tb->code_size);
	tcg_backend->move(code_rw(rx), rx, v->tb->code, tb, &v->moves);
	return tb;
}
