/* SPDX-License-Identifier: MIT */
/*
 * Numbers that assembly needs too. The selectors are of the one descriptor table, in the order SYSCALL, SYSRET,
 * SYSENTER and SYSEXIT want.
 */
#ifndef GUEST_SELECTORS_H
#define GUEST_SELECTORS_H

#define SEL_KCODE32 0x08
#define SEL_KCODE   0x10
#define SEL_KDATA   0x18
#define SEL_UCODE32 0x23
#define SEL_UDATA   0x2b
#define SEL_UCODE   0x33
#define SEL_TEST    0x40  /* to 0xf8: free for tests */
#define SEL_TSS	    0x100 /* 16 bytes per CPU */

#define MAX_CPUS   64
#define STACK_SIZE 16384
#define TRAMPOLINE 0x30000 /* page where other CPUs start */

#endif
