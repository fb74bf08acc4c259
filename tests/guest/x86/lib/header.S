/* SPDX-License-Identifier: MIT */
/*
 * Boot sector and set-up sectors of a bzImage (Linux Documentation/arch/x86/boot.rst). A loader that knows the 64-bit
 * entry (32-bit programs: the 32-bit one) never runs this code; one that starts the set-up code in real mode gets to
 * the same place in the same state through it.
 */
#ifdef __x86_64__
#define XLOADFLAGS 1 /* XLF_KERNEL_64 */
#define CODE_DESC 0x00af9a000000ffff
#else
#define XLOADFLAGS 0
#define CODE_DESC 0x00cf9a000000ffff
#endif
#define SETUP_TABLES 0x80000 /* six pages */
#define OFF(label) (label - setup_start)

	.section .setup, "ax"
	.code16
setup_start:
	hlt
	jmp	setup_start

	.org	0x1f1
	.byte	3               /* set-up sectors after the first */
	.word	0
	.long	image_syssize
	.word	0, 0, 0, 0xaa55

	.org	0x200
	.byte	0xeb, OFF(header_end) - 0x202
	.ascii	"HdrS"
	.word	0x20c           /* protocol 2.12 */
	.long	0
	.word	0, 0
	.byte	0
	.byte	1               /* LOADED_HIGH */
	.word	0
	.long	0x100000        /* code32_start */
	.long	0, 0, 0
	.word	0, 0
	.long	0               /* cmd_line_ptr */
	.long	0x7fffffff      /* initrd_addr_max */
	.long	0x1000
	.byte	0, 0            /* not relocatable */
	.word	XLOADFLAGS
	.long	2047            /* cmdline_size */
	.long	0
	.quad	0
	.long	0, 0
	.quad	0
	.quad	0x100000        /* pref_address */
	.long	image_init_size
header_end:

	/* Real mode, DS at the boot sector. */
	cli
	xorl	%ebx, %ebx
	movw	%ds, %bx
	shll	$4, %ebx
	leal	OFF(boot_gdt)(%ebx), %eax
	movl	%eax, OFF(boot_gdt_base)
	leal	OFF(setup32)(%ebx), %eax
	movl	%eax, OFF(setup32_far)
	lgdtl	OFF(boot_gdt_pointer)
	movl	%cr0, %eax
	orb	$1, %al
	movl	%eax, %cr0
	ljmpl	*OFF(setup32_far)

	.code32
setup32:
	movw	$0x18, %ax
	movw	%ax, %ds
	movw	%ax, %es
	movw	%ax, %ss
	movl	%ebx, %esi
#ifdef __x86_64__
	/* Identity map of 4 GiB with 2 MiB pages. */
	cld
	movl	$SETUP_TABLES, %edi
	xorl	%eax, %eax
	movl	$(6 * 1024), %ecx
	rep stosl
	movl	$(SETUP_TABLES + 0x1003), SETUP_TABLES
	movl	$(SETUP_TABLES + 0x1000), %edi
	movl	$(SETUP_TABLES + 0x2003), %eax
1:	movl	%eax, (%edi)
	addl	$0x1000, %eax
	addl	$8, %edi
	cmpl	$(SETUP_TABLES + 0x1020), %edi
	jne	1b
	movl	$(SETUP_TABLES + 0x2000), %edi
	movl	$0x83, %eax
1:	movl	%eax, (%edi)
	addl	$8, %edi
	addl	$0x200000, %eax
	cmpl	$(SETUP_TABLES + 0x6000), %edi
	jne	1b
	movl	%cr4, %eax
	orl	$0x20, %eax
	movl	%eax, %cr4
	movl	$SETUP_TABLES, %eax
	movl	%eax, %cr3
	movl	$0xc0000080, %ecx
	rdmsr
	orl	$0x100, %eax
	wrmsr
	movl	%cr0, %eax
	orl	$0x80000000, %eax
	movl	%eax, %cr0
	ljmpl	$0x10, $0x100200
#else
	movl	$0x100000, %eax
	jmp	*%eax
#endif

	.balign	8
boot_gdt:
	.quad	0, 0
	.quad	CODE_DESC
	.quad	0x00cf92000000ffff
	.quad	0x00cf9a000000ffff
	.word	0
boot_gdt_pointer:
	.word	39
boot_gdt_base:
	.long	0
setup32_far:
	.long	0
#ifdef __x86_64__
	.word	0x20            /* 32-bit code for a moment */
#else
	.word	0x10
#endif
