/* SPDX-License-Identifier: MIT */
#include "tcg/tcg_log.h"

#include <stdio.h>

#include "tcg/cache/code_region.h"
#include "tcg/cache/tb.h"
#include "tcg/tcg.h"

static void log_line(void *opaque, const char *text)
{
	(void)opaque;
	log_write("%s\n", text);
}

static void log_guest_code(const struct ir_block *ir, const struct guest_code *code)
{
	size_t pos = 0, len = ir->guest_len < code->avail ? ir->guest_len : code->avail;
	char text[160];

	log_write("IN: %#llx, %u instructions\n", (unsigned long long)ir->pc, ir->guest_insns);
	while (pos < len) {
		size_t n = tcg_guest->disasm(ir->flags, ir->pc + pos, code->bytes + pos, len - pos, text, sizeof(text));

		log_write("%#llx:  %s\n", (unsigned long long)(ir->pc + pos), text);
		pos += n ? n : 1;
	}
}

void tcg_log_ir_slow(const struct ir_block *ir, const struct guest_code *code, uint32_t items)
{
	if (items & LOG_IN_ASM)
		log_guest_code(ir, code);
	if (items & (LOG_OP | LOG_OP_OPT)) {
		log_write("%s: %#llx\n", items & LOG_OP ? "OP" : "OP_OPT", (unsigned long long)ir->pc);
		ir_print(ir, log_line, NULL);
	}
}

void tcg_log_code_slow(const struct tb *tb)
{
	log_write("OUT: %#llx at %p, %u bytes\n", (unsigned long long)tb->pc, (void *)tb->code, tb->code_size);
	if (tcg_backend->disasm)
		tcg_backend->disasm(code_rw(tb->code), tb->code, tb->code_size, log_line, NULL);
}
