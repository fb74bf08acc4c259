/* SPDX-License-Identifier: MIT */
/*
 * Registers as gdb knows them: names, types and features are those of gdb's own target descriptions ("Standard Target Features", i386), the numbers
 * are places in this table. One list for each kind of CPU: with long mode or without.
 */
#include <inttypes.h>
#include <string.h>

#include "vcpu/x86/x86_cpuid.h"
#include "vcpu/x86/x86_isa.h"
#include "vcpu/x86/x86_segment.h"
#include "vcpu/x86/x86_xstate.h"

enum kind { REG_INTEGER, REG_IP, REG_FLAGS, REG_SELECTOR, REG_STACK, REG_FX, REG_TAGS, REG_NOTHING, REG_VECTOR, REG_MXCSR, REG_BASE, REG_FIELD };

struct reg {
	const char *feature, *name, *type;
	unsigned bits;
	enum kind kind;
	size_t arg;
};

#define CORE "org.gnu.gdb.i386.core"
#define SSE "org.gnu.gdb.i386.sse"
#define SEGMENTS "org.gnu.gdb.i386.segments"
#define SYSTEM "cohort.system"
#define FIELD(f) REG_FIELD, offsetof(struct x86_cpu, f)

static const struct reg wide[] = {
#define X86_GDB_WIDE(...) { __VA_ARGS__ },
#define X86_GDB_NARROW(...)
#include "vcpu/x86/x86_gdb_regs.def"
#undef X86_GDB_WIDE
#undef X86_GDB_NARROW
};

static const struct reg narrow[] = {
#define X86_GDB_WIDE(...)
#define X86_GDB_NARROW(...) { __VA_ARGS__ },
#include "vcpu/x86/x86_gdb_regs.def"
#undef X86_GDB_WIDE
#undef X86_GDB_NARROW
};

static bool is_wide(const struct vcpu *v)
{
	return x86_offers((const struct x86_cpu *)v, X86_CPUID_LM);
}

static const struct reg *reg_of(const struct vcpu *v, unsigned n)
{
	if (is_wide(v))
		return n < ARRAY_LEN(wide) ? &wide[n] : NULL;
	return n < ARRAY_LEN(narrow) ? &narrow[n] : NULL;
}

/* ---- The description */

static void put_types(FILE *out, const char *feature)
{
	static const char *const flags[] = { "CF", NULL, "PF", NULL, "AF", NULL, "ZF", "SF", "TF", "IF", "DF", "OF", NULL, NULL, "NT", NULL,
					     "RF", "VM", "AC", "VIF", "VIP", "ID" };

	if (!strcmp(feature, CORE)) {
		fprintf(out, "<flags id=\"i386_eflags\" size=\"4\">");
		for (unsigned i = 0; i < ARRAY_LEN(flags); i++)
			if (flags[i])
				fprintf(out, "<field name=\"%s\" start=\"%u\" end=\"%u\"/>", flags[i], i, i);
		fprintf(out, "</flags>");
	} else if (!strcmp(feature, SSE)) {
		fprintf(out, "<vector id=\"v4f\" type=\"ieee_single\" count=\"4\"/><vector id=\"v2d\" type=\"ieee_double\" count=\"2\"/>"
			     "<vector id=\"v16i8\" type=\"int8\" count=\"16\"/><vector id=\"v4i32\" type=\"int32\" count=\"4\"/>"
			     "<vector id=\"v2i64\" type=\"int64\" count=\"2\"/>"
			     "<union id=\"vec128\"><field name=\"v4_float\" type=\"v4f\"/><field name=\"v2_double\" type=\"v2d\"/>"
			     "<field name=\"v16_int8\" type=\"v16i8\"/><field name=\"v4_int32\" type=\"v4i32\"/>"
			     "<field name=\"v2_int64\" type=\"v2i64\"/><field name=\"uint128\" type=\"uint128\"/></union>");
	}
}

void x86_gdb_describe(const struct vcpu *v, FILE *out)
{
	const char *feature = NULL;
	const struct reg *r;

	fprintf(out, "<?xml version=\"1.0\"?><!DOCTYPE target SYSTEM \"gdb-target.dtd\"><target version=\"1.0\"><architecture>%s</architecture>",
		is_wide(v) ? "i386:x86-64" : "i386");
	for (unsigned n = 0; (r = reg_of(v, n)); n++) {
		if (!feature || strcmp(feature, r->feature)) {
			fprintf(out, "%s<feature name=\"%s\">", feature ? "</feature>" : "", r->feature);
			put_types(out, r->feature);
		}
		feature = r->feature;
		fprintf(out, "<reg name=\"%s\" bitsize=\"%u\" type=\"%s\" regnum=\"%u\"/>", r->name, r->bits, r->type, n);
	}
	fprintf(out, "</feature></target>");
}

/* ---- Values */

static uint8_t *stack_register(struct tcg_env *env, size_t n)
{
	return env->fpu_image + X86_FX_ST + 16 * n;
}

/* Two bits a register, by its place: 0 in use, 3 empty. */
static uint64_t tag_word(const uint8_t *image)
{
	uint64_t tags = 0;

	for (unsigned i = 0; i < 8; i++)
		if (!(image[X86_FX_FTW] >> i & 1))
			tags |= 3u << 2 * i;
	return tags;
}

unsigned x86_gdb_read(struct vcpu *v, unsigned n, uint8_t *out)
{
	struct x86_cpu *c = (struct x86_cpu *)v;
	const struct reg *r = reg_of(v, n);
	uint64_t value = 0;

	if (!r)
		return 0;
	switch (r->kind) {
	case REG_STACK:
		memcpy(out, stack_register(&v->env, r->arg), 10);
		return 10;
	case REG_VECTOR:
		memcpy(out, v->env.vreg[r->arg].b, 16);
		return 16;
	case REG_INTEGER:
		value = v->env.greg[r->arg];
		break;
	case REG_IP:
		value = x86_ip_of(c, v->env.pc);
		break;
	case REG_FLAGS:
		value = x86_eflags_get(c);
		break;
	case REG_SELECTOR:
		value = c->seg[r->arg].sel;
		break;
	case REG_BASE:
		value = c->seg[r->arg].base;
		break;
	case REG_FX:
		value = x86_fx_get(v->env.fpu_image, r->arg);
		break;
	case REG_TAGS:
		value = tag_word(v->env.fpu_image);
		break;
	case REG_MXCSR:
		value = v->env.mxcsr;
		break;
	case REG_FIELD:
		memcpy(&value, (const char *)c + r->arg, sizeof(value));
		break;
	case REG_NOTHING:
		break;
	}
	memcpy(out, &value, r->bits / 8);
	return r->bits / 8;
}

/* What has rules of its own (selectors, control registers, the FPU's words) cannot be written, and keeps its value. */
unsigned x86_gdb_write(struct vcpu *v, unsigned n, const uint8_t *in, size_t len)
{
	struct x86_cpu *c = (struct x86_cpu *)v;
	const struct reg *r = reg_of(v, n);
	uint64_t value = 0;

	if (!r || len < r->bits / 8)
		return 0;
	memcpy(&value, in, r->bits <= 64 ? r->bits / 8 : 8);
	switch (r->kind) {
	case REG_STACK:
		memcpy(stack_register(&v->env, r->arg), in, 10);
		break;
	case REG_VECTOR:
		memcpy(v->env.vreg[r->arg].b, in, 16);
		break;
	case REG_INTEGER:
		v->env.greg[r->arg] = value;
		break;
	case REG_IP:
		x86_set_ip(c, value);
		break;
	case REG_FLAGS: /* not those that change what the code is */
		value = (value & ~(uint64_t)(X86_FL_VM | X86_FL_RF)) | (x86_eflags_get(c) & (X86_FL_VM | X86_FL_RF));
		x86_eflags_set(c, (uint32_t)value & 0x3f7fd7);
		x86_mode_update(c);
		break;
	default:
		break;
	}
	return r->bits / 8;
}
