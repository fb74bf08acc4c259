/* SPDX-License-Identifier: MIT */
/*
 * Registers as text, in the layout of QEMU's "info registers".
 */
#include <inttypes.h>

#include "vcpu/x86/x86_isa.h"
#include "vcpu/x86/x86_segment.h"
#include "vcpu/x86/x86_xstate.h"

static void dump_integers(const struct x86_cpu *c, FILE *out)
{
	static const char *const names[] = { "RAX", "RBX", "RCX", "RDX", "RSI", "RDI", "RBP", "RSP",
					     "R8 ", "R9 ", "R10", "R11", "R12", "R13", "R14", "R15" };
	static const uint8_t order[] = { X86_RAX, X86_RBX, X86_RCX, X86_RDX, X86_RSI, X86_RDI, X86_RBP, X86_RSP, 8, 9, 10, 11, 12, 13, 14, 15 };

	for (unsigned i = 0; i < 16; i++)
		fprintf(out, "%s=%016" PRIx64 "%c", names[i], c->vcpu.env.greg[order[i]], i % 4 == 3 ? '\n' : ' ');
}

static void dump_flags(const struct x86_cpu *c, FILE *out)
{
	static const struct {
		char letter;
		uint32_t bit;
	} flags[] = { { 'D', X86_FL_DF }, { 'O', X86_FL_OF }, { 'S', X86_FL_SF }, { 'Z', X86_FL_ZF },
		      { 'A', X86_FL_AF }, { 'P', X86_FL_PF }, { 'C', X86_FL_CF } };
	uint32_t v = (c->eflags & ~X86_FL_ARITH) | (uint32_t)(c->vcpu.env.flags & X86_FL_ARITH) | X86_FL_FIXED1;

	fprintf(out, "RIP=%016" PRIx64 " RFL=%08x [", c->vcpu.env.pc - (x86_code64(c) ? 0 : c->seg[X86_CS].base), v);
	for (unsigned i = 0; i < ARRAY_LEN(flags); i++)
		fputc(v & flags[i].bit ? flags[i].letter : '-', out);
	fprintf(out, "] CPL=%u II=%d A20=1 SMM=%d HLT=%d\n", c->cpl, c->shadow, c->smm, vcpu_run_state(&c->vcpu) == VCPU_HALTED);
}

static void dump_seg(const char *name, const struct x86_seg *s, FILE *out)
{
	fprintf(out, "%-3s=%04x %016" PRIx64 " %08x %08x", name, s->sel, s->base, s->limit, s->attr);
	if (s->attr & X86_SA_P && s->attr & X86_SA_S) {
		bool code = x86_attr_is_code(s->attr);

		fprintf(out, " DPL=%u %s [%c%c%c]", x86_attr_dpl(s->attr), !code ? "DS  " : s->attr & X86_SA_L ? "CS64" : s->attr & X86_SA_DB ? "CS32" : "CS16",
			s->attr & X86_SA_CONFORMING ? code ? 'C' : 'E' : '-', s->attr & X86_SA_RW ? code ? 'R' : 'W' : '-',
			s->attr & X86_SA_ACCESSED ? 'A' : '-');
	}
	fputc('\n', out);
}

static void dump_system(const struct x86_cpu *c, FILE *out)
{
	static const char *const names[] = { "ES", "CS", "SS", "DS", "FS", "GS" };

	for (unsigned i = 0; i < X86_NR_SEGS; i++)
		dump_seg(names[i], &c->seg[i], out);
	dump_seg("LDT", &c->ldt, out);
	dump_seg("TR", &c->tr, out);
	fprintf(out, "GDT=     %016" PRIx64 " %08x\nIDT=     %016" PRIx64 " %08x\n", c->gdt.base, c->gdt.limit, c->idt.base, c->idt.limit);
	fprintf(out, "CR0=%08x CR2=%016" PRIx64 " CR3=%016" PRIx64 " CR4=%08x\n", (uint32_t)c->cr0, c->cr2, c->cr3, (uint32_t)c->cr4);
	fprintf(out, "DR0=%016" PRIx64 " DR1=%016" PRIx64 " DR2=%016" PRIx64 " DR3=%016" PRIx64 "\n", c->dr[0], c->dr[1], c->dr[2], c->dr[3]);
	fprintf(out, "DR6=%016" PRIx64 " DR7=%016" PRIx64 "\nEFER=%016" PRIx64 "\n", c->dr[6], c->dr[7], c->efer);
}

/* On a native engine the stack FPU's state is that of the last time it was saved. */
static void dump_fpu(const struct tcg_env *env, FILE *out)
{
	const uint8_t *image = env->fpu_image;
	uint16_t fsw = x86_fx_get(image, X86_FX_FSW);

	fprintf(out, "FCW=%04x FSW=%04x [ST=%u] FTW=%02x MXCSR=%08x\n", x86_fx_get(image, X86_FX_FCW), fsw, fsw >> X86_FSW_TOP_SHIFT & 7,
		(uint8_t)~image[X86_FX_FTW], env->mxcsr);
	for (unsigned i = 0; i < 8; i++) {
		const uint8_t *st = image + X86_FX_ST + 16 * ((i - (fsw >> X86_FSW_TOP_SHIFT)) & 7);
		uint64_t mantissa;

		memcpy(&mantissa, st, 8);
		fprintf(out, "FPR%u=%016" PRIx64 " %04x%c", i, mantissa, x86_fx_get(st, 8), i & 1 ? '\n' : ' ');
	}
	for (unsigned i = 0; i < TCG_NR_VREG; i++)
		fprintf(out, "XMM%02u=%016" PRIx64 " %016" PRIx64 "%c", i, env->vreg[i].q[1], env->vreg[i].q[0], i & 1 ? '\n' : ' ');
}

/* What AVX-512 adds, if the guest has used it. */
static void dump_wide(const struct tcg_env *env, FILE *out)
{
	if (!env->vec_used)
		return;
	for (unsigned i = 0; i < TCG_NR_ZREG; i++) {
		fprintf(out, "ZMM%02u=", i);
		for (unsigned k = ARRAY_LEN(env->vreg[i].q); k-- > 0;)
			fprintf(out, "%016" PRIx64 "%c", env->vreg[i].q[k], k ? ' ' : '\n');
	}
	for (unsigned i = 0; i < TCG_NR_KREG; i++)
		fprintf(out, "K%u=%016" PRIx64 "%c", i, env->kreg[i], (i & 3) == 3 ? '\n' : ' ');
}

void x86_dump(const struct vcpu *v, FILE *out)
{
	const struct x86_cpu *c = (const struct x86_cpu *)v;

	fprintf(out, "CPU#%u\n", v->index);
	dump_integers(c, out);
	dump_flags(c, out);
	dump_system(c, out);
	dump_fpu(&v->env, out);
	dump_wide(&v->env, out);
}
