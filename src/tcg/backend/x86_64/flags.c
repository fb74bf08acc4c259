/* SPDX-License-Identifier: MIT */
/*
 * Where the guest's flags are: tracked while compiling, moved only when they must.
 *
 * Invariant: between two IR instructions every live flag is valid in host EFLAGS (fl_host) or every live flag is valid in env.flags
 * (fl_mem), or both. An op that writes some flags and passes others through gets the others into EFLAGS first.
 *
 * Cost, cycles on a Zen 4 class host (Intel SDM volume 2 for the instructions): save by pushfq + pop 2.1 (10 bytes, no scratch register),
 * by lahf + seto 0.8 (33 bytes); restore by sahf 2.4 against 14 for popfq; save and restore in sequence 12 against 35. So the raw
 * image is stored with pushfq (bits outside F_ALL are rubbish) and loaded with sahf, its overflow bit through an addition.
 */
#include "tcg/backend/x86_64/gen.h"

static void save(struct gen *g)
{
	struct as *s = &g->s;

	as_u8(s, 0x9c);                       /* pushfq */
	as_op(s, 0x8f, 0, RM_ENV(flags));     /* pop */
	g->fl_mem = g->fl_host;
}

void fl_to_mem(struct gen *g, uint32_t mask)
{
	if ((mask & ~g->fl_mem) && (mask & g->fl_host))
		save(g);
}

void fl_clobber(struct gen *g, uint32_t live)
{
	fl_to_mem(g, live);
	g->fl_host = 0;
}

/* rax is moved out of the way: to the scratch register, or, if that is taken, to memory. */
static void rax_out(struct gen *g)
{
	if (g->scratch == R_NONE)
		as_store(&g->s, RM_ENV(be_save[3]), R_AX);
	else
		as_mov(&g->s, g->scratch, R_AX);
}

static void rax_back(struct gen *g)
{
	if (g->scratch == R_NONE)
		as_load(&g->s, R_AX, RM_ENV(be_save[3]));
	else
		as_mov(&g->s, R_AX, g->scratch);
}

/* All but overflow: bits 7:0 of the image are what SAHF takes. */
static void restore_low(struct gen *g)
{
	struct as *s = &g->s;

	rax_out(g);
	as_op(s, 0x8a, R_SP, RM_ENV(flags)); /* mov ah, flags */
	as_u8(s, 0x9e);
	rax_back(g);
	g->fl_host = g->fl_mem & ~F_O;
}

static void restore_all(struct gen *g)
{
	struct as *s = &g->s;

	rax_out(g);
	as_op(s, OP_MOV_RM, R_AX, RM_ENV(flags));
	as_bytes(s, "\x80\xe4\x08", 3); /* and ah, 8: overflow is bit 11 */
	as_bytes(s, "\x80\xc4\x78", 3); /* add ah, 0x78: overflows with that bit only */
	as_bytes(s, "\x88\xc4", 2);     /* mov ah, al */
	as_u8(s, 0x9e);                 /* sahf leaves overflow alone */
	rax_back(g);
	g->fl_host = g->fl_mem;
}

void fl_to_host(struct gen *g, uint32_t mask)
{
	if (!(mask & ~g->fl_host))
		return;
	if (!(mask & g->fl_mem & ~g->fl_host))
		return; /* never written: any value will do */
	if (mask == F_C) {
		as_op_imm8(&g->s, OP_0F | 0xba, 4, RM_ENV(flags), 0); /* bt */
		g->fl_host = F_C;
	} else if (!(mask & F_O)) {
		restore_low(g);
	} else {
		restore_all(g);
	}
}

static uint32_t passed_through(const struct gen *g)
{
	return g->i->fl_live & ~(g->setf ? ir_flags_def(g->i) : 0);
}

void fl_begin(struct gen *g, bool mem)
{
	uint32_t use = ir_flags_use(g->ir, g->i), pass;

	g->setf = (g->i->attr & IR_SETF) && (g->i->fl_live & ir_flags_clob(g->i));
	pass = passed_through(g);
	if (mem && !share_is_checked(g))
		fl_to_mem(g, use | pass);
	else if (!g->setf)
		fl_to_mem(g, pass);
}

void fl_check(struct gen *g)
{
	g->setf = false;
	if (!share_is_checked(g))
		fl_to_mem(g, ir_flags_use(g->ir, g->i) | g->i->fl_live);
}

void fl_spill(struct gen *g)
{
	fl_clobber(g, ir_flags_use(g->ir, g->i) | passed_through(g));
}

void fl_ready(struct gen *g)
{
	fl_to_host(g, ir_flags_use(g->ir, g->i) | (g->setf ? passed_through(g) : 0));
}

void fl_done(struct gen *g)
{
	uint32_t clob = ir_flags_clob(g->i);

	if (!g->setf) {
		g->fl_host = 0;
		return;
	}
	g->fl_host |= clob;
	g->fl_mem &= ~clob;
}
