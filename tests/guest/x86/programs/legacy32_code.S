/* SPDX-License-Identifier: MIT */
/*
 * Snippets of legacy32.c. V86 and real-mode code is copied to LOW_CODE, segment LOW_CODE >> 4.
 */
#define LOW_CODE 0x7000
#define LOW_DATA 0x6000
#define REAL_TARGET 0x60f0 /* where real-mode code finds the routine it is to call */

	.macro	CODE name
	.globl	\name
	.balign	16
\name:
	.endm

	.text
	.code32
	CODE	u_int80
	int	$0x80
	CODE	u_cli
	cli
	CODE	u_call_gate             /* with two parameters on the stack */
	pushl	$0x2222
	pushl	$0x1111
	.byte	0x9a
	.long	0
	.word	0x43
	.globl	u_call_gate_next
u_call_gate_next:
	int	$0x80
	CODE	k_gate_target
	movl	%cs, %eax
	movl	%ss, %ebx
	movl	(%esp), %ecx            /* EIP */
	movl	4(%esp), %edx           /* CS */
	movl	8(%esp), %esi           /* first parameter */
	movl	12(%esp), %edi
	movl	16(%esp), %ebp          /* old ESP */
	lret	$8
	CODE	u_es_load               /* ES := AX, load at EBX */
	movw	%ax, %es
	movl	%es:(%ebx), %ecx
	int	$0x80
	CODE	u_push_ss               /* SS := AX, ESP := EBX */
	movl	%esp, %edi
	movw	%ax, %ss
	movl	%ebx, %esp
	.globl	u_push_ss_at
u_push_ss_at:
	pushl	%ecx
	int	$0x80
	CODE	u_query                 /* ECX: selector */
	larl	%ecx, %esi
	setz	%bl
	lsll	%ecx, %edi
	setz	%bh
	verr	%cx
	setz	%dl
	verw	%cx
	setz	%dh
	int	$0x80
	CODE	u_limits                /* a code segment of 128 bytes starts here */
	.byte	0xe9                    /* 0: JMP */
	.long	0x200
	.byte	0xe8                    /* 5: CALL */
	.long	0x200
	pushl	%eax                    /* 10: RET; two bytes left over */
	ret
	nop
	nop
	nop
	nop
	nop
	nop
	.byte	0x0f, 0x84              /* 18: JZ */
	.long	0x200
	call	*%eax                   /* 24 */
	nop
	nop
	jmp	*%eax                   /* 28 */
	loop	. + 0x70                /* 30 */
	nop
	cmpl	$1, %ebx                /* 33 */
	je	1f
	cmpl	$2, %ebx
	je	2f
	movl	$1, %ebx
1:	jmp	3f
2:	jmp	*%eax
	.org	u_limits + 126
3:	movl	$1, %ebx                /* does not fit */
	CODE	u_sysenter
	movl	%esp, %ecx
	movl	$1f, %edx
	sysenter
1:	movl	%cs, %eax
	movl	%ss, %ebx
	int	$0x80
	CODE	k_sysenter
	movl	%cs, %esi
	movl	%ss, %edi
	sysexit
	CODE	u_conforming            /* ring 3 calls a conforming segment of DPL 0 */
	.byte	0x9a
	.long	1f
	.word	0x48
	int	$0x80
1:	movl	%cs, %eax
	lret
	CODE	u_pusha
	pushal
	popl	%eax
	addl	$28, %esp
	pushw	$0x1234
	pushw	%ds
	popw	%cx
	popw	%dx
	int	$0x80

	/* Paging on for one access: EDI = CR3, loads (ESI) to EAX, stores ECX to (EDX) if not 0. */
	CODE	k_paged_access
	movl	%edi, %cr3
	movl	%cr0, %ebx
	orl	$0x80010000, %ebx
	movl	%ebx, %cr0
	movl	(%esi), %eax
	testl	%edx, %edx
	jz	1f
	movl	%ecx, (%edx)
1:	movl	%cr0, %ebx
	andl	$0x7fffffff, %ebx
	movl	%ebx, %cr0
	ret

	/* ---- To real mode and back. EAX: offset of the real-mode routine in LOW_CODE. */
	CODE	real_call
	pushal
	movl	%esp, saved_esp
	movl	%eax, REAL_TARGET
	sidt	saved_idt
	lidt	real_idt
	ljmp	$0x80, $(LOW_CODE + (to_real - low_start))
	.globl	back_from_real
back_from_real:
	.code32
	movl	$0x18, %eax
	movl	%eax, %ds
	movl	%eax, %es
	movl	%eax, %fs
	movl	%eax, %gs
	movl	%eax, %ss
	movl	saved_esp, %esp
	lidt	saved_idt
	popal
	ret

	.globl	low_start, low_end, rm_basics, rm_segments, rm_unreal, vm_plain, vm_int, vm_segments, vm_stack
	.globl	vm_hlt, vm_stack_next
	.globl	vm_out, vm_wrap
	.balign	16
low_start:
	.code16
to_real:
	movw	$0x88, %ax
	movw	%ax, %ds
	movw	%ax, %es
	movw	%ax, %ss
	movl	%cr0, %eax
	andb	$0xfe, %al
	movl	%eax, %cr0
	ljmp	$(LOW_CODE >> 4), $(1f - low_start)
1:	xorw	%ax, %ax
	movw	%ax, %ds
	movw	%ax, %ss
	movl	$0x6ff0, %esp
	movw	$(LOW_DATA >> 4), %ax
	movw	%ax, %es
	movl	REAL_TARGET, %eax
	call	*%ax
	cli
	movl	%cr0, %eax
	orb	$1, %al
	movl	%eax, %cr0
	ljmpl	$0x10, $back_from_real

	/* Results go to ES:0 on. */
rm_basics:
	movw	%cs, %es:0
	movw	%sp, %es:2
	movl	$0x12345678, %ebx
	movl	%ebx, %es:4
	pushfw
	popw	%ax
	movw	%ax, %es:8
	movw	$0x1111, %ax
	int	$0x40                   /* adds 1 to AX */
	movw	%ax, %es:10
	lcall	$(LOW_CODE >> 4), $(rm_far - low_start)
	movw	%ax, %es:12
	smsw	%ax
	movw	%ax, %es:14
	xorw	%dx, %dx
	movw	$5, %ax
	xorw	%cx, %cx
	/* #DE through vector 0, whose handler skips the instruction. */
	divw	%cx
	movw	%ax, %es:16
	ret
rm_far:
	addw	$0x100, %ax
	lret
	.globl	rm_int_handler, rm_de_handler
rm_int_handler:
	incw	%ax
	iret
rm_de_handler:
	pushw	%bp
	movw	%sp, %bp
	addw	$2, 2(%bp)
	popw	%bp
	movw	$0xdede, %ax
	iret

	/* Segment arithmetic, and an offset that wraps at 64 KiB (SI = 0xffff, then 0). */
rm_segments:
	pushw	%ds
	movw	$0x1234, %ax
	movw	%ax, %ds
	movl	$0xcafebabe, 0x10       /* at 0x12350 */
	movw	$0x1235, %ax
	movw	%ax, %ds
	movl	0, %ebx
	movl	%ebx, %es:0
	movw	$0x1000, %ax
	movw	%ax, %ds
	movb	$0x5a, 0xffff
	movb	$0xa5, 0
	movw	$0xffff, %si
	cld
	lodsb
	movb	%al, %es:4
	lodsb
	movb	%al, %es:5
	movw	%si, %es:6
	pushw	%es
	movw	$0xffff, %ax
	movw	%ax, %ds                /* 0xffff0 and on: past 1 MiB with A20 on */
	movl	0x10, %ebx
	popw	%es
	movl	%ebx, %es:8
	popw	%ds
	ret

	/* With 4 GiB limits left in DS from protected mode. */
rm_unreal:
	cli
	movl	%cr0, %eax
	orb	$1, %al
	movl	%eax, %cr0
	movw	$0x18, %bx
	movw	%bx, %fs
	andb	$0xfe, %al
	movl	%eax, %cr0
	movl	$0x100200, %ebx
	movl	%fs:(%ebx), %eax
	movl	%eax, %es:0
	ret

	/* ---- V86 mode */
vm_plain:
	movw	%cs, %ax
	movw	%ds:0, %bx
	pushw	$0x4321
	popw	%cx
	int3
vm_int:
	int	$0x40
vm_hlt:
	hlt
vm_segments:
	movw	$0x1111, %ax
	movw	%ax, %ds
	movw	%ax, %fs
	movw	$0x2222, %ax
	movw	%ax, %es
	movw	%ax, %gs
	int3
vm_stack:
	pushfw
	popw	%ax
	pushl	$0x12345678
	popw	%bx
	popw	%cx
	cli
vm_stack_next:
	int3
vm_out:
	outb	%al, $0x80
	int3
vm_wrap:
	movw	$0xffff, %bx
	movw	(%bx), %ax              /* beyond the 64 KiB limit */
	int3
	.globl	vm_undefined, vm_undefined_end
vm_undefined:                           /* three bytes each */
	larw	%ax, %bx
	lslw	%ax, %bx
	verr	%ax
	verw	%ax
	lldt	%ax
	ltr	%ax
	.byte	0x0f, 0x00, 0xc0        /* SLDT AX */
	.byte	0x0f, 0x00, 0xc8        /* STR AX */
	arpl	%ax, %bx
	nop
vm_undefined_end:
low_end:
	.code32

	.data
	.balign	8
saved_esp:
	.long	0
saved_idt:
	.skip	8
real_idt:
	.word	0x3ff
	.long	0
