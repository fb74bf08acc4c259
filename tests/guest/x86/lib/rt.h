/* SPDX-License-Identifier: MIT */
/*
 * Runtime of the freestanding test programs, as far as 32-bit and 64-bit programs share it: text output, command line,
 * the list of tests, time.
 *
 * A program defines rt_tests[]. Tests run one after another on the boot CPU with interrupts off; each prints "ok name"
 * or "FAIL name: why". The emulator's exit status is 1 when all passed and 3 when not (isa-debug-exit).
 */
#ifndef GUEST_RT_H
#define GUEST_RT_H

#include "x86.h"

#define ARRAY_LEN(a)	 (sizeof(a) / sizeof((a)[0]))
#define TICKS_PER_SECOND 3579545u /* of the PM timer */

struct rt_test {
	const char *name;
	void (*fn)(void);
	bool only_by_name; /* runs when "only=NAME" is on the command line, never else */
};

/* clang-format off */
#define RT_TEST(fn) {#fn, fn, false}
#define RT_TEST_KNOWN(fn) {#fn, fn, true} /* of what emulators are known to leave out */
/* clang-format on */

extern const struct rt_test rt_tests[]; /* ends with a NULL name */

/* Whole lines from several CPUs do not mix. Known: %c %s %d %u %x %lu %ld %lx %p %%, with zero-padded widths. */
void print(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* The running test has failed; the first reason counts. Any CPU. */
void test_fail(const char *format, ...) __attribute__((format(printf, 1, 2)));
bool test_failed(void);
void test_skip(const char *why);

#define CHECK(cond)                                                \
	do {                                                       \
		if (!(cond)) {                                     \
			test_fail("line %d: %s", __LINE__, #cond); \
			return;                                    \
		}                                                  \
	} while (0)

#define CHECK_EQ(a, b)                                                                                   \
	do {                                                                                             \
		unsigned long a_ = (unsigned long)(a), b_ = (unsigned long)(b);                          \
                                                                                                         \
		if (a_ != b_) {                                                                          \
			test_fail("line %d: %s is %lx, not %s, which is %lx", __LINE__, #a, a_, #b, b_); \
			return;                                                                          \
		}                                                                                        \
	} while (0)

/* "name=value" of the command line. */
unsigned long opt_number(const char *name, unsigned long otherwise);
bool opt_is(const char *name, const char *value);

void rt_exit(unsigned status) __attribute__((noreturn));
void rt_run_tests(const void *boot_params); /* does not return */

/* Time, from the ACPI PM timer; TSC rate is measured against it on the first call. */
unsigned long tsc_per_ms(void);
void delay_us(unsigned long us);
uint32_t pm_timer(void); /* 24 bits */

static inline uint64_t tsc_after_ms(unsigned long ms)
{
	return rdtsc() + (uint64_t)tsc_per_ms() * ms;
}

/*
 * How long a test waits for what must come, before it says that it did not. Only a broken emulator makes it wait so long: the host may be as busy
 * as it likes.
 */
#define PATIENCE_MS 60000ul

/* A small generator for reproducible disorder (xorshift). */
static inline uint32_t random_next(uint32_t *state)
{
	uint32_t x = *state ? *state : 0x9e3779b9u;

	x ^= x << 13;
	x ^= x >> 17;
	x ^= x << 5;
	return *state = x;
}

void *memset(void *p, int c, size_t n);
void *memcpy(void *to, const void *from, size_t n);
int memcmp(const void *a, const void *b, size_t n);

/* Spin lock; any CPU. */
struct spinlock {
	volatile uint32_t held;
};

static inline void spin_lock(struct spinlock *l)
{
	while (__atomic_exchange_n(&l->held, 1, __ATOMIC_ACQUIRE))
		while (l->held)
			cpu_pause();
}

static inline void spin_unlock(struct spinlock *l)
{
	__atomic_store_n(&l->held, 0, __ATOMIC_RELEASE);
}

#endif
