/* SPDX-License-Identifier: MIT */
/*
 * Walks the decoder's tables as the decoder itself would, in all directions at once: groups are followed into each entry, and
 * what had to be chosen on the way (ModRM fields, REX bits, prefix) becomes part of the form.
 */
#include "diff/forms.h"

#include <cpuid.h>
#include <string.h>

#include "diff/diff.h"
#include "diff/program.h"

struct form forms[MAX_FORMS];
unsigned nr_forms;
static bool (*engine_offers)(unsigned feature);

static const bool translated[X86_I_COUNT] = {
#define X86_TR(iid, fn, arg) [X86_I_##iid] = true,
#include "vcpu/x86/tr/families.def"
#undef X86_TR
};

static const char *const skipped[X86_I_COUNT] = {
#define SKIP(iid, why) [X86_I_##iid] = why,
#include "diff/skip.def"
#undef SKIP
};

/* Features that not every x86-64 host has: where to look. */
struct host_feature {
	uint32_t leaf;
	uint8_t reg, bit; /* eax ebx ecx edx */
};
#define EBX 1
#define ECX 2
#define EDX 3
static const struct host_feature host_features[X86_F_COUNT] = {
	[X86_F_SSE3] = { 1, ECX, 0 }, [X86_F_PCLMULQDQ] = { 1, ECX, 1 }, [X86_F_SSSE3] = { 1, ECX, 9 }, [X86_F_CX16] = { 1, ECX, 13 },
	[X86_F_SSE41] = { 1, ECX, 19 }, [X86_F_SSE42] = { 1, ECX, 20 }, [X86_F_MOVBE] = { 1, ECX, 22 }, [X86_F_POPCNT] = { 1, ECX, 23 },
	[X86_F_AES] = { 1, ECX, 25 }, [X86_F_FMA] = { 1, ECX, 12 }, [X86_F_AVX] = { 1, ECX, 28 }, [X86_F_F16C] = { 1, ECX, 29 },
	[X86_F_AVX2] = { 7, EBX, 5 }, [X86_F_BMI2] = { 7, EBX, 8 }, [X86_F_GFNI] = { 7, ECX, 8 }, [X86_F_VAES] = { 7, ECX, 9 },
	[X86_F_VPCLMULQDQ] = { 7, ECX, 10 }, [X86_F_FSGSBASE] = { 7, EBX, 0 }, [X86_F_BMI1] = { 7, EBX, 3 }, [X86_F_ADX] = { 7, EBX, 19 },
	[X86_F_CLFLUSHOPT] = { 7, EBX, 23 }, [X86_F_CLWB] = { 7, EBX, 24 }, [X86_F_SHA] = { 7, EBX, 29 }, [X86_F_SERIALIZE] = { 7, EDX, 14 },
	[X86_F_AVX512F] = { 7, EBX, 16 }, [X86_F_AVX512DQ] = { 7, EBX, 17 }, [X86_F_AVX512_IFMA] = { 7, EBX, 21 },
	[X86_F_AVX512CD] = { 7, EBX, 28 }, [X86_F_AVX512BW] = { 7, EBX, 30 }, [X86_F_AVX512VL] = { 7, EBX, 31 },
	[X86_F_AVX512_VBMI] = { 7, ECX, 1 }, [X86_F_AVX512_VBMI2] = { 7, ECX, 6 }, [X86_F_AVX512_VNNI] = { 7, ECX, 11 },
	[X86_F_AVX512_BITALG] = { 7, ECX, 12 }, [X86_F_AVX512_VPOPCNTDQ] = { 7, ECX, 14 },
	[X86_F_LAHF_LM] = { 0x80000001, ECX, 0 }, [X86_F_LZCNT] = { 0x80000001, ECX, 5 },
};

static bool host_has(unsigned feature)
{
	const struct host_feature *f = &host_features[feature];
	uint32_t r[4];

	if (!f->leaf)
		return true;
	if (!__get_cpuid_count(f->leaf, 0, &r[0], &r[1], &r[2], &r[3]))
		return false;
	return r[f->reg] >> f->bit & 1;
}

/* What was chosen on the way from the opcode map to a row. */
struct path {
	uint8_t mode;
	uint8_t map, opcode, prefix; /* prefix: index of the column, none 66 F3 F2 */
	uint8_t flags;
	bool modrm, free66; /* free66: a 66 prefix means operand size 16 there */
	int8_t reg, rm, rexw, rexb, mem; /* mem: -1 open, 0 register, 1 memory */
	bool vex, evex;
	bool b;    /* EVEX.b */
	uint8_t l; /* VEX.L, EVEX.L'L */
};

static bool has_method(const struct x86_row *row, unsigned m)
{
	for (unsigned n = 0; n < 4; n++)
		if (row->oc[n] && x86_oc_info[row->oc[n]].method == m)
			return true;
	return false;
}

static bool rm_is_open(const struct x86_row *row)
{
	return has_method(row, X86_M_E) || has_method(row, X86_M_KE) || has_method(row, X86_M_Q) || has_method(row, X86_M_W);
}

static bool rm_is_memory(const struct x86_row *row)
{
	return has_method(row, X86_M_M) || has_method(row, X86_M_VM);
}

/* Does the operand size make a difference to this row? */
static bool has_sizes(const struct x86_row *row)
{
	if (!(row->attr & (X86_A_SSE | X86_A_AVX | X86_A_MMX | X86_A_FPU)))
		return true;
	for (unsigned n = 0; n < 4; n++) {
		const struct x86_oc_info *oc = &x86_oc_info[row->oc[n]];

		for (unsigned k = 0; row->oc[n] && k < 2; k++) {
			unsigned w = k ? oc->mem_width : oc->reg_width;

			if (w == X86_W_v || w == X86_W_z || w == X86_W_y || w == X86_W_e || w == X86_W_f || w == X86_W_n)
				if (oc->method < X86_M_GPRF && (k || w != X86_W_n))
					return row->id != X86_I_LEA;
		}
	}
	return row->id == X86_I_ENTER || row->id == X86_I_RET;
}

static bool has_far_pointer(const struct x86_row *row)
{
	for (unsigned n = 0; n < 4; n++)
		if (row->oc[n] && x86_oc_info[row->oc[n]].mem_width == X86_W_p && x86_oc_info[row->oc[n]].method == X86_M_M)
			return true;
	return false;
}

static const char *lacking(unsigned feature)
{
	if (!host_has(feature))
		return "the host CPU lacks it";
	return feature != X86_F_BASE && !engine_offers(feature) ? "our CPU model does not offer it" : NULL;
}

/* opcode: of the 0F map, or 0 */
static const char *vendors_differ(unsigned id, unsigned opcode, unsigned opsize, bool mem, bool far)
{
	if (id == X86_I_BSWAP && opsize == 2)
		return "undefined with 16-bit operands (SDM volume 2, BSWAP)";
	if (far && opsize == 8)
		return "vendors differ: an offset of 64 bits (Intel SDM volume 2, JMP, LSS) or 32 (AMD)";
	if (id == X86_I_MOVSXD && opsize == 2 && mem)
		return "vendors differ: 16 bits of memory (Intel SDM volume 2, MOVSXD) or 32 (AMD)";
	if (id == X86_I_NOP && opcode == 0x0d && !mem)
		return "vendors differ: #UD (AMD) or a reserved NOP (Intel SDM volume 2, table A-6)";
	return NULL;
}

static void add_one(const struct path *p, const struct x86_row *row, unsigned opsize, enum form_mem mem)
{
	static const uint8_t prefix[4] = { 0, 0x66, 0xf3, 0xf2 };
	struct form *f = &forms[nr_forms];
	unsigned feature;

	if (nr_forms == MAX_FORMS)
		return;
	nr_forms++;
	*f = (struct form){ .row = row, .id = row->id, .mode = p->mode, .map = p->map, .opcode = p->opcode, .mandatory = prefix[p->flags & X86_R_MANDATORY],
			    .opsize = (uint8_t)opsize, .mem = (uint8_t)mem, .modrm = p->modrm || row->modrm, .reg = p->reg, .rm = p->rm,
			    .rexw = p->rexw, .rexb = p->rexb, .opcode_reg = has_method(row, X86_M_Z), .skip = skipped[row->id],
			    .vex = p->vex, .evex = p->evex, .evex_b = p->b, .vvvv = p->flags & X86_R_VVVV, .vex_l = p->l };
	if (has_method(row, X86_M_STI))
		f->rm = -1;
	feature = (p->flags & X86_R_L_AVX2) && p->l ? X86_F_AVX2 : row->feature;
	if (!f->skip)
		f->skip = lacking(feature);
	if (!f->skip && p->evex)
		f->skip = lacking(X86_F_AVX512F);
	if (!f->skip && p->evex && row->evex & X86_E_VL && p->l < 2)
		f->skip = lacking(X86_F_AVX512VL);
	if (!f->skip)
		f->skip = vendors_differ(row->id, p->map == 1 ? p->opcode : 0, opsize, mem == FORM_MEM, has_far_pointer(row));
}

const char *insn_skip(const struct x86_insn *in)
{
	int n = insn_mem_operand(in);
	bool far = n >= 0 && in->op[n].size == 10 && !(in->attr & X86_A_FPU);
	const char *why = skipped[in->id];

	if (!translated[in->id])
		return "not translated";
	if (insn_is_excluded(in))
		return "enters the host's kernel, or does not run right there";
	if (!why)
		why = lacking(in->feature);
	if (!why && in->pfx & X86_PFX_EVEX)
		why = lacking(in->evex_vl ? X86_F_AVX512VL : X86_F_AVX512F);
	return why ? why : vendors_differ(in->id, in->map == 1 ? in->opcode : 0, in->opsize, n >= 0, far);
}

static void add_mems(const struct path *p, const struct x86_row *row, unsigned opsize)
{
	if (rm_is_open(row)) {
		if (p->mem != 0)
			add_one(p, row, opsize, FORM_MEM);
		if (p->mem != 1)
			add_one(p, row, opsize, FORM_REG);
	} else if (rm_is_memory(row)) {
		if (p->mem != 0)
			add_one(p, row, opsize, FORM_MEM);
	} else if (p->modrm || row->modrm) {
		if (p->mem != 1)
			add_one(p, row, opsize, FORM_REG);
	} else {
		add_one(p, row, opsize, FORM_PLAIN);
	}
}

static bool known_opcode_reg(const struct path *p, const struct x86_row *row)
{
	return has_method(row, X86_M_Z) && (p->opcode & 7) > (row->id == X86_I_XCHG && p->map == 0 ? 1 : 0) && p->opcode != 0x90;
}

/* Operand size by the code segment, or the other one with a 66 prefix. */
static void add_legacy(const struct path *p, const struct x86_row *row)
{
	unsigned plain = p->mode == DIFF_32 ? 4 : 2;
	bool fixed = row->size == X86_S_Y || row->size == X86_S_C;

	if (row->size == X86_S_B) {
		add_mems(p, row, 1);
		return;
	}
	add_mems(p, row, fixed ? 4 : plain);
	if (!fixed && p->free66 && has_sizes(row))
		add_mems(p, row, 6 - plain);
}

static void add_wide(const struct path *p, const struct x86_row *row)
{
	bool w = p->rexw != 0, v16 = p->free66;

	switch (row->size) {
	case X86_S_B:
		add_mems(p, row, 1);
		return;
	case X86_S_F64: /* with 66, Intel and AMD do not agree on near branches */
	case X86_S_C:
		add_mems(p, row, 8);
		return;
	case X86_S_D64:
		add_mems(p, row, 8);
		if (v16)
			add_mems(p, row, 2);
		return;
	case X86_S_Y:
		if (p->rexw != 1)
			add_mems(p, row, 4);
		if (w)
			add_mems(p, row, 8);
		return;
	default:
		break;
	}
	if (p->rexw != 1)
		add_mems(p, row, 4);
	if (!has_sizes(row))
		return;
	if (v16 && p->rexw != 1)
		add_mems(p, row, 2);
	if (w && row->size == X86_S_V)
		add_mems(p, row, 8);
}

/* Each length, with and without EVEX.b; in 16-bit code, which differs from 32-bit code in addresses only, the longest. */
static void add_evex(struct path p, const struct x86_row *row)
{
	uint16_t e = row->evex;

	for (unsigned l = 0; l < 3; l++) {
		unsigned longer = X86_E_LENGTHS(e) >> (l + 1);
		bool last = !longer || e & X86_E_LIG;

		if (!(X86_E_LENGTHS(e) >> l & 1) || (e & X86_E_LIG && l) || (p.mode == DIFF_16 && !last))
			continue;
		p.l = (uint8_t)l;
		for (unsigned w = 0; w < 2; w++) {
			struct path q = p;

			if (row->size == X86_S_Y ? p.rexw == (int)!w || (w && p.mode != DIFF_64) : w)
				continue;
			add_mems(&q, row, row->size == X86_S_Y && w ? 8 : 4);
			q.b = true;
			if (X86_E_TUPLE(e) == X86_T_BC && p.mem != 0)
				add_one(&q, row, 4, FORM_MEM);
			if (X86_E_ROUND(e) && last && p.mem != 1)
				add_one(&q, row, row->size == X86_S_Y && w ? 8 : 4, FORM_REG);
		}
	}
}

static void add(const struct path *p, const struct x86_row *row)
{
	/* Columns that only repeat the row without prefix; X2 columns; registers in the opcode, of which one is enough. */
	if (!translated[row->id] || p->prefix != (p->flags & X86_R_MANDATORY) || known_opcode_reg(p, row))
		return;
	if (row->legal == (p->mode == DIFF_64 ? X86_L_I64 : X86_L_O64))
		return;
	if (p->evex)
		add_evex(*p, row);
	else if (p->mode == DIFF_64)
		add_wide(p, row);
	else
		add_legacy(p, row);
}

static void walk(struct path p, const struct x86_row *row);

static void walk_x87(struct path p, const struct x86_row *first)
{
	for (unsigned i = 0; i < 72; i++) {
		struct path q = p;

		q.reg = (int8_t)(i < 8 ? i : (i - 8) >> 3);
		q.mem = i < 8;
		q.rm = (int8_t)(i < 8 ? -1 : (int)(i & 7));
		if (i >= 8 && (i & 7) && has_method(&first[i], X86_M_STI))
			continue;
		walk(q, &first[i]);
	}
}

static void walk_group(struct path p, const struct x86_row *row)
{
	const struct x86_row *first = &x86_group_rows[row->group];

	p.modrm |= row->kind < X86_K_FIRST_WITHOUT_MODRM;
	switch (row->kind) {
	case X86_K_REG:
		for (unsigned i = 0; i < 16; i++) {
			p.reg = (int8_t)(i / 2);
			p.mem = !(i & 1);
			walk(p, &first[i]);
		}
		break;
	case X86_K_RM:
		for (p.rm = 0; p.rm < 8; p.rm++)
			walk(p, &first[p.rm]);
		break;
	case X86_K_MOD:
		p.mem = 1;
		walk(p, &first[0]);
		p.mem = 0;
		walk(p, &first[1]);
		break;
	case X86_K_X87:
		walk_x87(p, first);
		break;
	case X86_K_MODE:
		walk(p, &first[p.mode == DIFF_64]);
		break;
	case X86_K_REXB:
		for (p.rexb = 0; p.rexb < (p.mode == DIFF_64 ? 2 : 1); p.rexb++)
			walk(p, &first[p.rexb]);
		break;
	case X86_K_REXW:
		for (p.rexw = 0; p.rexw < (p.mode == DIFF_64 ? 2 : 1); p.rexw++)
			walk(p, &first[p.rexw]);
		break;
	case X86_K_VEXL:
		walk(p, &first[p.l]);
		break;
	}
}

static void walk(struct path p, const struct x86_row *row)
{
	p.flags |= row->flags;
	if (row->kind != X86_K_ROW)
		walk_group(p, row);
	else if (row->id != X86_I_INVALID)
		add(&p, row);
}

/* Does the opcode's 66 column repeat this one? */
static bool prefix66_is_free(unsigned map, unsigned i)
{
	const struct x86_row *row = &x86_map_rows[map][i], *with66 = &x86_map_rows[map][(i & ~3u) + 1];

	if (i % 4 != 0)
		return i % 4 != 1;
	return row->kind == with66->kind && row->id == with66->id && row->group == with66->group;
}

/* Both lengths, where VEX.L is free; of rows that ignore VEX.W one. */
static void walk_vex(struct path p, const struct x86_row *row, const struct x86_row *with_w)
{
	bool ignores_w = row->kind == with_w->kind && row->id == with_w->id && row->group == with_w->group;

	for (p.l = 0; p.l < 2; p.l++) {
		p.rexw = ignores_w ? -1 : 0;
		if (!(row->flags & (p.l ? X86_R_L0 : X86_R_L1)))
			walk(p, row);
		p.rexw = 1;
		if (!ignores_w && !(with_w->flags & (p.l ? X86_R_L0 : X86_R_L1)))
			walk(p, with_w);
	}
}

/* Of rows that ignore EVEX.W one. */
static void walk_evex(struct path p, const struct x86_row *row, const struct x86_row *with_w)
{
	bool ignores_w = row->kind == with_w->kind && row->id == with_w->id && row->group == with_w->group;

	p.rexw = ignores_w ? -1 : 0;
	walk(p, row);
	p.rexw = 1;
	if (!ignores_w)
		walk(p, with_w);
}

void forms_init(bool (*has)(unsigned feature))
{
	nr_forms = 0;
	engine_offers = has;
	for (unsigned n = 0; n < DIFF_MODES * 4u * X86_MAP_ROWS; n++) {
		unsigned mode = DIFF_64 - n / (4 * X86_MAP_ROWS), map = n / X86_MAP_ROWS % 4, i = n % X86_MAP_ROWS;
		struct path p = { .mode = (uint8_t)mode, .map = (uint8_t)map, .opcode = (uint8_t)(i / 4), .prefix = i % 4,
				  .free66 = prefix66_is_free(map, i), .reg = -1, .rm = -1, .rexw = -1, .rexb = -1, .mem = -1 };

		walk(p, &x86_map_rows[map][i]);
	}
	for (unsigned n = 0; n < DIFF_MODES * 4u * X86_VEX_ROWS; n += 2) {
		unsigned mode = DIFF_64 - n / (4 * X86_VEX_ROWS), map = n / X86_VEX_ROWS % 4, i = n % X86_VEX_ROWS;
		struct path p = { .mode = (uint8_t)mode, .map = (uint8_t)map, .opcode = (uint8_t)(i / 8), .prefix = i / 2 % 4, .vex = true,
				  .reg = -1, .rm = -1, .rexw = -1, .rexb = -1, .mem = -1 };

		walk_vex(p, &x86_vex_rows[map][i], &x86_vex_rows[map][i + 1]);
		p.vex = false;
		p.evex = true;
		walk_evex(p, &x86_evex_rows[map][i], &x86_evex_rows[map][i + 1]);
	}
}
