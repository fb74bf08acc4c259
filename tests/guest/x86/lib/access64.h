/* SPDX-License-Identifier: MIT */
/*
 * One access by the user's or the kernel's code, and what page fault comes of it (Intel SDM vol. 3, 4.7).
 */
#ifndef ACCESS64_H
#define ACCESS64_H

#include "rt64.h"

#define PF_P	1
#define PF_W	2
#define PF_U	4
#define PF_RSVD 8
#define PF_I	16

/* Functions of their address in RDI. */
extern const uint8_t do_load[], do_store[], do_rmw[], do_jump[], do_load_ac[], do_store_ac[], do_load_clac[], do_push[], do_load_after[],
	do_load_before[], do_load_inside[];

extern bool kernel_mode; /* who makes the accesses */

uint64_t access_at(const uint8_t *code, const volatile void *addr, struct trap *t); /* returns the vector: 0x80 if nothing went wrong */

/* The access faults with this error code and its own address in CR2. */
void expect_fault(const char *what, const uint8_t *code, const volatile void *addr, unsigned error);
void expect_success(const char *what, const uint8_t *code, const volatile void *addr);

#define FAULT(code, addr, error) expect_fault(#code, code, addr, error)
#define SUCCESS(code, addr)	 expect_success(#code, code, addr)

uint8_t *new_page(uint64_t flags);
void put_int80(uint64_t frame); /* code that returns to the caller's INT: one byte sequence in a page of its own */
void set_flags(uint8_t *va, uint64_t flags); /* of its page, with INVLPG */

#endif
