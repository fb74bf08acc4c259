/* SPDX-License-Identifier: MIT */
/*
 * The 32-bit entry of the Linux boot protocol, and traps of 32-bit programs. Entry n lies at trap_entries + 16 n.
 */
	.section .head, "ax"
	.code32
	cld
	cli
	movl	$boot_stack_top, %esp
	movl	%esi, %ebx
	movl	$bss_start, %edi
	movl	$bss_end, %ecx
	subl	%edi, %ecx
	xorl	%eax, %eax
	rep stosb
	pushl	%ebx
	call	rt32_start
1:	hlt
	jmp	1b

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
	pushl	$0
	.endif
	pushl	$vector
	jmp	trap_common
	.set	vector, vector + 1
	.endr

trap_common:
	pushal
	pushl	%ds
	pushl	%es
	pushl	%fs
	pushl	%gs
	movl	$0x18, %eax
	movl	%eax, %ds
	movl	%eax, %es
	cld
	movl	%esp, %eax
	pushl	%eax
	call	trap_dispatch
	addl	$4, %esp
load_regs:
	popl	%gs
	popl	%fs
	popl	%es
	popl	%ds
	popal
	addl	$8, %esp
	iretl

	/* enter_regs(const struct regs *) */
	.globl	enter_regs
enter_regs:
	movl	4(%esp), %esi
	subl	$92, %esp
	movl	%esp, %edi
	movl	$23, %ecx
	cld
	rep movsl
	jmp	load_regs

	/* catch_enter(uint32_t *esp, fn, arg): 0 when fn returns, 1 through catch_leave(esp). */
	.globl	catch_enter, catch_leave
catch_enter:
	pushl	%ebx
	pushl	%esi
	pushl	%edi
	pushl	%ebp
	movl	20(%esp), %eax
	movl	%esp, (%eax)
	movl	24(%esp), %ecx
	pushl	28(%esp)
	call	*%ecx
	addl	$4, %esp
	xorl	%eax, %eax
1:	popl	%ebp
	popl	%edi
	popl	%esi
	popl	%ebx
	ret
catch_leave:
	movl	4(%esp), %edx
	movl	$0x18, %eax
	movl	%eax, %ss
	movl	%edx, %esp
	movl	%eax, %ds
	movl	%eax, %es
	pushl	$2
	popfl
	movl	$1, %eax
	jmp	1b

	.globl	load_segments
load_segments:
	movl	$0x18, %eax
	movl	%eax, %ds
	movl	%eax, %es
	movl	%eax, %fs
	movl	%eax, %gs
	movl	%eax, %ss
	ljmp	$0x10, $1f
1:	ret

	.bss
	.balign	16
	.skip	16384
boot_stack_top:
