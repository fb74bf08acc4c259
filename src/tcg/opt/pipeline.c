/* SPDX-License-Identifier: MIT */
/*
 * The passes in order. Two walks over the block: forward (what is known about values), backward (what is still wanted).
 */
#include "tcg/opt/opt.h"

void opt_run(struct ir_block *b)
{
	opt_fold(b);
	opt_dce(b);
}
