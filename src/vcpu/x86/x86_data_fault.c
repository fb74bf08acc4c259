/* SPDX-License-Identifier: MIT */
/*
 * Generated code and the TLB do not know which segment an access belongs to, nor whether an x87 exception is pending; both matter only
 * once an access has failed. Then the instruction is decoded again. SDM volume 3A, 6.15 (#SS, #MF) and table 6-2 (priorities).
 */
#include "vcpu/x86/x86_data_fault.h"

#include "mem/aspace.h"
#include "mem/ram.h"
#include "vcpu/x86/decode/decode.h"
#include "vcpu/x86/x86_mmu.h"
#include "vcpu/x86/x86_segment.h"
#include "vcpu/x86/x86_x87.h"
#include "vcpu/x86/x86_xstate.h"

#define MAX_INSN_BYTES 15
#define STACK_REACH 16 /* bytes around RSP that a push or pop may mean */

static bool code_byte(struct x86_cpu *c, gva_t va, uint8_t *byte)
{
	struct tlb_walk w;
	uint64_t avail;
	gpa_t start;
	ram_off_t off;
	bool rom;

	if (x86_mmu_probe(&c->vcpu.env, va, TLB_FETCH, x86_mmu_mode(c), &w) < 0)
		return false;
	off = aspace_find_ram_rcu(w.pa + (va - w.va), &start, &avail, &rom);
	if (off == ASPACE_NOT_RAM)
		return false;
	*byte = *(uint8_t *)ram_ptr(off);
	return true;
}

/* The instruction at env.pc; false if its bytes cannot be read. */
static bool current_insn(struct x86_cpu *c, struct x86_insn *in)
{
	uint8_t buf[MAX_INSN_BYTES];
	size_t n = 0;

	while (n < MAX_INSN_BYTES && code_byte(c, c->vcpu.env.pc + n, &buf[n]))
		n++;
	return n && x86_decode(in, (enum x86_mode)(c->tb_flags & X86_TB_MODE), buf, n) == X86_DECODE_OK;
}

static bool uses_stack(const struct x86_insn *in)
{
	switch (in->id) {
	case X86_I_PUSH: case X86_I_POP: case X86_I_PUSHF: case X86_I_POPF: case X86_I_CALL: case X86_I_RET: case X86_I_CALLF:
	case X86_I_RETF: case X86_I_ENTER: case X86_I_LEAVE: case X86_I_IRET:
		return true;
	default:
		return false;
	}
}

static bool has_memory_operand(const struct x86_insn *in)
{
	for (unsigned n = 0; n < in->nr_ops; n++)
		if (in->op[n].kind == X86_OPK_MEM)
			return true;
	return false;
}

static bool in_stack_segment(struct x86_cpu *c, gva_t va)
{
	struct x86_insn in;

	if (c->fault.delivering || !current_insn(c, &in))
		return false;
	if (uses_stack(&in) && (!has_memory_operand(&in) || va + STACK_REACH - c->vcpu.env.greg[X86_RSP] <= 2 * STACK_REACH))
		return true;
	return has_memory_operand(&in) && in.mem.seg == X86_SS;
}

void x86_data_fault_non_canonical(struct x86_cpu *c, gva_t va)
{
	x86_data_fault_check_x87(c);
	x86_fault_raise_err(c, in_stack_segment(c, va) ? X86_SSF : X86_GP, 0);
}

bool x86_data_fault_is_vector_alignment(struct x86_cpu *c)
{
	struct x86_insn in;

	return !c->fault.delivering && current_insn(c, &in) && (in.attr & X86_A_ALIGN) && in.op[0].size >= 16;
}

void x86_data_fault_check_alignment(struct x86_cpu *c, gva_t va, unsigned size)
{
	if (likely(!(c->tb_flags & X86_TB_AC)) || c->cpl != 3 || !(va & (size - 1)) || !x86_canonical(c, va))
		return;
	x86_data_fault_check_x87(c);
	x86_fault_raise_err(c, X86_AC, 0);
}

/* FNSTCW and its kin, FXSAVE, FXRSTOR, and CVTPI2Px from memory do not look at pending exceptions. */
static bool waits(const struct x86_insn *in)
{
	switch (in->id) {
	case X86_I_FNSTCW: case X86_I_FNSTSW: case X86_I_FNSTENV: case X86_I_FNSAVE: case X86_I_FXSAVE: case X86_I_FXRSTOR:
	case X86_I_CVTPI2PS: case X86_I_CVTPI2PD:
		return false;
	default:
		return in->attr & (X86_A_FPU | X86_A_MMX);
	}
}

void x86_data_fault_check_x87(struct x86_cpu *c)
{
	struct x86_insn in;

	if (c->fault.delivering)
		return;
	if (likely(!x86_fpu_pending(&c->vcpu.env)))
		return;
	x86_fpu_read(&c->vcpu.env);
	if (current_insn(c, &in) && waits(&in))
		x86_x87_error(c);
}

void x86_branch_fault(struct x86_cpu *c)
{
	struct tcg_env *env = &c->vcpu.env;
	const gva_t target = env->pc;
	uint64_t *rsp = &env->greg[X86_RSP];
	struct x86_insn in;

	if (env->branch_to == target) {
		env->branch_to = 0;
		env->pc = env->branch_pc;
		if (!current_insn(c, &in))
			env->pc = target;
		else if (in.id == X86_I_RET)
			*rsp -= in.opsize + (in.nr_ops ? in.imm & 0xffff : 0u);
		else if (in.id != X86_I_JMP)
			env->pc = target;
	}
	x86_fault_raise_err(c, X86_GP, 0);
}
