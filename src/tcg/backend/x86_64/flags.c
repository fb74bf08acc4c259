/* SPDX-License-Identifier: MIT */
/*
 * Where the guest's flags are: tracked while compiling, moved only when they must.
 *
 * Invariant: between two IR instructions every live flag is valid in host EFLAGS (fl_host) or every live flag is valid in env.flags
 * (fl_mem), or both. An op that writes some flags and passes others through gets the others into EFLAGS first.
 *
 * Cost, cycles on a Zen 4 class host (Intel SDM volume 2 for the instructions): save by pushfq + pop 2.1 (10 bytes, no scratch
 * register), but 5 or more where the front end or a jump waits for it; by lahf + seto 0.8 or less (18 bytes); restore by sahf 2.4 against 14 for
 * popfq. Both go through one word, env.be_flags, so that loads are forwarded from the store. "In env.flags" means there.
 */
#include "tcg/backend/x86_64/flags.h"
#include "tcg/backend/x86_64/gen.h"
#include "tcg/opt/opt.h"

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

static void lahf_seto(struct as *s, bool overflow)
{
	as_u8(s, 0x9f);
	if (overflow)
		as_bytes(s, "\x0f\x90\xc0", 3); /* seto al */
	as_op(s, OP_66 | OP_MOV_MR, R_AX, RM_ENV(be_flags));
}

/* By lahf, and seto if overflow is wanted. */
static void save(struct gen *g, uint32_t mask)
{
	bool overflow = mask & g->fl_host & F_O;

	rax_out(g);
	lahf_seto(&g->s, overflow);
	rax_back(g);
	g->fl_mem = overflow ? g->fl_host : g->fl_host & ~F_O;
}

void fl_to_mem(struct gen *g, uint32_t mask)
{
	if ((mask & ~g->fl_mem) && (mask & g->fl_host))
		save(g, mask);
}

void fl_clobber(struct gen *g, uint32_t live)
{
	fl_to_mem(g, live);
	g->fl_host = 0;
}

/* All but overflow. */
static void restore_low(struct gen *g)
{
	struct as *s = &g->s;

	rax_out(g);
	as_op(s, 0x8a, R_SP, rm_gs(BE_FLAGS_LOW)); /* mov ah */
	as_u8(s, 0x9e);
	rax_back(g);
	g->fl_host = g->fl_mem & ~F_O;
}

static void restore_all(struct gen *g)
{
	struct as *s = &g->s;

	rax_out(g);
	as_op(s, OP_MOVZX16, R_AX, RM_ENV(be_flags));
	as_bytes(s, "\x04\x7f", 2); /* add al, 0x7f: overflows if it is 1 */
	as_u8(s, 0x9e);               /* sahf leaves overflow alone */
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
		as_op_imm8(&g->s, OP_0F | 0xba, 4, RM_ENV(be_flags), 8); /* bt */
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

/* Flags that a fault of the current instruction shows, whoever else wants them. */
static uint32_t seen_by_fault(void)
{
	return opt_exact_flags ? F_ALL : 0;
}

void fl_begin(struct gen *g, bool mem)
{
	uint32_t use = ir_flags_use(g->ir, g->i), pass;

	g->setf = (g->i->attr & IR_SETF) && (g->i->fl_live & ir_flags_clob(g->i));
	pass = passed_through(g);
	if (mem && !share_checked(g))
		fl_to_mem(g, use | pass | seen_by_fault());
	else if (!g->setf)
		fl_to_mem(g, pass);
}

void fl_check(struct gen *g)
{
	g->setf = false;
	if (!share_checked(g))
		fl_to_mem(g, ir_flags_use(g->ir, g->i) | g->i->fl_live | seen_by_fault());
}

/* The scratch registers may be taken. */
void fl_spill(struct gen *g)
{
	uint32_t mask = ir_flags_use(g->ir, g->i) | passed_through(g);

	if ((mask & ~g->fl_mem) && (mask & g->fl_host)) {
		as_store(&g->s, RM_ENV(be_save[0]), R_AX);
		lahf_seto(&g->s, true);
		as_load(&g->s, R_AX, RM_ENV(be_save[0]));
		g->fl_mem = g->fl_host;
	}
	g->fl_host = 0;
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
