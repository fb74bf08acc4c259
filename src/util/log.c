/* SPDX-License-Identifier: MIT */
/*
 * Each message is formatted into a buffer on the stack and leaves by one write(2): whole lines, without a lock.
 */
#define _GNU_SOURCE
#include "util/log.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "util/err.h"
#include "util/stats.h"
#include "util/types.h"

#define LINE_MAX_LEN 4096
#define GUEST_ERROR_LINES 1000 /* later ones are only counted */

uint32_t log_mask;
static int log_fd = STDERR_FILENO; /* [const] after option parsing */
static void (*bug_hook)(void);     /* [const] after start-up */
static unsigned guest_error_lines; /* [atomic] */

static const struct {
	const char *name, *help;
} items[LOG_ITEM_COUNT] = {
#define LOG_ITEM(name, str, help) { str, help },
#include "util/log_items.def"
#undef LOG_ITEM
};

static bool item_find(const char *name, size_t len, uint32_t *mask)
{
	if (len == 3 && !memcmp(name, "all", 3)) {
		*mask = ((1u << LOG_ITEM_COUNT) - 1) & ~LOG_NOCHAIN;
		return true;
	}
	for (unsigned i = 0; i < LOG_ITEM_COUNT; i++) {
		if (strlen(items[i].name) == len && !memcmp(items[i].name, name, len)) {
			*mask = 1u << i;
			return true;
		}
	}
	return false;
}

int log_parse_items(const char *list, struct err *err)
{
	uint32_t mask = 0, item;

	for (const char *p = list;;) {
		size_t len = strcspn(p, ",");

		if (!item_find(p, len, &item))
			return err_set(err, "no such log item '%.*s' ('-d help' lists them)", (int)len, p);
		mask |= item;
		if (!p[len])
			break;
		p += len + 1;
	}
	log_mask |= mask;
	return 0;
}

void log_print_items(FILE *out)
{
	fprintf(out, "Log items (comma separated):\n");
	for (unsigned i = 0; i < LOG_ITEM_COUNT; i++)
		fprintf(out, "  %-14s %s\n", items[i].name, items[i].help);
	fprintf(out, "  %-14s %s\n", "all", "all of them except nochain");
}

int log_open(const char *path, struct err *err)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_APPEND | O_CLOEXEC, 0666);

	if (fd < 0)
		return err_set(err, "cannot write log file '%s': %s", path, strerror(errno));
	log_fd = fd;
	return 0;
}

static void put(int fd, const char *text, size_t len)
{
	while (len) {
		ssize_t n = write(fd, text, len);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return; /* nobody left to tell */
		text += n;
		len -= (size_t)n;
	}
}

/* Writes prefix + message; `newline` makes sure the line ends. */
static void __attribute__((format(printf, 4, 0)))
emit(int fd, const char *prefix, bool newline, const char *fmt, va_list ap)
{
	char line[LINE_MAX_LEN];
	size_t room = sizeof(line) - 1; /* for the newline */
	size_t len = (size_t)snprintf(line, room, "%s", prefix);
	int n = vsnprintf(line + len, room - len, fmt, ap);

	if (n > 0)
		len += (size_t)n < room - len ? (size_t)n : room - len - 1;
	if (newline && (!len || line[len - 1] != '\n'))
		line[len++] = '\n';
	put(fd, line, len);
}

void log_write(const char *fmt, ...)
{
	char *text;
	va_list ap;
	int n;

	va_start(ap, fmt);
	n = vasprintf(&text, fmt, ap); /* listings of a block are longer than a line */
	va_end(ap);
	if (n < 0)
		return;
	put(log_fd, text, (size_t)n);
	free(text);
}

void warn(const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	emit(STDERR_FILENO, "cohort: warning: ", true, fmt, ap);
	va_end(ap);
}

void info(const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	emit(STDERR_FILENO, "cohort: ", true, fmt, ap);
	va_end(ap);
}

void guest_error(const char *fmt, ...)
{
	va_list ap;

	stat_inc(STAT_guest_errors);
	if (!log_on(LOG_GUEST_ERRORS))
		return;
	if (__atomic_fetch_add(&guest_error_lines, 1, __ATOMIC_RELAXED) >= GUEST_ERROR_LINES)
		return;
	va_start(ap, fmt);
	emit(log_fd, "guest error: ", true, fmt, ap);
	va_end(ap);
}

void emu_bug_set_hook(void (*hook)(void))
{
	bug_hook = hook;
}

void emu_bug(const char *fmt, ...)
{
	void (*hook)(void) = bug_hook;
	va_list ap;

	bug_hook = NULL;
	if (hook)
		hook();
	va_start(ap, fmt);
	emit(STDERR_FILENO, "cohort: internal error: ", true, fmt, ap);
	va_end(ap);
	abort();
}
