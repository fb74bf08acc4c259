/* SPDX-License-Identifier: MIT */
/*
 * Ways into 16-bit code and back: real mode, and the code itself, which is copied to LOW_CODE and runs there in real mode,
 * V86 mode and 16-bit protected mode alike. GS is its own segment, for data.
 */
#include "real32.h"

	.text
	.code32
	.globl	real_run
real_run:
	pushal
	movl	%esp, saved_esp
	sidt	saved_idt
	lidt	real_idt
	movl	$SEL_BIG, %eax          /* limits and bases that real mode keeps */
	movl	%eax, %ds
	movl	%eax, %es
	movl	%eax, %fs
	movl	%eax, %ss
	ljmp	$SEL_LOW, $(to_real - low_start)
back_from_real:
	movl	$0x18, %eax
	movl	%eax, %ds
	movl	%eax, %es
	movl	%eax, %fs
	movl	%eax, %gs
	movl	%eax, %ss
	movl	saved_esp, %esp
	lidt	saved_idt
	cld
	popal
	ret

	.globl	low_start, low_end, low_enter, low_exit, low_leave_real, low_leave_trap, low_de, low_ud, low_ss, low_gp
	.balign	16
low_start:
	.code16
to_real:
	movl	%cr0, %eax
	andb	$0xfe, %al
	movl	%eax, %cr0
	ljmp	$(LOW_CODE >> 4), $(1f - low_start)
1:	movw	$(LOW_CODE >> 4), %ax
	movw	%ax, %gs
	cmpb	$0, %gs:VAR_BIG
	jne	low_enter
	movw	$(LOW_DS >> 4), %ax
	movw	%ax, %ds
	movw	$(LOW_ES >> 4), %ax
	movw	%ax, %es
	movw	$(LOW_SS >> 4), %ax
	movw	%ax, %ss
	movw	$(LOW_FS >> 4), %ax
	movw	%ax, %fs
low_enter:
	movl	$SCRATCH_SP, %esp
	pushl	%gs:VAR_IN + 32
	popfl
	movl	%gs:VAR_IN, %eax
	movl	%gs:VAR_IN + 4, %ecx
	movl	%gs:VAR_IN + 8, %edx
	movl	%gs:VAR_IN + 12, %ebx
	movl	%gs:VAR_IN + 16, %esp
	movl	%gs:VAR_IN + 20, %ebp
	movl	%gs:VAR_IN + 24, %esi
	movl	%gs:VAR_IN + 28, %edi
	jmp	low_start + LOW_SNIPPET

low_exit:
	movl	%eax, %gs:VAR_OUT
	movl	%ecx, %gs:VAR_OUT + 4
	movl	%edx, %gs:VAR_OUT + 8
	movl	%ebx, %gs:VAR_OUT + 12
	movl	%esp, %gs:VAR_OUT + 16
	movl	%ebp, %gs:VAR_OUT + 20
	movl	%esi, %gs:VAR_OUT + 24
	movl	%edi, %gs:VAR_OUT + 28
	movl	$SCRATCH_SP, %esp
	pushfl
	popl	%gs:VAR_OUT + 32
	jmp	*%gs:VAR_LEAVE
low_leave_trap:
	int3

	/* Interrupts of real mode: only their number counts. */
low_de:
	movb	$0, %gs:VAR_FAULT
	jmp	low_leave_real
low_ud:
	movb	$6, %gs:VAR_FAULT
	jmp	low_leave_real
low_ss:
	movb	$12, %gs:VAR_FAULT
	jmp	low_leave_real
low_gp:
	movb	$13, %gs:VAR_FAULT
low_leave_real:
	cli
	movl	%cr0, %eax
	orb	$1, %al
	movl	%eax, %cr0
	ljmpl	$0x10, $back_from_real
low_end:
	.code32

	.data
	.balign	8
saved_esp:
	.long	0
saved_idt:
	.word	0
	.long	0
real_idt:
	.word	0x3ff
	.long	0
