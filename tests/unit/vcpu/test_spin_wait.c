/* SPDX-License-Identifier: MIT */
/* What becomes of hints that the guest spins: nothing with a host CPU for each vCPU, rest and make way without. */
#include <stdlib.h>
#include <string.h>

#include "tests/support/test.h"
#include "util/stats.h"
#include "vcpu/exec.h"

enum { NR = 3, MANY = 40000 };

struct vcpu **vcpus;
unsigned nr_vcpus;

static unsigned host_cpus;
static struct vcpu_exec exec;
static struct vcpu_stats stats[NR];

unsigned placement_host_cpus(void)
{
	return host_cpus;
}

static uint32_t requests(unsigned i)
{
	return atomic_load(&vcpus[i]->env.request);
}

static int setup(void **state)
{
	(void)state;
	vcpus = calloc(NR, sizeof(*vcpus));
	for (unsigned i = 0; i < NR; i++) {
		vcpus[i] = aligned_alloc(64, (sizeof(struct vcpu) + 63) & ~63ul);
		memset(vcpus[i], 0, sizeof(struct vcpu));
		atomic_store(&vcpus[i]->inside, 1);
		vcpus[i]->stats = &stats[i];
	}
	nr_vcpus = NR;
	memset(&exec, 0, sizeof(exec));
	vcpus[0]->exec = &exec;
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	for (unsigned i = 0; i < NR; i++)
		free(vcpus[i]);
	free(vcpus);
	return 0;
}

static void spin(unsigned hints)
{
	for (unsigned i = 0; i < hints && !requests(0); i++)
		vcpu_spin_wait(vcpus[0]);
}

/* One long wait. To a host that stops us in the middle it is several, so its length in hints is not known: so many are enough anywhere. */
static void spin_long(void)
{
	spin(MANY * 1000);
}

static void test_enough_cpus(void **state)
{
	(void)state;
	host_cpus = NR;
	spin(MANY);
	assert_int_equal(requests(0), 0);
}

/* One that does not take its request, though there are host CPUs enough, has none: as with too few. */
static void test_enough_cpus_but_one_is_late(void **state)
{
	(void)state;
	host_cpus = NR;
	atomic_store(&vcpus[1]->env.request, VCPU_REQ_INTR);
	spin_long();
	assert_int_equal(requests(0), VCPU_REQ_REST);
	assert_int_equal(requests(1), VCPU_REQ_INTR | VCPU_REQ_LOAN);
	assert_int_equal(requests(2), VCPU_REQ_REST);
}

/* One that always has a new request is not late: it passes safepoints. */
static void test_enough_cpus_and_all_answer(void **state)
{
	(void)state;
	host_cpus = NR;
	atomic_store(&vcpus[1]->env.request, VCPU_REQ_INTR);
	for (unsigned i = 0; i < MANY; i++) {
		spin(50);
		stats[1].v[STAT_safepoints]++;
	}
	assert_int_equal(requests(0), 0);
	assert_int_equal(requests(2), 0);
}

static void test_short_wait(void **state)
{
	(void)state;
	host_cpus = NR - 1;
	spin(200);
	assert_int_equal(requests(0), 0);
}

static void test_rest(void **state)
{
	(void)state;
	host_cpus = NR - 1;
	spin_long();
	assert_int_equal(requests(0), VCPU_REQ_REST);
	assert_int_equal(requests(1), 0);
	assert_int_equal(requests(2), 0);
}

/* vCPU 1 has not taken an interrupt: vCPU 2, which computes, is to make way; not when it is parked. */
static void test_make_way(void **state)
{
	(void)state;
	host_cpus = NR - 1;
	atomic_store(&vcpus[1]->env.request, VCPU_REQ_INTR);
	spin_long();
	assert_int_equal(requests(1), VCPU_REQ_INTR | VCPU_REQ_LOAN);
	assert_int_equal(requests(2), VCPU_REQ_REST);
}

/* The host CPU is on loan until the handler returns, once. */
static void test_handler_returns_the_loan(void **state)
{
	(void)state;
	vcpu_handler_returns(vcpus[1]);
	assert_int_equal(requests(1), 0);
	vcpus[1]->owes_rest = true;
	vcpu_handler_returns(vcpus[1]);
	assert_int_equal(requests(1), VCPU_REQ_REST);
	atomic_store(&vcpus[1]->env.request, 0);
	vcpu_handler_returns(vcpus[1]);
	assert_int_equal(requests(1), 0);
}

static void test_parked_are_left_alone(void **state)
{
	(void)state;
	host_cpus = NR - 1;
	atomic_store(&vcpus[1]->env.request, VCPU_REQ_INTR);
	atomic_store(&vcpus[2]->inside, 0);
	spin_long();
	assert_int_equal(requests(2), 0);
	/* And who is parked is not late. */
	atomic_store(&vcpus[0]->env.request, 0);
	atomic_store(&vcpus[1]->inside, 0);
	atomic_store(&vcpus[2]->inside, 1);
	spin_long();
	assert_int_equal(requests(0), VCPU_REQ_REST);
	assert_int_equal(requests(2), 0);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_enough_cpus, setup, teardown),
		cmocka_unit_test_setup_teardown(test_enough_cpus_but_one_is_late, setup, teardown),
		cmocka_unit_test_setup_teardown(test_enough_cpus_and_all_answer, setup, teardown),
		cmocka_unit_test_setup_teardown(test_short_wait, setup, teardown),
		cmocka_unit_test_setup_teardown(test_rest, setup, teardown),
		cmocka_unit_test_setup_teardown(test_make_way, setup, teardown),
		cmocka_unit_test_setup_teardown(test_handler_returns_the_loan, setup, teardown),
		cmocka_unit_test_setup_teardown(test_parked_are_left_alone, setup, teardown),
	};

	return RUN_TESTS(tests);
}
