/* SPDX-License-Identifier: MIT */
/*
 * See access64.h. Each access ends with INT 0x80 so that user code can run it too.
 */
#include "access64.h"

asm(".text; .balign 16\n"
    ".globl do_load, do_store, do_rmw, do_jump, do_load_ac, do_store_ac, do_load_clac, do_load_after, do_load_before, do_load_inside, do_push\n"
    "do_load: movq (%rdi), %rax; int $0x80\n"
    "do_store: movq %rdi, (%rdi); int $0x80\n"
    "do_rmw: lock incq (%rdi); int $0x80\n"
    "do_jump: jmp *%rdi\n"
    "do_load_ac: stac; movq (%rdi), %rax; clac; int $0x80\n"
    "do_store_ac: stac; movq %rdi, (%rdi); clac; int $0x80\n"
    "do_load_clac: stac; clac; movq (%rdi), %rax; int $0x80\n"
    "do_load_after: call 1f; movq (%rdi), %rax; clac; int $0x80; 1: stac; ret\n" /* the mode changes between a call and its return */
    "do_load_before: stac; call 1f; movq (%rdi), %rax; int $0x80; 1: clac; ret\n"
    "do_load_inside: stac; call 1f; call 2f; clac; int $0x80; 1: movq (%rdi), %rax; ret; 2: call 1b; ret\n"
    "do_push: leaq 8(%rdi), %rsp; pushq %rax; int $0x80\n");

bool kernel_mode;

uint64_t access_at(const uint8_t *code, const volatile void *addr, struct trap *t)
{
	struct regs r;

	user_regs(&r, code, false);
	if (kernel_mode) {
		r.rip -= USER_BASE;
		r.cs = SEL_KCODE;
		r.ss = SEL_KDATA;
		r.rsp -= USER_BASE;
	}
	r.rdi = (uint64_t)addr;
	run_regs(&r, t);
	return t->r.vector;
}

void expect_fault(const char *what, const uint8_t *code, const volatile void *addr, unsigned error)
{
	struct trap t;

	if (access_at(code, addr, &t) != VEC_PF || t.r.error != error || t.cr2 != (uint64_t)addr)
		test_fail("%s in %s mode: vector %lu error %lx CR2 %lx, should be a page fault with %x at %p", what,
			  kernel_mode ? "kernel" : "user", t.r.vector, t.r.error, t.cr2, error, (void *)addr);
}

void expect_success(const char *what, const uint8_t *code, const volatile void *addr)
{
	struct trap t;

	if (access_at(code, addr, &t) != 0x80)
		test_fail("%s in %s mode: vector %lu error %lx CR2 %lx, should succeed", what,
			  kernel_mode ? "kernel" : "user", t.r.vector, t.r.error, t.cr2);
}

uint8_t *new_page(uint64_t flags)
{
	uint8_t *va = free_area(PAGE);

	map_page(va, page_alloc(), flags);
	return va;
}

void put_int80(uint64_t frame)
{
	*(volatile uint16_t *)frame = 0x80cd;
}

void set_flags(uint8_t *va, uint64_t flags)
{
	uint64_t *e = pte_of(va);

	*e = (*e & 0xfffffff000) | flags;
	invlpg(va);
}
