/* SPDX-License-Identifier: MIT */
/*
 * What becomes of hints that the guest spins: nothing with a host CPU for each vCPU that is awake, rest and make way without; and who shares one
 * with the vCPU it waits for, though there are others, leaves it.
 */
#include <stdlib.h>
#include <string.h>

#include "tests/support/test.h"
#include "util/stats.h"
#include "vcpu/exec.h"

enum { NR = 3, MANY = 40000 };

struct vcpu **vcpus;
unsigned nr_vcpus;

static unsigned host_cpus, nr_awake, here, moves;
static struct vcpu_exec exec;
static struct vcpu_stats stats[NR];

unsigned placement_host_cpus(void)
{
	return host_cpus;
}

unsigned cpu_threads_awake(void)
{
	return nr_awake;
}

uint32_t host_cpu_now(void)
{
	return here;
}

bool host_cpu_move(bool (*taken)(uint32_t cpu))
{
	for (uint32_t cpu = 0; cpu < host_cpus; cpu++) {
		if (taken(cpu))
			continue;
		here = cpu;
		moves++;
		return true;
	}
	return false;
}

static void set_host_cpu(unsigned i, uint32_t cpu)
{
	atomic_store(&vcpus[i]->host_cpu, cpu);
	if (i == 0)
		here = cpu;
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
	nr_vcpus = nr_awake = NR;
	here = moves = 0;
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

/* Each has a host CPU of its own: who does not take its request is kept from it by others than vCPUs, and to wait is all there is. */
static void test_enough_cpus_but_one_is_late(void **state)
{
	(void)state;
	host_cpus = NR;
	for (unsigned i = 0; i < NR; i++)
		set_host_cpu(i, i);
	atomic_store(&vcpus[1]->env.request, VCPU_REQ_INTR);
	spin(MANY);
	assert_int_equal(requests(0), 0);
	assert_int_equal(requests(1), VCPU_REQ_INTR);
	assert_int_equal(requests(2), 0);
	assert_int_equal(moves, 0);
}

/* The late one is on a host CPU with one that computes: that one makes way, and nobody else does. */
static void test_enough_cpus_but_two_share_one(void **state)
{
	(void)state;
	host_cpus = NR;
	set_host_cpu(1, 1);
	set_host_cpu(2, 1);
	atomic_store(&vcpus[1]->env.request, VCPU_REQ_INTR);
	for (unsigned i = 0; i < MANY && !requests(2); i++)
		spin(1000);
	assert_int_equal(requests(0), 0);
	assert_int_equal(requests(1), VCPU_REQ_INTR | VCPU_REQ_LOAN);
	assert_int_equal(atomic_load(&vcpus[1]->lender_cpu), 1);
	assert_int_equal(requests(2), VCPU_REQ_REST);
}

/* The late one is where we are, and there is a host CPU that nobody has: we go there, once. */
static void test_leaves_for_a_free_cpu(void **state)
{
	(void)state;
	host_cpus = NR;
	set_host_cpu(0, 1);
	set_host_cpu(1, 1);
	set_host_cpu(2, 0);
	atomic_store(&vcpus[1]->env.request, VCPU_REQ_INTR);
	spin(MANY);
	assert_int_equal(moves, 1);
	assert_int_equal(here, 2);
	assert_int_equal(atomic_load(&vcpus[0]->host_cpu), 2);
	assert_int_equal(requests(0), 0);
	assert_int_equal(requests(1), VCPU_REQ_INTR);
}

/* There is none: the late one gets ours, and is to give it back. */
static void test_no_free_cpu(void **state)
{
	(void)state;
	host_cpus = 1;
	nr_awake = 1;
	atomic_store(&vcpus[1]->env.request, VCPU_REQ_INTR);
	set_host_cpu(2, 1);
	spin_long();
	assert_int_equal(moves, 0);
	assert_int_equal(requests(0), VCPU_REQ_REST);
	assert_int_equal(requests(1), VCPU_REQ_INTR | VCPU_REQ_LOAN);
	assert_int_equal(atomic_load(&vcpus[1]->lender_cpu), 0);
	assert_int_equal(requests(2), 0);
}

/* More vCPUs than host CPUs are as good as enough while the others sleep. */
static void test_others_sleep(void **state)
{
	(void)state;
	host_cpus = NR - 1;
	nr_awake = NR - 1;
	spin(MANY);
	assert_int_equal(requests(0), 0);
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
		cmocka_unit_test_setup_teardown(test_enough_cpus_but_two_share_one, setup, teardown),
		cmocka_unit_test_setup_teardown(test_leaves_for_a_free_cpu, setup, teardown),
		cmocka_unit_test_setup_teardown(test_no_free_cpu, setup, teardown),
		cmocka_unit_test_setup_teardown(test_others_sleep, setup, teardown),
		cmocka_unit_test_setup_teardown(test_enough_cpus_and_all_answer, setup, teardown),
		cmocka_unit_test_setup_teardown(test_short_wait, setup, teardown),
		cmocka_unit_test_setup_teardown(test_rest, setup, teardown),
		cmocka_unit_test_setup_teardown(test_make_way, setup, teardown),
		cmocka_unit_test_setup_teardown(test_handler_returns_the_loan, setup, teardown),
		cmocka_unit_test_setup_teardown(test_parked_are_left_alone, setup, teardown),
	};

	return RUN_TESTS(tests);
}
