/* SPDX-License-Identifier: MIT */
/*
 * Snippets of newer.c.
 */
#include "selectors.h"

	.text
	.code64
	.globl	w_switch, w_load, w_store, w_load_next, w_rdpkru, w_wrpkru, w_wrpkru_edx, w_cr4, w_fetch
	.globl	w_mwait_bad, w_monitor_bad, w_user_load, w_user_store, w_user_mwait

	/* Paging off, CR3 = EDI, CR4 = ESI, paging on: only so can CR4.LA57 change. */
w_switch:
	pushq	%rbx
	movq	%rsp, %rdx
	movl	$1f, %eax
	pushq	$SEL_KCODE32
	pushq	%rax
	lretq
	.code32
1:	movl	%cr0, %eax
	andl	$0x7fffffff, %eax
	movl	%eax, %cr0
	movl	%edi, %cr3
	movl	%esi, %cr4
	orl	$0x80000000, %eax
	movl	%eax, %cr0
	ljmp	$SEL_KCODE, $2f
	.code64
2:	movq	%rdx, %rsp
	popq	%rbx
	ret

w_load:                                         /* argument in w_address */
	movq	w_address, %rax
w_load_next:
	movq	(%rax), %rax
	ret
w_store:
	movq	w_address, %rax
	movq	$0x77, (%rax)
	ret
w_fetch:
	movq	w_address, %rax
	call	*%rax
	ret
w_rdpkru:
	movq	w_address, %rcx
	rdpkru
	ret
w_wrpkru:
	xorl	%ecx, %ecx
	xorl	%edx, %edx
	movq	w_address, %rax
	wrpkru
	ret
w_wrpkru_edx:
	xorl	%ecx, %ecx
	movl	$1, %edx
	wrpkru
	ret
w_cr4:
	movq	w_address, %rax
	movq	%rax, %cr4
	ret
w_mwait_bad:
	xorl	%eax, %eax
	movl	$2, %ecx
	mwait
	ret
w_monitor_bad:
	leaq	w_address, %rax
	movl	$1, %ecx
	xorl	%edx, %edx
	monitor
	ret
w_user_load:
	movq	(%rdi), %rax
	int	$0x80
w_user_store:
	movq	%rax, (%rdi)
	int	$0x80
w_user_mwait:
	xorl	%eax, %eax
	xorl	%ecx, %ecx
	mwait
	int	$0x80

	.data
	.globl	w_address
w_address:
	.quad	0
