/* SPDX-License-Identifier: MIT */
/*
 * The opcode lists as tables: each .def is expanded here once, by designated initializers, into the arrays of row.h.
 * Two rows that claim the same entry do not compile (-Woverride-init).
 */
#include "vcpu/x86/decode/row.h"

/* attributes as the lists write them */
enum {
	A_NONE = 0,
	A_PRIV = X86_A_PRIV,
	A_IOPL = X86_A_IOPL,
	A_LOCK = X86_A_LOCK,
	A_STRING = X86_A_STRING,
	A_END = X86_A_END,
	A_ALIGN = X86_A_ALIGN,
	A_FPU = X86_A_FPU,
	A_MMX = X86_A_MMX,
	A_SSE = X86_A_SSE,
	A_NOREAL = X86_A_NOREAL,
	A_AVX = X86_A_AVX,
	A_AVX512 = X86_A_AVX512,
	A_NF = X86_A_NF,
};

const struct x86_oc_info x86_oc_info[X86_OC_COUNT] = {
#define X86_OC(code, method, rw, mw) [X86_OC_##code] = { X86_M_##method, X86_W_##rw, X86_W_##mw },
#define X86_OC_FIXED(code, method, w, number) [X86_OC_##code] = { X86_M_##method, X86_W_##w, number },
#include "vcpu/x86/decode/operand.def"
};

const uint8_t x86_width_bytes[12][X86_W_COUNT] = {
#define X86_WIDTH(letters, b2, b4, b8, l2, l4, l8, z2, z4, z8) \
	[0][X86_W_##letters] = (b2), [1][X86_W_##letters] = (b2), [2][X86_W_##letters] = (b4), \
	[3][X86_W_##letters] = (b8), [4][X86_W_##letters] = (l2), [5][X86_W_##letters] = (l2), \
	[6][X86_W_##letters] = (l4), [7][X86_W_##letters] = (l8), [8][X86_W_##letters] = (z2), \
	[9][X86_W_##letters] = (z2), [10][X86_W_##letters] = (z4), [11][X86_W_##letters] = (z8),
#include "vcpu/x86/decode/operand.def"
};

/* per operand code, constants that the rows below add up */
enum {
	MODRM__ = 0,
	FLAGS__ = 0,
#define X86_OC(code, method, rw, mw)                                                              \
	MODRM_##code = (X86_M_##method >= X86_M_E && X86_M_##method <= X86_M_VM) |                \
		       (X86_M_##method == X86_M_RC ? X86_R_MODRM_REG : 0),                        \
	FLAGS_##code = (X86_M_##method >= X86_M_B && X86_M_##method <= X86_M_KH ? X86_R_VVVV : 0) | \
		       (X86_M_##method == X86_M_VM ? X86_R_VSIB : 0),
#define X86_OC_FIXED(code, method, w, number) MODRM_##code = 0, FLAGS_##code = 0,
#include "vcpu/x86/decode/operand.def"
};

/* prefix column: first and last entry it fills, and the index it stands for as a mandatory prefix */
enum {
	LO_NP = 0, HI_NP = 0, MP_NP = 0,
	LO_66 = 1, HI_66 = 1, MP_66 = 1,
	LO_F3 = 2, HI_F3 = 2, MP_F3 = 2,
	LO_F2 = 3, HI_F2 = 3, MP_F2 = 3,
	LO_ANY = 0, HI_ANY = 3, MP_ANY = 0,
	LO_N6 = 0, HI_N6 = 1, MP_N6 = 0,
	LO_X2 = 3, HI_X2 = 3, MP_X2 = 0,
};

/* L and W columns of VEX rows; W is part of the index, L a condition on the row */
enum { L_L0 = X86_R_L0, L_L1 = X86_R_L1, L_LX = 0, L_LI = X86_R_L_AVX2 };
enum { WLO_W0 = 0, WHI_W0 = 0, WLO_W1 = 1, WHI_W1 = 1, WLO_WX = 0, WHI_WX = 1 };

/* columns of EVEX rows */
enum {
	EL_LX = 7 << 8 | X86_E_VL,
	EL_LH = 6 << 8 | X86_E_VL,
	EL_L5 = 4 << 8,
	EL_L0 = 1 << 8,
	EL_LIG = 7 << 8 | X86_E_LIG,
	EE__ = 0,
	EE_b = X86_E_MASKED | 0,
	EE_w = X86_E_MASKED | 1,
	EE_d = X86_E_MASKED | 2,
	EE_q = X86_E_MASKED | 3,
};

/* where each group begins in x86_group_rows, and whether choosing in it takes a ModRM byte */
enum {
	SPAN_REG = 16,
	SPAN_RM = 8,
	SPAN_X87 = 72,
	SPAN_MOD = 2,
	SPAN_MODE = 2,
	SPAN_REXB = 2,
	SPAN_REXW = 2,
	SPAN_VEXL = 2,
};
enum {
#define X86_GROUP(group, kind) G_##group, G_##group##_LAST = G_##group + SPAN_##kind - 1,
#include "vcpu/x86/decode/opmap_grp.def"
#define X86_GROUP(group, kind) G_##group, G_##group##_LAST = G_##group + SPAN_##kind - 1,
#include "vcpu/x86/decode/opmap_evex.def"
	G_COUNT
};
enum {
#define X86_GROUP(group, kind)   \
	K_##group = X86_K_##kind, \
	M_##group = X86_K_##kind != X86_K_ROW && X86_K_##kind < X86_K_FIRST_WITHOUT_MODRM,
#include "vcpu/x86/decode/opmap_grp.def"
#define X86_GROUP(group, kind)   \
	K_##group = X86_K_##kind, \
	M_##group = X86_K_##kind != X86_K_ROW && X86_K_##kind < X86_K_FIRST_WITHOUT_MODRM,
#include "vcpu/x86/decode/opmap_evex.def"
};

/* REG groups: which of the two entries of ModRM.reg a form fills */
enum { FLO_mem = 0, FHI_mem = 0, FLO_reg = 1, FHI_reg = 1, FLO_any = 0, FHI_any = 1 };

#define ROW(iid_, o1, o2, o3, o4, size_, legal_, feature_, attr_, modrm_, flags_)                                \
	{                                                                                                        \
		.id = X86_I_##iid_, .attr = attr_, .oc = { X86_OC_##o1, X86_OC_##o2, X86_OC_##o3, X86_OC_##o4 }, \
		.kind = X86_K_ROW, .size = X86_S_##size_, .legal = X86_L_##legal_, .feature = X86_F_##feature_,  \
		.modrm = (modrm_) | MODRM_##o1 | MODRM_##o2 | MODRM_##o3 | MODRM_##o4,                           \
		.flags = (flags_) | FLAGS_##o1 | FLAGS_##o2 | FLAGS_##o3 | FLAGS_##o4,                           \
	}

#define EROW(iid_, o1, o2, o3, o4, size_, l, element, tuple, mask, round, feature_, attr_, modrm_, flags_)                      \
	{                                                                                                                       \
		.id = X86_I_##iid_, .attr = (attr_) | X86_A_AVX512, .oc = { X86_OC_##o1, X86_OC_##o2, X86_OC_##o3, X86_OC_##o4 }, \
		.evex = EL_##l | EE_##element | X86_T_##tuple << 2 | X86_MASK_##mask << 4 | X86_ROUND_##round << 6,             \
		.kind = X86_K_ROW, .size = X86_S_##size_, .legal = X86_L_ALL, .feature = X86_F_##feature_,                      \
		.modrm = (modrm_) | MODRM_##o1 | MODRM_##o2 | MODRM_##o3 | MODRM_##o4,                                          \
		.flags = (flags_) | FLAGS_##o1 | FLAGS_##o2 | FLAGS_##o3 | FLAGS_##o4,                                          \
	}

#define SUB(to, flags_) { .group = G_##to, .kind = K_##to, .modrm = M_##to, .flags = (flags_) }

#define MAP_OP(opcode, pfx, iid, o1, o2, o3, o4, size, modes, feature, attr) \
	[(opcode) * 4 + LO_##pfx ... (opcode) * 4 + HI_##pfx] =              \
		ROW(iid, o1, o2, o3, o4, size, modes, feature, attr, 0, MP_##pfx),
#define MAP_OPR(first, last, pfx, iid, o1, o2, o3, o4, size, modes, feature, attr) \
	[(first) * 4 ... (last) * 4 + 3] = ROW(iid, o1, o2, o3, o4, size, modes, feature, attr, 0, MP_##pfx),
#define MAP_SUB(opcode, pfx, to) \
	[(opcode) * 4 + LO_##pfx ... (opcode) * 4 + HI_##pfx] = SUB(to, MP_##pfx),

const struct x86_row x86_map_rows[4][X86_MAP_ROWS] = {
	[0] = {
#define X86_OP MAP_OP
#define X86_OPR MAP_OPR
#define X86_SUB MAP_SUB
#include "vcpu/x86/decode/opmap_1b.def"
	},
	[1] = {
#define X86_OP MAP_OP
#define X86_OPR MAP_OPR
#define X86_SUB MAP_SUB
#include "vcpu/x86/decode/opmap_0f.def"
	},
	[2] = {
#define X86_OP MAP_OP
#define X86_OPR MAP_OPR
#define X86_SUB MAP_SUB
#include "vcpu/x86/decode/opmap_0f38.def"
	},
	[3] = {
#define X86_OP MAP_OP
#define X86_OPR MAP_OPR
#define X86_SUB MAP_SUB
#include "vcpu/x86/decode/opmap_0f3a.def"
	},
};

#define VEX_OP(map, opcode, pfx, l, w, iid, o1, o2, o3, o4, size, feature, attr)                                  \
	[map][((opcode) * 4 + LO_##pfx) * 2 + WLO_##w ... ((opcode) * 4 + LO_##pfx) * 2 + WHI_##w] =              \
		ROW(iid, o1, o2, o3, o4, size, ALL, feature, attr, 0, MP_##pfx | L_##l),
#define VEX_SUB(map, opcode, pfx, l, w, to)                                                          \
	[map][((opcode) * 4 + LO_##pfx) * 2 + WLO_##w ... ((opcode) * 4 + LO_##pfx) * 2 + WHI_##w] = \
		SUB(to, MP_##pfx | L_##l),

const struct x86_row x86_vex_rows[4][X86_VEX_ROWS] = {
#define X86_VOP VEX_OP
#define X86_VSUB VEX_SUB
#include "vcpu/x86/decode/opmap_vex.def"
};

#define EVEX_AT(map, opcode, pfx, w) \
	[map][((opcode) * 4 + LO_##pfx) * 2 + WLO_##w ... ((opcode) * 4 + LO_##pfx) * 2 + WHI_##w]
#define EVEX_OP(map, opcode, pfx, l, w, iid, o1, o2, o3, o4, size, element, tuple, mask, round, feature, attr) \
	EVEX_AT(map, opcode, pfx, w) = EROW(iid, o1, o2, o3, o4, size, l, element, tuple, mask, round, feature, attr, 0, MP_##pfx),
#define EVEX_SUB(map, opcode, pfx, w, to) EVEX_AT(map, opcode, pfx, w) = SUB(to, MP_##pfx),

const struct x86_row x86_evex_rows[4][X86_VEX_ROWS] = {
#define X86_EOP EVEX_OP
#define X86_ESUB EVEX_SUB
#include "vcpu/x86/decode/opmap_evex.def"
};

#define GROUP_OP(grp, reg, form, iid, o1, o2, o3, o4, size, modes, feature, attr)       \
	[G_##grp + (reg) * 2 + FLO_##form ... G_##grp + (reg) * 2 + FHI_##form] =       \
		ROW(iid, o1, o2, o3, o4, size, modes, feature, attr, M_##grp, 0),
#define GROUP_SUB(grp, reg, form, to) \
	[G_##grp + (reg) * 2 + FLO_##form ... G_##grp + (reg) * 2 + FHI_##form] = SUB(to, 0),
#define GROUP_XOP(grp, index, iid, o1, o2, o3, o4, size, modes, feature, attr) \
	[G_##grp + (index)] = ROW(iid, o1, o2, o3, o4, size, modes, feature, attr, M_##grp, 0),
#define GROUP_XSUB(grp, index, to) [G_##grp + (index)] = SUB(to, 0),
#define X87_MEM(escape, reg, iid, o1, size, feature) \
	[G_x87_##escape + (reg)] = ROW(iid, o1, _, _, _, size, ALL, feature, A_FPU, 1, 0),
#define X87_REG(escape, first, last, iid, o1, o2, size, feature)                           \
	[G_x87_##escape + (first) - 0xc0 + 8 ... G_x87_##escape + (last) - 0xc0 + 8] = \
		ROW(iid, o1, o2, _, _, size, ALL, feature, A_FPU, 1, 0),

#define GROUP_EOP(grp, reg, form, l, iid, o1, o2, o3, o4, size, element, tuple, mask, round, feature, attr) \
	[G_##grp + (reg) * 2 + FLO_##form ... G_##grp + (reg) * 2 + FHI_##form] =                           \
		EROW(iid, o1, o2, o3, o4, size, l, element, tuple, mask, round, feature, attr, M_##grp, 0),
#define GROUP_EXOP(grp, index, l, iid, o1, o2, o3, o4, size, element, tuple, mask, round, feature, attr) \
	[G_##grp + (index)] = EROW(iid, o1, o2, o3, o4, size, l, element, tuple, mask, round, feature, attr, M_##grp, 0),

const struct x86_row x86_group_rows[G_COUNT] = {
#define X86_GOP GROUP_OP
#define X86_GSUB GROUP_SUB
#define X86_GXOP GROUP_XOP
#define X86_GXSUB GROUP_XSUB
#include "vcpu/x86/decode/opmap_grp.def"
#define X86_EGOP GROUP_EOP
#define X86_EGXOP GROUP_EXOP
#include "vcpu/x86/decode/opmap_evex.def"
#define X86_FPM X87_MEM
#define X86_FPR X87_REG
#include "vcpu/x86/decode/opmap_x87.def"
};
