/* SPDX-License-Identifier: MIT */
/*
 * CPU models: from the words of -cpu to a struct x86_cpuid_model. The bits are in cpuid_bits.def, the models in cpuid_models.def.
 */
#include "vcpu/x86/x86_cpuid.h"

#include <stdlib.h>
#include <string.h>

#include "tcg/backend.h"
#include "util/bitops.h"
#include "util/err.h"
#include "util/log.h"
#include "vcpu/x86/decode/decode.h"

/* Models, and sets of them as cpuid_bits.def has them. */
enum { Q = 1, N = 2, W = 4, S = 8, I = 16, H = 32, B = 64, C = 128, X = 256, E = 512, R = 1024, M = 2048, O = 4096 };
enum { SKX = X, SKL = C | SKX, BDW = B | SKL, HSW = H | BDW, IVB = I | HSW, SNB = S | IVB, WSM = W | SNB, NHM = N | WSM, ZEN = E | R,
       ALL = Q | NHM | ZEN };

static const struct bit {
	uint8_t word, bit, feature;
	uint16_t models;
	const char *names;
} bits[] = {
#define X86_CPUID_BIT(id, word, bit, names, feature, models) { X86_CW_##word, bit, X86_F_##feature, models, names },
#include "vcpu/x86/cpuid_bits.def"
#undef X86_CPUID_BIT
};

static const struct model {
	const char *name, *vendor, *brand, *help;
	unsigned letter, family, model, stepping;
	uint32_t level, xlevel;
} models[] = {
#define X86_MODEL(name, letter, vendor, family, model, stepping, level, xlevel, brand, help) \
	{ name, vendor, brand, help, letter, family, model, stepping, level, xlevel },
#include "vcpu/x86/cpuid_models.def"
#undef X86_MODEL
};

/* Without the first there is no second. */
static const uint16_t needs[][2] = {
	{ X86_CPUID_XSAVE, X86_CPUID_XSAVEOPT },
	{ X86_CPUID_XSAVE, X86_CPUID_XSAVEC },
	{ X86_CPUID_XSAVE, X86_CPUID_XGETBV1 },
	{ X86_CPUID_XSAVE, X86_CPUID_XSAVES },
	{ X86_CPUID_XSAVE, X86_CPUID_AVX },
	{ X86_CPUID_SSE42, X86_CPUID_AVX },
	{ X86_CPUID_AVX, X86_CPUID_AVX2 },
	{ X86_CPUID_AVX, X86_CPUID_FMA },
	{ X86_CPUID_AVX, X86_CPUID_F16C },
	{ X86_CPUID_AVX2, X86_CPUID_VAES },
	{ X86_CPUID_AVX2, X86_CPUID_VPCLMULQDQ },
	{ X86_CPUID_SSE2, X86_CPUID_GFNI },
	{ X86_CPUID_AVX2, X86_CPUID_AVX512F },
	{ X86_CPUID_FMA, X86_CPUID_AVX512F },
	{ X86_CPUID_F16C, X86_CPUID_AVX512F },
	{ X86_CPUID_AVX512F, X86_CPUID_AVX512CD },
	{ X86_CPUID_AVX512F, X86_CPUID_AVX512DQ },
	{ X86_CPUID_AVX512F, X86_CPUID_AVX512BW },
	{ X86_CPUID_AVX512F, X86_CPUID_AVX512VL },
	{ X86_CPUID_AVX512F, X86_CPUID_AVX512IFMA },
	{ X86_CPUID_AVX512F, X86_CPUID_AVX512VNNI },
	{ X86_CPUID_AVX512F, X86_CPUID_AVX512VPOPCNTDQ },
	{ X86_CPUID_AVX512BW, X86_CPUID_AVX512VBMI },
	{ X86_CPUID_AVX512BW, X86_CPUID_AVX512VBMI2 },
	{ X86_CPUID_AVX512BW, X86_CPUID_AVX512BITALG },
	{ X86_CPUID_APIC, X86_CPUID_X2APIC },
	{ X86_CPUID_APIC, X86_CPUID_TSC_DEADLINE },
	{ X86_CPUID_TSC, X86_CPUID_TSC_DEADLINE },
	{ X86_CPUID_TSC, X86_CPUID_TSC_ADJUST },
	{ X86_CPUID_TSC, X86_CPUID_RDTSCP },
	{ X86_CPUID_PCID, X86_CPUID_INVPCID },
	{ X86_CPUID_HYPERVISOR, X86_CPUID_KVM },
	{ X86_CPUID_KVM, X86_CPUID_KVM_CLOCK },
	{ X86_CPUID_TSC, X86_CPUID_KVM_CLOCK },
	{ X86_CPUID_KVM_CLOCK, X86_CPUID_KVM_CLOCK2 },
	{ X86_CPUID_KVM_CLOCK, X86_CPUID_KVM_CLOCK_STABLE },
	{ X86_CPUID_KVM, X86_CPUID_KVM_PV_IPI },
	{ X86_CPUID_APIC, X86_CPUID_KVM_PV_IPI },
	{ X86_CPUID_KVM, X86_CPUID_KVM_STEAL_TIME },
	{ X86_CPUID_KVM_STEAL_TIME, X86_CPUID_KVM_PV_TLB_FLUSH },
	{ X86_CPUID_SPEC_CTRL, X86_CPUID_IBRS_ALL },
	{ X86_CPUID_SPEC_CTRL, X86_CPUID_BHI_CTRL },
	{ X86_CPUID_FXSR, X86_CPUID_SSE },
	{ X86_CPUID_FXSR, X86_CPUID_XSAVE },
	{ X86_CPUID_SSE, X86_CPUID_SSE2 },
	{ X86_CPUID_SSE2, X86_CPUID_SSE3 },
	{ X86_CPUID_SSE2, X86_CPUID_AES },
	{ X86_CPUID_SSE2, X86_CPUID_PCLMULQDQ },
	{ X86_CPUID_SSE3, X86_CPUID_SSSE3 },
	{ X86_CPUID_SSSE3, X86_CPUID_SSE41 },
	{ X86_CPUID_SSE41, X86_CPUID_SSE42 },
	{ X86_CPUID_PAE, X86_CPUID_LM },
	{ X86_CPUID_LM, X86_CPUID_SYSCALL },
	{ X86_CPUID_LM, X86_CPUID_LAHF_LM },
	{ X86_CPUID_LM, X86_CPUID_CX16 },
	{ X86_CPUID_LM, X86_CPUID_FSGSBASE },
	{ X86_CPUID_LM, X86_CPUID_PCID },
	{ X86_CPUID_LM, X86_CPUID_PDPE1GB },
};

/* What the code of some hosts cannot do. */
static const struct {
	uint16_t bit;
	uint32_t needs; /* BACKEND_* */
} host_needs[] = {
	{ X86_CPUID_AES, BACKEND_AES },
	{ X86_CPUID_PCLMULQDQ, BACKEND_CLMUL },
	{ X86_CPUID_SHA, BACKEND_SHA },
	{ X86_CPUID_BMI1, BACKEND_BITS },
	{ X86_CPUID_BMI2, BACKEND_DEPOSIT },
	{ X86_CPUID_ADX, BACKEND_ADX },
	{ X86_CPUID_ABM, BACKEND_COUNT },
	{ X86_CPUID_AVX, BACKEND_AVX },
	{ X86_CPUID_AVX2, BACKEND_AVX2 },
	{ X86_CPUID_FMA, BACKEND_FMA },
	{ X86_CPUID_F16C, BACKEND_F16C },
	{ X86_CPUID_GFNI, BACKEND_GFNI },
	{ X86_CPUID_VAES, BACKEND_VAES },
	{ X86_CPUID_VPCLMULQDQ, BACKEND_VCLMUL },
	{ X86_CPUID_AVX512F, BACKEND_EVEX },
	{ X86_CPUID_AVX512CD, BACKEND_EVEX },
	{ X86_CPUID_AVX512DQ, BACKEND_EVEX },
	{ X86_CPUID_AVX512BW, BACKEND_EVEX },
	{ X86_CPUID_AVX512VL, BACKEND_EVEX },
	{ X86_CPUID_AVX512IFMA, BACKEND_IFMA },
	{ X86_CPUID_AVX512VBMI, BACKEND_VBMI },
	{ X86_CPUID_AVX512VBMI2, BACKEND_VBMI2 },
	{ X86_CPUID_AVX512VNNI, BACKEND_VNNI },
	{ X86_CPUID_AVX512BITALG, BACKEND_BITALG },
	{ X86_CPUID_AVX512VPOPCNTDQ, BACKEND_VPOPCNT },
};

static bool has_bit(const struct x86_cpuid_model *m, unsigned bit)
{
	return m->word[bit / 32] >> bit % 32 & 1;
}

static void clear_bit(struct x86_cpuid_model *m, unsigned bit)
{
	m->word[bit / 32] &= ~(1u << bit % 32);
}

/* What the engine does and, in code for it, this host. Names alone are known of the rest. */
static bool is_possible(const struct bit *b)
{
	uint32_t lacks = tcg_backend && tcg_backend->lacks ? tcg_backend->lacks() : 0;

	for (size_t i = 0; i < ARRAY_LEN(host_needs); i++)
		if (host_needs[i].needs & lacks && host_needs[i].bit == b->word * 32u + b->bit)
			return false;
	return b->models & (M | O);
}

/* ---- Names */

static char plain(char ch)
{
	return ch == '_' || ch == '.' ? '-' : ch;
}

/* Is `name` (of length len) one of the comma-separated `names`? */
static bool is_named(const char *names, const char *name, size_t len)
{
	for (const char *p = names; *p; p += *p == ',') {
		size_t n = strcspn(p, ","), i = 0;

		while (n == len && i < n && plain(p[i]) == plain(name[i]))
			i++;
		if (n == len && i == n)
			return true;
		p += n;
	}
	return false;
}

static bool is_first_of_its_name(size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (!strcmp(bits[i].names, bits[n].names))
			return false;
	return true;
}

static const struct model *model_find(const char *name, size_t len)
{
	for (size_t i = 0; i < ARRAY_LEN(models); i++)
		if (strlen(models[i].name) == len && !memcmp(models[i].name, name, len))
			return &models[i];
	return NULL;
}

/* ---- Parsing */

struct word {
	const char *text;
	size_t len;
};

/* A model under construction: all bits wanted so far, those that someone asked for by name, and what to do about impossible ones. */
struct parse {
	struct x86_cpuid_model *m;
	uint32_t asked[X86_CW_COUNT];
	bool check, enforce;
};

static int feature_set(struct parse *p, struct word name, bool on, struct err *err)
{
	bool known = false;

	for (size_t i = 0; i < ARRAY_LEN(bits); i++) {
		const struct bit *b = &bits[i];

		if (!is_named(b->names, name.text, name.len))
			continue;
		known = true;
		if (on) {
			p->m->word[b->word] |= 1u << b->bit;
			p->asked[b->word] |= 1u << b->bit;
		} else {
			p->m->word[b->word] &= ~(1u << b->bit);
			p->asked[b->word] &= ~(1u << b->bit);
		}
	}
	if (!known)
		return err_set(err, "unknown CPU feature '%.*s'; -cpu help lists them", (int)name.len, name.text);
	return 0;
}

static int number_set(unsigned *to, unsigned max, struct word name, const char *value, struct err *err)
{
	char *end;
	unsigned long v = strtoul(value, &end, 0);

	if (end == value || (*end && *end != ',') || v > max)
		return err_set(err, "CPU property '%.*s' wants a number up to %u", (int)name.len, name.text, max);
	*to = (unsigned)v;
	return 0;
}

static bool is(struct word w, const char *text)
{
	return w.len == strlen(text) && !memcmp(w.text, text, w.len);
}

static bool is_on(struct word w)
{
	return is(w, "on") || is(w, "true") || is(w, "yes");
}

static bool is_off(struct word w)
{
	return is(w, "off") || is(w, "false") || is(w, "no");
}

/* name=value where name is no feature bit. 1: not known here. */
static int property_set(struct parse *p, struct word name, struct word value, struct err *err)
{
	struct x86_cpuid_model *m = p->m;

	if (is(name, "family"))
		return number_set(&m->family, 0xff + 0xf, name, value.text, err);
	if (is(name, "model"))
		return number_set(&m->model, 0xff, name, value.text, err);
	if (is(name, "stepping"))
		return number_set(&m->stepping, 0xf, name, value.text, err);
	if (is(name, "vendor")) {
		if (value.len != 12)
			return err_set(err, "CPU property 'vendor' wants 12 characters");
		memcpy(m->vendor, value.text, 12);
		return 0;
	}
	if (is(name, "model-id") || is(name, "model_id")) {
		if (value.len > 48)
			return err_set(err, "CPU property 'model-id' wants at most 48 characters");
		memset(m->brand, 0, sizeof(m->brand));
		memcpy(m->brand, value.text, value.len);
		return 0;
	}
	if (is(name, "check"))
		p->check = is_on(value);
	else if (is(name, "enforce"))
		p->enforce = is_on(value);
	else if (!is(name, "migratable"))
		return 1;
	return 0;
}

static int item_set(struct parse *p, struct word item, struct err *err)
{
	const char *eq = memchr(item.text, '=', item.len);
	struct word name = item, value = { "on", 2 };
	int known;

	if (item.len && (*item.text == '+' || *item.text == '-'))
		return feature_set(p, (struct word){ item.text + 1, item.len - 1 }, *item.text == '+', err);
	if (eq) {
		name.len = (size_t)(eq - item.text);
		value = (struct word){ eq + 1, item.len - name.len - 1 };
	}
	known = property_set(p, name, value, err);
	if (known <= 0)
		return known;
	if (is_on(value) || is_off(value))
		return feature_set(p, name, is_on(value), err);
	return err_set(err, "CPU feature '%.*s' is on or off, not '%.*s'", (int)name.len, name.text, (int)value.len, value.text);
}

/* Leaves out what cannot be; `refused`: names of what was asked for all the same. */
static void drop_impossible(struct parse *p, char *refused, size_t size)
{
	size_t used = 0;

	*refused = 0;
	for (size_t i = 0; i < ARRAY_LEN(bits); i++) {
		const struct bit *b = &bits[i];
		int n;

		if (!(p->m->word[b->word] >> b->bit & 1) || is_possible(b))
			continue;
		p->m->word[b->word] &= ~(1u << b->bit);
		if (!(p->asked[b->word] >> b->bit & 1) || used >= size)
			continue;
		n = snprintf(refused + used, size - used, "%s%.*s", used ? ", " : "", (int)strcspn(b->names, ","), b->names);
		used += n > 0 ? (size_t)n : 0;
	}
}

static void drop_dependents(struct x86_cpuid_model *m)
{
	for (bool again = true; again;) {
		again = false;
		for (size_t i = 0; i < ARRAY_LEN(needs); i++) {
			unsigned first = needs[i][0], then = needs[i][1];

			if (has_bit(m, first) || !has_bit(m, then))
				continue;
			clear_bit(m, then);
			again = true;
		}
	}
	if (!(m->word[X86_CW_7D] >> X86_CPUID_ARCH_CAPS % 32 & 1))
		m->word[X86_CW_CAPS] = m->word[X86_CW_CAPSH] = 0;
}

/* Nobody asks for each bit of max. */
static void model_start(struct parse *p, const struct model *base)
{
	struct x86_cpuid_model *m = p->m;

	*m = (struct x86_cpuid_model){ .family = base->family, .model = base->model, .stepping = base->stepping, .level = base->level,
				       .xlevel = base->xlevel };
	memcpy(m->vendor, base->vendor, 12);
	memcpy(m->brand, base->brand, strlen(base->brand));
	for (size_t i = 0; i < ARRAY_LEN(bits); i++) {
		if (!(bits[i].models & base->letter))
			continue;
		m->word[bits[i].word] |= 1u << bits[i].bit;
		if (base->letter != M)
			p->asked[bits[i].word] |= 1u << bits[i].bit;
	}
}

/* warns: whether this is the time to tell the user what is left out. */
static int parse(struct x86_cpuid_model *m, const char *text, bool warns, struct err *err)
{
	struct parse p = { .m = m, .check = true };
	const struct model *base;
	char refused[400];
	size_t len;

	if (!text || !*text)
		text = models[0].name;
	len = strcspn(text, ",");
	base = model_find(text, len);
	if (!base)
		return err_set(err, "unknown CPU model '%.*s'; -cpu help lists them", (int)len, text);
	model_start(&p, base);
	for (const char *at = text + len; *at; at += len) {
		at++;
		len = strcspn(at, ",");
		if (len && item_set(&p, (struct word){ at, len }, err) < 0)
			return -1;
	}
	drop_impossible(&p, refused, sizeof(refused));
	if (*refused && p.enforce)
		return err_set(err, "-cpu %s: not implemented, or not by this host: %s", text, refused);
	if (*refused && p.check && warns)
		warn("-cpu %s: without %s: not implemented, or not by this host", text, refused);
	drop_dependents(m);
	return 0;
}

/* ---- API */

static int topology(struct x86_cpuid_model *m, struct x86_cpu *c, unsigned index, const struct vcpu_config *config, struct err *err)
{
	unsigned threads = config->threads ? config->threads : 1, cores = config->cores ? config->cores : 1;
	unsigned socket = index / (threads * cores);

	if (config->nr > (config->sockets ? config->sockets : 1) * cores * threads)
		return err_set(err, "%u CPUs do not fit into %u sockets of %u cores of %u threads", config->nr, config->sockets, cores, threads);
	m->cores = cores;
	m->threads = threads;
	m->thread_bits = log2_ceil(threads);
	m->core_bits = log2_ceil(cores);
	c->vcpu.apic_id = index % threads | (index / threads % cores) << m->thread_bits | socket << (m->thread_bits + m->core_bits);
	return 0;
}

int x86_cpuid_init(struct x86_cpu *c, unsigned index, const struct vcpu_config *config, struct err *err)
{
	static struct x86_cpuid_model shared; /* the same for every vCPU of the machine */
	struct x86_cpuid_model m;

	if (parse(&m, config->cpu_model, index == 0, err) < 0 || topology(&m, c, index, config, err) < 0)
		return -1;
	shared = m;
	c->cpuid = &shared;
	c->features[0] = c->features[1] = 0;
	for (size_t i = 0; i < ARRAY_LEN(bits); i++)
		if (bits[i].feature != X86_F_BASE && m.word[bits[i].word] >> bits[i].bit & 1)
			c->features[bits[i].feature / 64] |= 1ull << bits[i].feature % 64;
	c->features[X86_F_BASE / 64] |= 1ull << X86_F_BASE % 64;
	return 0;
}

int x86_cpuid_check(const char *model, struct err *err)
{
	struct x86_cpuid_model m;

	return parse(&m, model, false, err);
}

void x86_cpuid_print_models(FILE *out)
{
	unsigned column = 0;

	fprintf(out, "Available CPUs:\n");
	for (size_t i = 0; i < ARRAY_LEN(models); i++)
		fprintf(out, "  %-14s  %s\n", models[i].name, models[i].help);
	fprintf(out, "\nFeatures, as +name, -name, name=on|off:\n");
	for (size_t i = 0; i < ARRAY_LEN(bits); i++) {
		int len = (int)strcspn(bits[i].names, ",");

		if (!(bits[i].models & (M | O)) || !is_first_of_its_name(i))
			continue;
		if (column + (unsigned)len > 74) {
			fputc('\n', out);
			column = 0;
		}
		column += (unsigned)fprintf(out, "%s%.*s", column ? " " : "  ", len, bits[i].names);
	}
	fputc('\n', out);
}
