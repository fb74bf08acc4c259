/* SPDX-License-Identifier: MIT */
/*
 * Into and out of a case on the real CPU. All state goes through the variables of native.c; the C stack pointer and C's FS base are
 * kept in two of them, because while a case runs nothing else of C's is left. 16-bit and 32-bit code is entered by the same far jump as
 * 64-bit code; its stubs jump back to 64-bit ones.
 *
 *   native_enter    loads native_in_* and jumps to native_far; returns when native_leave0..2 or native_abort is reached
 *   native_leave0.. terminators lead here: store everything to native_out_*, and which one it was to native_term
 *   native_signal   signal handler: gives C its FS base back, then goes on in native_on_signal() on the alternate stack
 *   native_abort    from C: back to the caller of native_enter
 *
 * EFLAGS.AC may be set while any of these run, until they clear it.
 */
	.text

	.globl native_enter
	.type native_enter, @function
native_enter:
	push %rbx
	push %rbp
	push %r12
	push %r13
	push %r14
	push %r15
	mov %rsp, native_host_sp(%rip)
	rdfsbase %rax
	mov %rax, native_host_fs(%rip)
	mov native_xmask(%rip), %eax
	xor %edx, %edx
	xrstor64 native_in_x(%rip)
	mov native_in_sel + 0 * 2(%rip), %es
	mov native_in_sel + 3 * 2(%rip), %ds
	mov native_in_sel + 4 * 2(%rip), %fs
	mov native_in_sel + 5 * 2(%rip), %gs
	cmpl $0, native_bases(%rip)
	je 1f
	mov native_in_gs(%rip), %rax
	wrgsbase %rax
	mov native_in_fs(%rip), %rax
	wrfsbase %rax
1:	pushq native_in_flags(%rip)
	popfq
	mov native_in_sel + 2 * 2(%rip), %ss
	mov native_in_gpr + 0 * 8(%rip), %rax
	mov native_in_gpr + 1 * 8(%rip), %rcx
	mov native_in_gpr + 2 * 8(%rip), %rdx
	mov native_in_gpr + 3 * 8(%rip), %rbx
	mov native_in_gpr + 4 * 8(%rip), %rsp
	mov native_in_gpr + 5 * 8(%rip), %rbp
	mov native_in_gpr + 6 * 8(%rip), %rsi
	mov native_in_gpr + 7 * 8(%rip), %rdi
	mov native_in_gpr + 8 * 8(%rip), %r8
	mov native_in_gpr + 9 * 8(%rip), %r9
	mov native_in_gpr + 10 * 8(%rip), %r10
	mov native_in_gpr + 11 * 8(%rip), %r11
	mov native_in_gpr + 12 * 8(%rip), %r12
	mov native_in_gpr + 13 * 8(%rip), %r13
	mov native_in_gpr + 14 * 8(%rip), %r14
	mov native_in_gpr + 15 * 8(%rip), %r15
	ljmp *native_far(%rip)

	.globl native_leave0
	.type native_leave0, @function
native_leave0:
	movl $0, native_term(%rip)
	jmp leave

	.globl native_leave1
	.type native_leave1, @function
native_leave1:
	movl $1, native_term(%rip)
	jmp leave

	.globl native_leave2
	.type native_leave2, @function
native_leave2:
	movl $2, native_term(%rip)
leave:
	mov %rax, native_out_gpr + 0 * 8(%rip)
	mov %rcx, native_out_gpr + 1 * 8(%rip)
	mov %rdx, native_out_gpr + 2 * 8(%rip)
	mov %rbx, native_out_gpr + 3 * 8(%rip)
	mov %rsp, native_out_gpr + 4 * 8(%rip)
	mov %rbp, native_out_gpr + 5 * 8(%rip)
	mov %rsi, native_out_gpr + 6 * 8(%rip)
	mov %rdi, native_out_gpr + 7 * 8(%rip)
	mov %r8, native_out_gpr + 8 * 8(%rip)
	mov %r9, native_out_gpr + 9 * 8(%rip)
	mov %r10, native_out_gpr + 10 * 8(%rip)
	mov %r11, native_out_gpr + 11 * 8(%rip)
	mov %r12, native_out_gpr + 12 * 8(%rip)
	mov %r13, native_out_gpr + 13 * 8(%rip)
	mov %r14, native_out_gpr + 14 * 8(%rip)
	mov %r15, native_out_gpr + 15 * 8(%rip)
	mov %es, native_out_sel + 0 * 2(%rip)
	mov %ss, native_out_sel + 2 * 2(%rip)
	mov %ds, native_out_sel + 3 * 2(%rip)
	mov %fs, native_out_sel + 4 * 2(%rip)
	mov %gs, native_out_sel + 5 * 2(%rip)
	mov native_host_sp(%rip), %rsp
	pushfq
	popq native_out_flags(%rip)
	pushq $2
	popfq
	mov native_xmask(%rip), %eax
	xor %edx, %edx
	xsave64 native_out_x(%rip)
	fnstenv native_out_env(%rip)
	rdfsbase %rax
	mov %rax, native_out_fs(%rip)
	rdgsbase %rax
	mov %rax, native_out_gs(%rip)

	.globl native_abort
	.type native_abort, @function
native_abort:
	mov native_host_sp(%rip), %rsp
	pushq $2
	popfq
	mov $0x2b, %eax
	mov %eax, %ss
	xor %eax, %eax
	mov %eax, %ds
	mov %eax, %es
	mov %eax, %fs
	mov %eax, %gs
	mov native_host_fs(%rip), %rax
	wrfsbase %rax
	fninit
	cmpb $0, native_has_avx(%rip)
	je 1f
	vzeroupper
1:
	ldmxcsr native_plain_mxcsr(%rip)
	pop %r15
	pop %r14
	pop %r13
	pop %r12
	pop %rbp
	pop %rbx
	ret

	.globl native_signal
	.type native_signal, @function
native_signal:
	pushfq
	andl $~0x40000, (%rsp)
	popfq
	mov %es, native_out_sel + 0 * 2(%rip)
	mov %ds, native_out_sel + 3 * 2(%rip)
	mov %fs, native_out_sel + 4 * 2(%rip)
	mov %gs, native_out_sel + 5 * 2(%rip)
	rdfsbase %rax
	mov %rax, native_out_fs(%rip)
	rdgsbase %rax
	mov %rax, native_out_gs(%rip)
	mov native_host_fs(%rip), %rax
	wrfsbase %rax
	jmp native_on_signal

	.section .rodata
	.balign 4
native_plain_mxcsr:
	.long 0x1f80

	.section .note.GNU-stack, "", @progbits
