/* SPDX-License-Identifier: MIT */
/*
 * Numbers that programs/real32.c shares with its assembly.
 */
#ifndef GUEST_REAL32_H
#define GUEST_REAL32_H

/* The segments of the 16-bit code, 64 KiB each. */
#define LOW_CODE 0x10000
#define LOW_DS	 0x20000
#define LOW_ES	 0x30000
#define LOW_SS	 0x40000
#define LOW_FS	 0x50000
#define LOW_END	 0x60000

/* Offsets in LOW_CODE. */
#define LOW_SNIPPET 0x1000
#define VAR_IN	    0x2000 /* EAX ECX EDX EBX ESP EBP ESI EDI EFLAGS */
#define VAR_OUT	    0x2040
#define VAR_FAULT   0x2080
#define VAR_BIG	    0x2081 /* segments of real mode keep the limits of protected mode */
#define VAR_LEAVE   0x2082
#define SCRATCH_SP  0x8000

/* Descriptors. */
#define SEL_LOW	   0x40 /* LOW_CODE, to switch modes */
#define SEL_BIG	   0x48 /* all data, for big real mode */
#define SEL_USER   0x50 /* code, then DS, ES, SS, FS and GS, of 16-bit protected mode */

#endif
