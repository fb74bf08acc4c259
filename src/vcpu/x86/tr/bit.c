/* SPDX-License-Identifier: MIT */
/*
 * Bit test, bit scan, bit counts, CRC32, ADCX and ADOX.
 */
#include "vcpu/x86/tr/tr.h"

/*
 * The memory operand of BT and its kin with a register index: the bit string starts at the operand and the index is
 * signed, so the word accessed is (index >> log2(width)) words away (Intel SDM volume 1, figure 3-2 ff.).
 */
static ir_ref bit_string_word(struct x86_tr *c, bool write)
{
	unsigned size = c->in.op[0].size;
	ir_ref addr = ir_temp(c->ir), word;
	ir_ref start = x86_tr_mem(c, 0, false);

	word = x86_tr_sx_ref(c, IR_G(c->in.op[1].reg), size);
	x86_tr_emit_k(c, IR_SAR, IR_I64, word, word, 3);
	x86_tr_emit_k(c, IR_AND, IR_I64, word, word, -(int64_t)size);
	x86_tr_emit(c, IR_LEA, IR_I64, addr, start, IR_NONE);
	x86_tr_emit(c, IR_ADD, IR_I64, addr, addr, word);
	return x86_tr_mem_at(c, addr, 0, c->in.addrsize, c->in.mem.seg, size, write);
}

/* BT, BTS, BTR, BTC op0, op1 */
void x86_tr_bt(struct x86_tr *c)
{
	bool is_test = c->arg == IR_BT;
	enum ir_type type = x86_tr_type(c->in.op[0].size);
	ir_ref a, bit;

	if (!x86_tr_is_mem(c, 0))
		a = IR_G(c->in.op[0].reg);
	else if (c->in.op[1].kind == X86_OPK_GPR)
		a = bit_string_word(c, !is_test);
	else
		a = x86_tr_mem(c, c->in.op[0].size, !is_test);
	bit = x86_tr_src(c, 1);
	c->k &= c->in.op[0].size * 8 - 1;
	x86_tr_emit(c, c->arg, type, is_test ? IR_NONE : a, a, bit)->attr |=
		IR_SETF | (x86_tr_is_mem(c, 0) ? x86_tr_lock(c) : 0);
}

/* BSF, BSR, POPCNT, and TZCNT and LZCNT, which a CPU without them takes for the former */
void x86_tr_scan(struct x86_tr *c)
{
	enum ir_op op = c->arg;
	ir_ref a = x86_tr_src(c, 1);

	if (c->in.id == X86_I_TZCNT && !x86_has(c->cpu, X86_F_BMI1))
		op = IR_BSF;
	if (c->in.id == X86_I_LZCNT && !x86_has(c->cpu, X86_F_LZCNT))
		op = IR_BSR;
	x86_tr_emit(c, op, x86_tr_type(c->in.op[0].size), IR_G(c->in.op[0].reg), a, IR_NONE)->attr |= IR_SETF;
}

void x86_tr_crc32(struct x86_tr *c)
{
	ir_ref d = IR_G(c->in.op[0].reg), b = x86_tr_src(c, 1);

	x86_tr_emit(c, IR_CRC32, x86_tr_type(c->in.op[1].size), d, d, b);
}

void x86_tr_adcx(struct x86_tr *c)
{
	ir_ref d = IR_G(c->in.op[0].reg), b = x86_tr_src(c, 1);

	x86_tr_emit(c, c->arg, x86_tr_type(c->in.op[0].size), d, d, b)->attr |= IR_SETF;
}
