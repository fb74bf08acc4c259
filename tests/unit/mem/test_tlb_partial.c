/* SPDX-License-Identifier: MIT */
#include "support/test.h"

#include <stdlib.h>
#include <string.h>

#include "mem/tlb.h"
#include "tcg/env.h"

/* Three pages of memory, the middle one may be missing; accesses are written down. */
#define BASE 0x7000ull
static uint8_t mem[3 * GUEST_PAGE_SIZE];
static bool missing;
static unsigned loads, stores;
static jmp_buf fault;
static gva_t fault_at;
static struct tcg_env *env;

static uint8_t *at(gva_t va, size_t len)
{
	for (size_t n = 0; n < len; n++)
		if (missing && (va + n - BASE) / GUEST_PAGE_SIZE == 1) {
			fault_at = va + n;
			longjmp(fault, 1);
		}
	return mem + (va - BASE);
}

static void __attribute__((noreturn)) misaligned(struct tcg_env *e, gva_t va)
{
	(void)e;
	fault_at = va;
	longjmp(fault, 2);
}

static const struct tlb_ops ops = { .alignment_fault = misaligned };
const struct tlb_ops *tlb_ops = &ops;

void *tlb_page_ptr(struct tcg_env *e, gva_t va, enum tlb_access access, unsigned mode)
{
	(void)e;
	(void)access;
	(void)mode;
	return at(va, 1);
}

/* Both use the bounce buffer, as device memory would make them. */
void tlb_load_bytes(struct tcg_env *e, gva_t va, void *buf, size_t len, unsigned mode)
{
	(void)mode;
	loads++;
	memcpy(buf, at(va, len), len);
	memset(e->bounce, 0x77, sizeof(e->bounce));
}

void tlb_store_bytes(struct tcg_env *e, gva_t va, const void *buf, size_t len, unsigned mode)
{
	(void)mode;
	stores++;
	memcpy(at(va, len), buf, len);
	memset(e->bounce, 0x77, sizeof(e->bounce));
}

void tlb_partial_commit(struct tcg_env *e); /* mem/tlb_book.h */

static int setup(void **state)
{
	(void)state;
	for (unsigned n = 0; n < sizeof(mem); n++)
		mem[n] = (uint8_t)(n * 7 + n / 256);
	missing = false;
	loads = stores = 0;
	return 0;
}

static int group_setup(void **state)
{
	(void)state;
	env = aligned_alloc(64, sizeof(*env));
	if (!env)
		return -1;
	memset(env, 0, sizeof(*env));
	return 0;
}

static int group_teardown(void **state)
{
	(void)state;
	free(env);
	return 0;
}

static void only_wanted_bytes_are_read(void **state)
{
	const uint64_t which = 0x8000000000ff0003ull;
	const uint8_t *p;

	(void)state;
	p = tlb_access_partial(env, BASE + 100, 64, which, TLB_READ, 0, false);
	assert_int_equal(env->bounce_kind, TLB_BOUNCE_NONE);
	assert_int_equal(loads, 3);
	for (unsigned n = 0; n < 64; n++)
		assert_int_equal(p[n], which >> n & 1 ? mem[100 + n] : 0);
}

static void all_bytes_are_one_run(void **state)
{
	const uint8_t *p;

	(void)state;
	p = tlb_access_partial(env, BASE + 1, 64, ~0ull, TLB_READ, 0, false);
	assert_int_equal(loads, 1);
	assert_memory_equal(p, mem + 1, 64);
}

static void bytes_left_out_do_not_fault(void **state)
{
	(void)state;
	missing = true;
	if (setjmp(fault))
		fail();
	tlb_access_partial(env, BASE + GUEST_PAGE_SIZE - 4, 64, 0xf, TLB_READ, 0, false);
	tlb_access_partial(env, BASE + GUEST_PAGE_SIZE - 4, 64, 0, TLB_WRITE, 0, false);
	tlb_access_partial(env, BASE + 2 * GUEST_PAGE_SIZE - 4, 16, 0xff00, TLB_WRITE, 0, false);
	assert_int_equal(env->bounce_kind, TLB_BOUNCE_PARTIAL);
}

/* Before anything is stored; and at the first byte that is wanted and not there. */
static void wanted_bytes_fault(void **state)
{
	(void)state;
	missing = true;
	if (!setjmp(fault)) {
		tlb_access_partial(env, BASE + GUEST_PAGE_SIZE - 4, 64, 0x113, TLB_WRITE, 0, false);
		fail();
	}
	assert_int_equal(fault_at, BASE + GUEST_PAGE_SIZE);
	assert_int_equal(stores, 0);
	if (!setjmp(fault)) {
		tlb_access_partial(env, BASE + GUEST_PAGE_SIZE - 4, 64, 1ull << 40 | 1, TLB_READ, 0, false);
		fail();
	}
	assert_int_equal(fault_at, BASE + GUEST_PAGE_SIZE + 36);
}

static void commit_writes_what_is_wanted(void **state)
{
	const uint64_t which = 0xc000000000000f01ull;
	uint8_t old[64], *p;

	(void)state;
	memcpy(old, mem + 4090, 64);
	p = tlb_access_partial(env, BASE + 4090, 64, which, TLB_WRITE, 2, false);
	memset(p, 0xab, 64);
	tlb_partial_commit(env);
	assert_int_equal(stores, 3);
	for (unsigned n = 0; n < 64; n++)
		assert_int_equal(mem[4090 + n], which >> n & 1 ? 0xab : old[n]);
}

static void alignment_counts_if_anything_is_wanted(void **state)
{
	int kind;

	(void)state;
	kind = setjmp(fault);
	if (!kind) {
		tlb_access_partial(env, BASE + 8, 16, 0, TLB_READ, 0, true);
		tlb_access_partial(env, BASE + 8, 16, 1, TLB_READ, 0, true);
	}
	assert_int_equal(kind, 2);
	assert_int_equal(fault_at, BASE + 8);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(only_wanted_bytes_are_read, setup),
		cmocka_unit_test_setup(all_bytes_are_one_run, setup),
		cmocka_unit_test_setup(bytes_left_out_do_not_fault, setup),
		cmocka_unit_test_setup(wanted_bytes_fault, setup),
		cmocka_unit_test_setup(commit_writes_what_is_wanted, setup),
		cmocka_unit_test_setup(alignment_counts_if_anything_is_wanted, setup),
	};

	return cmocka_run_group_tests(tests, group_setup, group_teardown);
}
