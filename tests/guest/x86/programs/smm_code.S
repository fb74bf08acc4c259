/* SPDX-License-Identifier: MIT */
/*
 * The SMI handler of smm.c: 16-bit code, position-independent. It works in 4 GiB segments at base 0; results go to SMM_OUT.
 */
#define SMM_OUT 0x60000

	.text
	.globl	smi_handler, smi_handler_end
	.code16
smi_handler:
	movl	$SMM_OUT, %ebx
	addr32 incl (%ebx)                      /* how often */
	addr32 movl %esp, 4(%ebx)
	movl	%cr0, %eax
	addr32 movl %eax, 8(%ebx)
	movl	%cr4, %eax
	addr32 movl %eax, 12(%ebx)
	pushfl
	popl	%eax
	addr32 movl %eax, 16(%ebx)
	movw	%cs, %ax
	addr32 movw %ax, 20(%ebx)
	movl	$0xc0000080, %ecx
	rdmsr
	addr32 movl %eax, 24(%ebx)
	movl	%dr7, %eax
	addr32 movl %eax, 28(%ebx)
	/* A new SMBASE, if asked for. */
	addr32 movl 32(%ebx), %eax
	testl	%eax, %eax
	jz	1f
	addr32 movl 36(%ebx), %ecx              /* the current one */
	addr32 movl %eax, 0xff00(%ecx)
1:	/* Leaves a mark in the interrupted RAX, if asked for. */
	addr32 movl 40(%ebx), %eax
	testl	%eax, %eax
	jz	2f
	addr32 movl 36(%ebx), %ecx
	addr32 movl %eax, 0xfff8(%ecx)
2:	/* Waits in vain for what is blocked here: an NMI to itself. */
	addr32 cmpl $0, 44(%ebx)
	je	3f
	movl	$0xfee00000, %ecx
	addr32 movl $0, 0x310(%ecx)
	addr32 movl $0x44400, 0x300(%ecx)
3:	/* Which CPU. */
	movl	$0xfee00000, %ecx
	addr32 movl 0x20(%ecx), %eax
	addr32 movl %eax, 60(%ebx)
	/* As long as it is told to. */
4:	addr32 incl 52(%ebx)
	addr32 cmpl $0, 48(%ebx)
	jne	4b
	addr32 incl 56(%ebx)
	rsm
smi_handler_end:
	.code64
	.globl	smi_registers
	/*
	 * All registers hold known values while an SMI comes, sent by the write to (RDI), the ICR; RSI: the count to wait for. Returns what the
	 * registers sum up to, and the flags in RDX.
	 */
smi_registers:
	pushq	%rbx
	pushq	%rbp
	pushq	%r12
	pushq	%r13
	pushq	%r14
	pushq	%r15
	movq	$0x1111111111111111, %rax
	movq	$0x2222222222222222, %rbx
	movq	$0x3333333333333333, %rcx
	movq	$0x4444444444444444, %rdx
	movq	$0x5555555555555555, %rbp
	movq	$0x8888888888888888, %r8
	movq	$0x9999999999999999, %r9
	movq	$0xaaaaaaaaaaaaaaaa, %r10
	movq	$0xbbbbbbbbbbbbbbbb, %r11
	movq	$0xcccccccccccccccc, %r12
	movq	$0xdddddddddddddddd, %r13
	movq	$0xeeeeeeeeeeeeeeee, %r14
	movq	$0xffffffffffffffff, %r15
	std
	movl	$0x4200, (%rdi)                 /* ICR: SMI */
1:	cmpl	%esi, SMM_OUT
	jne	1b
	addq	%rbx, %rax
	addq	%rcx, %rax
	addq	%rdx, %rax
	addq	%rbp, %rax
	addq	%r8, %rax
	addq	%r9, %rax
	addq	%r10, %rax
	addq	%r11, %rax
	addq	%r12, %rax
	addq	%r13, %rax
	addq	%r14, %rax
	addq	%r15, %rax
	pushfq
	popq	%rdx
	cld
	popq	%r15
	popq	%r14
	popq	%r13
	popq	%r12
	popq	%rbp
	popq	%rbx
	ret
