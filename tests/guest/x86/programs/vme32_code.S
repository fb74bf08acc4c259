/* SPDX-License-Identifier: MIT */
/*
 * Snippets of vme32.c: V86 code, copied to LOW_CODE, and ring-3 code.
 */
	.macro	VM name
	.globl	\name
	.balign	4
\name:
	.endm

	.text
	.globl	low_start, low_end
	.balign	16
	.code16
low_start:
	VM	vm_int
	int	$0x40
	.globl	vm_int_next
vm_int_next:
	movw	$0x7777, %cx
	int3
	VM	vm_handler              /* looks at its frame, goes back */
	pushw	%bp
	movw	%sp, %bp
	movw	2(%bp), %ax             /* IP */
	movw	4(%bp), %bx             /* CS */
	movw	6(%bp), %dx             /* flags */
	popw	%bp
	.globl	vm_handler_iret
vm_handler_iret:
	iretw
	VM	vm_handler_stops
	int3
	VM	vm_cli
	cli
	int3
	VM	vm_sti
	sti
	int3
	VM	vm_pushf
	pushfw
	popw	%ax
	int3
	VM	vm_pushfl
	pushfl
	int3
	VM	vm_popf                 /* AX */
	pushw	%ax
	.globl	vm_popf_at
vm_popf_at:
	popfw
	int3
	VM	vm_popfl
	pushl	%eax
	popfl
	int3
	VM	vm_iret                 /* flags in AX */
	pushw	%ax
	pushw	%cs
	pushw	$(1f - low_start)
	.globl	vm_iret_at
vm_iret_at:
	iretw
1:	int3
	VM	vm_iretl
	pushl	%eax
	pushl	$0x700
	pushl	$(1f - low_start)
	.globl	vm_iretl_at
vm_iretl_at:
	iretl
1:	int3
low_end:

	.code32
	VM	u_cli
	cli
	int	$0x80
	VM	u_sti
	sti
	int	$0x80
	VM	u_flags                 /* POPF of EAX, then PUSHF */
	pushl	%eax
	popfl
	pushfl
	popl	%eax
	int	$0x80
