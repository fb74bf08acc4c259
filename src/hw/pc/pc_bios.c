/* SPDX-License-Identifier: MIT */
/*
 * What stays of a BIOS when a loader starts the guest without one: services that say no, instead of vectors that lead to
 * address 0 (IBM PC AT Technical Reference, "System BIOS"; the places are those of compatible BIOSes).
 *
 * Hypervisors and boot loaders ask for the memory map, the keyboard's state and disks through real-mode interrupts even if
 * they were started otherwise, and take a set carry flag for an answer.
 */
#include "hw/pc/pc_impl.h"
#include "hw/pc/pc_map.h"
#include "mem/aspace.h"
#include "util/err.h"

#define ROM_SEGMENT 0xf000u
#define ROM_BASE 0xf0000u
#define OFF_REFUSE 0xff40u
#define OFF_IRET 0xff53u
#define OFF_RESET 0xfff0u

/* PUSH BP; MOV BP, SP; OR BYTE PTR [BP + 6], 1; POP BP; IRET: carry in the caller's flags. */
static const uint8_t refuse[] = {0x55, 0x89, 0xe5, 0x80, 0x4e, 0x06, 0x01, 0x5d, 0xcf};
static const uint8_t iret[] = {0xcf};
/* MOV AL, FEh; OUT 64h, AL; CLI; HLT; JMP to itself: who jumps to the reset vector wants a reset. */
static const uint8_t reset[] = {0xb0, 0xfe, 0xe6, 0x64, 0xfa, 0xf4, 0xeb, 0xfd};

enum { FIRST_SERVICE = 0x10, LAST_SERVICE = 0x1a, VECTORS = 256 };

int pc_bios_load(struct err *err)
{
	const uint16_t ebda_segment = PC_EBDA >> 4, ram_kb = PC_EBDA >> 10;
	uint32_t ivt[VECTORS];

	for (unsigned v = 0; v < VECTORS; v++)
		ivt[v] = ROM_SEGMENT << 16 | (v >= FIRST_SERVICE && v <= LAST_SERVICE ? OFF_REFUSE : OFF_IRET);
	if (dma_write(0, ivt, sizeof(ivt)) != 0 || dma_write(ROM_BASE + OFF_REFUSE, refuse, sizeof(refuse)) != 0 ||
	    dma_write(ROM_BASE + OFF_IRET, iret, sizeof(iret)) != 0 ||
	    dma_write(ROM_BASE + OFF_RESET, reset, sizeof(reset)) != 0 ||
	    dma_write(PC_BDA_EBDA_SEG, &ebda_segment, sizeof(ebda_segment)) != 0 ||
	    dma_write(PC_BDA_RAM_KB, &ram_kb, sizeof(ram_kb)) != 0)
		return err_set(err, "no room for the BIOS data area");
	return 0;
}
