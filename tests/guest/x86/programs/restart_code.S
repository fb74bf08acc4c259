/* SPDX-License-Identifier: MIT */
/*
 * Instructions with memory operands at RBX (16 bytes before a page end), RSI, RDI and RSP (other pages).
 * Each ends with INT 0x80.
 */
	.macro	R name, insn:vararg
	.balign	32
	.quad	2f
\name:
	\insn
1:	int	$0x80
	.section .rodata
2:	.asciz	"\name"
	.text
	.endm

	.text
	.code64
	.globl	restart_start, restart_end
	.balign	32
restart_start:
	R	load, movq (%rbx), %rax
	R	load_crossing, movq 12(%rbx), %rax
	R	store, movq %rdx, (%rbx)
	R	store_crossing, movq %rdx, 12(%rbx)
	R	store_byte, movb %dh, 3(%rbx)
	R	add_load, addq (%rbx), %rax
	R	add_store, addq %rax, (%rbx)
	R	adc_store, adcl %eax, 14(%rbx)
	R	lock_xadd, lock xaddq %rax, (%rbx)
	R	lock_xadd_crossing, lock xaddq %rax, 12(%rbx)
	R	xchg, xchgq %rax, (%rbx)
	R	cmpxchg, cmpxchgq %rdx, (%rbx)
	R	lock_cmpxchg, lock cmpxchgl %edx, 13(%rbx)
	R	cmpxchg8b, lock cmpxchg8b (%rbx)
	R	cmpxchg16b, lock cmpxchg16b (%rbx)
	R	incb, incb (%rbx)
	R	neg, negw 15(%rbx)
	R	shl, shlq $3, (%rbx)
	R	rcr, rcrl $1, 14(%rbx)
	R	shld, shldq $5, %rax, 10(%rbx)
	R	bts, btsq %r9, (%rbx)
	R	setcc, setb (%rbx)
	R	cmov_not_taken, cmovoq (%rbx), %rax
	R	mul, mulq (%rbx)
	R	imul, imulq (%rbx), %rax
	R	div, divl (%rbx)
	R	movzx, movzwl 15(%rbx), %eax
	R	movsx, movslq 13(%rbx), %rax
	R	push_mem, pushq (%rbx)
	R	pop_mem, popq (%rbx)
	R	pop_rsp_based, popq 8(%rsp)
	R	push, pushq %rax
	R	pop, popq %rax
	R	pop_rsp, popq %rsp
	R	pushf, pushfq
	R	popf, popfq
	R	enter, enter $32, $0
	R	enter_nested, enter $32, $2
	R	leave, leave
	R	call, call 1f
	R	call_mem, call *(%rbx)
	R	ret, ret
	R	ret_imm, ret $16
	R	iretq, iretq
	R	movs, movsq
	R	stos, stosl
	R	lods, lodsw
	R	cmps, cmpsb
	R	scas, scasq
	R	rep_movsb, rep movsb
	R	rep_movsq, rep movsq
	R	rep_stosb, rep stosb
	R	rep_stosq, rep stosq
	R	repe_cmpsb, repe cmpsb
	R	repne_scasb, repne scasb
	R	xlat, xlatb
	R	movups_load, movups 4(%rbx), %xmm0
	R	movups_store, movups %xmm1, 4(%rbx)
	R	movaps_store, movaps %xmm1, (%rbx)
	R	addps, addps (%rbx), %xmm1
	R	movlps, movlps %xmm1, 12(%rbx)
	R	movd_store, movd %xmm1, 14(%rbx)
	R	maskmov, maskmovdqu %xmm1, %xmm1
	R	pshufb, pshufb (%rbx), %xmm1
	R	cvtsi2sd, cvtsi2sdq 12(%rbx), %xmm1
	R	fild, fildll 12(%rbx)
	R	fistp, fistpll 12(%rbx)
	R	fstp_t, fstpt 12(%rbx)
	R	fldcw, fldcw 15(%rbx)
	R	fnstcw, fnstcw 15(%rbx)
	R	fnstsw, fnstsw 15(%rbx)
	R	stmxcsr, stmxcsr 14(%rbx)
	R	fxsave, fxsave -240(%rbx)
	R	fnsave, fnsave 0(%rbx)
	R	movnti, movnti %rax, 12(%rbx)
	R	movbe, movbe %rax, 12(%rbx)
	R	crc32, crc32l 14(%rbx), %eax
	R	mov_sreg, movw %ds, 15(%rbx)
	R	sgdt, sgdt 12(%rbx)
	R	prefetch, prefetcht0 (%rbx)
	R	lar, lar (%rbx), %eax
	R	movq_mmx, movq 12(%rbx), %mm0
	.balign	32
restart_end:
