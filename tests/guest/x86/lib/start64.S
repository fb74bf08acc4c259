/* SPDX-License-Identifier: MIT */
/*
 * The 64-bit entry of the Linux boot protocol, and the way of the other CPUs from real mode to the same place.
 */
#include "selectors.h"

	.section .head, "ax"
	.code32
	hlt
	.org	0x200
	.code64
	cld
	cli
	movq	$(cpu_stacks + STACK_SIZE), %rsp
	movq	%rsi, %rbx
	movq	$bss_start, %rdi
	movq	$bss_end, %rcx
	subq	%rdi, %rcx
	xorl	%eax, %eax
	rep stosb
	movq	%rbx, %rdi
	xorl	%ebp, %ebp
	call	rt64_start
1:	hlt
	jmp	1b

	.text
	.globl	ap_trampoline, ap_trampoline_end
	/* Copied to TRAMPOLINE; starts with CS = TRAMPOLINE >> 4, IP = 0. */
	.code16
ap_trampoline:
	cli
	cld
	movw	%cs, %ax
	movw	%ax, %ds
	lgdtl	ap_gdt_pointer - ap_trampoline
	movl	%cr0, %eax
	andl	$0x9fffffff, %eax
	orl	$0x33, %eax
	movl	%eax, %cr0
	ljmpl	$0x08, $(TRAMPOLINE + (ap_32 - ap_trampoline))
	.code32
ap_32:
	movw	$SEL_KDATA, %ax
	movw	%ax, %ds
	movw	%ax, %es
	movw	%ax, %ss
	movl	$0x6a0, %eax            /* PAE, PGE, OSFXSR, OSXMMEXCPT */
	movl	%eax, %cr4
	movl	$kernel_root, %eax
	movl	%eax, %cr3
	movl	$0xc0000080, %ecx
	movl	$0x901, %eax            /* SCE, LME, NXE */
	xorl	%edx, %edx
	wrmsr
	movl	%cr0, %eax
	orl	$0x80010000, %eax
	movl	%eax, %cr0
	ljmpl	$SEL_KCODE, $ap_64
	.balign	8
ap_gdt:
	.quad	0
	.quad	0x00cf9a000000ffff
	.quad	0x00af9a000000ffff
	.quad	0x00cf92000000ffff
ap_gdt_pointer:
	.word	31
	.long	TRAMPOLINE + (ap_gdt - ap_trampoline)
ap_trampoline_end:

	.code64
ap_64:
	movl	$1, %eax
	lock xaddl %eax, ap_count
	movslq	%eax, %rdi
	cmpl	$MAX_CPUS, %eax
	jae	1f
	imulq	$STACK_SIZE, %rdi, %rsp
	addq	$(cpu_stacks + STACK_SIZE), %rsp
	xorl	%ebp, %ebp
	call	smp_cpu_main
1:	cli
	hlt
	jmp	1b
