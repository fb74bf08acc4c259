/* SPDX-License-Identifier: MIT */
/*
 * IPI storm: every CPU interrupts every other, itself, groups and all, by fixed vectors, NMI and lowest priority, and
 * halts until an answer comes (Intel SDM vol. 3, 11.6). Equal interrupts that wait merge, so each receiver has a token
 * for each vector: who sends takes it, the handler gives it back. So each send is one run of the handler; one too many
 * finds no token, and a lost one leaves it taken for too long.
 */
#include "storms.h"

#define NR_VECTORS 16
#define VEC_FIRST  0x40 /* every eighth from here on: two in a priority class */
#define TOKEN_NMI  NR_VECTORS
#define VEC_LOWEST 0x38
#define VEC_PING   0x29
#define VEC_PONG   0x2a
#define ICR_LOWEST  0x100u
#define ICR_LOGICAL 0x800u
#define APIC_LDR    0xd0
#define APIC_DFR    0xe0

struct token {
	volatile uint32_t taken;
	uint32_t from;
	volatile uint64_t since;
};

static struct token tokens[MAX_CPUS][NR_VECTORS + 1];
static volatile uint64_t sent, received, twice;
static struct {
	volatile uint32_t taken;
	volatile uint64_t mask;
} lowest;
static volatile uint64_t pings[MAX_CPUS]; /* who wants an answer */
static volatile uint32_t pong[MAX_CPUS];

static bool take(struct worker *me, unsigned cpu, unsigned k)
{
	struct token *t = &tokens[cpu][k];
	uint32_t none = 0;

	if (!__atomic_compare_exchange_n(&t->taken, &none, 1, false, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST))
		return false;
	t->from = me->index;
	t->since = rdtsc();
	return true;
}

/* In a handler, NMIs' too: takes no lock and prints nothing. */
static void arrived(unsigned k)
{
	unsigned me = this_cpu()->index;

	if (!__atomic_exchange_n(&tokens[me][k].taken, 0, __ATOMIC_SEQ_CST)) {
		__atomic_add_fetch(&twice, 1, __ATOMIC_RELAXED);
		return;
	}
	__atomic_add_fetch(&received, 1, __ATOMIC_RELAXED);
	cpu_release(me);
}

static bool on_fixed(struct regs *r)
{
	arrived((unsigned)(r->vector - VEC_FIRST) / 8);
	apic_eoi();
	return true;
}

static bool on_nmi(struct regs *r)
{
	(void)r;
	arrived(TOKEN_NMI);
	return true;
}

static bool on_lowest(struct regs *r)
{
	uint64_t me = 1ull << this_cpu()->index;
	uint32_t sent_one = 1;

	(void)r;
	if (!(lowest.mask & me) || !__atomic_compare_exchange_n(&lowest.taken, &sent_one, 0, false, __ATOMIC_SEQ_CST,
								__ATOMIC_SEQ_CST))
		__atomic_add_fetch(&twice, 1, __ATOMIC_RELAXED);
	apic_eoi();
	return true;
}

static bool on_ping(struct regs *r)
{
	uint64_t who = __atomic_exchange_n(&pings[this_cpu()->index], 0, __ATOMIC_SEQ_CST);

	(void)r;
	for (; who; who &= who - 1)
		apic_send(cpus[__builtin_ctzll(who)].apic_id, VEC_PONG);
	apic_eoi();
	return true;
}

static bool on_pong(struct regs *r)
{
	(void)r;
	pong[this_cpu()->index] = 1;
	apic_eoi();
	return true;
}

static void count_sent(struct worker *me, unsigned n)
{
	__atomic_add_fetch(&sent, n, __ATOMIC_RELAXED);
	me->ops[STORM_IPI] += n;
}

static uint32_t command_of(unsigned k)
{
	return k == TOKEN_NMI ? ICR_NMI : VEC_FIRST + 8 * k;
}

/* To one CPU, itself included. */
static void send_one(struct worker *me)
{
	unsigned cpu = pick(me, storm_cpus), k = pick(me, NR_VECTORS + 1);

	if (!cpu_hold(cpu))
		return;
	if (!take(me, cpu, k))
		return cpu_release(cpu);
	count_sent(me, 1);
	if (cpu == me->index && k != TOKEN_NMI && pick(me, 2))
		apic_send(0, ICR_SELF | command_of(k));
	else
		apic_send(cpus[cpu].apic_id, command_of(k));
}

/* Holds and takes the tokens of all CPUs in the set, or of none. */
static bool take_all(struct worker *me, uint64_t set, unsigned k)
{
	uint64_t had = 0;

	for (uint64_t rest = set; rest; rest &= rest - 1) {
		unsigned cpu = (unsigned)__builtin_ctzll(rest);

		if (!cpu_hold(cpu))
			break;
		if (!take(me, cpu, k)) {
			cpu_release(cpu);
			break;
		}
		had |= 1ull << cpu;
	}
	if (had == set)
		return true;
	for (; had; had &= had - 1) {
		unsigned cpu = (unsigned)__builtin_ctzll(had);

		tokens[cpu][k].taken = 0;
		cpu_release(cpu);
	}
	return false;
}

static void send_broadcast(struct worker *me)
{
	uint64_t all = storm_cpus == 64 ? ~0ull : (1ull << storm_cpus) - 1;
	bool self = pick(me, 2);
	unsigned k = pick(me, self ? NR_VECTORS : NR_VECTORS + 1);
	uint64_t set = self ? all : all & ~(1ull << me->index);

	if (!all_hold())
		return;
	if (set && take_all(me, set, k)) {
		count_sent(me, count_bits(set));
		apic_send(0, (self ? ICR_ALL : ICR_OTHERS) | command_of(k));
	}
	all_release();
}

/* Logical destinations: flat up to 8 CPUs, above in clusters of four (CPUs beyond 60 have none). */
static bool flat(void)
{
	return storm_cpus <= 8;
}

static uint32_t pick_logical(struct worker *me, uint64_t *set)
{
	unsigned clusters = flat() ? 1 : (storm_cpus + 3) / 4, width = flat() ? 8 : 4;
	unsigned cluster = pick(me, clusters > 15 ? 15 : clusters), mask = pick(me, (1u << width) - 1) + 1;

	for (unsigned i = 0; i < width; i++)
		if (cluster * width + i >= storm_cpus)
			mask &= ~(1u << i);
	*set = (uint64_t)mask << cluster * width;
	return cluster << 4 | mask;
}

static void send_logical(struct worker *me)
{
	unsigned k = pick(me, NR_VECTORS);
	uint64_t set;
	uint32_t dest = pick_logical(me, &set);

	if (!set || !take_all(me, set, k))
		return;
	count_sent(me, count_bits(set));
	apic_send(dest, ICR_LOGICAL | command_of(k));
}

static void send_lowest(struct worker *me)
{
	uint32_t none = 0, dest;
	uint64_t set, held = 0;

	dest = pick_logical(me, &set);
	if (!set || !__atomic_compare_exchange_n(&lowest.taken, &none, 2, false, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST))
		return;
	for (uint64_t rest = set; rest; rest &= rest - 1)
		if (cpu_hold((unsigned)__builtin_ctzll(rest)))
			held |= rest & -rest;
	lowest.mask = set;
	if (held == set) {
		__atomic_store_n(&lowest.taken, 1, __ATOMIC_SEQ_CST);
		apic_send(dest, ICR_LOGICAL | ICR_LOWEST | VEC_LOWEST);
		storm_wait(me, &lowest.taken, 0, "a lowest-priority interrupt", MAX_CPUS);
		me->ops[STORM_IPI]++;
	} else {
		__atomic_store_n(&lowest.taken, 0, __ATOMIC_SEQ_CST);
	}
	for (; held; held &= held - 1)
		cpu_release((unsigned)__builtin_ctzll(held));
}

/* Halts until the other answers by interrupt. A lost wake-up is told by the CPU that misses this one's beat. */
static void halt_for_answer(struct worker *me)
{
	unsigned cpu = pick(me, storm_cpus), before = pick(me, 200);

	if (cpu == me->index || !cpu_hold(cpu))
		return;
	pong[me->index] = 0;
	me->beat = rdtsc();
	me->doing = "halted until the answer to an interrupt";
	__atomic_fetch_or(&pings[cpu], 1ull << me->index, __ATOMIC_SEQ_CST);
	apic_send(cpus[cpu].apic_id, VEC_PING);
	while (before--)
		barrier();
	irq_off();
	while (!pong[me->index]) {
		irq_on_halt();
		irq_off();
	}
	irq_on();
	me->doing = "ipi";
	cpu_release(cpu);
	me->ops[STORM_IPI]++;
}

static void check_tokens(struct worker *me)
{
	unsigned cpu = pick(me, storm_cpus), k = pick(me, NR_VECTORS + 1);
	struct token *t = &tokens[cpu][k];
	uint64_t since = t->since;

	if (twice)
		test_fail("%lu interrupts came that nobody had sent", twice);
	if (t->taken && (int64_t)(rdtsc() - since) > (int64_t)storm_patience() && t->since == since && t->taken)
		storm_hang(k == TOKEN_NMI ? "an NMI that was sent" : "an interrupt that was sent", t->from, cpu);
}

static void turn(struct worker *w)
{
	for (unsigned n = 0; n < 8; n++)
		send_one(w);
	switch (pick(w, 4)) {
	case 0:
		send_broadcast(w);
		break;
	case 1:
		send_logical(w);
		break;
	case 2:
		send_lowest(w);
		break;
	default:
		halt_for_answer(w);
	}
	check_tokens(w);
}

static void prepare(void)
{
	memset(tokens, 0, sizeof(tokens));
	memset((void *)pings, 0, sizeof(pings));
	sent = received = twice = 0;
	lowest.taken = 0;
	for (unsigned k = 0; k < NR_VECTORS; k++)
		trap_set_handler(VEC_FIRST + 8 * k, on_fixed);
	trap_set_handler(VEC_NMI, on_nmi);
	trap_set_handler(VEC_LOWEST, on_lowest);
	trap_set_handler(VEC_PING, on_ping);
	trap_set_handler(VEC_PONG, on_pong);
}

static void enter(struct worker *w)
{
	unsigned i = w->index;

	apic_write(APIC_DFR, flat() ? 0xffffffff : 0x0fffffff);
	apic_write(APIC_LDR, flat() ? 1u << (24 + i) : i < 60 ? (i / 4 << 4 | 1u << i % 4) << 24 : 0);
}

/* All CPUs have their interrupts on until the last token is back. */
static void finish(void)
{
	if (sent != received || twice)
		test_fail("%lu interrupts sent, %lu received, %lu unasked", sent, received, twice);
	trap_set_handler(VEC_NMI, NULL);
}

const struct storm ipi_storm = {
	.name = "ipi", .prepare = prepare, .enter = enter, .turn = turn, .finish = finish};
