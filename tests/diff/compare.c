/* SPDX-License-Identifier: MIT */
/*
 * What must agree: exception and its error code and address; all registers; flags but those of flags.def (at the end) and dead ones
 * (at a fault in a sequence, see undef.c); x87 and MMX registers, control, status and tag words; XMM registers and MXCSR; memory.
 *
 * Not compared: FCS and FDS, which CPUs have ceased to keep, one after the other, and what is_known() says.
 */
#include "diff/compare.h"

#include <inttypes.h>
#include <string.h>

#include "diff/engine.h"
#include "diff/segments.h"
#include "vcpu/x86/x86_cpu.h"

#define PF_FETCH 0x10u
#define FSW_ES 0x80u
#define LAST_USER_PAGE 0x7ffffffff000ull

static const char *const gpr_names[16] = { "rax", "rcx", "rdx", "rbx", "rsp", "rbp", "rsi", "rdi",
					   "r8", "r9", "r10", "r11", "r12", "r13", "r14", "r15" };
static const char *const st_names[8] = { "st0", "st1", "st2", "st3", "st4", "st5", "st6", "st7" };
static const char *const xmm_names[16] = { "xmm0", "xmm1", "xmm2", "xmm3", "xmm4", "xmm5", "xmm6", "xmm7",
					   "xmm8", "xmm9", "xmm10", "xmm11", "xmm12", "xmm13", "xmm14", "xmm15" };

static const char *const upper_names[16] = { "ymm0", "ymm1", "ymm2", "ymm3", "ymm4", "ymm5", "ymm6", "ymm7",
					     "ymm8", "ymm9", "ymm10", "ymm11", "ymm12", "ymm13", "ymm14", "ymm15" };

static const char *const zmm_names[32] = { "zmm0", "zmm1", "zmm2", "zmm3", "zmm4", "zmm5", "zmm6", "zmm7", "zmm8", "zmm9", "zmm10",
					   "zmm11", "zmm12", "zmm13", "zmm14", "zmm15", "zmm16", "zmm17", "zmm18", "zmm19", "zmm20",
					   "zmm21", "zmm22", "zmm23", "zmm24", "zmm25", "zmm26", "zmm27", "zmm28", "zmm29", "zmm30",
					   "zmm31" };
static const char *const k_names[8] = { "k0", "k1", "k2", "k3", "k4", "k5", "k6", "k7" };

static int insn_at(const struct program *p, uint64_t rip)
{
	for (unsigned i = 0; i < p->nr; i++)
		if (p->at[i] == rip && p->at[i + 1] != rip)
			return (int)i;
	return -1;
}

/* Flags to compare. */
static uint64_t flag_mask(const struct program *p, const struct diff_outcome *host)
{
	uint64_t mask = DIFF_FL_COMPARED;
	int i;

	if (!p->sequence) {
		int count = insn_count(&p->insn[0].in);

		if (host->vector != DIFF_END && host->out.rip == p->at[0])
			return mask;
		return mask & ~(uint64_t)insn_flags(&p->insn[0].in, count < 0 ? (int)(p->c.in.gpr[X86_RCX] & 0xff) : count).undefined;
	}
	i = host->vector == DIFF_END ? -1 : insn_at(p, host->out.rip);
	if (i < 0 && host->vector != DIFF_END && !(host->vector == X86_PF && (host->error & PF_FETCH)))
		return mask & ~(uint64_t)DIFF_FL_ARITH; /* jumped into the middle of something: it may have made flags dead */
	if (i < 0)
		return mask & ~(uint64_t)p->undef_end;
	if (engine_exact_flags)
		return mask & ~(uint64_t)p->undef_in[i];
	return mask & ~((uint64_t)p->undef_in[i] | (DIFF_FL_ARITH & ~(uint64_t)p->live_in[i]));
}

static bool is_far(const struct x86_insn *in)
{
	return in->id == X86_I_JMPF || in->id == X86_I_CALLF || in->id == X86_I_RETF || in->id == X86_I_IRET;
}

/*
 * BSF and BSR of 0 leave the destination undefined (SDM volume 2); AMD's manual has it unchanged, and CPUs do that, but with 32-bit
 * operands not all of them keep the upper half. Sequences have no such instruction.
 */
static uint64_t gpr_mask(const struct program *p, const struct diff_outcome *host, unsigned reg)
{
	const struct x86_insn *in = &p->insn[0].in;
	int at = host->vector == DIFF_END ? -1 : insn_at(p, host->out.rip);
	bool scan = in->id == X86_I_BSF || in->id == X86_I_BSR;

	if (at >= 0 && p->insn[at].in.id == X86_I_POPA) /* how many are loaded when one word faults: no word on it in SDM volume 2 */
		return 0;
	if (p->c.mode != DIFF_64 && reg < 8)
		return 0xffffffffu;
	if (!p->sequence && reg == X86_RSP && is_far(in)) /* perhaps to 32-bit code: SDM volume 1, 3.4.1.1 */
		return 0xffffffffu;
	return !p->sequence && scan && in->opsize == 4 && in->op[0].reg == reg && (host->out.flags & X86_FL_ZF) ? 0xffffffffu : ~0ull;
}

/* Linux shows kernel addresses as present, the last page of the lower half among them. */
static uint32_t error_mask(const struct diff_outcome *host)
{
	return host->vector == X86_PF && host->cr2 >= 0x7ffffffff000 ? ~1u : ~0u;
}

/*
 * Several accesses, or several reasons to fault, in an order that is the CPU's own: the operands of CMPS, the pieces of long operands, the
 * words of far transfers, and for operands that must be aligned the segment's limit.
 */
static bool order_is_open(const struct program *p, const struct diff_outcome *h, const struct diff_outcome *o)
{
	int i = insn_at(p, h->out.rip);
	const struct x86_insn *in = i < 0 ? NULL : &p->insn[i].in;
	int mem = in ? insn_mem_operand(in) : -1;

	if (!in)
		return false;
	switch (in->id) {
	case X86_I_CALL: case X86_I_CMPS: case X86_I_RETF: case X86_I_IRET: case X86_I_CALLF: case X86_I_PUSHA: case X86_I_POPA: case X86_I_ENTER:
		return true;
	case X86_I_MOVS:
		return h->vector == X86_AC || o->vector == X86_AC;
	default:
		return (in->attr & X86_A_ALIGN) || (mem >= 0 && (in->op[mem].size >= 10 || in->op[mem].size == 6));
	}
}

/*
 * Bytes that are no instruction, and end where the mapping does, or are over 15: how many of them a CPU wants to see before it says so is not in
 * any manual.
 */
static bool is_unfinished(const struct program *p, const struct diff_outcome *h, const struct diff_outcome *o)
{
	bool known = p->insn[0].in.id != X86_I_INVALID;
	unsigned other = h->vector == X86_UD ? o->vector : h->vector;

	if (p->nr == 1 && !known && p->at[1] == DIFF_CODE_END && h->vector == X86_PF && o->vector == X86_PF)
		return true;
	if (p->nr != 1 || known || (h->vector != X86_UD && o->vector != X86_UD) || h->out.rip != o->out.rip)
		return false;
	return other == X86_PF ? p->at[1] == DIFF_CODE_END : other == X86_GP && p->insn[0].len >= 15;
}

/*
 * Elements beyond the segment's limit: whether those that the mask leaves out count, and whether offsets of 16 or 32 bits wrap in the
 * middle of an operand, SDM volume 2, VMASKMOV and 2.7, does not say. CPUs do both.
 */
static bool is_masked_out(const struct program *p, const struct diff_outcome *h, const struct diff_outcome *o)
{
	bool ours = o->vector == X86_GP || o->vector == X86_SSF || (p->c.mode == DIFF_64 && o->vector == X86_PF);
	int i = insn_at(p, ours ? o->out.rip : h->out.rip);
	unsigned id = i < 0 ? 0 : p->insn[i].in.id;

	if (p->c.mode == DIFF_64 ? i < 0 || p->insn[i].in.addrsize == 8 : !ours && h->vector != X86_GP && h->vector != X86_SSF)
		return false;
	if (i >= 0 && p->insn[i].in.evex_aaa)
		return true;
	return id == X86_I_VMASKMOVPS || id == X86_I_VMASKMOVPD || id == X86_I_VPMASKMOVD || id == X86_I_VPMASKMOVQ;
}

/*
 * Offsets that wrap at 4 GiB in a segment as large: "behavior is implementation-specific and may vary from one execution to another" (SDM
 * volume 3A, 5.3). A misaligned one is #AC here, where alignment is checked.
 */
static bool is_wrapping(const struct program *p, const struct diff_outcome *h, const struct diff_outcome *o)
{
	if (p->c.mode == DIFF_64 || (h->vector != X86_GP && h->vector != X86_SSF))
		return false;
	for (unsigned i = 0; i < 6 && o->vector == X86_PF; i++)
		if ((uint32_t)(o->cr2 - diff_seg_base(p->c.in.sel[i])) + 32 < 64)
			return true;
	return o->vector == X86_AC;
}

/*
 * With a base in FS or GS, Intel's CPUs and ours want the sum to be canonical (SDM volume 1, 3.3.7.1), AMD's the offset too. CPUs of AMD's name
 * do not have that here: it would be one more check on each such access.
 */
static bool is_offset_refused(const struct program *p, const struct diff_outcome *h)
{
	int i = insn_at(p, h->out.rip);
	const struct x86_insn *in = i < 0 ? NULL : &p->insn[i].in;
	uint64_t off;

	if (!host_is_amd() || p->c.mode != DIFF_64 || h->vector != X86_GP || !in || !in->has_modrm || in->addrsize != 8 ||
	    (in->mem.seg != X86_FS && in->mem.seg != X86_GS))
		return false;
	off = (uint64_t)(int64_t)in->mem.disp;
	off += in->mem.base < 16 ? h->out.gpr[in->mem.base] : 0;
	off += in->mem.index < 16 ? h->out.gpr[in->mem.index] * in->mem.scale : 0;
	return (uint64_t)((int64_t)(off << 16) >> 16) != off;
}

static bool is_access_fault(const struct diff_outcome *o)
{
	return o->vector == X86_SSF || o->vector == X86_GP || o->vector == X86_PF || o->vector == X86_AC;
}

static const char *compare_fault(const struct program *p, const struct diff_outcome *h, const struct diff_outcome *o)
{
	if (order_is_open(p, h, o) && is_access_fault(h) && is_access_fault(o))
		return h->out.rip != o->out.rip ? "rip" : NULL;
	if (h->vector != o->vector)
		return "vector";
	if (h->out.rip != o->out.rip)
		return "rip";
	if (h->cr2 != o->cr2)
		return "cr2";
	if ((h->error ^ o->error) & error_mask(h))
		return "error";
	return NULL;
}

/*
 * AddressSanitizer fills much of the host process's lower half with its shadow, so a wild access finds memory there that the guest does not
 * have. Nothing can be said of such a case.
 */
static bool is_crowded(const struct diff_outcome *h, const struct diff_outcome *o)
{
#ifdef COHORT_SANITIZE
	return h->vector == DIFF_CRASH || (o->vector == X86_PF && o->cr2 >= 0x7fff7000 && o->cr2 < 0x10007fff8000);
#else
	(void)h;
	(void)o;
	return false;
#endif
}

static bool is_known(const struct program *p, const struct diff_outcome *h, const struct diff_outcome *o)
{
	return is_unfinished(p, h, o) || is_crowded(h, o) || is_wrapping(p, h, o) || is_masked_out(p, h, o) || is_offset_refused(p, h);
}

/*
 * FIP, FDP and FOP. The harness has 32 bits of them; a signal's frame on AMD's CPUs only those of a pending exception (volume 2, 11.4.4).
 * CPUID goes to the hypervisor if there is one, which may lose them every time, see native.c.
 */
static const char *compare_pointers(const struct program *p, const struct diff_outcome *host, const struct diff_outcome *ours)
{
	const struct diff_fx *h = &host->out.fx, *o = &ours->out.fx;

	if (p->c.smc && (!h->fip || !h->fdp))
		return NULL;
	if (host->vector != DIFF_END && !(h->fsw & FSW_ES))
		return NULL;
	if ((uint32_t)h->fip != (uint32_t)o->fip)
		return "fip";
	if ((uint32_t)h->fdp != (uint32_t)o->fdp)
		return "fdp";
	return h->fop != o->fop ? "fop" : NULL;
}

static const char *compare_stack_fpu(const struct diff_fx *h, const struct diff_fx *o)
{
	if (h->fcw != o->fcw)
		return "fcw";
	if (h->fsw != o->fsw)
		return "fsw";
	if (h->ftw != o->ftw)
		return "ftw";
	for (unsigned i = 0; i < 8; i++)
		if (memcmp(h->st[i], o->st[i], 10))
			return st_names[i];
	return NULL;
}

/*
 * What CPUs do not agree upon at an unmasked vector exception: whether PE is set along with OE or UE, which flags DPPS, DPPD and horizontal
 * additions have gathered by then (SDM volume 1, 11.5.3; volume 2, DPPS), and whether an instruction with MMX operands has made its
 * transition already (volume 2, CVTPS2PI: no word on it). The native back end executes the instruction itself and must agree.
 */
static bool is_vague(const struct diff_outcome *host, bool portable)
{
	return portable && host->vector == X86_XM;
}

static bool is_mmx_at(const struct program *p, uint64_t rip)
{
	int i = insn_at(p, rip);

	return i >= 0 && (p->insn[i].in.attr & X86_A_MMX);
}

/* Has it made the transition to MMX when its segment is at fault? No word on it in SDM volume 2, MASKMOVQ. */
static bool is_maskmovq_at(const struct program *p, uint64_t rip)
{
	int i = insn_at(p, rip);

	return i >= 0 && p->insn[i].in.id == X86_I_MASKMOVQ;
}

static bool adds_up(const struct program *p, uint64_t rip)
{
	int i = insn_at(p, rip);

	if (i < 0)
		return false;
	switch (p->insn[i].in.id) {
	case X86_I_DPPS: case X86_I_DPPD: case X86_I_HADDPS: case X86_I_HADDPD: case X86_I_HSUBPS: case X86_I_HSUBPD:
	case X86_I_VDPPS: case X86_I_VDPPD: case X86_I_VHADDPS: case X86_I_VHADDPD: case X86_I_VHSUBPS: case X86_I_VHSUBPD:
		return true;
	default:
		return false;
	}
}

/*
 * A gather that faults in the middle has written the elements before, SDM volume 2, VPGATHERDD; whether it has cleared what is above the vector
 * by then, no manual says. The register, or -1.
 */
static int half_gathered(const struct program *p, const struct diff_outcome *host)
{
	int i = host->vector == DIFF_END ? -1 : insn_at(p, host->out.rip);
	const struct x86_insn *in = i < 0 ? NULL : &p->insn[i].in;

	return in && insn_is_gather(in) && in->pfx & X86_PFX_EVEX && in->op[0].kind == X86_OPK_XMM ? in->op[0].reg : -1;
}

static const char *compare_vectors(const struct program *p, const struct diff_outcome *host, const struct diff_outcome *ours, bool portable)
{
	const struct diff_fx *h = &host->out.fx, *o = &ours->out.fx;
	int half = half_gathered(p, host);
	uint32_t mask = !is_vague(host, portable) ? ~0u : adds_up(p, host->out.rip) ? ~0x3fu : ~0x20u;

	for (unsigned i = 0; i < 16; i++)
		if (memcmp(h->xmm[i], o->xmm[i], 16) || ((int)i != half && memcmp(host->out.upper[i], ours->out.upper[i], 16)))
			return xmm_names[i];
	for (unsigned i = 0; i < 16; i++)
		if ((int)i != half && memcmp(host->out.wide.top[i], ours->out.wide.top[i], 32))
			return zmm_names[i];
	for (unsigned i = 0; i < 16; i++)
		if (memcmp(host->out.wide.more[i], ours->out.wide.more[i], (int)i + 16 == half ? 16 : 64))
			return zmm_names[16 + i];
	for (unsigned i = 0; i < 8; i++)
		if (host->out.wide.k[i] != ours->out.wide.k[i])
			return k_names[i];
	return (h->mxcsr ^ o->mxcsr) & mask ? "mxcsr" : NULL;
}

/* Loading a null selector clears the base (Intel) or does not (AMD): SDM volume 2, MOV; APM volume 2, 4.5.3. */
static bool base_counts(const struct program *p, const struct diff_state *h, unsigned reg)
{
	bool null = !(h->sel[reg] & ~3u);

	if (p->c.mode != DIFF_64)
		return !null;
	for (unsigned i = 0; i < p->nr; i++)
		for (unsigned n = 0; n < p->insn[i].in.nr_ops; n++)
			if (p->insn[i].in.op[n].kind == X86_OPK_SEG && p->insn[i].in.op[n].reg == reg)
				return !null;
	return p->insn[0].in.id != X86_I_LFS && p->insn[0].in.id != X86_I_LGS ? true : !null;
}

/* A null selector loses its RPL when an operating system returns to user mode, as it does to the handler of a signal: SDM volume 2, IRET. */
static bool same_selector(const struct diff_outcome *host, uint16_t h, uint16_t o)
{
	return h == o || (host->vector != DIFF_END && !h && !(o & ~3u));
}

static const char *compare_segments(const struct program *p, const struct diff_outcome *host, const struct diff_state *o)
{
	static const char *const names[6] = { "es", "cs", "ss", "ds", "fs", "gs" };
	const struct diff_state *h = &host->out;

	for (unsigned i = 0; i < 6; i++)
		if (!same_selector(host, h->sel[i], o->sel[i]))
			return names[i];
	if (h->fs_base != o->fs_base && base_counts(p, h, X86_FS))
		return "fs base";
	if (h->gs_base != o->gs_base && base_counts(p, h, X86_GS))
		return "gs base";
	return NULL;
}

/* What ENTER has pushed by the time one of its accesses faults: SDM volume 2 has it in an order that CPUs do not keep. */
static bool is_half_pushed(const struct program *p, const struct diff_outcome *h)
{
	int i = h->vector == DIFF_END ? -1 : insn_at(p, h->out.rip);

	return i >= 0 && p->insn[i].in.id == X86_I_ENTER;
}

const char *outcome_compare(const struct program *p, const struct diff_outcome *host, const struct diff_outcome *ours, bool portable)
{
	const struct diff_state *h = &host->out, *o = &ours->out;
	const char *bad = compare_fault(p, host, ours);

	if (host->vector == DIFF_HANG && ours->vector == DIFF_HANG) /* where they were stopped is chance */
		return NULL;
	if ((bad && is_known(p, host, ours)) || (p->sequence && is_masked_out(p, host, ours))) /* the host may have gone on, and come back in a loop */
		return NULL;
	if (bad)
		return bad;
	for (unsigned i = 0; i < 16; i++)
		if ((h->gpr[i] ^ o->gpr[i]) & gpr_mask(p, host, i))
			return gpr_names[i];
	if ((h->flags ^ o->flags) & flag_mask(p, host))
		return "flags";
	if (!(is_vague(host, portable) && is_mmx_at(p, host->out.rip)) && !is_maskmovq_at(p, host->out.rip))
		bad = compare_stack_fpu(&h->fx, &o->fx);
	if (!bad)
		bad = compare_pointers(p, host, ours);
	if (!bad)
		bad = compare_vectors(p, host, ours, portable);
	if (bad)
		return bad;
	bad = compare_segments(p, host, o);
	if (bad)
		return bad;
	return host->mem_hash != ours->mem_hash && !is_half_pushed(p, host) ? "memory" : NULL;
}

/* ---- Printing */

static const char *vector_name(uint8_t v)
{
	static const char *const names[] = { "#DE", "#DB", "NMI", "#BP", "#OF", "#BR", "#UD", "#NM", "#DF", "9", "#TS",
					     "#NP", "#SS", "#GP", "#PF", "15", "#MF", "#AC", "#MC", "#XM" };

	switch (v) {
	case DIFF_END:
		return "end";
	case DIFF_HANG:
		return "hang";
	case DIFF_CRASH:
		return "crash";
	default:
		return v < 20 ? names[v] : "?";
	}
}

static void pair(FILE *f, const char *name, uint64_t h, uint64_t o)
{
	if (h != o)
		fprintf(f, "  %-6s host %016" PRIx64 "  ours %016" PRIx64 "\n", name, h, o);
}

static void hex(FILE *f, const uint8_t *b, unsigned n)
{
	while (n--)
		fprintf(f, "%02x", b[n]);
}

static void pair_bytes(FILE *f, const char *name, const uint8_t *h, const uint8_t *o, unsigned n)
{
	if (!memcmp(h, o, n))
		return;
	fprintf(f, "  %-6s host ", name);
	hex(f, h, n);
	fprintf(f, "  ours ");
	hex(f, o, n);
	fputc('\n', f);
}

void outcome_print(FILE *f, const struct program *p, const struct diff_outcome *host, const struct diff_outcome *ours)
{
	const struct diff_state *h = &host->out, *o = &ours->out;

	fprintf(f, "  host: %s error %x cr2 %" PRIx64 " rip %" PRIx64 "\n", vector_name(host->vector), host->error, host->cr2, h->rip);
	fprintf(f, "  ours: %s error %x cr2 %" PRIx64 " rip %" PRIx64 "\n", vector_name(ours->vector), ours->error, ours->cr2, o->rip);
	for (unsigned i = 0; i < 16; i++)
		pair(f, gpr_names[i], h->gpr[i] & gpr_mask(p, host, i), o->gpr[i] & gpr_mask(p, host, i));
	for (unsigned i = 0; i < 6; i++)
		pair(f, (const char *const[]){ "es", "cs", "ss", "ds", "fs", "gs" }[i], h->sel[i], o->sel[i]);
	pair(f, "flags", h->flags & flag_mask(p, host), o->flags & flag_mask(p, host));
	pair(f, "fcw", h->fx.fcw, o->fx.fcw);
	pair(f, "fsw", h->fx.fsw, o->fx.fsw);
	pair(f, "ftw", h->fx.ftw, o->fx.ftw);
	pair(f, "fip", (uint32_t)h->fx.fip, (uint32_t)o->fx.fip);
	pair(f, "fdp", (uint32_t)h->fx.fdp, (uint32_t)o->fx.fdp);
	pair(f, "fop", h->fx.fop, o->fx.fop);
	pair(f, "mxcsr", h->fx.mxcsr, o->fx.mxcsr);
	pair(f, "fsbase", h->fs_base, o->fs_base);
	pair(f, "gsbase", h->gs_base, o->gs_base);
	for (unsigned i = 0; i < 8; i++)
		pair_bytes(f, st_names[i], h->fx.st[i], o->fx.st[i], 10);
	for (unsigned i = 0; i < 16; i++)
		pair_bytes(f, xmm_names[i], h->fx.xmm[i], o->fx.xmm[i], 16);
	for (unsigned i = 0; i < 16; i++)
		pair_bytes(f, upper_names[i], h->upper[i], o->upper[i], 16);
	for (unsigned i = 0; i < 16; i++)
		pair_bytes(f, zmm_names[i], h->wide.top[i], o->wide.top[i], 32);
	for (unsigned i = 0; i < 16; i++)
		pair_bytes(f, zmm_names[16 + i], h->wide.more[i], o->wide.more[i], 64);
	for (unsigned i = 0; i < 8; i++)
		pair(f, k_names[i], h->wide.k[i], o->wide.k[i]);
}

void state_print(FILE *f, const struct diff_state *s)
{
	for (unsigned i = 0; i < 16; i++)
		fprintf(f, "  %-4s %016" PRIx64 "%s", gpr_names[i], s->gpr[i], i % 4 == 3 ? "\n" : "");
	fprintf(f, "  rip %" PRIx64 " flags %" PRIx64 " fs %" PRIx64 " gs %" PRIx64 " fcw %04x fsw %04x ftw %02x mxcsr %04x\n", s->rip, s->flags,
		s->fs_base, s->gs_base, s->fx.fcw, s->fx.fsw, s->fx.ftw, s->fx.mxcsr);
	fprintf(f, "  es %x cs %x ss %x ds %x fs %x gs %x\n", s->sel[0], s->sel[1], s->sel[2], s->sel[3], s->sel[4], s->sel[5]);
	for (unsigned i = 0; i < 8; i++) {
		fprintf(f, "  st%u ", i);
		hex(f, s->fx.st[i], 10);
		fputs(i % 4 == 3 ? "\n" : "", f);
	}
	for (unsigned i = 0; i < 16; i++) {
		fprintf(f, "  xmm%-2u ", i);
		hex(f, s->upper[i], 16);
		fputc(' ', f);
		hex(f, s->fx.xmm[i], 16);
		fputs(i % 2 ? "\n" : "", f);
	}
}
