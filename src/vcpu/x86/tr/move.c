/* SPDX-License-Identifier: MIT */
/*
 * Moves between registers and memory, widenings, addresses, segment registers.
 */
#include "vcpu/x86/tr/tr.h"
#include "vcpu/x86/x86_cpuid.h"

void x86_tr_mov(struct x86_tr *c)
{
	ir_ref v = x86_tr_late_src(c, 1);

	if (c->in.op[0].kind == X86_OPK_GPR8H && IR_REF_KIND(v) == IR_KIND_M)
		v = x86_tr_load(c, v, 1);
	x86_tr_write(c, 0, v, 0);
}

/* Widenings: the row's argument is 1 if signed. Destination and source may be as wide (MOVSXD with 16 or 32 bits). */
void x86_tr_movx(struct x86_tr *c)
{
	static const uint8_t ops[2][5] = { { [1] = IR_ZX8, [2] = IR_ZX16, [4] = IR_MOV },
					   { [1] = IR_SX8, [2] = IR_SX16, [4] = IR_SX32 } };
	unsigned from = c->in.op[1].size, to = c->in.op[0].size;
	ir_ref v = x86_tr_src(c, 1);

	x86_tr_emit(c, from == to ? IR_MOV : ops[c->arg][from], x86_tr_type(to), IR_G(c->in.op[0].reg), v, IR_NONE);
}

void x86_tr_lea(struct x86_tr *c)
{
	ir_ref m = x86_tr_mem(c, 0, false);

	x86_tr_mem_desc(c, m)->seg_base = 0;
	x86_tr_emit(c, IR_LEA, x86_tr_type(c->in.op[0].size), IR_G(c->in.op[0].reg), m, IR_NONE);
}

/* CBW, CWDE, CDQE */
void x86_tr_cbw(struct x86_tr *c)
{
	static const uint8_t op[9] = { [2] = IR_SX8, [4] = IR_SX16, [8] = IR_SX32 };

	x86_tr_emit(c, op[c->in.opsize], x86_tr_type(c->in.opsize), IR_G(X86_RAX), IR_G(X86_RAX), IR_NONE);
}

/* CWD, CDQ, CQO */
void x86_tr_cwd(struct x86_tr *c)
{
	ir_ref t = x86_tr_sx_ref(c, IR_G(X86_RAX), c->in.opsize);

	x86_tr_emit_k(c, IR_SAR, IR_I64, t, t, 63);
	x86_tr_emit(c, IR_MOV, x86_tr_type(c->in.opsize), IR_G(X86_RDX), t, IR_NONE);
}

/* AL = [rBX + AL] */
void x86_tr_xlat(struct x86_tr *c)
{
	ir_ref al = ir_temp(c->ir), m;
	struct ir_mem *d;

	x86_tr_emit(c, IR_ZX8, IR_I64, al, IR_G(X86_RAX), IR_NONE);
	if (c->mode != X86_MODE_64 && (c->flags & (X86_TB_SEGLIM | X86_TB_FGLIM))) { /* the check looks at the whole address */
		x86_tr_emit(c, IR_ADD, IR_I64, al, al, IR_G(X86_RBX));
		m = x86_tr_mem_at(c, al, 0, c->in.addrsize, c->in.mem.seg, 1, false);
	} else {
		m = x86_tr_mem(c, 0, false);
		d = x86_tr_mem_desc(c, m);
		d->index = al;
		d->scale = 1;
	}
	x86_tr_emit(c, IR_MOV, IR_I8, IR_G(X86_RAX), m, IR_NONE);
}

static int64_t selector_off(unsigned seg)
{
	return (int64_t)(offsetof(struct x86_cpu, seg) + seg * sizeof(struct x86_seg) + offsetof(struct x86_seg, sel));
}

/* After a segment register was loaded: SS starts an interrupt shadow. */
static void leave_after_load(struct x86_tr *c, unsigned seg)
{
	if (seg == X86_SS)
		x86_tr_next_event(c);
	else
		x86_tr_next_env(c);
}

static void load_segment(struct x86_tr *c, unsigned seg, ir_ref sel)
{
	bool shadow = seg == X86_SS && c->in.id != X86_I_LSS;

	x86_tr_rt(c, X86_RT_seg_load, X86_TR_NO_RESULT, x86_tr_const(c, seg), sel, x86_tr_const(c, shadow));
}

/* Either direction; a register destination is written in full operand size, memory 16 bits wide. */
void x86_tr_mov_seg(struct x86_tr *c)
{
	const struct x86_operand *d = &c->in.op[0];

	if (d->kind == X86_OPK_SEG) {
		ir_ref sel = x86_tr_load(c, x86_tr_src(c, 1), 2);

		load_segment(c, d->reg, sel);
		leave_after_load(c, d->reg);
		return;
	}
	x86_tr_write(c, 0, x86_tr_ldenv(c, IR_I16, selector_off(c->in.op[1].reg)), 0);
}

/*
 * PUSH sreg: zero-extended, but 32-bit pushes write only the word (Intel SDM volume 2, PUSH).
 */
void x86_tr_push_seg(struct x86_tr *c)
{
	unsigned size = c->in.opsize;
	ir_ref sel = x86_tr_ldenv(c, IR_I16, selector_off(c->in.op[0].reg)), m;

	if (size != 4 || x86_is_amd(c->cpu)) {
		x86_tr_push(c, sel, size);
		return;
	}
	/* Intel's CPUs move 16 bits (SDM volume 2, PUSH), AMD's extend them by zeros. */
	m = x86_tr_stack_mem(c, -4, 2, true);
	x86_tr_emit(c, IR_MOV, IR_I16, m, sel, IR_NONE);
	x86_tr_sp_add(c, -4);
}

void x86_tr_pop_seg(struct x86_tr *c)
{
	ir_ref v = x86_tr_pop_peek(c, c->in.opsize);

	load_segment(c, c->in.op[0].reg, x86_tr_zx_ref(c, v, 2));
	x86_tr_sp_add(c, c->in.opsize);
	leave_after_load(c, c->in.op[0].reg);
}

/* LES, LDS, LSS, LFS, LGS: the row's argument is the segment register. */
void x86_tr_load_far(struct x86_tr *c)
{
	unsigned size = c->in.opsize;
	ir_ref sel, off = x86_tr_far_ptr(c, size, &sel);

	load_segment(c, c->arg, sel);
	x86_tr_emit(c, IR_MOV, x86_tr_type(size), IR_G(c->in.op[0].reg), off, IR_NONE);
	leave_after_load(c, c->arg);
}

/* The check of the index against two bounds in memory. */
void x86_tr_bound(struct x86_tr *c)
{
	unsigned size = c->in.opsize;
	ir_ref index = x86_tr_sx(c, 0);
	ir_ref low = x86_tr_sx_ref(c, x86_tr_mem(c, size, false), size);
	ir_ref high = x86_tr_sx_ref(c, x86_tr_mem_off(c, size, size, false), size);

	x86_tr_rt(c, X86_RT_bound, X86_TR_NO_RESULT, index, low, high);
}
