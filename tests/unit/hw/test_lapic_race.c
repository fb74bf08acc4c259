/* SPDX-License-Identifier: MIT */
/*
 * Senders on their own threads against one owner that looks at its APIC only when it has been kicked: every interrupt
 * arrives, none twice. Each sender has one vector and waits for its interrupt before it sends the next, so a lost kick
 * shows as a stall. One case has kicks for nothing, one for each message and at about the same time: an owner that clears
 * `outstanding` after its look instead of before loses a message there sooner or later.
 */
#include "support/test.h"

#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <string.h>
#include <time.h>

#include "fake_machine.h"
#include "hw/intc/lapic.h"

#define SENDERS 3
#if defined(__SANITIZE_THREAD__)
#define ROUNDS 5000
#define ALARMS 10000
#else
#define ROUNDS 30000
#define ALARMS 300000
#endif
#define FIRST_VECTOR 0x31
#define STALL_SECONDS 20
#define ROUNDS_MIN 1000
#define TIME_LIMIT 5 /* seconds */

static struct lapic storage, *apic[1] = {&storage};
static struct apic_bus bus;
static _Atomic unsigned received[SENDERS];
static _Atomic bool stalled;
static _Atomic unsigned sent, working; /* messages of all threads; threads that will send more */
static time_t deadline;

/*
 * Rounds that a thread still has to do. Each needs both sides to run at once, so that a host with other work takes far longer for
 * one: the time counts then, if some have been done.
 */
static bool more(unsigned round, unsigned rounds)
{
	return round < rounds && (round < ROUNDS_MIN || time(NULL) < deadline);
}

/* Waits until the owner has taken more than i interrupts of sender n. False: it never will. */
static bool wait_for(unsigned n, unsigned i)
{
	for (unsigned spins = 1; atomic_load(&received[n]) <= i; spins++) {
		if (atomic_load(&stalled))
			return false;
		if (spins % 1024 == 0)
			sched_yield();
	}
	return true;
}

static void *sender(void *arg)
{
	unsigned n = (unsigned)(uintptr_t)arg;
	struct apic_msg msg = {.dest = 0, .vector = (uint8_t)(FIRST_VECTOR + 0x10 * n), .level = n == 1};

	for (unsigned i = 0; more(i, ROUNDS); i++) {
		atomic_fetch_add(&sent, 1);
		if (!apic_bus_send(&bus, &msg, 0) || !wait_for(n, i))
			break;
	}
	atomic_fetch_sub(&working, 1);
	return NULL;
}

/* Line changes and errors come in between. */
static void *disturber(void *arg)
{
	(void)arg;
	for (unsigned i = 0; more(i, ROUNDS); i++) {
		lapic_lint(&storage, 0, true);
		lapic_lint(&storage, 0, false);
		if (i % 64 == 0)
			lapic_error(&storage, 0x40);
	}
	atomic_fetch_sub(&working, 1);
	return NULL;
}

/* A kick for nothing (LINT1 is masked), and the message while the owner is looking because of it. */
static void *false_alarm(void *arg)
{
	struct apic_msg msg = {.dest = 0, .vector = FIRST_VECTOR};

	(void)arg;
	for (unsigned i = 0; more(i, ALARMS); i++) {
		lapic_lint(&storage, 1, true);
		for (volatile unsigned pause = i % 509; pause; pause--) /* sweeps over the owner's way through its look */
			;
		atomic_fetch_add(&sent, 1);
		if (!apic_bus_send(&bus, &msg, 0) || !wait_for(0, i))
			break;
		lapic_lint(&storage, 1, false);
	}
	atomic_fetch_sub(&working, 1);
	return NULL;
}

/* The owner's part. Returns how many interrupts it took. */
static unsigned serve(void)
{
	unsigned n = 0;
	int vector;

	while ((vector = lapic_intc_ops.accept(vcpus[0])) >= 0) {
		unsigned from = (unsigned)(vector - FIRST_VECTOR) / 0x10;

		lapic_eoi(&storage);
		if (from < SENDERS && (unsigned)vector == FIRST_VECTOR + 0x10 * from) {
			atomic_fetch_add(&received[from], 1);
			n++;
		}
	}
	return n;
}

/* `senders` threads, and one more that runs `extra`, against the owner. */
static void race(unsigned senders, void *(*extra)(void *))
{
	pthread_t thread[SENDERS + 1];
	unsigned total = 0;
	time_t progress = time(NULL);

	deadline = progress + TIME_LIMIT;
	working = senders + 1;
	for (uintptr_t i = 0; i < senders; i++)
		assert_int_equal(pthread_create(&thread[i], NULL, sender, (void *)i), 0);
	assert_int_equal(pthread_create(&thread[senders], NULL, extra, NULL), 0);
	for (unsigned spins = 1; (working || total < sent) && time(NULL) - progress < STALL_SECONDS; spins++) {
		unsigned n = fake_take_requests(vcpus[0]) & VCPU_REQ_INTR ? serve() : 0;

		total += n;
		if (n)
			progress = time(NULL);
		else if (spins % 1024 == 0)
			sched_yield();
	}
	atomic_store(&stalled, true);
	for (unsigned i = 0; i <= senders; i++)
		pthread_join(thread[i], NULL);
	assert_int_equal(total, sent);
	total += serve();
	assert_int_equal(total, sent);
	assert_int_equal(working, 0);
	for (unsigned i = 0; i < senders; i++)
		assert_in_range(received[i], ROUNDS_MIN, ROUNDS);
}

static void a_message_beside_a_false_alarm_is_noticed(void **state)
{
	(void)state;
	race(0, false_alarm);
}

static void no_interrupt_is_lost_or_doubled(void **state)
{
	(void)state;
	race(SENDERS, disturber);
}

static int setup(void **state)
{
	(void)state;
	fake_reset();
	fake_vcpus(1);
	memset(&storage, 0, sizeof(storage));
	memset(received, 0, sizeof(received));
	stalled = false;
	sent = 0;
	bus = (struct apic_bus){.lapic = apic, .nr = 1, .by_id = apic, .nr_ids = 1};
	vcpus[0]->intc_opaque = &storage;
	lapic_init(&storage, &bus, vcpus[0], 0, true);
	lapic_reg_write(&storage, 0xf, 0x1ff);
	lapic_reg_write(&storage, 0x35, 0x21); /* LINT0: fixed */
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(a_message_beside_a_false_alarm_is_noticed, setup),
		cmocka_unit_test_setup(no_interrupt_is_lost_or_doubled, setup),
	};

	return RUN_TESTS(tests);
}
