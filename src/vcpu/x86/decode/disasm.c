/* SPDX-License-Identifier: MIT */
/* Disassembly for the logs, through Zydis; the translator never comes here. */
#include "vcpu/x86/decode/decode.h"

#include <Zydis/Zydis.h>
#include <stdio.h>

static const struct {
	ZydisMachineMode machine;
	ZydisStackWidth stack;
} zydis_mode[] = {
	[X86_MODE_16] = { ZYDIS_MACHINE_MODE_LEGACY_16, ZYDIS_STACK_WIDTH_16 },
	[X86_MODE_32] = { ZYDIS_MACHINE_MODE_LEGACY_32, ZYDIS_STACK_WIDTH_32 },
	[X86_MODE_64] = { ZYDIS_MACHINE_MODE_LONG_64, ZYDIS_STACK_WIDTH_64 },
};

size_t x86_disasm(enum x86_mode mode, gva_t pc, const uint8_t *bytes, size_t avail, char *out, size_t out_size)
{
	ZydisDecodedOperand ops[ZYDIS_MAX_OPERAND_COUNT];
	ZydisDecodedInstruction insn;
	ZydisFormatter formatter;
	ZydisDecoder decoder;

	if (!avail || !out_size)
		return 0;
	if (ZYAN_SUCCESS(ZydisDecoderInit(&decoder, zydis_mode[mode].machine, zydis_mode[mode].stack)) &&
	    ZYAN_SUCCESS(ZydisFormatterInit(&formatter, ZYDIS_FORMATTER_STYLE_INTEL)) &&
	    ZYAN_SUCCESS(ZydisDecoderDecodeFull(&decoder, bytes, avail, &insn, ops)) &&
	    ZYAN_SUCCESS(ZydisFormatterFormatInstruction(&formatter, &insn, ops, insn.operand_count_visible, out,
							 out_size, pc, NULL)))
		return insn.length;
	snprintf(out, out_size, "(bad) %02x", bytes[0]);
	return 1;
}
