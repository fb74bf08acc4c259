/* SPDX-License-Identifier: MIT */
/* Lists generated code for -d out_asm, through Zydis. Fields of the environment are shown as gs:[offset]. */
#include "tcg/backend/x86_64/disasm.h"

#include <Zydis/Zydis.h>
#include <stdio.h>

void x86_64_disasm(const uint8_t *rw, const uint8_t *rx, size_t size, void (*line)(void *opaque, const char *text), void *opaque)
{
	ZydisDecodedOperand ops[ZYDIS_MAX_OPERAND_COUNT];
	ZydisDecodedInstruction insn;
	ZydisFormatter formatter;
	ZydisDecoder decoder;
	char text[128], out[192];

	if (!ZYAN_SUCCESS(ZydisDecoderInit(&decoder, ZYDIS_MACHINE_MODE_LONG_64, ZYDIS_STACK_WIDTH_64)) ||
	    !ZYAN_SUCCESS(ZydisFormatterInit(&formatter, ZYDIS_FORMATTER_STYLE_INTEL)))
		return;
	for (size_t pos = 0; pos < size; pos += insn.length) {
		if (!ZYAN_SUCCESS(ZydisDecoderDecodeFull(&decoder, rw + pos, size - pos, &insn, ops)) ||
		    !ZYAN_SUCCESS(ZydisFormatterFormatInstruction(&formatter, &insn, ops, insn.operand_count_visible, text,
								  sizeof(text), (ZyanU64)(uintptr_t)(rx + pos), NULL))) {
			insn.length = 1;
			snprintf(text, sizeof(text), "(bad) %02x", rw[pos]);
		}
		snprintf(out, sizeof(out), "%p:  %s", (const void *)(rx + pos), text);
		line(opaque, out);
	}
}
