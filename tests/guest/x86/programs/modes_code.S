/* SPDX-License-Identifier: MIT */
/*
 * Snippets of modes.c; what is not reached by a trap ends with INT 0x80. User code runs at its USER_BASE alias, so it
 * names nothing by absolute address except through registers that the test sets.
 */
#include "selectors.h"

	.macro	CODE name
	.globl	\name
	.balign	16
\name:
	.endm

	.text
	.code64

	/* ---- SYSCALL and SYSENTER */
	CODE	u_syscall
	syscall
	.globl	u_syscall_next
u_syscall_next:
	int	$0x80
	CODE	u_syscall_rdtsc
	syscall
	.globl	u_syscall_rdtsc_next
u_syscall_rdtsc_next:
	rdtsc
	int	$0x80
	CODE	k_sysretq_interrupts
	orl	$0x200, %r11d
	sysretq
	CODE	k_syscall_sysretq
	movq	%rcx, %rbx
	movq	%r11, %rbp
	movq	%cs, %r12
	movq	%ss, %r13
	pushfq                          /* the stack is still the user's */
	popq	%r14
	sysretq
	CODE	k_syscall_sysretl       /* to RDI in compatibility mode */
	movl	%edi, %ecx
	sysretl
	CODE	k_trap
	int	$0x81

	CODE	u_sysenter
	sysenter
	int	$0x80
	CODE	k_sysenter_sysexitq     /* to RDI, RSI */
	movq	%cs, %r12
	movq	%ss, %r13
	movq	%rsp, %r14
	movq	%rdi, %rdx
	movq	%rsi, %rcx
	rex.w sysexit
	CODE	k_sysenter_sysexitl
	movq	%cs, %r12
	movq	%ss, %r13
	movq	%rsp, %r14
	movl	%edi, %edx
	movl	%esi, %ecx
	.byte	0x0f, 0x35

	.code32
	CODE	c_sysenter
	sysenter
	int	$0x80
	CODE	c_syscall
	syscall
	int	$0x80
	CODE	c_where                 /* compatibility mode: what we are */
	movl	%cs, %eax
	movl	%ss, %ecx
	movl	%esp, %edx
	.byte	0x40                    /* INC EAX here, a REX prefix in 64-bit mode */
	int	$0x80
	.code64
	CODE	u_where
	movq	%cs, %rax
	movq	%ss, %rcx
	movq	%rsp, %rdx
	int	$0x80

	/* ---- Far transfers; RDI: target offset, RSI: selector, memory at the stack */
	CODE	x_ljmpq
	movq	%rdi, -32(%rsp)
	movw	%si, -24(%rsp)
	rex.w ljmp *-32(%rsp)
	CODE	x_ljmpl
	movl	%edi, -32(%rsp)
	movw	%si, -28(%rsp)
	ljmpl	*-32(%rsp)
	CODE	x_lcallq
	movq	%rdi, -32(%rsp)
	movw	%si, -24(%rsp)
	rex.w lcall *-32(%rsp)
	.globl	x_lcallq_next
x_lcallq_next:
	movq	%cs, %r15
	int	$0x80
	CODE	x_lcalll
	movl	%edi, -32(%rsp)
	movw	%si, -28(%rsp)
	lcall	*-32(%rsp)
	.globl	x_lcalll_next
x_lcalll_next:
	int	$0x80
	CODE	x_lretq
	pushq	%rsi
	pushq	%rdi
	lretq
	CODE	x_lretq_imm
	subq	$32, %rsp
	pushq	%rsi
	pushq	%rdi
	lretq	$32
	CODE	k_gate_target           /* far-called: looks about and returns */
	movq	%cs, %rbx
	movq	%ss, %rbp
	movq	%rsp, %r12
	movq	0(%rsp), %r8
	movq	8(%rsp), %r9
	movq	16(%rsp), %r10
	movq	24(%rsp), %r11
	lretq
	.code32
	CODE	c_far_target            /* far-called from 64-bit code with a 32-bit frame */
	movl	%cs, %ebx
	movl	(%esp), %eax
	movl	4(%esp), %ecx
	lret

	CODE	c_lcall_gate            /* a call gate from compatibility mode: offset ignored */
	.byte	0x9a
	.long	0x12345678
	.word	0x53
	movl	%cs, %eax
	int	$0x80
	.code64

	/* ---- IRET: RDI and up hold the frame to push */
	.macro	PUSH_FRAME push
	\push	%r12                    /* SS */
	\push	%r11                    /* RSP */
	\push	%r10                    /* flags */
	\push	%r9                     /* CS */
	\push	%r8                     /* RIP */
	.endm
	CODE	x_iretq
	PUSH_FRAME pushq
	iretq
	CODE	x_iretl
	subq	$20, %rsp
	movl	%r8d, (%rsp)
	movl	%r9d, 4(%rsp)
	movl	%r10d, 8(%rsp)
	movl	%r11d, 12(%rsp)
	movl	%r12d, 16(%rsp)
	iretl
	CODE	x_flags                 /* flags as they are here */
	pushfq
	popq	%rax
	int	$0x80

	/* ---- GS and FS */
	CODE	u_gs_load
	movq	%gs:8, %rax
	movq	%fs:16, %rbx
	int	$0x80
	CODE	x_rdwr_bases
	rdfsbase %rax
	rdgsbase %rbx
	wrfsbase %rdi
	wrgsbase %rsi
	rdfsbase %rcx
	rdgsbase %rdx
	rdfsbase %ebp
	int	$0x80
	CODE	x_wrfsbase_bad
	movq	$0x800000000000, %rax
	wrfsbase %rax
	int	$0x80
	CODE	x_load_fs
	movl	%edi, %fs
	movl	%esi, %gs
	movq	%fs:(%rdx), %rax
	int	$0x80

	/* ---- Segments in compatibility mode. ES: selector in EAX, offset in EBX. */
	.code32
	CODE	c_es_load
	movl	%eax, %es
	movl	%es:(%ebx), %ecx
	int	$0x80
	CODE	c_es_store
	movl	%eax, %es
	movl	%edx, %es:(%ebx)
	int	$0x80
	CODE	c_es_exec               /* loads through CS */
	movl	%cs:(%ebx), %ecx
	int	$0x80
	CODE	c_ss_load
	movl	%esp, %esi
	movl	%eax, %ss
	movl	%ebx, %ebp
	movl	(%ebp), %ecx
	int	$0x80
	CODE	c_arpl
	arpl	%bx, %ax
	int	$0x80
	CODE	c_lds
	pushl	$SEL_UDATA
	pushl	$0x1234
	lds	(%esp), %ebx
	movl	%ds, %ecx
	addl	$8, %esp
	int	$0x80
	CODE	c_bcd
	movl	$0x0f09, %eax
	addb	$8, %al
	daa
	movl	%eax, %ebx
	movl	$0x17, %eax
	aam
	movl	%eax, %ecx
	movb	$7, %al
	addb	$5, %al
	aaa
	int	$0x80
	CODE	c_pusha
	movl	%esp, %edx
	pushal
	popal
	cmpl	%esp, %edx
	sete	%al
	int	$0x80
	CODE	c_far_jump              /* direct, to the 64-bit code at its fixed user address */
	.byte	0xea
	.long	u_where + 0xc0000000
	.word	SEL_UCODE
	/* 16-bit code in compatibility mode. */
	.code16
	CODE	s_16bit
	movw	%sp, %cx
	pushw	$0x1234
	popw	%ax
	movl	$0x12345678, %ebx
	addw	$0xffff, %bx
	call	1f
1:	popw	%si
	subw	$(1b - s_16bit), %si    /* where we are: the start */
	movw	$2, %di
	movw	(%di), %dx              /* DS:2, with DS based */
	int	$0x80
	.code64

	/* ---- Queries */
	CODE	x_query
	larl	%edi, %eax
	setz	%bl
	lsll	%edi, %ecx
	setz	%bh
	verr	%di
	setz	%dl
	verw	%di
	setz	%dh
	int	$0x80
	CODE	x_addr32
	movl	(%edi), %eax
	leal	(%rdi, %rdi), %ecx
	leaq	(%edi, %edi), %rdx
	int	$0x80
	CODE	u_in8
	inb	%dx, %al
	int	$0x80
	CODE	u_in16
	inw	%dx, %ax
	int	$0x80
	CODE	u_cli_sti
	cli
	sti
	pushfq
	popq	%rax
	cli
	int	$0x80
	CODE	x_popf
	pushq	%rdi
	popfq
	pushfq
	popq	%rax
	int	$0x80
