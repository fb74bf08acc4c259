/* SPDX-License-Identifier: MIT */
/*
 * The inside of option arguments: "value,key=value,key,nokey" and numbers. Threads: main, before start.
 */
#ifndef COHORT_MAIN_KEYVAL_H
#define COHORT_MAIN_KEYVAL_H

#include "util/types.h"

struct err;

/* One key of an option's argument. fn gets the value; NULL fn: accepted, ignored. */
struct keyval {
	const char *key;
	int (*fn)(void *dest, const char *value, struct err *err);
	size_t offset; /* of the member of `dest` that fn fills in */
};

/*
 * Goes through `arg`, a comma-separated list (",," is a literal comma). A first part without '=' is the value of
 * `implied`, if that is not NULL; a later one means key=on, or key=off when written "nokey". `table` ends with a NULL key.
 */
int must_check keyval_parse(const char *arg, const char *implied, const struct keyval *table, void *dest,
			    struct err *err);

#define KEYVAL_TEXT_SIZE 128

/* Functions for the table: fill in the member at keyval.offset. */
int keyval_unsigned(void *member, const char *value, struct err *err); /* unsigned, decimal or 0x */
int keyval_uint64(void *member, const char *value, struct err *err);   /* uint64_t */
int keyval_bool(void *member, const char *value, struct err *err);     /* bool: on, off, yes, no, true, false */
int keyval_text(void *member, const char *value, struct err *err);     /* char[KEYVAL_TEXT_SIZE] */

/* "4G", "512M", "64k", "1.5G"; a bare number counts in `unit` bytes. */
int must_check parse_size(const char *text, uint64_t unit, uint64_t *size, struct err *err);
int must_check parse_number(const char *text, uint64_t max, uint64_t *value, struct err *err);

#endif
