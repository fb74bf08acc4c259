/* SPDX-License-Identifier: MIT */
/*
 * Instructions that trap. CODE name ... AT name ... ENDS: the trap is expected at name_at, or at name_next when the
 * instruction is finished.
 */
	.macro	CODE name
	.globl	\name, \name\()_at, \name\()_next
	.balign	16
\name:
	.endm
	.macro	AT name, insn:vararg
\name\()_at:
	\insn
\name\()_next:
	int	$0x80
	.endm
	.macro	ONE name, insn:vararg
	CODE	\name
	AT	\name, \insn
	.endm

	.text
	.code64

	CODE	x_div0
	xorl	%eax, %eax
	xorl	%edx, %edx
	xorl	%ecx, %ecx
	AT	x_div0, divl %ecx
	CODE	x_div_overflow
	movl	$1, %edx
	movl	$1, %ecx
	AT	x_div_overflow, divl %ecx
	CODE	x_idiv_overflow
	movl	$0x80000000, %eax
	cltd
	movl	$-1, %ecx
	AT	x_idiv_overflow, idivl %ecx
	CODE	x_div8_overflow
	movl	$0x200, %eax
	movl	$2, %ecx
	AT	x_div8_overflow, divb %cl
	CODE	x_idiv64_overflow
	movq	$1, %rax
	rorq	$1, %rax
	cqto
	movq	$-1, %rcx
	AT	x_idiv64_overflow, idivq %rcx

	ONE	x_icebp, .byte 0xf1
	ONE	x_int3, int3
	ONE	x_int_3, .byte 0xcd, 3
	ONE	x_int_20, int $0x20
	ONE	x_ud2, ud2
	ONE	x_ud1, ud1 %eax, %eax
	ONE	x_into64, .byte 0xce
	ONE	x_lock_nop, .byte 0xf0, 0x90
	ONE	x_lock_mov, .byte 0xf0, 0x89, 0xc0
	ONE	x_lock_cmp, .byte 0xf0, 0x39, 0x00
	ONE	x_lea_reg, .byte 0x8d, 0xc0
	ONE	x_push_es64, .byte 0x06
	ONE	x_bad_0f, .byte 0x0f, 0x04
	ONE	x_mov_cs, .byte 0x8e, 0xc8
	ONE	x_cr1, .byte 0x0f, 0x20, 0xc8

	CODE	x_load_noncanonical
	movq	$0x800000000000, %rbx
	AT	x_load_noncanonical, movq (%rbx), %rax
	CODE	x_store_noncanonical
	movq	$0xffff7fffffffffff, %rbx
	AT	x_store_noncanonical, movb %al, (%rbx)
	CODE	x_load_crosses_canonical
	movq	$0x7ffffffffffd, %rbx
	AT	x_load_crosses_canonical, movl (%rbx), %eax
	CODE	x_stack_noncanonical
	movq	$0x800000000000, %rbp
	AT	x_stack_noncanonical, movq (%rbp), %rax
	CODE	x_push_noncanonical
	movq	$0x800000000010, %rsp
	AT	x_push_noncanonical, pushq %rax
	CODE	x_jmp_noncanonical
	movq	$0x800000000000, %rbx
	AT	x_jmp_noncanonical, jmp *%rbx
	CODE	x_call_noncanonical
	movq	$0x800000000000, %rbx
	AT	x_call_noncanonical, call *%rbx
	CODE	x_ret_noncanonical
	movq	$0x800000000000, %rbx
	pushq	%rbx
	AT	x_ret_noncanonical, ret
	CODE	x_ret_imm_noncanonical
	movq	$0x800000000000, %rbx
	pushq	%rbx
	AT	x_ret_imm_noncanonical, ret $24
	CODE	x_ret_from_call
	call	1f
1:	movq	$0x800000000000, %rbx
	movq	%rbx, (%rsp)
	AT	x_ret_from_call, ret
	CODE	x_movaps_misaligned
	leaq	-15(%rsp), %rbx
	AT	x_movaps_misaligned, movaps (%rbx), %xmm0
	CODE	x_movntdq_misaligned
	leaq	-24(%rsp), %rbx
	AT	x_movntdq_misaligned, movntdq %xmm0, -1(%rbx)
	CODE	x_paddd_misaligned
	leaq	-15(%rsp), %rbx
	AT	x_paddd_misaligned, paddd (%rbx), %xmm0
	CODE	x_fxsave_misaligned
	leaq	-1016(%rsp), %rbx
	AT	x_fxsave_misaligned, fxsave 1(%rbx)
	CODE	x_cmpxchg16b_misaligned
	leaq	-56(%rsp), %rbx
	andq	$-16, %rbx
	AT	x_cmpxchg16b_misaligned, lock cmpxchg16b 8(%rbx)

	CODE	x_null_ss
	xorl	%eax, %eax
	AT	x_null_ss, movl %eax, %ss
	CODE	x_bad_ds
	movl	$0xfffb, %eax
	AT	x_bad_ds, movl %eax, %ds
	CODE	x_ldt_ds
	movl	$0x14, %eax
	AT	x_ldt_ds, movl %eax, %ds
	CODE	x_kdata_ds
	movl	$0x18, %eax
	AT	x_kdata_ds, movl %eax, %ds
	CODE	x_ss_rpl
	movl	$0x18, %eax
	AT	x_ss_rpl, movl %eax, %ss
	CODE	x_absent_ds
	movl	$0x43, %eax
	AT	x_absent_ds, movl %eax, %ds
	CODE	x_absent_ss
	movl	$0x43, %eax
	AT	x_absent_ss, movl %eax, %ss
	CODE	x_absent_cs
	pushq	$0x4b
	leaq	x_absent_cs_next(%rip), %rax
	pushq	%rax
	AT	x_absent_cs, lretq
	CODE	x_far_to_data
	pushq	$0x2b
	leaq	x_far_to_data_next(%rip), %rax
	pushq	%rax
	AT	x_far_to_data, lretq
	CODE	x_iret_null_cs
	pushq	$0x2b
	pushq	%rsp
	pushq	$2
	pushq	$0
	leaq	x_iret_null_cs_next(%rip), %rax
	pushq	%rax
	AT	x_iret_null_cs, iretq
	CODE	x_iret_nt
	pushq	$0x2b
	pushq	%rsp
	pushq	$0x4002
	popfq
	pushq	$2
	pushq	$0x33
	leaq	x_iret_nt_next(%rip), %rax
	pushq	%rax
	AT	x_iret_nt, iretq

	ONE	x_hlt, hlt
	ONE	x_cli, cli
	ONE	x_sti, sti
	ONE	x_in, inb $0x80, %al
	ONE	x_out, outb %al, $0x80
	ONE	x_ins, insb
	ONE	x_read_cr0, movq %cr0, %rax
	ONE	x_write_cr3, movq %rax, %cr3
	ONE	x_read_dr7, movq %dr7, %rax
	ONE	x_lgdt, lgdt (%rsp)
	ONE	x_lidt, lidt (%rsp)
	ONE	x_lldt, lldt %ax
	ONE	x_ltr, ltr %ax
	ONE	x_lmsw, lmsw %ax
	ONE	x_clts, clts
	ONE	x_invlpg, invlpg (%rsp)
	ONE	x_wbinvd, wbinvd
	ONE	x_invd, invd
	ONE	x_rdmsr, rdmsr
	ONE	x_wrmsr, wrmsr
	ONE	x_swapgs, swapgs
	ONE	x_sysret, sysretq
	ONE	x_sysexit, sysexitl
	ONE	x_rdpmc, rdpmc
	ONE	x_sgdt, sgdt -16(%rsp)
	ONE	x_str, str %eax
	ONE	x_smsw, smsw %eax
	ONE	x_rdtsc, rdtsc
	ONE	x_stac, stac
	CODE	x_popf_keeps_iopl
	pushq	$0x3202
	popfq
	pushfq
	popq	%rax
	AT	x_popf_keeps_iopl, nop

	CODE	x_wrmsr_bad
	movl	$0x12345678, %ecx
	AT	x_wrmsr_bad, wrmsr
	CODE	x_rdmsr_bad
	movl	$0x12345678, %ecx
	AT	x_rdmsr_bad, rdmsr
	CODE	x_lstar_noncanonical
	movl	$0xc0000082, %ecx
	movl	$0x8000, %edx
	AT	x_lstar_noncanonical, wrmsr
	CODE	x_efer_reserved
	movl	$0xc0000080, %ecx
	rdmsr
	orl	$0x200, %eax
	AT	x_efer_reserved, wrmsr
	CODE	x_cr0_pg_without_pe
	movl	$0x80000000, %eax
	AT	x_cr0_pg_without_pe, movq %rax, %cr0
	CODE	x_cr0_high
	movq	%cr0, %rax
	btsq	$32, %rax
	AT	x_cr0_high, movq %rax, %cr0
	CODE	x_cr0_pg_off_in_long_mode
	movq	%cr0, %rax
	andl	$0x7fffffff, %eax
	AT	x_cr0_pg_off_in_long_mode, movq %rax, %cr0
	CODE	x_cr4_reserved
	movq	%cr4, %rax
	btsq	$15, %rax
	AT	x_cr4_reserved, movq %rax, %cr4
	CODE	x_cr4_pae_off
	movq	%cr4, %rax
	btrq	$5, %rax
	AT	x_cr4_pae_off, movq %rax, %cr4
	CODE	x_cr8_reserved
	movl	$0x10, %eax
	AT	x_cr8_reserved, movq %rax, %cr8
	CODE	x_lldt_bad
	movl	$0x18, %eax
	AT	x_lldt_bad, lldt %ax
	CODE	x_ltr_busy
	movl	$0x100, %eax
	AT	x_ltr_busy, ltr %ax
	CODE	x_ltr_null
	xorl	%eax, %eax
	AT	x_ltr_null, ltr %ax

	CODE	x_movups_ac
	pushfq
	orq	$0x40000, (%rsp)
	popfq
	AT	x_movups_ac, movups -24(%rsp), %xmm0
	CODE	x_movups_no_ac
	pushfq
	orq	$0x40000, (%rsp)
	popfq
	AT	x_movups_no_ac, movups -32(%rsp), %xmm0
	CODE	x_movaps_ac
	pushfq
	orq	$0x40000, (%rsp)
	popfq
	AT	x_movaps_ac, movaps -24(%rsp), %xmm0
	CODE	x_misaligned_ac
	pushq	$0x40002
	popfq
	leaq	-15(%rsp), %rbx
	AT	x_misaligned_ac, movl (%rbx), %eax

	.code32
	CODE	x_into
	movb	$0x7f, %al
	addb	$1, %al
	AT	x_into, into
	CODE	x_bound
	pushl	$20
	pushl	$10
	movl	$21, %eax
	AT	x_bound, bound %eax, (%esp)
	CODE	x_bound_low
	pushl	$20
	pushl	$-10
	movl	$-11, %eax
	AT	x_bound_low, bound %eax, (%esp)
	CODE	x_aam0
	movl	$0x55, %eax
	AT	x_aam0, .byte 0xd4, 0
	ONE	x_int3_32, int3
	ONE	x_syscall_ud, ud2
	ONE	x_swapgs32, .byte 0x0f, 0x01, 0xf8
	CODE	x_load_null_ds32
	xorl	%eax, %eax
	movl	%eax, %ds
	AT	x_load_null_ds32, movl (%esp, %eax), %eax
	CODE	x_null_ds_load
	xorl	%eax, %eax
	movl	%eax, %ds
	AT	x_null_ds_load, movl (%eax), %eax
	CODE	x_cs_write
	movl	%esp, %eax
	AT	x_cs_write, movl %eax, %cs:(%eax)
	CODE	x_into_no
	xorl	%eax, %eax
	into
	AT	x_into_no, ud2
	.code64

	/* Single steps: a known number of instructions with TF set, from step_start on. */
	.globl	step_start, step_end, step_data
step_start:
	movl	$3, %ecx
	movl	$4, %eax
1:	addl	%ecx, %eax
	decl	%ecx
	jnz	1b
	pushq	%rax
	popq	%rax
	leaq	-256(%rsp), %rdi
	movq	%rdi, %rsi
	movl	$5, %ecx
	rep movsb
	call	2f
step_end:
	int	$0x80
2:	cpuid
	ret

	/* The frame a trap pushes, as the handler finds it: own handler, through a gate on an IST stack. */
	.globl	ist_entry, ist_seen_rsp, ist_seen_frame
ist_entry:
	movq	%rsp, ist_seen_rsp
	pushq	%rax
	pushq	%rcx
	pushq	%rsi
	pushq	%rdi
	leaq	32(%rsp), %rsi
	movq	$ist_seen_frame, %rdi
	movl	$5, %ecx
	cld
	rep movsq
	popq	%rdi
	popq	%rsi
	popq	%rcx
	popq	%rax
	iretq
	.bss
	.balign	8
ist_seen_rsp:
	.skip	8
ist_seen_frame:
	.skip	40
