/* SPDX-License-Identifier: MIT */
/*
 * KVM's clock (Linux, Documentation/virt/kvm/x86/msr.rst, MSR_KVM_SYSTEM_TIME_NEW and MSR_KVM_WALL_CLOCK_NEW): the guest gives each CPU memory, in
 * which stands how its TSC becomes nanoseconds.
 *
 * The guest's TSC is the host's plus an offset, and its frequency does not change: so the page is written when the guest asks for it, and again only
 * if somebody moves a TSC. All pages count from one instant, that of power-on, by one factor: CPUs agree to the nanosecond, and with the flag
 * STABLE a guest may use any CPU's page for all of them. It is not set while some CPU's TSC is moved.
 */
#include "vcpu/x86/x86_kvmclock.h"

#include <stdatomic.h>
#include <time.h>

#include "sched/clock.h"
#include "vcpu/x86/x86_cpuid.h"
#include "vcpu/x86/x86_pv_area.h"

#define ENABLED 1ull
#define TSC_STABLE 1u
#define NS_PER_S 1000000000ull
#define WALL_TRIES 8 /* the host may stop us between two readings */

/* Words of KVM's struct pvclock_vcpu_time_info and pvclock_wall_clock; both begin with the version, which is odd while the others change. */
enum { TIME_VERSION, TIME_PAD, TIME_TSC, TIME_TSC_HIGH, TIME_NS, TIME_NS_HIGH, TIME_FACTOR, TIME_SHIFT_FLAGS, TIME_WORDS };
enum { WALL_VERSION, WALL_SECONDS, WALL_NS, WALL_WORDS };

/*
 * [atomic] vCPUs whose TSC is not the host's. Who changes it from or to 0 asks all others for a look at a safepoint: the request is released
 * after the count is changed, and taken before it is read.
 */
static _Atomic unsigned nr_moved;

static bool is_stable(void)
{
	return !atomic_load(&nr_moved);
}

struct scale {
	uint32_t factor; /* its highest bit is set: as exact as can be */
	int shift;
};

/* ns = (ticks << shift) * factor >> 32; a negative shift is one to the right. */
static struct scale scale(void)
{
	uint64_t ns = NS_PER_S, hz = clock_tsc_hz();
	int shift = 0;

	for (; ns >= hz; shift++)
		hz <<= 1;
	for (; ns << 1 < hz; shift--)
		ns <<= 1;
	return (struct scale){ .factor = (uint32_t)(((unsigned __int128)ns << 32) / hz), .shift = shift };
}

/* What a guest reads now. */
static uint64_t system_ns(void)
{
	struct scale s = scale();
	uint64_t ticks = clock_tsc() - clock_tsc_origin();

	ticks = s.shift < 0 ? ticks >> -s.shift : ticks << s.shift;
	return (uint64_t)((unsigned __int128)ticks * s.factor >> 32);
}

/* Readers on any CPU follow the version, as of a seqlock. Addresses that are not RAM, or not aligned, are the guest's loss. */
static void publish(gpa_t addr, const uint32_t *words, unsigned n)
{
	uint32_t *a, version;
	ram_off_t off;

	if (addr % sizeof(*a))
		return;
	a = x86_pv_area(addr, n * sizeof(*a), &off);
	if (!a)
		return;
	version = __atomic_load_n(&a[0], __ATOMIC_RELAXED) | 1;
	__atomic_store_n(&a[0], version, __ATOMIC_RELAXED);
	atomic_thread_fence(memory_order_release);
	for (unsigned i = 1; i < n; i++)
		__atomic_store_n(&a[i], words[i], __ATOMIC_RELAXED);
	__atomic_store_n(&a[0], version + 1, __ATOMIC_RELEASE);
	x86_pv_area_written(off, n * sizeof(*a));
}

static void show(struct x86_cpu *c)
{
	uint64_t tsc = clock_tsc_origin() + c->tsc_offset + c->tsc_adjust;
	bool stable = is_stable();
	struct scale s = scale();
	uint32_t words[TIME_WORDS] = {
		[TIME_TSC] = (uint32_t)tsc,
		[TIME_TSC_HIGH] = tsc >> 32,
		[TIME_FACTOR] = s.factor,
		[TIME_SHIFT_FLAGS] = (uint8_t)s.shift | (stable && x86_offers(c, X86_CPUID_KVM_CLOCK_STABLE) ? TSC_STABLE << 8 : 0),
	};

	c->kvmclock.shown_stable = stable;
	publish(c->kvmclock.system & ~ENABLED, words, TIME_WORDS);
}

void x86_kvmclock_system_write(struct x86_cpu *c, uint64_t v)
{
	c->kvmclock.system = v;
	if (v & ENABLED)
		show(c);
}

/* The time of day at the system time 0: of several readings the one that lies between the closest two of the system time. */
static uint64_t wall_ns(void)
{
	uint64_t best = UINT64_MAX, ns = 0;

	for (int i = 0; i < WALL_TRIES; i++) {
		uint64_t before = system_ns(), after;
		struct timespec now;

		clock_gettime(CLOCK_REALTIME, &now);
		after = system_ns();
		if (after - before < best) {
			best = after - before;
			ns = (uint64_t)now.tv_sec * NS_PER_S + (uint64_t)now.tv_nsec - before - best / 2;
		}
	}
	return ns;
}

/* Once. */
void x86_kvmclock_wall_write(struct x86_cpu *c, uint64_t v)
{
	uint32_t words[WALL_WORDS];
	uint64_t ns = wall_ns();

	c->kvmclock.wall = v;
	words[WALL_SECONDS] = (uint32_t)(ns / NS_PER_S);
	words[WALL_NS] = (uint32_t)(ns % NS_PER_S);
	publish(v, words, WALL_WORDS);
}

static void count_moved(struct x86_cpu *c)
{
	bool moved = c->tsc_offset + c->tsc_adjust != 0;
	unsigned before;

	if (moved == c->kvmclock.moved)
		return;
	c->kvmclock.moved = moved;
	before = moved ? atomic_fetch_add(&nr_moved, 1) : atomic_fetch_sub(&nr_moved, 1);
	if (before != !moved)
		return;
	for (unsigned i = 0; i < nr_vcpus; i++)
		if (vcpus[i] != &c->vcpu)
			vcpu_request(vcpus[i], VCPU_REQ_INTR);
}

void x86_kvmclock_tsc_moved(struct x86_cpu *c)
{
	count_moved(c);
	if (c->kvmclock.system & ENABLED)
		show(c);
}

void x86_kvmclock_report(struct x86_cpu *c)
{
	if (unlikely(c->kvmclock.system & ENABLED) && unlikely(c->kvmclock.shown_stable != is_stable()))
		show(c);
}

void x86_kvmclock_reset(struct x86_cpu *c)
{
	c->kvmclock.wall = c->kvmclock.system = 0;
	count_moved(c);
}
