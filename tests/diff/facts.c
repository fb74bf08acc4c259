/* SPDX-License-Identifier: MIT */
/*
 * Facts about instructions that the generator needs and the decoder does not tell.
 */
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
