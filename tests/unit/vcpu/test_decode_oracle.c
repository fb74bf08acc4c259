/* SPDX-License-Identifier: MIT */
/*
 * The decoder against Zydis: validity, length, mnemonic and operands, over the code of whole programs (linear sweep)
 * and over random byte strings in each mode. DECODE_SEED=<number> in the environment repeats a run of the random part,
 * DECODE_COUNT=<number> sets its strings per mode.
 *
 * Where the two legitimately differ, a table below says where and why; everything else must match exactly.
 */
#include <elf.h>
#include <fcntl.h>
#include <glob.h>
#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include <Zydis/Zydis.h>

#include "vcpu/x86/decode/decode.h"

#define RANDOM_STRINGS 4000000u
#define SWEEP_LIMIT (24u << 20) /* bytes of one program's .text */
#define MAX_REPORTS 25

/* ---- what Zydis knows and we do not ---------------------------------------------------------------------------- */

/* Instructions of these sets are #UD for us. */
static const struct {
	ZydisISASet set;
	const char *why;
} excluded_sets[] = {
	{ ZYDIS_ISA_SET_AMD, "AMD only, never offered" },
	{ ZYDIS_ISA_SET_AMD3DNOW, "AMD only, gone from their CPUs since 2010" },
	{ ZYDIS_ISA_SET_AMD_INVLPGB, "AMD only, never offered" },
	{ ZYDIS_ISA_SET_SNP, "AMD only, never offered" },
	{ ZYDIS_ISA_SET_SSE4A, "AMD only, never offered" },
	{ ZYDIS_ISA_SET_SVM, "no nested virtualization" },
	{ ZYDIS_ISA_SET_CLZERO, "AMD only, never offered" },
	{ ZYDIS_ISA_SET_MCOMMIT, "AMD only, never offered" },
	{ ZYDIS_ISA_SET_MONITORX, "AMD only, never offered" },
	{ ZYDIS_ISA_SET_RDPRU, "AMD only, never offered" },
	{ ZYDIS_ISA_SET_PADLOCK_ACE, "VIA only" },
	{ ZYDIS_ISA_SET_PADLOCK_PHE, "VIA only" },
	{ ZYDIS_ISA_SET_PADLOCK_PMM, "VIA only" },
	{ ZYDIS_ISA_SET_PADLOCK_RNG, "VIA only" },
	{ ZYDIS_ISA_SET_CET, "shadow stacks are not offered" },
	{ ZYDIS_ISA_SET_MPX, "withdrawn by Intel" },
	{ ZYDIS_ISA_SET_RTM, "transactions are not offered" },
	{ ZYDIS_ISA_SET_TSX_LDTRK, "transactions are not offered" },
	{ ZYDIS_ISA_SET_SGX, "enclaves are not offered" },
	{ ZYDIS_ISA_SET_SGX_ENCLV, "enclaves are not offered" },
	{ ZYDIS_ISA_SET_SMX, "SMX is not offered" },
	{ ZYDIS_ISA_SET_TDX, "no nested virtualization" },
	{ ZYDIS_ISA_SET_VTX, "no nested virtualization" },
	{ ZYDIS_ISA_SET_VMFUNC, "no nested virtualization" },
	{ ZYDIS_ISA_SET_ENQCMD, "not offered" },
	{ ZYDIS_ISA_SET_GFNI, "not offered" },
	{ ZYDIS_ISA_SET_HRESET, "not offered" },
	{ ZYDIS_ISA_SET_KEYLOCKER, "not offered" },
	{ ZYDIS_ISA_SET_KEYLOCKER_WIDE, "not offered" },
	{ ZYDIS_ISA_SET_MOVDIR, "not offered" },
	{ ZYDIS_ISA_SET_PCONFIG, "not offered" },
	{ ZYDIS_ISA_SET_PT, "PTWRITE: not offered" },
	{ ZYDIS_ISA_SET_UINTR, "user interrupts are not offered" },
	{ ZYDIS_ISA_SET_WAITPKG, "not offered" },
	{ ZYDIS_ISA_SET_XOP, "AMD only, gone from their CPUs since 2017" },
	{ ZYDIS_ISA_SET_FMA4, "AMD only, gone from their CPUs since 2017" },
	{ ZYDIS_ISA_SET_KNCJKBR, "Xeon Phi only" },
	{ ZYDIS_ISA_SET_KNCE, "Xeon Phi only" },
	{ ZYDIS_ISA_SET_KNCV, "Xeon Phi only" },
	{ ZYDIS_ISA_SET_KNC_MISC, "Xeon Phi only" },
	{ ZYDIS_ISA_SET_KNCSTREAM, "Xeon Phi only" },
	{ ZYDIS_ISA_SET_KNC_PF_HINT, "Xeon Phi only" },
	{ ZYDIS_ISA_SET_AVX512ER_512, "Xeon Phi only" },
	{ ZYDIS_ISA_SET_AVX512ER_SCALAR, "Xeon Phi only" },
	{ ZYDIS_ISA_SET_AVX512PF_512, "Xeon Phi only" },
	{ ZYDIS_ISA_SET_AVX512_4FMAPS_512, "Xeon Phi only" },
	{ ZYDIS_ISA_SET_AVX512_4FMAPS_SCALAR, "Xeon Phi only" },
	{ ZYDIS_ISA_SET_AVX512_4VNNIW_512, "Xeon Phi only" },
	{ ZYDIS_ISA_SET_AVX512_BF16_128, "not offered" },
	{ ZYDIS_ISA_SET_AVX512_BF16_256, "not offered" },
	{ ZYDIS_ISA_SET_AVX512_BF16_512, "not offered" },
	{ ZYDIS_ISA_SET_AVX512_FP16_128, "not offered" },
	{ ZYDIS_ISA_SET_AVX512_FP16_128N, "not offered" },
	{ ZYDIS_ISA_SET_AVX512_FP16_256, "not offered" },
	{ ZYDIS_ISA_SET_AVX512_FP16_512, "not offered" },
	{ ZYDIS_ISA_SET_AVX512_FP16_SCALAR, "not offered" },
	{ ZYDIS_ISA_SET_AVX512_VP2INTERSECT_128, "not offered" },
	{ ZYDIS_ISA_SET_AVX512_VP2INTERSECT_256, "not offered" },
	{ ZYDIS_ISA_SET_AVX512_VP2INTERSECT_512, "not offered" },
	{ ZYDIS_ISA_SET_AVX_VNNI, "not offered" },
	{ ZYDIS_ISA_SET_AVX_GFNI, "not offered" },
	{ ZYDIS_ISA_SET_VAES, "256-bit AES: not offered" },
	{ ZYDIS_ISA_SET_VPCLMULQDQ, "256-bit PCLMULQDQ: not offered" },
	{ ZYDIS_ISA_SET_AMX_TILE, "not offered" },
	{ ZYDIS_ISA_SET_AMX_INT8, "not offered" },
	{ ZYDIS_ISA_SET_AMX_BF16, "not offered" },
};

/* Nor do we know whole encodings. */
static const struct {
	ZydisInstructionEncoding encoding;
	const char *why;
} excluded_encodings[] = {
	{ ZYDIS_INSTRUCTION_ENCODING_XOP, "AMD only, gone from their CPUs since 2017" },
	{ ZYDIS_INSTRUCTION_ENCODING_MVEX, "Xeon Phi only" },
};

/* Memory operands whose size Zydis counts differently. */
static const struct {
	enum x86_iid id;
	const char *why;
} other_mem_size[] = {
	{ X86_I_LEA, "no access" },
	{ X86_I_INVLPG, "no access" },
	{ X86_I_MOVSXD, "with 66, memory: two bytes in the manual, four in Zydis" },
	{ X86_I_CLFLUSH, "a byte in the manual, a cache line in Zydis" },
	{ X86_I_CLFLUSHOPT, "a byte in the manual, a cache line in Zydis" },
	{ X86_I_CLWB, "a byte in the manual, a cache line in Zydis" },
	{ X86_I_FXSAVE, "512 bytes do not fit our size" },
	{ X86_I_FXRSTOR, "512 bytes do not fit our size" },
	{ X86_I_XSAVE, "size known at run time" },
	{ X86_I_XSAVEC, "size known at run time" },
	{ X86_I_XSAVEOPT, "size known at run time" },
	{ X86_I_XSAVES, "size known at run time" },
	{ X86_I_XRSTOR, "size known at run time" },
	{ X86_I_XRSTORS, "size known at run time" },
};

/* Zydis names ST(0) as a visible operand, opmap_x87.def does not (as with FUCOM and FCOMP) */
static bool hides_st0(enum x86_iid id)
{
	return id == X86_I_FUCOMP;
}

/* ---- identifiers ----------------------------------------------------------------------------------------------- */

struct alias {
	ZydisMnemonic mnemonic;
	enum x86_iid id;
	int8_t cond;   /* expected insn->cond, or -1 */
	uint8_t size;  /* expected insn->opsize (JCXZ: addrsize), or 0 */
};

#define COND(n, cc) \
	{ ZYDIS_MNEMONIC_J##cc, X86_I_JCC, n, 0 }, { ZYDIS_MNEMONIC_SET##cc, X86_I_SETCC, n, 0 }, \
		{ ZYDIS_MNEMONIC_CMOV##cc, X86_I_CMOVCC, n, 0 }
#define SIZED(z, id, size) { ZYDIS_MNEMONIC_##z, X86_I_##id, -1, size }

static const struct alias aliases[] = {
	COND(0, O), COND(1, NO), COND(2, B), COND(3, NB), COND(4, Z), COND(5, NZ), COND(6, BE), COND(7, NBE),
	COND(8, S), COND(9, NS), COND(10, P), COND(11, NP), COND(12, L), COND(13, NL), COND(14, LE), COND(15, NLE),
	SIZED(MOVSB, MOVS, 1), SIZED(MOVSW, MOVS, 2), SIZED(MOVSQ, MOVS, 8),
	SIZED(CMPSB, CMPS, 1), SIZED(CMPSW, CMPS, 2), SIZED(CMPSQ, CMPS, 8),
	SIZED(STOSB, STOS, 1), SIZED(STOSW, STOS, 2), SIZED(STOSD, STOS, 4), SIZED(STOSQ, STOS, 8),
	SIZED(LODSB, LODS, 1), SIZED(LODSW, LODS, 2), SIZED(LODSD, LODS, 4), SIZED(LODSQ, LODS, 8),
	SIZED(SCASB, SCAS, 1), SIZED(SCASW, SCAS, 2), SIZED(SCASD, SCAS, 4), SIZED(SCASQ, SCAS, 8),
	SIZED(INSB, INS, 1), SIZED(INSW, INS, 2), SIZED(INSD, INS, 4),
	SIZED(OUTSB, OUTS, 1), SIZED(OUTSW, OUTS, 2), SIZED(OUTSD, OUTS, 4),
	SIZED(CBW, CBW, 2), SIZED(CWDE, CBW, 4), SIZED(CDQE, CBW, 8),
	SIZED(CWD, CWD, 2), SIZED(CDQ, CWD, 4), SIZED(CQO, CWD, 8),
	SIZED(PUSHA, PUSHA, 2), SIZED(PUSHAD, PUSHA, 4), SIZED(POPA, POPA, 2), SIZED(POPAD, POPA, 4),
	SIZED(PUSHF, PUSHF, 2), SIZED(PUSHFD, PUSHF, 4), SIZED(PUSHFQ, PUSHF, 8),
	SIZED(POPF, POPF, 2), SIZED(POPFD, POPF, 4), SIZED(POPFQ, POPF, 8),
	SIZED(IRET, IRET, 2), SIZED(IRETD, IRET, 4), SIZED(IRETQ, IRET, 8),
	SIZED(JCXZ, JCXZ, 2), SIZED(JECXZ, JCXZ, 4), SIZED(JRCXZ, JCXZ, 8),
	SIZED(FXSAVE64, FXSAVE, 8), SIZED(FXRSTOR64, FXRSTOR, 8), SIZED(XSAVE64, XSAVE, 8),
	SIZED(XSAVEC64, XSAVEC, 8), SIZED(XSAVEOPT64, XSAVEOPT, 8), SIZED(XSAVES64, XSAVES, 8),
	SIZED(XRSTOR64, XRSTOR, 8), SIZED(XRSTORS64, XRSTORS, 8),
	SIZED(PREFETCHWT1, PREFETCH, 0), /* a hint like any other of 0F 0D */
};

static struct alias by_mnemonic[ZYDIS_MNEMONIC_MAX_VALUE + 1];

static void build_alias_table(void)
{
	for (int m = 1; m <= ZYDIS_MNEMONIC_MAX_VALUE; m++) {
		by_mnemonic[m] = (struct alias){ (ZydisMnemonic)m, X86_I_INVALID, -1, 0 };
		for (int id = 1; id < X86_I_COUNT; id++)
			if (!strcasecmp(x86_iid_name(id), ZydisMnemonicGetString(m)))
				by_mnemonic[m].id = id;
	}
	for (size_t i = 0; i < ARRAY_LEN(aliases); i++)
		by_mnemonic[aliases[i].mnemonic] = aliases[i];
}

static struct alias mov_alias(const ZydisDecodedOperand *ops, struct alias a)
{
	for (int i = 0; i < 2; i++) {
		ZydisRegisterClass c;

		if (ops[i].type != ZYDIS_OPERAND_TYPE_REGISTER)
			continue;
		c = ZydisRegisterGetClass(ops[i].reg.value);
		if (c == ZYDIS_REGCLASS_SEGMENT)
			a.id = X86_I_MOV_SEG;
		else if (c == ZYDIS_REGCLASS_CONTROL)
			a.id = X86_I_MOV_CR;
		else if (c == ZYDIS_REGCLASS_DEBUG)
			a.id = X86_I_MOV_DR;
	}
	return a;
}

/* the identifier we should have given */
static struct alias expected_id(const ZydisDecodedInstruction *z, const ZydisDecodedOperand *ops)
{
	struct alias a = by_mnemonic[z->mnemonic];
	bool string = z->meta.category == ZYDIS_CATEGORY_STRINGOP;
	bool far = z->meta.branch_type == ZYDIS_BRANCH_TYPE_FAR;

	switch (z->mnemonic) {
	case ZYDIS_MNEMONIC_MOVSD:
		return string ? (struct alias){ z->mnemonic, X86_I_MOVS, -1, 4 } : a;
	case ZYDIS_MNEMONIC_CMPSD:
		return string ? (struct alias){ z->mnemonic, X86_I_CMPS, -1, 4 } : a;
	case ZYDIS_MNEMONIC_JMP:
		a.id = far ? X86_I_JMPF : X86_I_JMP;
		return a;
	case ZYDIS_MNEMONIC_CALL:
		a.id = far ? X86_I_CALLF : X86_I_CALL;
		return a;
	case ZYDIS_MNEMONIC_RET:
		a.id = far ? X86_I_RETF : X86_I_RET;
		return a;
	case ZYDIS_MNEMONIC_MOV:
		return mov_alias(ops, a);
	default:
		return a;
	}
}

/* ---- operands -------------------------------------------------------------------------------------------------- */

/* Zydis' register as kind, number and size; false for what has no number of ours (RIP, none) */
static bool convert_reg(ZydisRegister r, struct x86_operand *out)
{
	ZydisRegisterClass c = ZydisRegisterGetClass(r);
	int id = ZydisRegisterGetId(r);

	switch (c) {
	case ZYDIS_REGCLASS_GPR8:
		/* AL CL DL BL AH CH DH BH SPL BPL SIL DIL R8B.. */
		if (id >= 4 && id < 8)
			*out = (struct x86_operand){ X86_OPK_GPR8H, id - 4, 1 };
		else
			*out = (struct x86_operand){ X86_OPK_GPR, id >= 8 ? id - 4 : id, 1 };
		return true;
	case ZYDIS_REGCLASS_GPR16:
		*out = (struct x86_operand){ X86_OPK_GPR, id, 2 };
		return true;
	case ZYDIS_REGCLASS_GPR32:
		*out = (struct x86_operand){ X86_OPK_GPR, id, 4 };
		return true;
	case ZYDIS_REGCLASS_GPR64:
		*out = (struct x86_operand){ X86_OPK_GPR, id, 8 };
		return true;
	case ZYDIS_REGCLASS_X87:
		*out = (struct x86_operand){ X86_OPK_ST, id, 10 };
		return true;
	case ZYDIS_REGCLASS_MMX:
		*out = (struct x86_operand){ X86_OPK_MMX, id, 8 };
		return true;
	case ZYDIS_REGCLASS_XMM:
		*out = (struct x86_operand){ X86_OPK_XMM, id, 16 };
		return true;
	case ZYDIS_REGCLASS_YMM:
		*out = (struct x86_operand){ X86_OPK_XMM, id, 32 };
		return true;
	case ZYDIS_REGCLASS_ZMM:
		*out = (struct x86_operand){ X86_OPK_XMM, id, 64 };
		return true;
	case ZYDIS_REGCLASS_MASK: /* 64 bits in Zydis, whatever the operation */
		*out = (struct x86_operand){ X86_OPK_K, id, 0 };
		return true;
	case ZYDIS_REGCLASS_SEGMENT:
		*out = (struct x86_operand){ X86_OPK_SEG, id, 2 };
		return true;
	case ZYDIS_REGCLASS_CONTROL:
		*out = (struct x86_operand){ X86_OPK_CR, id, 0 };
		return true;
	case ZYDIS_REGCLASS_DEBUG:
		*out = (struct x86_operand){ X86_OPK_DR, id, 0 };
		return true;
	default:
		return false;
	}
}

static uint8_t convert_base(ZydisRegister r)
{
	struct x86_operand o;

	if (r == ZYDIS_REGISTER_RIP || r == ZYDIS_REGISTER_EIP)
		return X86_REG_RIP;
	return convert_reg(r, &o) ? o.reg : X86_REG_NONE;
}

static bool same_size(const struct x86_insn *in, const struct x86_operand *op, const ZydisDecodedOperand *z)
{
	for (size_t i = 0; i < ARRAY_LEN(other_mem_size); i++)
		if (other_mem_size[i].id == in->id)
			return true;
	return op->size == z->size / 8;
}

static const char *compare_mem(const struct x86_insn *in, const ZydisDecodedOperand *z)
{
	const struct x86_memref *m = &in->mem;
	struct x86_operand seg = { 0 };
	uint64_t mask = in->addrsize == 8 ? ~0ull : (1ull << in->addrsize * 8) - 1;

	if (m->base != convert_base(z->mem.base))
		return "base";
	if (m->index != convert_base(z->mem.index))
		return "index";
	if (m->index != X86_REG_NONE && m->scale != (z->mem.scale ? z->mem.scale : 1))
		return "scale";
	if (((uint64_t)m->disp ^ (uint64_t)(z->mem.disp.has_displacement ? z->mem.disp.value : 0)) & mask)
		return "displacement";
	/* LEA has no use for the segment, and Zydis drops the override */
	if (in->id != X86_I_LEA && (!convert_reg(z->mem.segment, &seg) || m->seg != seg.reg))
		return "segment";
	return NULL;
}

static uint64_t low_bits(uint64_t v, unsigned int bits)
{
	return bits < 64 ? v & ((1ull << bits) - 1) : v;
}

static const char *compare_imm(const struct x86_insn *in, const struct x86_operand *op,
			       const ZydisDecodedOperand *z)
{
	uint64_t ours = op->kind == X86_OPK_IMM2 ? in->imm2 : in->imm;

	if (op->kind != X86_OPK_IMM && op->kind != X86_OPK_IMM2 && op->kind != X86_OPK_REL)
		return "operand kind";
	if ((op->kind == X86_OPK_REL) != z->imm.is_relative)
		return "relative";
	if (z->imm.is_relative)
		return in->imm == z->imm.value.s ? NULL : "displacement";
	return low_bits(ours ^ z->imm.value.u, op->size * 8) ? "immediate" : NULL;
}

static const char *compare_operand(const struct x86_insn *in, const struct x86_operand *op,
				   const ZydisDecodedOperand *z)
{
	struct x86_operand r;

	switch (z->type) {
	case ZYDIS_OPERAND_TYPE_REGISTER:
		if (!convert_reg(z->reg.value, &r))
			return "register class";
		if (op->kind != r.kind || op->reg != r.reg)
			return "register";
		return r.size && op->size != r.size ? "register size" : NULL;
	case ZYDIS_OPERAND_TYPE_MEMORY:
		if (op->kind != X86_OPK_MEM)
			return "operand kind";
		return same_size(in, op, z) ? compare_mem(in, z) : "memory size";
	case ZYDIS_OPERAND_TYPE_IMMEDIATE:
		return compare_imm(in, op, z);
	default:
		return "operand type";
	}
}

/* Operands we make explicit and Zydis hides: these come from its whole list, in our order. */
static bool shows_hidden(enum x86_iid id)
{
	switch (id) {
	case X86_I_PBLENDVB:
	case X86_I_BLENDVPS:
	case X86_I_BLENDVPD:
	case X86_I_SHA256RNDS2:
	case X86_I_XLAT:
	case X86_I_MASKMOVQ:
	case X86_I_MASKMOVDQU:
	case X86_I_VMASKMOVDQU:
		return true;
	default:
		return false;
	}
}

static const char *compare_hidden(const struct x86_insn *in, const ZydisDecodedInstruction *z,
				  const ZydisDecodedOperand *ops)
{
	bool mask_move = in->id != X86_I_XLAT && in->op[0].kind == X86_OPK_MEM;
	const char *why = NULL;

	if (in->nr_ops > z->operand_count)
		return "operand count";
	/* ours: memory, data, mask; theirs: data, mask, memory */
	for (int i = 0; i < in->nr_ops && !why; i++)
		why = compare_operand(in, &in->op[i], &ops[mask_move ? (i + 2) % 3 : i]);
	return why;
}

/* MOVS and CMPS have two, and we describe the one at rSI */
static const char *compare_string(const struct x86_insn *in, const ZydisDecodedInstruction *z,
				  const ZydisDecodedOperand *ops)
{
	const ZydisDecodedOperand *mem = NULL;

	for (int i = 0; i < z->operand_count; i++)
		if (ops[i].type == ZYDIS_OPERAND_TYPE_MEMORY && (!mem || convert_base(ops[i].mem.base) == 6))
			mem = &ops[i];
	return mem ? compare_mem(in, mem) : "no string operand";
}

static const char *compare_far(const struct x86_insn *in, const ZydisDecodedOperand *z)
{
	if (in->nr_ops != 2 || in->op[0].kind != X86_OPK_IMM || in->op[1].kind != X86_OPK_IMM2)
		return "far pointer operands";
	return (uint64_t)in->imm == z->ptr.offset && (uint64_t)in->imm2 == z->ptr.segment ? NULL : "far pointer";
}

/* EVEX.aaa is an operand of its own in Zydis. */
static unsigned int drop_mask_operand(ZydisDecodedOperand *ops, unsigned int nr)
{
	unsigned int kept = 0;

	for (unsigned int i = 0; i < nr; i++)
		if (ops[i].encoding != ZYDIS_OPERAND_ENCODING_MASK)
			ops[kept++] = ops[i];
	return kept;
}

static const char *compare_evex(const struct x86_insn *in, const ZydisDecodedInstruction *z)
{
	static const uint8_t length[] = { 16, 32, 64 };
	bool embedded = in->evex_b && in->modrm >= 0xc0;
	int mask = z->avx.mask.reg == ZYDIS_REGISTER_NONE ? 0 : ZydisRegisterGetId(z->avx.mask.reg);

	if (!(in->pfx & X86_PFX_EVEX))
		return "encoding";
	if (in->evex_aaa != mask)
		return "mask";
	if (in->evex_z != z->raw.evex.z)
		return "zeroing";
	if (!embedded && !strstr(ZydisISASetGetString(z->meta.isa_set), "SCALAR") && length[in->vex_l] != z->avx.vector_length / 8)
		return "vector length";
	return NULL;
}

static const char *compare_operands(const struct x86_insn *in, const ZydisDecodedInstruction *z,
				    ZydisDecodedOperand *ops)
{
	unsigned int nr = drop_mask_operand(ops, z->operand_count_visible);
	const char *why = z->encoding == ZYDIS_INSTRUCTION_ENCODING_EVEX ? compare_evex(in, z) : NULL;

	if (in->id == X86_I_NOP) /* Zydis shows the operands of some hint encodings and not of others */
		return NULL;
	if (in->attr & X86_A_STRING)
		return compare_string(in, z, ops);
	if (shows_hidden(in->id))
		return compare_hidden(in, z, ops);
	if (in->id == X86_I_MONITOR) /* Zydis has the register, we the memory at it */
		return in->nr_ops == 1 && in->op[0].kind == X86_OPK_MEM && in->mem.base == 0 ? NULL : "operands";
	if (nr && ops[0].type == ZYDIS_OPERAND_TYPE_POINTER)
		return compare_far(in, &ops[0]);
	if (nr == 2 && hides_st0(in->id)) {
		ops++;
		nr--;
	}
	if (!why && in->nr_ops != nr)
		return "operand count";
	for (unsigned int i = 0; i < nr && !why; i++)
		why = compare_operand(in, &in->op[i], &ops[i]);
	return why;
}

/*
 * Zydis 4.0 takes [disp32] without base for [r13d] when REX.B and 67 are there (zyantific/zydis issue 592). The manual,
 * table 2-5: mod 0 with SIB base 101 never has a base register.
 */
static void repair_r13d(const ZydisDecodedInstruction *z, ZydisDecodedOperand *ops)
{
	for (int i = 0; i < z->operand_count; i++) {
		ZydisDecodedOperandMem *m = &ops[i].mem;

		if (ops[i].type != ZYDIS_OPERAND_TYPE_MEMORY || m->base != ZYDIS_REGISTER_R13D || z->raw.modrm.mod ||
		    z->raw.sib.base != 5)
			continue;
		m->base = ZYDIS_REGISTER_NONE;
		m->disp.has_displacement = ZYAN_TRUE;
		m->disp.value = z->raw.disp.value;
	}
}

/* ---- one instruction ------------------------------------------------------------------------------------------- */

struct oracle {
	ZydisDecoder decoder;
	enum x86_mode mode;
	unsigned int reports;
	unsigned long compared;
};

static void oracle_init(struct oracle *o, enum x86_mode mode)
{
	static const ZydisMachineMode machine[] = { ZYDIS_MACHINE_MODE_LEGACY_16, ZYDIS_MACHINE_MODE_LEGACY_32,
						    ZYDIS_MACHINE_MODE_LONG_64 };
	static const ZydisStackWidth stack[] = { ZYDIS_STACK_WIDTH_16, ZYDIS_STACK_WIDTH_32, ZYDIS_STACK_WIDTH_64 };
	/* without these features their encodings are hint NOPs, or WBINVD, as on our virtual CPU */
	static const ZydisDecoderMode off[] = { ZYDIS_DECODER_MODE_MPX, ZYDIS_DECODER_MODE_CET,
						ZYDIS_DECODER_MODE_WBNOINVD, ZYDIS_DECODER_MODE_CLDEMOTE };

	memset(o, 0, sizeof(*o));
	o->mode = mode;
	assert_true(ZYAN_SUCCESS(ZydisDecoderInit(&o->decoder, machine[mode], stack[mode])));
	for (size_t i = 0; i < ARRAY_LEN(off); i++)
		assert_true(ZYAN_SUCCESS(ZydisDecoderEnableMode(&o->decoder, off[i], ZYAN_FALSE)));
}

static bool excluded(const ZydisDecodedInstruction *z)
{
	for (size_t i = 0; i < ARRAY_LEN(excluded_sets); i++)
		if (excluded_sets[i].set == z->meta.isa_set)
			return true;
	for (size_t i = 0; i < ARRAY_LEN(excluded_encodings); i++)
		if (excluded_encodings[i].encoding == z->encoding)
			return true;
	return false;
}

/* F3 REX.B 90: Zydis says PAUSE, the host CPU exchanges R8 and rAX (tests/diff compares it). */
static bool is_xchg_r8(const struct x86_insn *in, const ZydisDecodedInstruction *z)
{
	return z->mnemonic == ZYDIS_MNEMONIC_PAUSE && z->raw.rex.B && in->id == X86_I_XCHG &&
	       in->op[0].kind == X86_OPK_GPR && in->op[0].reg == 8 && in->op[1].kind == X86_OPK_GPR && in->op[1].reg == 0;
}

static const char *compare_valid(const struct x86_insn *in, const ZydisDecodedInstruction *z,
				 ZydisDecodedOperand *ops)
{
	struct alias a = expected_id(z, ops);

	repair_r13d(z, ops);
	if (in->len != z->length)
		return "length";
	if (is_xchg_r8(in, z))
		return NULL;
	if (in->id != a.id)
		return "mnemonic";
	if (a.cond >= 0 && in->cond != a.cond)
		return "condition";
	if (a.size && (in->id == X86_I_JCXZ ? in->addrsize : in->opsize) != a.size)
		return "size";
	return compare_operands(in, z, ops);
}

/*
 * EVEX outside 64-bit mode: Zydis wants V' to be 1, and knows no rounding of VCVTSI2SD and VCVTUSI2SD with W. The host CPU ignores both (tests/diff
 * compares it), as the manual has it for R' and W.
 */
static ZyanStatus decode_evex_plainly(struct oracle *o, const uint8_t *bytes, size_t avail, const struct x86_insn *in,
				      ZydisDecodedInstruction *z, ZydisDecodedOperand *ops)
{
	uint8_t copy[16] = { 0 };
	size_t at = 0;

	memcpy(copy, bytes, avail < sizeof(copy) ? avail : sizeof(copy));
	while (copy[at] != 0x62)
		at++;
	copy[at + 3] |= 8;
	if (in->id == X86_I_VCVTSI2SD || in->id == X86_I_VCVTUSI2SD)
		copy[at + 2] &= 0x7f;
	return ZydisDecoderDecodeFull(&o->decoder, copy, avail < sizeof(copy) ? avail : sizeof(copy), z, ops);
}

static const char *compare(struct oracle *o, const uint8_t *bytes, size_t avail, ZydisDecodedInstruction *z,
			   ZydisDecodedOperand *ops)
{
	ZyanStatus zs = ZydisDecoderDecodeFull(&o->decoder, bytes, avail, z, ops);
	struct x86_insn in;
	enum x86_decode_status st = x86_decode(&in, o->mode, bytes, avail);

	if (!ZYAN_SUCCESS(zs) && st == X86_DECODE_OK && in.pfx & X86_PFX_EVEX && o->mode != X86_MODE_64)
		zs = decode_evex_plainly(o, bytes, avail, &in, z, ops);

	o->compared++;
	/* the excluded sets excuse what we do not know; what we do know of them (SYSCALL, VMCALL) is compared */
	if (ZYAN_SUCCESS(zs) && st != X86_DECODE_OK)
		return excluded(z) ? NULL : "undefined here, defined in Zydis";
	if (!ZYAN_SUCCESS(zs) && st == X86_DECODE_OK)
		return "defined here, undefined in Zydis";
	return st == X86_DECODE_OK ? compare_valid(&in, z, ops) : NULL;
}

/* Compares and reports; returns the length by Zydis, 0 where it knows none. */
static size_t check(struct oracle *o, const uint8_t *bytes, size_t avail)
{
	ZydisDecodedOperand ops[ZYDIS_MAX_OPERAND_COUNT];
	ZydisDecodedInstruction z = { 0 };
	char text[128];
	const char *why = compare(o, bytes, avail, &z, ops);

	if (!why)
		return z.length;
	if (o->reports++ < MAX_REPORTS) {
		x86_disasm(o->mode, 0x1000, bytes, avail, text, sizeof(text));
		fprintf(stderr, "mode %d: ", 16 << o->mode);
		for (size_t i = 0; i < avail && i < 15; i++)
			fprintf(stderr, "%02x", bytes[i]);
		fprintf(stderr, ": %s (%s, set %s)\n", why, text,
			z.length ? ZydisISASetGetString(z.meta.isa_set) : "-");
	}
	return z.length;
}

/* ---- programs -------------------------------------------------------------------------------------------------- */

struct text_section {
	const uint8_t *bytes;
	size_t size;
};

static struct text_section find_text(const uint8_t *image, size_t size)
{
	const Elf64_Ehdr *eh = (const Elf64_Ehdr *)image;
	const Elf64_Shdr *sh;
	const char *names;

	if (size < sizeof(*eh) || memcmp(eh->e_ident, ELFMAG, SELFMAG) || eh->e_machine != EM_X86_64 ||
	    eh->e_shoff + (size_t)eh->e_shnum * sizeof(*sh) > size || eh->e_shstrndx >= eh->e_shnum)
		return (struct text_section){ 0 };
	sh = (const Elf64_Shdr *)(image + eh->e_shoff);
	names = (const char *)image + sh[eh->e_shstrndx].sh_offset;
	for (int i = 0; i < eh->e_shnum; i++)
		if (!strcmp(names + sh[i].sh_name, ".text") && sh[i].sh_offset + sh[i].sh_size <= size)
			return (struct text_section){ image + sh[i].sh_offset, sh[i].sh_size };
	return (struct text_section){ 0 };
}

static void sweep(struct oracle *o, struct text_section text)
{
	size_t limit = text.size < SWEEP_LIMIT ? text.size : SWEEP_LIMIT;

	for (size_t at = 0; at < limit;) {
		size_t len = check(o, text.bytes + at, text.size - at);

		at += len ? len : 1;
	}
}

/* returns whether the file was there and is a program */
static bool sweep_file(struct oracle *o, const char *path)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	struct text_section text = { 0 };
	struct stat st;
	void *image;

	if (fd < 0)
		return false;
	if (!fstat(fd, &st) && st.st_size) {
		image = mmap(NULL, st.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
		if (image != MAP_FAILED) {
			text = find_text(image, st.st_size);
			sweep(o, text);
			munmap(image, st.st_size);
		}
	}
	close(fd);
	if (text.size)
		print_message("%s: %zu bytes\n", path, text.size);
	return text.size;
}

static void agrees_with_zydis_over_programs(void **state)
{
	static const char *const patterns[] = {
		"/bin/busybox",
		"/lib/x86_64-linux-gnu/libc.so.6",
		"/lib*/libc.so.6",
		"/usr/lib/x86_64-linux-gnu/libcrypto.so*",
		"/usr/lib*/libcrypto.so*",
		"/usr/lib/gcc/x86_64-linux-gnu/*/cc1",
		"/usr/libexec/gcc/x86_64-*/*/cc1",
		"/proc/self/exe",
	};
	unsigned int found = 0;
	struct oracle o;

	(void)state;
	oracle_init(&o, X86_MODE_64);
	for (size_t i = 0; i < ARRAY_LEN(patterns); i++) {
		glob_t g;

		if (glob(patterns[i], 0, NULL, &g))
			continue;
		found += sweep_file(&o, g.gl_pathv[0]);
		globfree(&g);
	}
	print_message("%lu instructions compared\n", o.compared);
	assert_true(found > 0);
	assert_int_equal(o.reports, 0);
}

/* ---- random strings -------------------------------------------------------------------------------------------- */

static uint64_t rng_state;

static uint64_t rng(void) /* xorshift64* */
{
	rng_state ^= rng_state >> 12;
	rng_state ^= rng_state << 25;
	rng_state ^= rng_state >> 27;
	return rng_state * 0x2545f4914f6cdd1dull;
}

static uint64_t env_number(const char *name, uint64_t otherwise)
{
	const char *s = getenv(name);

	return s ? strtoull(s, NULL, 0) : otherwise;
}

/* Half of the strings are uniform; half start with likely prefixes and an escape or VEX, to reach the sparse maps. */
static void random_string(uint8_t bytes[16])
{
	static const uint8_t prefix[] = { 0x66, 0xf2, 0xf3, 0x67, 0xf0, 0x2e, 0x36,
					  0x26, 0x3e, 0x64, 0x65, 0x48, 0x41, 0x4c };
	uint64_t r[2] = { rng(), rng() };
	uint64_t c = rng();
	size_t n = 0;

	memcpy(bytes, r, 16);
	if (c & 1)
		return;
	for (c >>= 1; (c & 3) == 3 && n < 6; c >>= 8)
		bytes[n++] = prefix[(c >> 2 & 63) % ARRAY_LEN(prefix)];
	c >>= 2;
	if ((c & 0x30) == 0x20) { /* EVEX with its fixed bits right, most of the time */
		bytes[n] = 0x62;
		bytes[n + 1] = (bytes[n + 1] & 0xf0) | (c & 0x1c0 ? 1 + (c >> 9) % 3 : bytes[n + 1] & 0x0f);
		bytes[n + 2] |= c & 0x3000 ? 4 : 0;
		bytes[n + 2] |= c & 0xc000 ? 0 : 0x78; /* vvvv unused */
		bytes[n + 3] |= c & 0x10000 ? 8 : 0;
		if (c & 0x20000)
			bytes[n + 1] |= 0xc0;
		return;
	}
	if ((c & 0x30) == 0x30) {
		bytes[n] = 0xc4 | (c >> 6 & 1);
		bytes[n + 1] = (bytes[n + 1] & 0xe0) | (c & 0x40 ? bytes[n + 1] & 0x1f : 1 + (c >> 7) % 3);
		return;
	}
	if (c & 1)
		bytes[n++] = 0x0f;
	if ((c & 7) == 7)
		bytes[n++] = c & 8 ? 0x38 : 0x3a;
}

static void random_strings(enum x86_mode mode)
{
	uint64_t seed = env_number("DECODE_SEED", (uint64_t)time(NULL) << 20 | getpid());
	uint64_t count = env_number("DECODE_COUNT", RANDOM_STRINGS);
	struct oracle o;

	print_message("DECODE_SEED=%" PRIu64 "\n", seed);
	rng_state = seed * 0x9e3779b97f4a7c15ull + mode + 1;
	oracle_init(&o, mode);
	for (uint64_t i = 0; i < count; i++) {
		uint8_t bytes[16];

		random_string(bytes);
		check(&o, bytes, rng() & 15 ? 15 : 1 + rng() % 15);
	}
	assert_int_equal(o.reports, 0);
}

static void agrees_with_zydis_on_random_16_bit_code(void **state)
{
	(void)state;
	random_strings(X86_MODE_16);
}

static void agrees_with_zydis_on_random_32_bit_code(void **state)
{
	(void)state;
	random_strings(X86_MODE_32);
}

static void agrees_with_zydis_on_random_64_bit_code(void **state)
{
	(void)state;
	random_strings(X86_MODE_64);
}

static int setup(void **state)
{
	(void)state;
	build_alias_table();
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(agrees_with_zydis_over_programs),
		cmocka_unit_test(agrees_with_zydis_on_random_16_bit_code),
		cmocka_unit_test(agrees_with_zydis_on_random_32_bit_code),
		cmocka_unit_test(agrees_with_zydis_on_random_64_bit_code),
	};

	return cmocka_run_group_tests(tests, setup, NULL);
}
