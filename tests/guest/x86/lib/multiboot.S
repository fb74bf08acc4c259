/* SPDX-License-Identifier: MIT */
/*
 * Start of multiboot images (Multiboot Specification 0.6.96): the header, and the way to the 32-bit runtime, which wants a
 * Linux loader's parameters: the only one it reads is the command line's address.
 */
#ifdef MULTIBOOT
#define MAGIC 0x1badb002
#define BP_CMD_LINE_PTR 0x228
#define INFO_CMDLINE 16
#ifdef MULTIBOOT_ADDRESSES
#define FLAGS 0x10003
#else
#define FLAGS 3
#endif

	.section .multiboot, "ax"
	.code32
multiboot_image:
	.skip	256             /* the header need not come first */
multiboot_header:
	.long	MAGIC, FLAGS, -(MAGIC + FLAGS)
#ifdef MULTIBOOT_ADDRESSES
	.long	multiboot_header, multiboot_image, image_end, bss_end, multiboot_start
#endif

	.globl	multiboot_start
multiboot_start:
	movl	%eax, multiboot_eax
	movl	%ebx, multiboot_ebx
	movl	$multiboot_stack, %esp
	pushfl
	popl	multiboot_eflags
	movl	%cr0, %eax
	movl	%eax, multiboot_cr0
	/* The loader has cleared what is not in the file. */
	cld
	movl	$bss_start, %edi
	movl	$bss_end, %ecx
	subl	%edi, %ecx
	shrl	$2, %ecx
	xorl	%eax, %eax
	repe scasl
	setne	multiboot_dirty
	movl	INFO_CMDLINE(%ebx), %eax
	movl	%eax, multiboot_params + BP_CMD_LINE_PTR
	movl	$multiboot_params, %esi
	jmp	image_start

	.data
	.globl	multiboot_eax, multiboot_ebx, multiboot_eflags, multiboot_cr0, multiboot_dirty
multiboot_eax:
	.long	0
multiboot_ebx:
	.long	0
multiboot_eflags:
	.long	0
multiboot_cr0:
	.long	0
multiboot_dirty:
	.long	0
	.skip	64
multiboot_stack:
multiboot_params:
	.skip	4096
#endif
