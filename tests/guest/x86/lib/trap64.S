/* SPDX-License-Identifier: MIT */
/*
 * Entry of all 256 vectors, and the ways into and out of code under observation. Entry n lies at trap_entries + 16 n.
 */
#include "selectors.h"

	.text
	.globl	trap_entries
	.balign	16
trap_entries:
	.set	vector, 0
	.rept	256
	.balign	16
	.if	vector == 8 || (vector >= 10 && vector <= 14) || vector == 17 || vector == 21
	nop
	.else
	pushq	$0
	.endif
	pushq	$vector
	jmp	trap_common
	.set	vector, vector + 1
	.endr

trap_common:
	pushq	%rax
	pushq	%rbx
	pushq	%rcx
	pushq	%rdx
	pushq	%rsi
	pushq	%rdi
	pushq	%rbp
	pushq	%r8
	pushq	%r9
	pushq	%r10
	pushq	%r11
	pushq	%r12
	pushq	%r13
	pushq	%r14
	pushq	%r15
	cld
	movq	%rsp, %rdi
	movq	%rsp, %rbp
	andq	$-16, %rsp
	call	trap_dispatch
	movq	%rbp, %rsp
	.globl	load_regs_iret
load_regs:
	popq	%r15
	popq	%r14
	popq	%r13
	popq	%r12
	popq	%r11
	popq	%r10
	popq	%r9
	popq	%r8
	popq	%rbp
	popq	%rdi
	popq	%rsi
	popq	%rdx
	popq	%rcx
	popq	%rbx
	popq	%rax
	addq	$16, %rsp
load_regs_iret:
	iretq

	/* enter_regs(const struct regs *): from a copy, for the frame is overwritten by the next trap. */
	.globl	enter_regs
enter_regs:
	subq	$176, %rsp
	movq	%rdi, %rsi
	movq	%rsp, %rdi
	movl	$22, %ecx
	cld
	rep movsq
	jmp	load_regs

	/* catch_enter(struct catch_frame *, fn, arg): 0 when fn returns, 1 by way of catch_resume. */
	.globl	catch_enter, catch_resume
catch_enter:
	pushq	%rbx
	pushq	%rbp
	pushq	%r12
	pushq	%r13
	pushq	%r14
	pushq	%r15
	subq	$8, %rsp
	movq	%rsp, (%rdi)
	movq	%rdx, %rdi
	call	*%rsi
	xorl	%eax, %eax
	jmp	1f
catch_resume:
	movl	$1, %eax
1:	addq	$8, %rsp
	popq	%r15
	popq	%r14
	popq	%r13
	popq	%r12
	popq	%rbp
	popq	%rbx
	ret

	/* load_segments(): after LGDT; the code segment by a far return. */
	.globl	load_segments
load_segments:
	movl	$SEL_KDATA, %eax
	movl	%eax, %ds
	movl	%eax, %es
	movl	%eax, %ss
	xorl	%eax, %eax
	movl	%eax, %fs
	movl	%eax, %gs
	popq	%rax
	pushq	$SEL_KCODE
	pushq	%rax
	lretq
