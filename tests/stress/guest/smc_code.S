/* SPDX-License-Identifier: MIT */
/*
 * Bodies of self-modifying code that must lie where they are: the changed byte right behind the store,
 * across a page end, in the same loop.
 */
	.text
	.globl	smc_next_insn, smc_loop, smc_backward, smc_rep, smc_page_cross, smc_locked

	/* Each: EDI = value to be planted into the immediate that is returned. */
	.balign	4096
smc_next_insn:
	movl	%edi, 1f+1(%rip)
1:	movl	$0, %eax
	ret

	/* The store changes an instruction several ones on in the same straight line, and one after a taken branch. */
	.balign	64
smc_backward:
	xorl	%ecx, %ecx
1:	movl	$0, %eax
	testl	%ecx, %ecx
	jnz	2f
	incl	%ecx
	movl	%edi, 1b+1(%rip)
	jmp	1b
2:	ret

	/* Every turn of the loop rewrites the loop's own increment: the sum tells which were executed. EDI turns. */
	.balign	64
smc_loop:
	xorl	%eax, %eax
	xorl	%ecx, %ecx
1:	incl	%ecx
	movl	%ecx, 2f+1(%rip)
2:	.byte	0x05, 0, 0, 0, 0        /* add $imm32, %eax */
	cmpl	%edi, %ecx
	jb	1b
	ret

	/* REP MOVSB over the instruction behind it. */
	.balign	64
smc_rep:
	pushq	%rdi
	movb	$0xb8, smc_rep_buffer
	movl	%edi, smc_rep_buffer+1
	leaq	1f(%rip), %rdi
	movl	$smc_rep_buffer, %esi
	movl	$5, %ecx
	cld
	rep movsb
1:	movl	$0, %eax
	popq	%rdi
	ret

	/* LOCK XADD into the immediate behind it. */
	.balign	64
smc_locked:
	movl	$0, 1f+1(%rip)
	movl	%edi, %edx
	lock xaddl %edx, 1f+1(%rip)
1:	movl	$0x11111111, %eax
	ret

	/* The changed instruction's immediate lies in the next page. */
	.balign	4096
	.skip	4096 - 10
smc_page_cross:
	.byte	0x89, 0x3d              /* mov %edi, 1f+1(%rip) */
	.long	6
	nop
	nop
	nop
	nop
	/* page end */
	nop
1:	movl	$0, %eax
	ret
	.balign	4096

	.bss
	.balign	16
smc_rep_buffer:
	.skip	16
