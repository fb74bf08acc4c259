/* SPDX-License-Identifier: MIT */
/*
 * Text output on COM1, command line, the loop over the tests, time. Shared by 32-bit and 64-bit programs, so nothing
 * here divides 64-bit numbers.
 */
#include "rt.h"

#include <stdarg.h>

#define COM1	   0x3f8
#define DEBUG_EXIT 0x501
#define PM_TIMER   0x608

#define BP_CMD_LINE_PTR 0x228

static char cmdline[2048];
static struct spinlock print_lock;
static const char *current_test;
static volatile bool failed;
static const char *volatile skipped;
static unsigned nr_failed, nr_passed, nr_skipped;

void *memset(void *p, int c, size_t n)
{
	void *q = p;

	asm volatile("rep stosb" : "+D"(q), "+c"(n) : "a"(c) : "memory");
	return p;
}

void *memcpy(void *to, const void *from, size_t n)
{
	void *q = to;

	asm volatile("rep movsb" : "+D"(q), "+S"(from), "+c"(n) : : "memory");
	return to;
}

int memcmp(const void *a, const void *b, size_t n)
{
	const uint8_t *x = a, *y = b;

	for (size_t i = 0; i < n; i++)
		if (x[i] != y[i])
			return x[i] < y[i] ? -1 : 1;
	return 0;
}

static void put_char(char c)
{
	while (!(inb(COM1 + 5) & 0x20))
		cpu_pause();
	outb(COM1, (uint8_t)c);
}

static void put_text(const char *s)
{
	for (; *s; s++)
		put_char(*s);
}

static void put_number(unsigned long v, unsigned base, unsigned width)
{
	char buf[24];
	unsigned n = 0;

	do {
		buf[n++] = "0123456789abcdef"[v % base];
		v /= base;
	} while (v || n < width);
	while (n)
		put_char(buf[--n]);
}

static void put_signed(long v)
{
	if (v < 0)
		put_char('-');
	put_number(v < 0 ? 0ul - (unsigned long)v : (unsigned long)v, 10, 0);
}

/* One conversion, after the '%'; returns what follows it. */
static const char *put_conversion(const char *f, va_list *ap)
{
	unsigned width = 0;
	bool is_long = false;

	for (; *f >= '0' && *f <= '9'; f++)
		width = width * 10 + (unsigned)(*f - '0');
	if (*f == 'l') {
		is_long = true;
		f++;
	}
	switch (*f) {
	case 'c':
		put_char((char)va_arg(*ap, int));
		break;
	case 's':
		put_text(va_arg(*ap, const char *));
		break;
	case 'd':
		put_signed(is_long ? va_arg(*ap, long) : va_arg(*ap, int));
		break;
	case 'u':
	case 'x':
		put_number(is_long ? va_arg(*ap, unsigned long) : va_arg(*ap, unsigned), *f == 'u' ? 10 : 16, width);
		break;
	case 'p':
		put_number((unsigned long)va_arg(*ap, void *), 16, 0);
		break;
	default:
		put_char(*f);
	}
	return f + 1;
}

static void print_list(const char *format, va_list *ap)
{
	while (*format) {
		if (*format == '%')
			format = put_conversion(format + 1, ap);
		else
			put_char(*format++);
	}
}

void print(const char *format, ...)
{
	unsigned long flags = read_flags();
	va_list ap;

	irq_off();
	spin_lock(&print_lock);
	va_start(ap, format);
	print_list(format, &ap);
	va_end(ap);
	spin_unlock(&print_lock);
	write_flags(flags);
}

void test_fail(const char *format, ...)
{
	unsigned long flags = read_flags();
	va_list ap;

	irq_off();
	spin_lock(&print_lock);
	if (!failed) {
		failed = true;
		put_text("FAIL ");
		put_text(current_test ? current_test : "start");
		put_text(": ");
		va_start(ap, format);
		print_list(format, &ap);
		va_end(ap);
		put_char('\n');
	}
	spin_unlock(&print_lock);
	write_flags(flags);
}

bool test_failed(void)
{
	return failed;
}

void test_skip(const char *why)
{
	skipped = why;
}

static bool starts_with(const char *text, const char *word, size_t len)
{
	return memcmp(text, word, len) == 0;
}

static size_t length(const char *s)
{
	size_t n = 0;

	while (s[n])
		n++;
	return n;
}

static const char *opt_find(const char *name)
{
	size_t n = length(name);

	for (const char *p = cmdline; *p; p++)
		if ((p == cmdline || p[-1] == ' ') && starts_with(p, name, n) && p[n] == '=')
			return p + n + 1;
	return NULL;
}

unsigned long opt_number(const char *name, unsigned long otherwise)
{
	const char *p = opt_find(name);
	unsigned long v = 0;

	if (!p)
		return otherwise;
	for (; *p >= '0' && *p <= '9'; p++)
		v = v * 10 + (unsigned long)(*p - '0');
	return v;
}

bool opt_is(const char *name, const char *value)
{
	const char *p = opt_find(name);
	size_t n = length(value);

	return p && starts_with(p, value, n) && (!p[n] || p[n] == ' ');
}

void rt_exit(unsigned status)
{
	outb(DEBUG_EXIT, (uint8_t)status);
	for (;;)
		asm volatile("cli\n\thlt");
}

static void run_test(const struct rt_test *t)
{
	current_test = t->name;
	failed = false;
	skipped = NULL;
	t->fn();
	if (failed) {
		nr_failed++;
	} else if (skipped) {
		print("skip %s: %s\n", t->name, skipped);
		nr_skipped++;
	} else {
		print("ok %s\n", t->name);
		nr_passed++;
	}
}

void rt_run_tests(const void *boot_params)
{
	const char *from =
		(const char *)(unsigned long)*(const uint32_t *)((const char *)boot_params + BP_CMD_LINE_PTR);

	for (size_t i = 0; from && i < sizeof(cmdline) - 1 && from[i]; i++)
		cmdline[i] = from[i];
	for (const struct rt_test *t = rt_tests; t->name; t++)
		if (opt_find("only") ? opt_is("only", t->name) : !t->only_by_name)
			run_test(t);
	print("%u passed, %u failed, %u skipped\n", nr_passed, nr_failed, nr_skipped);
	rt_exit(nr_failed || !(nr_passed + nr_skipped));
}

uint32_t pm_timer(void)
{
	return inl(PM_TIMER) & 0xffffff;
}

/* The PM timer, and between which two values of the TSC it was read. */
struct reading {
	uint64_t before, after;
	uint32_t ticks;
};

static struct reading read_clocks(void)
{
	struct reading r;

	r.before = rdtsc();
	r.ticks = pm_timer();
	r.after = rdtsc();
	return r;
}

/* Is the time between two readings exact to 1/256, however long the host took its CPU away in one of them? */
static bool is_exact(const struct reading *start, const struct reading *end)
{
	return (end->after - end->before + start->after - start->before) << 8 <= end->before - start->after;
}

/*
 * Over at least 20 ms of the PM timer. It goes round in 4.7 s: who was away so long begins anew, and 2^32 of the TSC are less on any host.
 */
unsigned long tsc_per_ms(void)
{
	static unsigned long rate;
	struct reading start = read_clocks(), end;
	uint32_t ticks;
	unsigned long cycles;

	if (rate)
		return rate;
	do {
		end = read_clocks();
		if ((end.after - start.before) >> 32)
			start = end;
		ticks = (end.ticks - start.ticks) & 0xffffff;
	} while (ticks < TICKS_PER_SECOND / 50 || !is_exact(&start, &end));
	cycles = (unsigned long)(end.before - start.before);
	for (; ticks >> 20; ticks >>= 1) /* products below stay within 32 bits */
		cycles >>= 1;
	rate = cycles / ticks * (TICKS_PER_SECOND / 1000) + cycles % ticks * (TICKS_PER_SECOND / 1000) / ticks;
	return rate;
}

void delay_us(unsigned long us)
{
	uint64_t end = tsc_after_ms(us / 1000) + tsc_per_ms() / 1000 * (us % 1000);

	while (rdtsc() < end)
		cpu_pause();
}
