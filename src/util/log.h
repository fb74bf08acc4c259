/* SPDX-License-Identifier: MIT */
/*
 * Diagnostics: the -d log with its categories, warnings, and counted guest errors.
 * Threads: any. A line is written by one write(2), so lines of different threads never mix.
 */
#ifndef COHORT_UTIL_LOG_H
#define COHORT_UTIL_LOG_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

struct err;

/* Categories of -d, QEMU's names: LOG_ITEM(NAME, "name", "help") */
enum log_item {
#define LOG_ITEM(name, str, help) LOG_##name##_BIT,
#include "util/log_items.def"
#undef LOG_ITEM
	LOG_ITEM_COUNT
};
enum {
#define LOG_ITEM(name, str, help) LOG_##name = 1u << LOG_##name##_BIT,
#include "util/log_items.def"
#undef LOG_ITEM
};

extern uint32_t log_mask; /* [const] after option parsing */

static inline bool log_on(uint32_t items)
{
	return __builtin_expect(log_mask & items, 0) != 0;
}

int log_parse_items(const char *list, struct err *err); /* "int,exec": sets log_mask; "help" is the caller's */
void log_print_items(FILE *out);                        /* -d help */
int log_open(const char *path, struct err *err);        /* -D */
void log_write(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

void warn(const char *fmt, ...) __attribute__((format(printf, 1, 2)));  /* "cohort: warning: ..." on stderr */
void info(const char *fmt, ...) __attribute__((format(printf, 1, 2)));  /* "cohort: ..." on stderr */
/* A guest did something no sane guest does: counted, and logged under -d guest_errors. */
void guest_error(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
/* A broken invariant of ours, never reachable by a guest: prints and aborts. */
void emu_bug(const char *fmt, ...) __attribute__((format(printf, 1, 2), noreturn));
/* Called once by emu_bug() before it prints: gives the terminal back. */
void emu_bug_set_hook(void (*hook)(void));

#endif
