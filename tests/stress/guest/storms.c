/* SPDX-License-Identifier: MIT */
/*
 * The storms of storms/, one after another or all at once; storms.h has the rules. A CPU that gives no sign of life for
 * too long, or an answer that does not come, ends the program with a report of who was doing what.
 *
 * Command line: cpus=N seconds=N (per storm; default: ms=N) seed=N only=STORM patience=SECONDS.
 */
#include "storms/storms.h"

static const struct storm *const storms[NR_STORMS] = {&block_storm, &chain_storm, &evict_storm,
						      &tlb_storm,   &ipi_storm,	  &hotplug_storm};
struct worker workers[MAX_CPUS];
unsigned storm_cpus;
volatile uint64_t storm_stale;

static const uint8_t *shares; /* of each storm, of the running test */
static unsigned total_shares;
static volatile uint64_t end_time;
static volatile uint32_t at_rest;
static struct spin_barrier gate;
static uint64_t patience;

bool storm_over(void)
{
	return (int64_t)(rdtsc() - end_time) >= 0;
}

uint64_t storm_patience(void)
{
	return patience;
}

void storm_hang(const char *what, unsigned from, unsigned whom)
{
	static volatile uint32_t reported;

	irq_off();
	while (__atomic_exchange_n(&reported, 1, __ATOMIC_SEQ_CST)) /* one report, by the first */
		cpu_pause();
	if (whom < MAX_CPUS)
		test_fail("hang: CPU %u waits for %s, of CPU %u", from, what, whom);
	else
		test_fail("hang: CPU %u waits for %s", from, what);
	for (unsigned i = 0; i < storm_cpus; i++) {
		struct worker *w = &workers[i];

		print("CPU %u: %s, last sign of life %ld ms ago, online %u, held by %u, park %u\n", i,
		      w->doing ? w->doing : "nothing", (long)((int64_t)(rdtsc() - w->beat) / (long)tsc_per_ms()),
		      w->online, w->holders, w->park);
	}
	rt_exit(1);
}

void storm_wait(struct worker *w, volatile uint32_t *p, uint32_t value, const char *what, unsigned whom)
{
	uint64_t now = rdtsc(), end = now + patience;
	const char *doing = w->doing;

	w->doing = what;
	while (__atomic_load_n(p, __ATOMIC_SEQ_CST) != value) {
		w->beat = now = rdtsc();
		if ((int64_t)(now - end) > 0)
			storm_hang(what, w->index, whom);
		cpu_pause();
	}
	w->doing = doing;
}

uint8_t *storm_area(unsigned pages)
{
	uint8_t *va = free_area(pages * PAGE);

	for (unsigned i = 0; i < pages; i++)
		map_page(va + i * PAGE, page_alloc(), PTE_P | PTE_W);
	return va;
}

uint8_t *storm_alias(const uint8_t *area, unsigned pages)
{
	uint8_t *va = free_area(pages * PAGE);

	for (unsigned i = 0; i < pages; i++)
		map_page(va + i * PAGE, *pte_of(area + i * PAGE) & PTE_ADDR, PTE_P | PTE_W);
	return va;
}

static void watch(struct worker *w)
{
	struct worker *other = &workers[pick(w, storm_cpus)];
	uint64_t beat = other->beat;

	if ((int64_t)(rdtsc() - beat) > (int64_t)patience && other->beat == beat)
		storm_hang("a sign of life", w->index, other->index);
}

/* Asked to park: nobody begins to hold this CPU any more, and interrupts are served until INIT. */
static void parked(struct worker *w)
{
	uint32_t asked = PARK_ASKED;
	bool halt = pick(w, 2);

	w->online = 0;
	if (!__atomic_compare_exchange_n(&w->park, &asked, PARK_DONE, false, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST)) {
		__atomic_store_n(&w->online, 1, __ATOMIC_SEQ_CST);
		return;
	}
	w->doing = halt ? "parked, halted" : "parked";
	for (;;) {
		w->beat = rdtsc();
		if (halt)
			irq_on_halt();
		cpu_pause();
	}
}

static const struct storm *choose(struct worker *w)
{
	unsigned n = pick(w, total_shares), i = 0;

	for (; n >= shares[i]; i++)
		n -= shares[i];
	return storms[i];
}

/* At least one, also if a debugger or the host let none of us run until it was over. */
static void take_turns(struct worker *w)
{
	do {
		const struct storm *storm = choose(w);

		w->beat = rdtsc();
		w->doing = storm->name;
		storm->turn(w);
		watch(w);
		if (w->park == PARK_ASKED)
			parked(w);
	} while (!storm_over());
}

/* Nothing is on its way to this CPU any more when nobody holds it; so all may turn their interrupts off. */
static void rest(struct worker *w)
{
	w->doing = "at its end";
	storm_wait(w, &w->holders, 0, "the end of what goes on with it", w->index);
	__atomic_add_fetch(&at_rest, 1, __ATOMIC_SEQ_CST);
	storm_wait(w, &at_rest, storm_cpus, "the others to end", MAX_CPUS);
	storm_wait(w, &w->holders, 0, "the end of what goes on with it", w->index);
	w->online = 0;
}

static void worker_main(void *arg)
{
	struct worker *w = &workers[this_cpu()->index];

	(void)arg;
	for (unsigned i = 0; i < NR_STORMS; i++)
		if (shares[i] && storms[i]->enter)
			storms[i]->enter(w);
	w->beat = rdtsc();
	irq_on();
	__atomic_store_n(&w->online, 1, __ATOMIC_SEQ_CST);
	if (!w->started) {
		w->started = true;
		spin_barrier_wait(&gate, storm_cpus);
		w->beat = rdtsc();
	}
	take_turns(w);
	rest(w);
	irq_off();
	for (unsigned i = 0; i < NR_STORMS; i++)
		if (shares[i] && storms[i]->leave)
			storms[i]->leave(w);
}

static void prepare(void)
{
	uint32_t seed = (uint32_t)opt_number("seed", 1);
	uint64_t ms = opt_number("seconds", 0) * 1000;

	storm_stale = 0;
	at_rest = 0;
	gate = (struct spin_barrier){0};
	patience = (uint64_t)tsc_per_ms() * 1000 * opt_number("patience", 30);
	for (unsigned i = 0; i < storm_cpus; i++)
		workers[i] = (struct worker){
			.index = i, .seed = seed * 2654435761u + i * 0x9e3779b9u, .beat = rdtsc(), .doing = "start"};
	for (unsigned i = 0; i < NR_STORMS; i++)
		if (shares[i])
			storms[i]->prepare();
	end_time = rdtsc() + (uint64_t)tsc_per_ms() * (ms ? ms : opt_number("ms", 500));
}

static void report(const char *name)
{
	uint64_t total = 0;

	print("# %s: %u CPUs, %lu stale", name, storm_cpus, storm_stale);
	for (unsigned i = 0; i < NR_STORMS; i++) {
		uint64_t n = 0;

		for (unsigned c = 0; c < storm_cpus; c++)
			n += workers[c].ops[i];
		if (shares[i])
			print(", %s %lu", storms[i]->name, n);
		total += n;
	}
	print(", in all %lu\n", total);
	if (!total)
		test_fail("nothing was done");
}

static void run(const char *name, const uint8_t of_each[NR_STORMS])
{
	shares = of_each;
	total_shares = 0;
	for (unsigned i = 0; i < NR_STORMS; i++)
		total_shares += of_each[i];
	storm_cpus = smp_start();
	prepare();
	print("# %s begins\n", name);
	smp_run(storm_cpus, worker_main, NULL);
	for (unsigned i = 0; i < NR_STORMS; i++)
		if (shares[i] && storms[i]->finish)
			storms[i]->finish();
	report(name);
}

/* Shares of block, chain, evict, tlb, ipi and hotplug. */
#define STORM(name, ...)                                            \
	static void name(void)                                      \
	{                                                           \
		static const uint8_t of_each[NR_STORMS] = {__VA_ARGS__}; \
                                                                    \
		run(#name, of_each);                                \
	}
STORM(block, 1)
STORM(chain, 0, 1)
STORM(evict, 0, 0, 1)
STORM(tlb, 0, 0, 0, 1)
STORM(ipi, 0, 0, 0, 0, 1)
STORM(hotplug, 8, 8, 2, 8, 8, 4)
STORM(together, 20, 20, 8, 8, 8, 1)

/* clang-format off */
const struct rt_test rt_tests[] = {
	RT_TEST(block),
	RT_TEST(chain),
	RT_TEST(evict),
	RT_TEST(tlb),
	RT_TEST(ipi),
	RT_TEST(hotplug),
	RT_TEST(together),
	{0},
};
