/* SPDX-License-Identifier: MIT */
/*
 * A line editor (backspace, Ctrl-U), a table of commands, and an output buffer for what the back end does not take at once.
 */
#define _GNU_SOURCE
#include "main/monitor.h"

#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "hw/char/chardev.h"
#include "main/keyval.h"
#include "main/machine.h"
#include "main/version.h"
#include "mem/aspace.h"
#include "util/err.h"
#include "util/log.h"
#include "util/stats.h"
#include "vcpu/vcpu.h"

#define PROMPT "(cohort) "
#define LINE_SIZE 256
#define BACKLOG_MAX (1u << 20)
#define XP_MAX 4096

/* All fields belong to the I/O loop. */
struct monitor {
	struct monitor *next;
	struct chardev *cd;
	struct chardev_fe fe;
	char line[LINE_SIZE];
	size_t len;
	char *backlog; /* output not taken yet */
	size_t backlog_len;
	bool greeted;
};

static struct monitor *monitors;

struct command {
	const char *name, *args, *help;
	void (*run)(FILE *out, const char *args);
};

static const struct command commands[], infos[];

/* Output */

static void flush(struct monitor *m)
{
	size_t n = chardev_write(m->cd, m->backlog, m->backlog_len);

	m->backlog_len -= n;
	memmove(m->backlog, m->backlog + n, m->backlog_len);
}

/* Text with "\n" line ends; terminals in raw mode need "\r\n". */
static void put(struct monitor *m, const char *text, size_t len)
{
	char *bigger;

	if (m->backlog_len > BACKLOG_MAX)
		return; /* nobody reads: drop it */
	bigger = realloc(m->backlog, m->backlog_len + 2 * len + 1);
	if (!bigger)
		return;
	m->backlog = bigger;
	for (size_t i = 0; i < len; i++) {
		if (text[i] == '\n')
			m->backlog[m->backlog_len++] = '\r';
		m->backlog[m->backlog_len++] = text[i];
	}
	flush(m);
}

static void puts_to(struct monitor *m, const char *text)
{
	put(m, text, strlen(text));
}

/* Commands */

static void list_commands(FILE *out, const struct command *table, const char *prefix)
{
	for (; table->name; table++) {
		int column = fprintf(out, "%s%s%s%s", prefix, table->name, *table->args ? " " : "", table->args);

		fprintf(out, "%*s%s\n", column < 28 ? 28 - column : 1, "", table->help);
	}
}

static void cmd_help(FILE *out, const char *args)
{
	(void)args;
	list_commands(out, commands, "");
	list_commands(out, infos, "info ");
}

static const struct command *find_command(const struct command *table, const char *name, size_t len)
{
	for (; table->name; table++) {
		if (strlen(table->name) == len && !strncmp(table->name, name, len))
			return table;
	}
	return NULL;
}

/* Runs the command named by the first word; false: there is none. What takes no arguments is not run with some: another command was meant. */
static bool run_command(const struct command *table, FILE *out, const char *line)
{
	size_t len = strcspn(line, " ");
	const struct command *c = find_command(table, line, len);
	const char *args = line + len + strspn(line + len, " ");

	if (c && *args && !*c->args)
		fprintf(out, "%s takes no argument\n", c->name);
	else if (c)
		c->run(out, args);
	return c != NULL;
}

static void cmd_info(FILE *out, const char *args)
{
	if (*args && run_command(infos, out, args))
		return;
	if (*args)
		fprintf(out, "unknown: info %s\n", args);
	list_commands(out, infos, "info ");
}

static void cmd_quit(FILE *out, const char *args)
{
	(void)out;
	(void)args;
	machine_quit(0);
}

static void cmd_stop(FILE *out, const char *args)
{
	(void)out;
	(void)args;
	machine_pause();
}

static void cmd_cont(FILE *out, const char *args)
{
	(void)out;
	(void)args;
	machine_resume();
}

static void cmd_reset(FILE *out, const char *args)
{
	(void)out;
	(void)args;
	machine_reset();
}

static void cmd_powerdown(FILE *out, const char *args)
{
	(void)out;
	(void)args;
	machine_powerdown();
}

static void cmd_nmi(FILE *out, const char *args)
{
	(void)out;
	(void)args;
	machine_nmi();
}

static void cmd_log(FILE *out, const char *args)
{
	struct err err;
	uint32_t before = log_mask;

	log_mask = 0;
	if (*args && strcmp(args, "none") && log_parse_items(args, &err)) {
		fprintf(out, "%s\n", err.text);
		log_mask = before;
	}
}

/* xp ADDRESS [LENGTH]: physical memory in bytes. */
static void cmd_xp(FILE *out, const char *args)
{
	char address[32] = "", length[32] = "64";
	uint64_t gpa, len;
	struct err err;
	uint8_t b;

	sscanf(args, "%31s %31s", address, length);
	if (parse_number(address, UINT64_MAX, &gpa, &err) || parse_number(length, XP_MAX, &len, &err)) {
		fprintf(out, "xp ADDRESS [LENGTH]: %s\n", err.text);
		return;
	}
	if (len && gpa + (len - 1) < gpa) {
		fprintf(out, "xp ADDRESS [LENGTH]: the range goes beyond the last address\n");
		return;
	}
	for (uint64_t i = 0; i < len; i++) {
		if (i % 16 == 0)
			fprintf(out, "%s%016llx:", i ? "\n" : "", (unsigned long long)(gpa + i));
		if (dma_read(gpa + i, &b, 1))
			fprintf(out, " ??");
		else
			fprintf(out, " %02x", b);
	}
	fprintf(out, "\n");
}

static void info_status(FILE *out, const char *args)
{
	(void)args;
	fprintf(out, "VM status: %s\n", machine_is_running() ? "running" : "paused");
}

static void info_cpus(FILE *out, const char *args)
{
	static const char *const states[] = { "waits for start", "running", "halted" };

	(void)args;
	for (unsigned i = 0; i < nr_vcpus; i++)
		fprintf(out, "CPU #%u: apic id %u, %s\n", i, vcpus[i]->apic_id,
			states[vcpu_run_state(vcpus[i])]);
}

/* All CPUs, or the one whose number is given. */
static void info_registers(FILE *out, const char *args)
{
	bool was_running = machine_is_running();
	uint64_t only = UINT64_MAX;
	struct err err;

	if (*args && parse_number(args, nr_vcpus - 1, &only, &err)) {
		fprintf(out, "info registers [CPU]: %s\n", err.text);
		return;
	}
	machine_pause();
	for (unsigned i = 0; i < nr_vcpus; i++) {
		if (only != UINT64_MAX && only != i)
			continue;
		fprintf(out, "CPU #%u\n", i);
		vcpu_dump(vcpus[i], out);
	}
	if (was_running)
		machine_resume_some();
}

static void info_stats(FILE *out, const char *args)
{
	if (!strcmp(args, "json"))
		stats_print_json(out);
	else if (!*args)
		stats_print_text(out);
	else
		fprintf(out, "info stats [json]: not '%s'\n", args);
}

static void info_mtree(FILE *out, const char *args)
{
	(void)args;
	fprintf(out, "memory\n");
	aspace_print(&aspace_mem, out);
	fprintf(out, "I/O ports\n");
	aspace_print(&aspace_io, out);
}

static void info_version(FILE *out, const char *args)
{
	(void)args;
	fprintf(out, "%s\n", COHORT_VERSION);
}

static const struct command commands[] = {
	{ "help", "", "this list", cmd_help },
	{ "?", "", "this list", cmd_help },
	{ "info", "WHAT", "tell about something", cmd_info },
	{ "quit", "", "end Cohort", cmd_quit },
	{ "q", "", "end Cohort", cmd_quit },
	{ "stop", "", "pause the machine", cmd_stop },
	{ "cont", "", "let it go on", cmd_cont },
	{ "c", "", "let it go on", cmd_cont },
	{ "system_reset", "", "reset the machine", cmd_reset },
	{ "system_powerdown", "", "press the power button", cmd_powerdown },
	{ "nmi", "", "send all CPUs a non-maskable interrupt", cmd_nmi },
	{ "log", "ITEM,...|none", "choose what is logged, as -d", cmd_log },
	{ "xp", "ADDRESS [LENGTH]", "show physical memory", cmd_xp },
	{ NULL, NULL, NULL, NULL },
};

static const struct command infos[] = {
	{ "cpus", "", "the CPUs", info_cpus },
	{ "mtree", "", "the physical memory map", info_mtree },
	{ "registers", "[CPU]", "registers of one CPU or all", info_registers },
	{ "stats", "[json]", "counters", info_stats },
	{ "status", "", "running or paused", info_status },
	{ "version", "", "Cohort's version", info_version },
	{ NULL, NULL, NULL, NULL },
};

void monitor_command(const char *line, FILE *out)
{
	line += strspn(line, " ");
	if (*line && !run_command(commands, out, line))
		fprintf(out, "unknown command: '%s' (help lists them)\n", line);
}

static void run_line(struct monitor *m)
{
	char *text = NULL;
	size_t size = 0;
	FILE *out = open_memstream(&text, &size);

	if (!out)
		return;
	monitor_command(m->line, out);
	fclose(out);
	put(m, text, size);
	free(text);
}

/* Input */

static void take_char(struct monitor *m, char c)
{
	switch (c) {
	case '\r':
	case '\n':
		puts_to(m, "\n");
		m->line[m->len] = 0;
		while (m->len && m->line[m->len - 1] == ' ')
			m->line[--m->len] = 0;
		run_line(m);
		m->len = 0;
		puts_to(m, PROMPT);
		break;
	case '\b':
	case 0x7f:
		if (m->len) {
			m->len--;
			puts_to(m, "\b \b");
		}
		break;
	case 'U' - 0x40:
		for (; m->len; m->len--)
			puts_to(m, "\b \b");
		break;
	default:
		if ((unsigned char)c >= ' ' && m->len < LINE_SIZE - 1) {
			m->line[m->len++] = c;
			put(m, &c, 1);
		}
		break;
	}
}

static size_t fe_room(void *opaque)
{
	(void)opaque;
	return LINE_SIZE;
}

static void fe_input(void *opaque, const uint8_t *buf, size_t len)
{
	struct monitor *m = opaque;

	if (!m->greeted)
		puts_to(m, "Cohort monitor, 'help' lists the commands\n" PROMPT);
	m->greeted = true;
	for (size_t i = 0; i < len; i++)
		take_char(m, (char)buf[i]);
}

static void fe_writable(void *opaque)
{
	flush(opaque);
}

void monitor_attach(struct chardev *cd)
{
	struct monitor *m = calloc(1, sizeof(*m));

	if (!m)
		return;
	m->cd = cd;
	m->fe = (struct chardev_fe){ fe_room, fe_input, fe_writable, m };
	m->next = monitors;
	monitors = m;
	chardev_attach(cd, &m->fe);
}

void monitors_free(void)
{
	struct monitor *next;

	for (struct monitor *m = monitors; m; m = next) {
		next = m->next;
		free(m->backlog);
		free(m);
	}
	monitors = NULL;
}
