/* SPDX-License-Identifier: MIT */
#include "fake_machine.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "mem/ram.h"
#include "sched/clock.h"
#include "sched/evloop.h"
#include "sched/timer.h"

#define MAX_TIMERS 64
#define MAX_CALLS 64

vclock_ns_t fake_now;
struct vcpu *fake_self;
unsigned fake_timer_changes, fake_resets;
int fake_poweroff;
uint8_t fake_ram[FAKE_RAM_SIZE];
uint64_t ram_size = FAKE_RAM_SIZE;
struct vcpu **vcpus;
unsigned nr_vcpus;

static struct timer *armed[MAX_TIMERS];
static struct { evloop_call_fn fn; void *opaque; } calls[MAX_CALLS];
static unsigned nr_calls;

void fake_reset(void)
{
	fake_now = 1000 * MS;
	memset(armed, 0, sizeof(armed));
	nr_calls = 0;
	fake_self = NULL;
	fake_timer_changes = fake_resets = 0;
	fake_poweroff = -1;
	for (unsigned i = 0; i < nr_vcpus; i++)
		free(vcpus[i]);
	free(vcpus);
	vcpus = NULL;
	nr_vcpus = 0;
}

/* Clock and timers. */

vclock_ns_t clock_now(void)
{
	return fake_now;
}

uint64_t clock_tsc_hz(void)
{
	return FAKE_TSC_HZ;
}

uint64_t clock_tsc(void)
{
	return (uint64_t)fake_now * (FAKE_TSC_HZ / 1000000000u);
}

void timer_init(struct timer *t, timer_fn fn, void *opaque)
{
	*t = (struct timer){.fn = fn, .opaque = opaque, .heap_pos = -1};
}

void timer_disarm(struct timer *t)
{
	if (t->heap_pos >= 0)
		armed[t->heap_pos] = NULL;
	t->heap_pos = -1;
}

void timer_arm(struct timer *t, vclock_ns_t deadline)
{
	timer_disarm(t);
	t->deadline = deadline;
	for (int i = 0; i < MAX_TIMERS; i++) {
		if (armed[i])
			continue;
		armed[i] = t;
		t->heap_pos = i;
		return;
	}
	abort();
}

void timer_fini(struct timer *t)
{
	timer_disarm(t);
}

static struct timer *first_due(vclock_ns_t end)
{
	struct timer *first = NULL;

	for (unsigned i = 0; i < MAX_TIMERS; i++)
		if (armed[i] && armed[i]->deadline <= end && (!first || armed[i]->deadline < first->deadline))
			first = armed[i];
	return first;
}

void fake_advance(vclock_ns_t ns)
{
	vclock_ns_t end = fake_now + ns;
	struct timer *t;

	while ((t = first_due(end))) {
		if (t->deadline > fake_now)
			fake_now = t->deadline;
		timer_disarm(t);
		t->fn(t->opaque);
		fake_run_calls();
	}
	fake_now = end;
	fake_run_calls();
}

/* The loop. */

void evloop_call(evloop_call_fn fn, void *opaque)
{
	if (nr_calls == MAX_CALLS)
		abort();
	calls[nr_calls].fn = fn;
	calls[nr_calls++].opaque = opaque;
}

void fake_run_calls(void)
{
	for (unsigned i = 0; i < nr_calls; i++)
		calls[i].fn(calls[i].opaque);
	nr_calls = 0;
}

int evloop_fd_add(int fd, unsigned events, evloop_fd_fn fn, void *opaque)
{
	(void)fd;
	(void)events;
	(void)fn;
	(void)opaque;
	return -EPERM;
}

void evloop_fd_del(int fd)
{
	(void)fd;
}

/* Lines. */

static void line_set(void *opaque, unsigned n, bool level)
{
	struct fake_line *l = opaque;

	(void)n;
	l->rises += level && !l->level;
	l->falls += !level && l->level;
	l->level = level;
}

struct irq_line fake_line(struct fake_line *l)
{
	*l = (struct fake_line){0};
	return (struct irq_line){line_set, l, 0};
}

/* CPUs. */

void fake_vcpus(unsigned n)
{
	vcpus = calloc(n, sizeof(vcpus[0]));
	nr_vcpus = n;
	for (unsigned i = 0; i < n; i++) {
		vcpus[i] = aligned_alloc(64, (sizeof(struct vcpu) + 63) & ~(size_t)63);
		memset(vcpus[i], 0, sizeof(struct vcpu));
		vcpus[i]->index = vcpus[i]->apic_id = i;
	}
}

void vcpu_connect_ferr(void (*ferr)(void *opaque), void *opaque)
{
	(void)ferr;
	(void)opaque;
}

void vcpu_ignne(bool on)
{
	(void)on;
}

void vcpu_request(struct vcpu *v, uint32_t bits)
{
	atomic_fetch_or(&v->env.request, bits);
}

uint32_t fake_take_requests(struct vcpu *v)
{
	return atomic_exchange(&v->env.request, 0);
}

struct vcpu *vcpu_self(void)
{
	return fake_self;
}

void vcpu_timer_changed(struct vcpu *v)
{
	(void)v;
	fake_timer_changes++;
}

uint64_t vcpu_tsc_read(const struct vcpu *v)
{
	(void)v;
	return clock_tsc();
}

void vcpu_set_boot_state(struct vcpu *v, const struct vcpu_boot_state *s)
{
	if (s)
		v->boot = *s;
}

void vcpus_reset_all(void)
{
	for (unsigned i = 0; i < nr_vcpus; i++)
		vcpus[i]->intc->reset(vcpus[i], true);
}

void machine_request_reset(const char *why)
{
	(void)why;
	fake_resets++;
}

void machine_request_poweroff(int exit_status)
{
	fake_poweroff = exit_status;
}

/* Memory. */

struct aspace {
	int unused;
};
struct aspace aspace_mem, aspace_io;

int aspace_add_mmio(struct aspace *as, gpa_t gpa, uint64_t size, const struct mmio_ops *ops, void *opaque,
		    const char *name)
{
	(void)as;
	(void)gpa;
	(void)size;
	(void)ops;
	(void)opaque;
	(void)name;
	return 0;
}

int aspace_add_ram(struct aspace *as, gpa_t gpa, uint64_t size, ram_off_t off, bool rom)
{
	(void)as;
	(void)gpa;
	(void)size;
	(void)off;
	(void)rom;
	return 0;
}

void aspace_set_hidden(gpa_t gpa, uint64_t size, ram_off_t off)
{
	(void)gpa;
	(void)size;
	(void)off;
}

void aspace_show_hidden(enum aspace_viewers who)
{
	(void)who;
}

void aspace_remove(struct aspace *as, gpa_t gpa, uint64_t size)
{
	(void)as;
	(void)gpa;
	(void)size;
}

int dma_write(gpa_t gpa, const void *buf, size_t len)
{
	if (gpa > FAKE_RAM_SIZE || len > FAKE_RAM_SIZE - gpa)
		return -EFAULT;
	memcpy(fake_ram + gpa, buf, len);
	return 0;
}
