/* SPDX-License-Identifier: MIT */
/*
 * One line of error text for set-up paths: filled by who fails, printed once by main.
 */
#ifndef COHORT_UTIL_ERR_H
#define COHORT_UTIL_ERR_H

#include <stdarg.h>

struct err {
	char text[512];
};

/* Stores the message and returns -1, so that a failing function can end in `return err_set(err, ...)`. */
int err_set(struct err *err, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

#endif
