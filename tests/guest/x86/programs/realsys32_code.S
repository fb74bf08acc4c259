/* SPDX-License-Identifier: MIT */
/*
 * Real mode under observation: the way there and back, an interrupt table whose handlers write a log, and the snippets of realsys32.c.
 *
 * Handlers of #DB, NMI, #BP, #OF and of vectors from 20h on return; all others end the snippet. FS keeps a limit of 4 GiB, for the local APIC.
 */
#include "realsys32.h"

#define O(label) (label - rm_start)

	.text
	.code32
	/* rm_run(offset of the snippet) */
	.globl	rm_run
rm_run:
	pushal
	movl	36(%esp), %ebx
	movl	%esp, rm_saved_esp
	sidt	rm_saved_idt
	lidt	rm_idt
	movl	$0x18, %eax
	movl	%eax, %fs
	movl	$SEL_RMDATA, %eax
	movl	%eax, %ds
	movl	%eax, %es
	movl	%eax, %ss
	ljmp	$SEL_RM, $O(rm_enter)
rm_back:
	movl	$0x18, %eax
	movl	%eax, %ds
	movl	%eax, %es
	movl	%eax, %fs
	movl	%eax, %gs
	movl	%eax, %ss
	movl	rm_saved_esp, %esp
	lidt	rm_saved_idt
	cld
	popal
	ret

	.globl	rm_start, rm_end, rm_entries
	.balign	16
	.code16
rm_start:
rm_enter:
	movl	%cr0, %eax
	andb	$0xfe, %al
	movl	%eax, %cr0
	ljmp	$(RM_CODE >> 4), $O(1f)
1:	movw	$(RM_CODE >> 4), %ax
	movw	%ax, %ds
	movw	$(RM_DATA >> 4), %ax
	movw	%ax, %es
	movw	$(RM_STACK >> 4), %ax
	movw	%ax, %ss
	movl	$RM_SP, %esp
	pushw	$O(rm_exit)
	movw	%sp, VAR_SP
	pushw	%bx
	pushl	VAR_FLAGS
	movl	$0x11110000, %eax
	movl	$0x22220000, %edx
	movl	$0x33330000, %ecx
	movl	$0x44440000, %ebx
	xorl	%esi, %esi
	xorl	%edi, %edi
	xorl	%ebp, %ebp
	popfl
	ret
rm_exit:
	pushl	$2
	popfl
	cli
	pushw	%ds
	pushw	$(RM_CODE >> 4)
	popw	%ds
	movl	%eax, VAR_AX
	movl	%edx, VAR_AX + 4
	movl	%ecx, VAR_AX + 8
	movl	%ebx, VAR_AX + 12
	movl	%cr0, %eax
	orb	$1, %al
	movl	%eax, %cr0
	ljmpl	$0x10, $rm_back

	.balign	8
rm_entries:
	.set	vector, 0
	.rept	256
	.balign	8
	pushw	$vector
	jmp	rm_common
	.set	vector, vector + 1
	.endr

rm_common:
	pushw	%ds
	pushaw
	movw	$(RM_CODE >> 4), %ax
	movw	%ax, %ds
	movw	%sp, %bp                /* 16: DS, 18: vector, 20: IP, 22: CS, 24: flags */
	movw	VAR_NR, %bx
	cmpw	$LOG_MAX, %bx
	jae	3f
	incw	VAR_NR
	shlw	$4, %bx
	movw	18(%bp), %ax
	movw	%ax, VAR_LOG(%bx)
	movw	20(%bp), %cx
	movw	%cx, VAR_LOG + 2(%bx)
	movw	24(%bp), %cx
	movw	%cx, VAR_LOG + 4(%bx)
	leaw	26(%bp), %cx
	movw	%cx, VAR_LOG + 6(%bx)
	movw	22(%bp), %cx
	movw	%cx, VAR_LOG + 10(%bx)
	movl	%dr6, %ecx
	movw	%cx, VAR_LOG + 8(%bx)
	cmpw	$1, %ax
	jne	1f
	movl	$0xffff0ff0, %ecx
	movl	%ecx, %dr6
	testb	$15, VAR_LOG + 8(%bx)
	jz	2f
	xorl	%ecx, %ecx              /* one breakpoint is enough: there is no RF here */
	movl	%ecx, %dr7
	jmp	2f
1:	cmpw	$2, %ax
	je	rm_nmi
	cmpw	$0x40, %ax
	jne	4f
	movl	$0xfee000b0, %ecx       /* EOI */
	addr32 movl $0, %fs:(%ecx)
4:	cmpw	$0x20, %ax
	jae	2f
	cmpw	$3, %ax
	je	2f
	cmpw	$4, %ax
	je	2f
3:	popaw
	popw	%ds
	movw	%cs:VAR_SP, %sp
	ret
2:	popaw
	popw	%ds
	addw	$2, %sp
	iret

	/* One that comes meanwhile waits for IRET. */
rm_nmi:
	incb	VAR_DEPTH
	movb	VAR_DEPTH, %al
	cmpb	%al, VAR_DEPTH + 1
	jae	1f
	movb	%al, VAR_DEPTH + 1
1:	cmpw	$0, VAR_NMI
	je	3f
	decw	VAR_NMI
	movl	$0xfee00300, %ecx
	addr32 movl $0x44400, %fs:(%ecx) /* NMI to itself */
	movw	$2000, %cx
2:	loop	2b
3:	decb	VAR_DEPTH
	popaw
	popw	%ds
	addw	$2, %sp
	iret

/* SNIPPET name: its first instruction is at name, the one that is looked at at name_at, what follows it at name_next. */
#define SNIPPET(name) .globl name, name##_at, name##_next; name:
#define AT(name) name##_at:
#define NEXT(name) name##_next: nop; ret
#define ONE(name, ...) SNIPPET(name) AT(name) __VA_ARGS__; NEXT(name)

	/* ---- Exceptions */
	SNIPPET(r_div) xorw %cx, %cx; AT(r_div) divw %cx; NEXT(r_div)
	SNIPPET(r_bound) movw $5, %ax; AT(r_bound) .byte 0x62, 0x06; .word O(r_bounds); NEXT(r_bound)
r_bounds:
	.word	1, 4
	SNIPPET(r_into) movb $0x7f, %al; addb $1, %al; AT(r_into) into; NEXT(r_into)
	ONE(r_int3, int3)
	ONE(r_int21, int $0x21)
	ONE(r_ud, ud2)
	ONE(r_lock, .byte 0xf0, 0x90)
	ONE(r_long, .rept 15; .byte 0x2e; .endr; .byte 0x90)
	SNIPPET(r_gp_word) movw $0xffff, %bx; AT(r_gp_word) movw (%bx), %ax; NEXT(r_gp_word)
	SNIPPET(r_ss_word) movw $0xffff, %bp; AT(r_ss_word) movw (%bp), %ax; NEXT(r_ss_word)
	SNIPPET(r_gp_wide) movl $0x10000, %ebx; AT(r_gp_wide) movb %es:(%ebx), %al; NEXT(r_gp_wide)
	SNIPPET(r_gp_cs) movl $0x10000, %ebx; AT(r_gp_cs) movb %cs:(%ebx), %al; NEXT(r_gp_cs)
	ONE(r_jmp_wide, .byte 0x66, 0xe9; .long 0x20000)
	ONE(r_iretd_wide, iretl)
	ONE(r_lldt, lldt %ax)
	ONE(r_ltr, ltr %ax)
	ONE(r_sldt, sldt %ax)
	ONE(r_str, str %ax)
	ONE(r_lar, larw %ax, %bx)
	ONE(r_lsl, lslw %ax, %bx)
	ONE(r_verr, verr %ax)
	ONE(r_verw, verw %ax)
	ONE(r_arpl, .byte 0x63, 0xc0)
	ONE(r_sysenter, sysenter)
	ONE(r_sysexit, sysexit)
	ONE(r_rsm, rsm)
	ONE(r_msr_bad, rdmsr)
	ONE(r_cr1, .byte 0x0f, 0x20, 0xc8)
	SNIPPET(r_cr0_bad) movl $0x80000010, %eax; AT(r_cr0_bad) movl %eax, %cr0; NEXT(r_cr0_bad)
	SNIPPET(r_cr4_bad) movl $0x80000000, %eax; AT(r_cr4_bad) movl %eax, %cr4; NEXT(r_cr4_bad)
	SNIPPET(r_pmc_bad) movl $0x12345, %ecx; AT(r_pmc_bad) rdpmc; NEXT(r_pmc_bad)
	ONE(r_fpu, fld1)
	SNIPPET(r_fpu_env) fninit; movl $0x40200000, %es:0x100; fld1; AT(r_fpu_env) flds %es:0x100; fnstenv %es:0; data32 fnstenv %es:0x20
	data32 fldenv O(r_fpu_wide); fnstenv %es:0x40; data32 fnstenv %es:0x60; fldenv %es:0x40; data32 fnstenv %es:0x80
	data32 fldenv %es:0x20; fnsave %es:0x110; frstor %es:0x110; data32 fnsave %es:0x180; data32 frstor %es:0x180; fsts %es:0x104
	fninit; NEXT(r_fpu_env)
r_fpu_wide: /* the environment in the 32-bit format of real mode: instruction at 01234567, operand at 00CD89AB, opcode 345 */
	.long	0x37f, 0x3000, 0xffff, 0x4567, 0x00123345, 0x89ab, 0x000cd000
	ONE(r_monitor_bad, .byte 0x0f, 0x01, 0xc8)

	/* A stack that ends at the frame: PUSH beyond it. SP is put back before the handler needs it: by #SS itself. */
	SNIPPET(r_off_end) movw $0xffff, %ax; AT(r_off_end) jmp *%ax; NEXT(r_off_end)

	/* ---- What works here as elsewhere */
	SNIPPET(r_system) movl %cr0, %eax; movl %eax, %es:0; smsw %ax; movw %ax, %es:4; movl %cr4, %edx; orl $0x200, %edx; movl %edx, %cr4
	movl %cr4, %edx; movl %edx, %es:8; andl $~0x200, %edx; movl %edx, %cr4; movl $0x277, %ecx; rdmsr; movl %eax, %es:12; movl %edx, %es:16
	AT(r_system) wrmsr; wbinvd; invlpg 0; clts; sgdt %es:24; sidt %es:32; movl $0x174, %ecx; movl $0x5678, %eax; xorl %edx, %edx; wrmsr
	xorl %eax, %eax; rdmsr; movl %eax, %es:20; NEXT(r_system)
	SNIPPET(r_far) lcall $(RM_CODE >> 4), $O(r_far_target); movw %ax, %es:0; AT(r_far) lcalll $(RM_CODE >> 4), $O(r_far_target32)
	movw %ax, %es:2; pushw $0x55aa; lcall $(RM_CODE >> 4), $O(r_far_pop); movw %sp, %es:4; pushfl; pushl $(RM_CODE >> 4); pushl $O(1f); iretl
1:	movw %sp, %es:6; NEXT(r_far)
r_far_target:
	movw	$0x1234, %ax
	lret
r_far_target32:
	movw	$0x2345, %ax
	lretl
r_far_pop:
	lret	$2

	/* ---- Debugging */
	SNIPPET(r_step) movw %ss, %ax; pushfw; popw %bx; orw $0x100, %bx; pushw %bx; popfw
	.globl r_step_1, r_step_2, r_step_3, r_step_4, r_step_5
	nop
r_step_1:
	movw	%ax, %ss
	nop                             /* no step in front of it */
r_step_2:
	pushw	%ss
r_step_3:
	popw	%ss
	int	$0x22                   /* its own step is lost, and none behind POP SS */
r_step_4:
	pushw	$2
r_step_5:
	popfw
	AT(r_step) NEXT(r_step)
	ONE(r_int1, .byte 0xf1)
	SNIPPET(r_data_bp) movl $(RM_DATA + 0x100), %eax; movl %eax, %dr0; movl $0xd0001, %eax; movl %eax, %dr7
	AT(r_data_bp) movw $7, %es:0x102; NEXT(r_data_bp)
	SNIPPET(r_code_bp) movl $(RM_CODE + O(r_code_bp_at)), %eax; movl %eax, %dr0; movl $1, %eax; movl %eax, %dr7; nop
	AT(r_code_bp) incw %bx; NEXT(r_code_bp)
	SNIPPET(r_port_bp) movl %cr4, %eax; orb $8, %al; movl %eax, %cr4; movl $0x80, %eax; movl %eax, %dr0; movl $0x20001, %eax; movl %eax, %dr7
	AT(r_port_bp) outb %al, $0x80; NEXT(r_port_bp)
	SNIPPET(r_gd) movl $0x2000, %eax; movl %eax, %dr7; AT(r_gd) movl %eax, %dr0; NEXT(r_gd)

	/* ---- Interrupts */
	SNIPPET(r_sti) movl $0xfee00300, %ebx; addr32 movl $0x44040, %fs:(%ebx); movw $500, %cx; 1: loop 1b; sti; AT(r_sti) nop; NEXT(r_sti)
	SNIPPET(r_halt) movl $0xfee00300, %ebx; addr32 movl $0x44040, %fs:(%ebx); AT(r_halt) sti; hlt; NEXT(r_halt)
	SNIPPET(r_ss_shadow) movw %ss, %ax; movl $0xfee00080, %ebx; addr32 movl $0xf0, %fs:(%ebx); movl $0xfee00300, %edx
	addr32 movl $0x44040, %fs:(%edx); movw $500, %cx; 1: loop 1b; sti; nop; cli; addr32 movl $0, %fs:(%ebx); pushw $0x202
	AT(r_ss_shadow) popfw; NEXT(r_ss_shadow)
	SNIPPET(r_send_nmi) movl $0xfee00300, %ebx; addr32 movl $0x44400, %fs:(%ebx); movw $2000, %cx; 1: loop 1b; AT(r_send_nmi) NEXT(r_send_nmi)
	SNIPPET(r_smi) movl $0xfee00300, %ebx; addr32 movl $0x44200, %fs:(%ebx); movw $5000, %cx; 1: loop 1b; movw %cs, %ax; AT(r_smi) NEXT(r_smi)
rm_end:

	/* The SMI handler: counts. */
	.globl	rm_smi_handler, rm_smi_handler_end
rm_smi_handler:
	addr32 incl RM_DATA + 0x200
	rsm
rm_smi_handler_end:
	.code32

	.data
	.balign	8
rm_saved_esp:
	.long	0
rm_saved_idt:
	.skip	8
	.globl	rm_idt
rm_idt:
	.word	0x3ff
	.long	0
