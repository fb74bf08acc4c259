/* SPDX-License-Identifier: MIT */
/*
 * Loads of segment registers and far jumps with descriptors of every type, DPL and presence, at CPL 0 and 3 with every RPL, against the rules of
 * Intel SDM vol. 3, 5.5 to 5.8.1: for 32-bit and 64-bit programs, which say how to run a snippet.
 */
#ifndef GUEST_SEGMENTS_H
#define GUEST_SEGMENTS_H

#include "rt.h"

#define SEG_NONE 0x80 /* no fault: the snippet's INT */

enum seg_what { SEG_DS, SEG_SS, SEG_JUMP, SEG_NR };

struct seg_outcome {
	unsigned vector;
	uint32_t error;
};

/* Does it with the descriptor of `access` in the table at `sel`. */
typedef struct seg_outcome (*seg_run)(enum seg_what what, unsigned access, unsigned sel, unsigned cpl);

static bool seg_present(unsigned access)
{
	return access & 0x80;
}

static unsigned seg_load_fault(unsigned access, unsigned cpl, unsigned rpl)
{
	bool code = access & 8, conforming = (access & 12) == 12;
	unsigned dpl = access >> 5 & 3;

	if (!(access & 0x10) || (code && !(access & 2)))
		return VEC_GP;
	if (!conforming && (dpl < cpl || dpl < rpl))
		return VEC_GP;
	return seg_present(access) ? SEG_NONE : VEC_NP;
}

static unsigned seg_stack_fault(unsigned access, unsigned cpl, unsigned rpl)
{
	if ((access & 0x1a) != 0x12 || rpl != cpl || (access >> 5 & 3) != cpl)
		return VEC_GP;
	return seg_present(access) ? SEG_NONE : VEC_SS;
}

/* Gates and state segments have tests of their own. */
static unsigned seg_jump_fault(unsigned access, unsigned cpl, unsigned rpl)
{
	bool conforming = access & 4;
	unsigned dpl = access >> 5 & 3;

	if ((access & 0x18) != 0x18)
		return VEC_GP;
	if (conforming ? dpl > cpl : rpl > cpl || dpl != cpl)
		return VEC_GP;
	return seg_present(access) ? SEG_NONE : VEC_NP;
}

/* Far jumps go through call gates, and outside long mode to tasks: other tests. */
static bool seg_is_way(unsigned access, bool long_mode)
{
	unsigned type = access & 15;

	if (access & 0x10)
		return false;
	return type == 12 || (!long_mode && (type == 1 || type == 3 || type == 4 || type == 5 || type == 9 || type == 11));
}

static void seg_all_cases(seg_run run, unsigned sel, bool long_mode)
{
	static const char *const names[] = {"MOV DS", "MOV SS", "JMP far"};
	static unsigned (*const fault[])(unsigned, unsigned, unsigned) = {seg_load_fault, seg_stack_fault, seg_jump_fault};

	for (unsigned access = 0; access < 256; access++) {
		for (unsigned n = 0; n < 8 * SEG_NR; n++) {
			unsigned cpl = n & 4 ? 3 : 0, rpl = n & 3, what = n / 8, wanted = fault[what](access, cpl, rpl);
			struct seg_outcome o;

			if (what == SEG_JUMP && seg_is_way(access, long_mode))
				continue;
			o = run((enum seg_what)what, access, sel | rpl, cpl);
			if (o.vector != wanted || (wanted != SEG_NONE && o.error != sel))
				test_fail("%s, access %x, CPL %u, RPL %u: vector %u error %x, should be %u, %x", names[what], access, cpl, rpl,
					  o.vector, o.error, wanted, sel);
		}
	}
}

#endif
