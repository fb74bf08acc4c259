/* SPDX-License-Identifier: MIT */
/*
 * The -d listings of the translator. Each is one branch when off.
 */
#ifndef COHORT_TCG_LOG_H
#define COHORT_TCG_LOG_H

#include "tcg/guest.h"
#include "util/log.h"

struct tb;

void tcg_log_ir_slow(const struct ir_block *ir, const struct guest_code *code, uint32_t items);
void tcg_log_code_slow(const struct tb *tb);

/* items: those of LOG_IN_ASM, LOG_OP, LOG_OP_OPT that are due now. */
static inline void tcg_log_ir(const struct ir_block *ir, const struct guest_code *code, uint32_t items)
{
	if (log_on(items))
		tcg_log_ir_slow(ir, code, items & log_mask);
}

static inline void tcg_log_code(const struct tb *tb)
{
	if (log_on(LOG_OUT_ASM))
		tcg_log_code_slow(tb);
}

#endif
