/* SPDX-License-Identifier: MIT */
#include "support/test.h"

#include <stdio.h>
#include <string.h>

#include "hw/char/chardev.h"
#include "main/machine.h"
#include "main/monitor.h"
#include "util/rcu.h"
#include "util/stats.h"
#include "util/types.h"
#include "vcpu/vcpu.h"

/* The machine, as far as the monitor sees it: notes what it was asked to do. */
static char asked[256];
static bool running = true;

static void note(const char *what)
{
	strncat(asked, what, sizeof(asked) - strlen(asked) - 1);
	strncat(asked, " ", sizeof(asked) - strlen(asked) - 1);
}

bool machine_is_running(void)
{
	return running;
}

void machine_pause(void)
{
	running = false;
	note("pause");
}

void machine_resume(void)
{
	running = true;
	note("resume");
}

void machine_resume_some(void)
{
	running = true;
	note("resume_some");
}

void machine_reset(void)
{
	note("reset");
}

void machine_powerdown(void)
{
	note("powerdown");
}

void machine_quit(int status)
{
	assert_int_equal(status, 0);
	note("quit");
}

void machine_nmi(void)
{
	note("nmi");
}

struct vcpu **vcpus;
unsigned nr_vcpus = 2;

void vcpu_dump(const struct vcpu *v, FILE *out)
{
	assert_false(running);
	fprintf(out, "<registers %u>\n", v->index);
}

void code_watch_store(ram_off_t off, size_t len)
{
	(void)off;
	(void)len;
}

/* The back end: keeps what was written, takes `takes` bytes at a time. */
static const struct chardev_fe *fe;
static char output[65536];
static size_t output_len, takes = SIZE_MAX;

void chardev_attach(struct chardev *cd, const struct chardev_fe *front)
{
	(void)cd;
	fe = front;
}

size_t chardev_write(struct chardev *cd, const void *buf, size_t len)
{
	size_t n = len < takes ? len : takes;

	(void)cd;
	assert_true(output_len + n < sizeof(output));
	memcpy(output + output_len, buf, n);
	output_len += n;
	output[output_len] = 0;
	return n;
}

static int setup(void **state)
{
	(void)state;
	output_len = 0;
	takes = SIZE_MAX;
	asked[0] = 0;
	running = true;
	monitor_attach(NULL);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	monitors_free();
	return 0;
}

static void type(const char *text)
{
	fe->input(fe->opaque, (const uint8_t *)text, strlen(text));
}

static void commands_reach_the_machine(void **state)
{
	(void)state;
	type("stop\rcont\rsystem_reset\nsystem_powerdown\rnmi\rq\r");
	assert_string_equal(asked, "pause resume reset powerdown nmi quit ");
	assert_non_null(strstr(output, "(cohort) cont\r\n"));
}

static void line_can_be_edited(void **state)
{
	(void)state;
	type("stopx\b\r");
	assert_string_equal(asked, "pause ");
	type("garbage\025nmi  \r");
	assert_string_equal(asked, "pause nmi ");
}

static void unknown_commands_are_named(void **state)
{
	(void)state;
	type("frobnicate now\r");
	assert_non_null(strstr(output, "unknown command: 'frobnicate now'"));
	type("info nothing\r");
	assert_non_null(strstr(output, "unknown: info nothing"));
	type("\r  \r");
	assert_string_equal(asked, "");
}

static void registers_are_shown_of_a_paused_machine(void **state)
{
	(void)state;
	type("info registers\r");
	assert_non_null(strstr(output, "<registers 1>"));
	assert_string_equal(asked, "pause resume_some ");
	output_len = 0;
	type("info registers 0\r");
	assert_non_null(strstr(output, "<registers 0>"));
	assert_null(strstr(output, "<registers 1>"));
	type("info registers 2\r");
	assert_non_null(strstr(output, "too large"));
}

static void information_is_printed(void **state)
{
	(void)state;
	type("help\rinfo\rinfo status\rinfo cpus\rinfo stats\rinfo stats json\rinfo mtree\rinfo version\rxp 0x10 4\rxp z\r");
	assert_non_null(strstr(output, "system_reset"));
	assert_non_null(strstr(output, "VM status: running"));
	assert_non_null(strstr(output, "CPU #1: apic id 1"));
	assert_non_null(strstr(output, "\"vcpus\""));
	assert_non_null(strstr(output, "0000000000000010: ?? ?? ?? ??"));
	assert_non_null(strstr(output, "'z' is not a number"));
}

static void what_makes_no_sense_is_refused_in_a_line(void **state)
{
	static const struct {
		const char *line, *answer;
	} rows[] = {
		{ "stop now\r", "stop takes no argument\r\n(" },
		{ "quit x\r", "quit takes no argument\r\n(" },
		{ "info cpus 1\r", "cpus takes no argument\r\n(" },
		{ "info stats xml\r", "info stats [json]: not 'xml'\r\n(" },
		{ "xp 0xffffffffffffffff 2\r", "xp ADDRESS [LENGTH]: the range goes beyond the last address\r\n(" },
		{ "xp 0 4097\r", "too large" },
	};

	(void)state;
	for (unsigned i = 0; i < ARRAY_LEN(rows); i++) {
		type(rows[i].line);
		assert_non_null(strstr(output, rows[i].answer));
	}
	type("info status\r");
	assert_non_null(strstr(output, "VM status: running"));
}

static void overlong_line_is_cut(void **state)
{
	char line[2000];

	(void)state;
	memset(line, 'a', sizeof(line));
	line[sizeof(line) - 1] = 0;
	type(line);
	type("\r");
	assert_non_null(strstr(output, "unknown command: 'aaaa"));
}

static void slow_terminal_gets_everything_in_the_end(void **state)
{
	static char fast[sizeof(output)];

	(void)state;
	type("help\r");
	strcpy(fast, output);
	teardown(NULL);
	setup(NULL);
	takes = 7;
	type("help\r");
	assert_true(output_len < strlen(fast));
	while (output_len < strlen(fast))
		fe->writable(fe->opaque);
	assert_string_equal(output, fast);
}

int main(void)
{
	static struct vcpu v[2], *list[2] = { &v[0], &v[1] };
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(commands_reach_the_machine, setup, teardown),
		cmocka_unit_test_setup_teardown(line_can_be_edited, setup, teardown),
		cmocka_unit_test_setup_teardown(unknown_commands_are_named, setup, teardown),
		cmocka_unit_test_setup_teardown(registers_are_shown_of_a_paused_machine, setup, teardown),
		cmocka_unit_test_setup_teardown(information_is_printed, setup, teardown),
		cmocka_unit_test_setup_teardown(what_makes_no_sense_is_refused_in_a_line, setup, teardown),
		cmocka_unit_test_setup_teardown(overlong_line_is_cut, setup, teardown),
		cmocka_unit_test_setup_teardown(slow_terminal_gets_everything_in_the_end, setup, teardown),
	};

	for (unsigned i = 0; i < 2; i++)
		v[i].index = v[i].apic_id = i;
	vcpus = list;
	rcu_register();
	return stats_init(2) ? 1 : RUN_TESTS(tests);
}
