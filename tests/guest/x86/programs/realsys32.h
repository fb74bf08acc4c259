/* SPDX-License-Identifier: MIT */
/*
 * Numbers that realsys32.c shares with its assembly.
 */
#ifndef GUEST_REALSYS32_H
#define GUEST_REALSYS32_H

/* Segments, 64 KiB each. */
#define RM_CODE 0x10000 /* CS, DS */
#define RM_DATA 0x20000 /* ES */
#define RM_STACK 0x30000

/* Offsets in RM_CODE. */
#define RM_SNIPPET 0x4000
#define RM_VARS	   0x3000
#define VAR_FLAGS  (RM_VARS + 0)  /* 32 bits: before the snippet */
#define VAR_AX	   (RM_VARS + 4)  /* 32 bits each: registers behind it, AX DX CX BX */
#define VAR_NMI	   (RM_VARS + 20) /* 16 bits: the NMI handler sends itself another one */
#define VAR_DEPTH  (RM_VARS + 22) /* 16 bits: NMI handlers that are running; in the high byte the most there were */
#define VAR_NR	   (RM_VARS + 24) /* 16 bits: entries of the log */
#define VAR_SP	   (RM_VARS + 26)
#define VAR_LOG	   (RM_VARS + 32) /* vector, IP, flags, SP, DR6 (low half), CS */
#define LOG_ENTRY  16
#define LOG_MAX	   40

#define RM_SP	   0x8000
#define SEL_RM	   0x40
#define SEL_RMDATA 0x48

#endif
