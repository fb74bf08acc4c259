/* SPDX-License-Identifier: MIT */
/*
 * A case as one line of text, which depends on nothing but itself, so that it can be replayed whatever the generators have become:
 *
 *   64 code=4801d8 r0=1 r3=ff flags=202 poke=20000100:00ff
 *
 * mode, bytes of the code, and what differs from default_state(). Values are hexadecimal; bytes of memory and registers stand in
 * memory order, vector registers as 32 bytes.
 */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "diff/program.h"
#include "diff/segments.h"
#include "vcpu/x86/x86_cpu.h"

#define DEFAULT_OFF 0x100u /* of the code */

void default_state(struct diff_state *s, unsigned mode)
{
	static const uint16_t data[DIFF_MODES] = { DIFF_SEL(DATA16), DIFF_SEL_USER_DS, 0 };
	static const uint16_t code[DIFF_MODES] = { DIFF_SEL(CODE16), DIFF_SEL_USER32, DIFF_SEL_USER64 };

	memset(s, 0, sizeof(*s));
	for (unsigned i = 0; i < 6; i++)
		s->sel[i] = i < X86_FS ? data[mode] : 0;
	s->sel[X86_CS] = code[mode];
	if (mode == DIFF_64)
		s->sel[X86_SS] = DIFF_SEL_USER_DS;
	s->gpr[X86_RSP] = DIFF_DATA + 0x1000 - (mode == DIFF_64 ? 0 : diff_seg_base(s->sel[X86_SS]));
	s->flags = X86_FL_FIXED1 | X86_FL_IF;
	s->fx.fcw = 0x37f;
	s->fx.mxcsr = 0x1f80;
}

/* ---- Writing */

static void put_hex(FILE *f, const char *name, const void *bytes, size_t len)
{
	const uint8_t *b = bytes;

	fputs(name, f);
	while (len--)
		fprintf(f, "%02x", *b++);
}

static void put_number(FILE *f, const char *name, uint64_t v, uint64_t usual)
{
	if (v != usual)
		fprintf(f, " %s=%" PRIx64, name, v);
}

/* AVX-512: h for the upper half of a register, z for one of 31:16, k. */
static void put_wide(FILE *f, const struct diff_wide *w)
{
	static const uint8_t zero[64];

	for (unsigned i = 0; i < 16; i++) {
		if (memcmp(w->top[i], zero, 32)) {
			fprintf(f, " h%u", i);
			put_hex(f, "=", w->top[i], 32);
		}
		if (memcmp(w->more[i], zero, 64)) {
			fprintf(f, " z%u", 16 + i);
			put_hex(f, "=", w->more[i], 64);
		}
	}
	for (unsigned i = 0; i < 8; i++)
		if (w->k[i])
			fprintf(f, " k%u=%" PRIx64, i, w->k[i]);
}

static void put_vectors(FILE *f, const struct diff_state *s)
{
	static const uint8_t zero[16];

	for (unsigned i = 0; i < 8; i++)
		if (memcmp(s->fx.st[i], zero, 10)) {
			fprintf(f, " st%u", i);
			put_hex(f, "=", s->fx.st[i], 10);
		}
	for (unsigned i = 0; i < 16; i++)
		if (memcmp(s->fx.xmm[i], zero, 16) || memcmp(s->upper[i], zero, 16)) {
			fprintf(f, " x%u", i);
			put_hex(f, "=", s->fx.xmm[i], 16);
			put_hex(f, "", s->upper[i], 16);
		}
	put_wide(f, &s->wide);
}

static void put_state(FILE *f, const struct diff_state *s, unsigned mode)
{
	struct diff_state d;
	char name[8];

	default_state(&d, mode);
	for (unsigned i = 0; i < 16; i++) {
		snprintf(name, sizeof(name), "r%u", i);
		put_number(f, name, s->gpr[i], d.gpr[i]);
	}
	for (unsigned i = 0; i < 6; i++) {
		snprintf(name, sizeof(name), "sel%u", i);
		put_number(f, name, s->sel[i], d.sel[i]);
	}
	put_number(f, "flags", s->flags, d.flags);
	put_number(f, "fs", s->fs_base, 0);
	put_number(f, "gs", s->gs_base, 0);
	put_number(f, "fcw", s->fx.fcw, d.fx.fcw);
	put_number(f, "fsw", s->fx.fsw, 0);
	put_number(f, "ftw", s->fx.ftw, 0);
	put_number(f, "fip", s->fx.fip, 0);
	put_number(f, "fdp", s->fx.fdp, 0);
	put_number(f, "fop", s->fx.fop, 0);
	put_number(f, "mxcsr", s->fx.mxcsr, d.fx.mxcsr);
	put_vectors(f, s);
}

void text_print(FILE *f, const struct program *p)
{
	static const char *const modes[] = { "16", "32", "64" };
	const struct diff_case *c = &p->c;

	fputs(modes[c->mode], f);
	put_hex(f, " code=", c->code, c->code_len);
	put_number(f, "at", c->code_off, DEFAULT_OFF);
	put_state(f, &c->in, c->mode);
	for (unsigned i = 0; i < c->nr_pokes; i++) {
		fprintf(f, " poke=%x", c->poke[i].addr);
		put_hex(f, ":", c->poke_bytes + c->poke[i].off, c->poke[i].len);
	}
	for (unsigned i = 0; i < c->nr_holes; i++)
		fprintf(f, " hole=%x:%x", c->hole[i].addr, c->hole[i].len);
	put_number(f, "image", c->image, 0);
	put_number(f, "how", c->how, 0);
	put_number(f, "smc", c->smc, 0);
	if (c->twice)
		fputs(" twice=1", f);
}

/* ---- Reading */

/* Bytes of hexadecimal digits; the number of them, or -1. */
static int get_hex(const char *s, uint8_t *out, unsigned max)
{
	unsigned n = 0, byte;

	for (; s[2 * n] && s[2 * n] != ' '; n++) {
		if (n == max || sscanf(s + 2 * n, "%2x", &byte) != 1)
			return -1;
		out[n] = (uint8_t)byte;
	}
	return (int)n;
}

static bool get_poke(struct program *p, const char *value)
{
	uint8_t b[DIFF_POKE_BYTES];
	const char *bytes = strchr(value, ':');
	int n = bytes ? get_hex(bytes + 1, b, sizeof(b)) : -1;

	if (n < 0)
		return false;
	program_poke(p, strtoul(value, NULL, 16), b, (size_t)n);
	return true;
}

static bool get_indexed(struct program *p, const char *name, const char *value)
{
	struct diff_state *s = &p->c.in;
	uint8_t b[32] = { 0 };
	unsigned n;

	if (sscanf(name, "sel%u=", &n) == 1 && n < 6) {
		s->sel[n] = (uint16_t)strtoul(value, NULL, 16);
	} else if (sscanf(name, "st%u=", &n) == 1 && n < 8) {
		return get_hex(value, s->fx.st[n], 10) == 10;
	} else if (sscanf(name, "x%u=", &n) == 1 && n < 16) {
		if (get_hex(value, b, 32) != 32)
			return false;
		memcpy(s->fx.xmm[n], b, 16);
		memcpy(s->upper[n], b + 16, 16);
	} else if (sscanf(name, "h%u=", &n) == 1 && n < 16) {
		return get_hex(value, s->wide.top[n], 32) == 32;
	} else if (sscanf(name, "z%u=", &n) == 1 && n >= 16 && n < 32) {
		return get_hex(value, s->wide.more[n - 16], 64) == 64;
	} else if (sscanf(name, "k%u=", &n) == 1 && n < 8) {
		s->wide.k[n] = strtoull(value, NULL, 16);
	} else if (sscanf(name, "r%u=", &n) == 1 && n < 16) {
		s->gpr[n] = strtoull(value, NULL, 16);
	} else {
		return false;
	}
	return true;
}

static bool is_name(const char *at, const char *name)
{
	size_t len = strlen(name);

	return !strncmp(at, name, len) && at[len] == '=';
}

static bool get_field(struct program *p, const char *at)
{
	const char *value = strchr(at, '=');
	struct diff_case *c = &p->c;
	uint64_t v = value ? strtoull(value + 1, NULL, 16) : 0;
	int n;

	if (!value)
		return false;
	value++;
	if (is_name(at, "code")) {
		n = get_hex(value, c->code, DIFF_MAX_CODE);
		c->code_len = n < 0 ? 0 : (uint32_t)n;
		return n >= 0;
	}
	if (is_name(at, "poke"))
		return get_poke(p, value);
	if (is_name(at, "hole")) {
		program_hole(p, v, strchr(value, ':') ? strtoul(strchr(value, ':') + 1, NULL, 16) : 0);
		return true;
	}
#define NUMBER(name, field)          \
	if (is_name(at, name)) {     \
		field = (typeof(field))v; \
		return true;         \
	}
	NUMBER("at", c->code_off)
	NUMBER("flags", c->in.flags)
	NUMBER("fs", c->in.fs_base)
	NUMBER("gs", c->in.gs_base)
	NUMBER("fcw", c->in.fx.fcw)
	NUMBER("fsw", c->in.fx.fsw)
	NUMBER("ftw", c->in.fx.ftw)
	NUMBER("fip", c->in.fx.fip)
	NUMBER("fdp", c->in.fx.fdp)
	NUMBER("fop", c->in.fx.fop)
	NUMBER("mxcsr", c->in.fx.mxcsr)
	NUMBER("image", c->image)
	NUMBER("how", c->how)
	NUMBER("smc", c->smc)
	NUMBER("twice", c->twice)
#undef NUMBER
	return get_indexed(p, at, value);
}

bool text_parse(struct program *p, const char *text)
{
	unsigned mode = strtoul(text, NULL, 10) == 16 ? DIFF_16 : strtoul(text, NULL, 10) == 32 ? DIFF_32 : DIFF_64;

	memset(p, 0, sizeof(*p));
	p->text = true;
	p->c.mode = (uint8_t)mode;
	p->c.code_off = DEFAULT_OFF;
	default_state(&p->c.in, mode);
	for (const char *at = strchr(text, ' '); at; at = strchr(at, ' ')) {
		while (*at == ' ')
			at++;
		if (*at && !get_field(p, at))
			return false;
	}
	if (!wide_offered)
		memset(&p->c.in.wide, 0, sizeof(p->c.in.wide));
	program_from_bytes(p);
	return p->nr != 0;
}
