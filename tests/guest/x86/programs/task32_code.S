/* SPDX-License-Identifier: MIT */
/*
 * Snippets of task32.c: bodies of tasks, and code that goes to them. Body code is position-independent.
 */
	.macro	CODE name
	.globl	\name
	.balign	16
\name:
	.endm

	.text
	.code32
	CODE	k_jump                  /* to the task at 0x40 */
	ljmp	$0x40, $0x12345678
	.globl	k_jump_next
k_jump_next:
	ret
	CODE	k_call
	lcall	$0x40, $0
	ret
	CODE	k_call_gate
	lcall	$0x58, $0
	ret
	CODE	k_int90
	int	$0x90
	ret
	CODE	k_ud
	ud2
	ret
	CODE	k_gp                    /* error code 0x7c */
	movl	$0x7c, %eax
	movl	%eax, %es
	ret
	CODE	k_iret_nt               /* NT set: to the task in the link field */
	pushfl
	orl	$0x4000, (%esp)
	popfl
	iretl
	ret
	CODE	u_call_gate
	lcall	$0x5b, $0
	int	$0x80
	CODE	u_call_tss
	lcall	$0x43, $0
	int	$0x80

	CODE	t_jump                  /* doubles EAX, goes back, and again */
	addl	%eax, %eax
	.globl	t_jump_at
t_jump_at:
	ljmp	$0x30, $0
	.globl	t_jump_next
t_jump_next:
	jmp	t_jump
	.globl	t_jump_end
t_jump_end:
	CODE	t_call                  /* counts in EBX, keeps its flags in ECX */
	incl	%ebx
	pushfl
	popl	%ecx
	iretl
	.globl	t_call_next
t_call_next:
	jmp	t_call
	CODE	t_error                 /* takes the error code off; the other task goes on 4 bytes further (EDX: its EIP field) */
	popl	%ebx
	addl	%esi, (%edx)
	iretl
	CODE	t_int80
	int	$0x80
	CODE	t_load                  /* EAX = (EDX) */
	movl	(%edx), %eax
	ljmp	$0x30, $0

	.globl	t_v86, t_v86_end
	.code16
t_v86:
	movw	%cs, %ax
	movw	%ds, %bx
	int3
t_v86_end:
	.code32
