/* SPDX-License-Identifier: MIT */
/*
 * Facts about instructions that the generator needs and the decoder does not tell.
 */
#include <Zydis/Zydis.h>
#include <cpuid.h>
#include <string.h>

#include "diff/program.h"
#include "vcpu/x86/x86_cpu.h"

#define R(n) (1u << X86_##n)

static uint32_t implied_writes(const struct x86_insn *in)
{
	switch (in->id) {
	case X86_I_MUL:
	case X86_I_IMUL:
	case X86_I_DIV:
	case X86_I_IDIV:
	case X86_I_CWD:
	case X86_I_CMPXCHG8B:
	case X86_I_CMPXCHG16B:
		return R(RAX) | R(RDX);
	case X86_I_CBW:
	case X86_I_LAHF:
	case X86_I_CMPXCHG:
	case X86_I_XLAT:
	case X86_I_FNSTSW:
		return R(RAX);
	case X86_I_MOVS:
	case X86_I_CMPS:
		return R(RSI) | R(RDI) | R(RCX);
	case X86_I_LODS:
		return R(RSI) | R(RCX) | R(RAX);
	case X86_I_STOS:
	case X86_I_SCAS:
		return R(RDI) | R(RCX);
	case X86_I_LOOP:
	case X86_I_LOOPE:
	case X86_I_LOOPNE:
	case X86_I_PCMPESTRI:
	case X86_I_PCMPISTRI:
	case X86_I_VPCMPESTRI:
	case X86_I_VPCMPISTRI:
		return R(RCX);
	case X86_I_ENTER:
	case X86_I_LEAVE:
		return R(RSP) | R(RBP);
	case X86_I_PUSH:
	case X86_I_POP:
	case X86_I_PUSHF:
	case X86_I_POPF:
	case X86_I_CALL:
	case X86_I_RET:
		return R(RSP);
	default:
		return 0;
	}
}

uint32_t insn_writes_gpr(const struct x86_insn *in)
{
	uint32_t mask = implied_writes(in);

	for (unsigned n = 0; n < in->nr_ops && n < 2; n++) {
		if (n == 1 && in->id != X86_I_MULX && in->id != X86_I_XCHG && in->id != X86_I_XADD)
			break;
		if (in->op[n].kind == X86_OPK_GPR || in->op[n].kind == X86_OPK_GPR8H)
			mask |= 1u << in->op[n].reg;
	}
	return mask;
}

bool host_is_amd(void)
{
	unsigned max, vendor[3];

	return __get_cpuid(0, &max, &vendor[0], &vendor[2], &vendor[1]) && !memcmp(vendor, "AuthenticAMD", sizeof(vendor));
}

/*
 * A flaw of AMD's Zen 4: behind a PUSH or POP, some EVEX-coded instructions with a source in RSP see RSP as it was before (VCVTSI2SD from 32
 * bits, VPBROADCASTQ to 128).
 */
static bool is_read_wrong(const struct x86_insn *in)
{
	for (unsigned n = 1; n < ARRAY_LEN(in->op) && in->pfx & X86_PFX_EVEX; n++)
		if (in->op[n].kind == X86_OPK_GPR && in->op[n].reg == X86_RSP)
			return true;
	return false;
}

/* Linux lets user mode use three gates: 3 and 4, which trap, and 80, its system calls. */
bool insn_is_excluded(const struct x86_insn *in)
{
	return (in->id == X86_I_INT && (in->imm & 0xff) == 0x80) || is_read_wrong(in);
}

/* Where the VEX prefix is: behind legacy prefixes, and REX that one of them makes void. */
static unsigned vex_at(const uint8_t *bytes, unsigned len)
{
	static const uint8_t legacy[] = { 0x67, 0x26, 0x2e, 0x36, 0x3e, 0x64, 0x65 };
	unsigned n = 0;

	while (n < len && (memchr(legacy, bytes[n], sizeof(legacy)) || (bytes[n] & 0xf0) == 0x40))
		n++;
	return n;
}

/*
 * Instructions on mask registers, VEX.0F 41-4B, 90-99, VEX.0F3A 30-33: with numbers above 7 they are #UD (Intel SDM volume 2, table 2-62), and
 * on AMD the fourth bit is ignored.
 */
static bool is_mask_register(const uint8_t *bytes, unsigned len)
{
	unsigned n = vex_at(bytes, len), map = 0, op = 0;

	if (n + 3 < len && bytes[n] == 0xc4) {
		map = bytes[n + 1] & 31;
		op = bytes[n + 3];
	} else if (n + 2 < len && bytes[n] == 0xc5) {
		map = 1;
		op = bytes[n + 2];
	}
	return map == 1 ? (op & 0xf0) == 0x40 || (op & 0xf0) == 0x90 : map == 3 && (op & 0xf0) == 0x30;
}

/* Defined but for VEX.W: #UD in the manuals, and not on every CPU (VPERMQ with W = 0). */
static bool ignores_w(unsigned mode, const uint8_t *bytes, unsigned len)
{
	unsigned n = vex_at(bytes, len);
	uint8_t other[16] = { 0 };
	struct x86_insn in;

	if (n + 3 >= len || bytes[n] != 0xc4 || len > sizeof(other))
		return false;
	memcpy(other, bytes, len);
	other[n + 2] ^= 0x80;
	return x86_decode(&in, (enum x86_mode)mode, other, len > 15 ? 15 : len) == X86_DECODE_OK;
}

/*
 * EVEX.b of registers where only memory may be broadcast, and EVEX.z of what knows no mask: #UD (Intel SDM volume 2, tables 2-43 and 2-45), and
 * ignored on AMD.
 */
static bool is_evex_oddity(unsigned mode, const uint8_t *bytes, unsigned len)
{
	static const uint8_t without[] = { 0x10, 0x80, 0x90 }; /* b, z, both */
	uint8_t other[16] = { 0 };
	struct x86_insn in;
	unsigned n = vex_at(bytes, len);

	if (n + 4 >= len || bytes[n] != 0x62 || len > sizeof(other))
		return false;
	memcpy(other, bytes, len);
	for (unsigned k = 0; k < 3; k++) {
		if ((without[k] & 0x80) && (bytes[n + 3] & 7))
			continue;
		other[n + 3] = bytes[n + 3] & (uint8_t)~without[k];
		if (x86_decode(&in, (enum x86_mode)mode, other, len > 15 ? 15 : len) == X86_DECODE_OK)
			return true;
	}
	return false;
}

/*
 * LOCK that is #UD in Intel's manuals: on AMD, VERW of memory executes, and LOCK MOV of CR0 names CR8 (APM volume 3, MOV CRn).
 */
static bool is_locked_oddity(const uint8_t *bytes, unsigned len)
{
	bool lock = false;

	for (unsigned n = 0; n + 2 < len; n++) {
		lock |= bytes[n] == 0xf0;
		if (bytes[n] != 0x0f)
			continue;
		if (bytes[n + 1] == 0x00)
			return lock && (bytes[n + 2] >> 3 & 7) == 5 && bytes[n + 2] < 0xc0;
		return lock && (bytes[n + 1] == 0x20 || bytes[n + 1] == 0x22);
	}
	return false;
}

bool insn_is_foreign(unsigned mode, const uint8_t *bytes, unsigned len)
{
	static const ZydisMachineMode machine[] = { ZYDIS_MACHINE_MODE_LONG_COMPAT_16, ZYDIS_MACHINE_MODE_LONG_COMPAT_32, ZYDIS_MACHINE_MODE_LONG_64 };
	static const ZydisStackWidth stack[] = { ZYDIS_STACK_WIDTH_16, ZYDIS_STACK_WIDTH_32, ZYDIS_STACK_WIDTH_64 };
	ZydisDecodedInstruction insn;
	ZydisDecoder decoder;

	if (is_mask_register(bytes, len) || ignores_w(mode, bytes, len) || is_locked_oddity(bytes, len) ||
	    is_evex_oddity(mode, bytes, len))
		return true;
	return ZYAN_SUCCESS(ZydisDecoderInit(&decoder, machine[mode], stack[mode])) &&
	       ZYAN_SUCCESS(ZydisDecoderDecodeInstruction(&decoder, NULL, bytes, len, &insn));
}

int insn_mem_operand(const struct x86_insn *in)
{
	for (unsigned n = 0; n < in->nr_ops; n++)
		if (in->op[n].kind == X86_OPK_MEM)
			return (int)n;
	return -1;
}

bool insn_is_locked(const struct x86_insn *in)
{
	int n = insn_mem_operand(in);

	return n >= 0 && ((in->pfx & X86_PFX_LOCK) || in->id == X86_I_XCHG);
}

bool insn_writes_mem(const struct x86_insn *in)
{
	return insn_mem_operand(in) == 0 && in->id != X86_I_CMP && in->id != X86_I_TEST && in->id != X86_I_BT;
}

/*
 * Operands of more than 8 bytes: #AC if the CPU likes (SDM volume 2, tables 2-21 to 2-24), ENTER's probe and pushed selectors likewise. AMD's CPUs
 * check whole vectors for 16 bytes, and by elements what a mask chooses, and so do we.
 */
bool insn_checks_alignment(const struct x86_insn *in)
{
	int n = insn_mem_operand(in);

	switch (in->id) {
	case X86_I_VCVTPS2PH: /* are the flags of MXCSR set by then? */
	case X86_I_BOUND: case X86_I_MASKMOVQ: case X86_I_MASKMOVDQU: case X86_I_VMASKMOVDQU: case X86_I_ENTER:
		return false;
	case X86_I_PUSH:
		return in->op[0].kind != X86_OPK_SEG;
	default:
		if (n >= 0 && ((in->pfx & X86_PFX_EVEX) || (in->op[n].size >= 16 && (in->attr & (X86_A_SSE | X86_A_AVX)))))
			return host_is_amd();
		return n < 0 || (in->op[n].size <= 8 && in->op[n].size && in->op[n].size != 6 && !(in->attr & X86_A_ALIGN));
	}
}

/* The index is a vector. */
bool insn_is_gather(const struct x86_insn *in)
{
	switch (in->id) {
	case X86_I_VPSCATTERDD: case X86_I_VPSCATTERDQ: case X86_I_VPSCATTERQD: case X86_I_VPSCATTERQQ:
	case X86_I_VSCATTERDPD: case X86_I_VSCATTERDPS: case X86_I_VSCATTERQPD: case X86_I_VSCATTERQPS:
		return true;
	default:
		break;
	}
	return in->id >= X86_I_VGATHERDPD && in->id <= X86_I_VPGATHERQQ && (in->id <= X86_I_VGATHERQPS || in->id >= X86_I_VPGATHERDD);
}
