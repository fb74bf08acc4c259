/* SPDX-License-Identifier: MIT */
/*
 * Inside of a character back end, for chardev.c and chardev_mux.c.
 */
#ifndef COHORT_HW_CHAR_CHARDEV_IMPL_H
#define COHORT_HW_CHAR_CHARDEV_IMPL_H

#include <stdatomic.h>

#include "hw/char/chardev.h"
#include "util/lock.h"

#define CHARDEV_OUT_SIZE 65536u
#define CHARDEV_IN_SIZE 65536u
#define CHARDEV_MAX_FE 4

struct chardev {
	char name[64];               /* [const] */
	bool mux;                    /* [const] the escape character is interpreted */
	struct chardev_fe fe[CHARDEV_MAX_FE]; /* [const] after start */
	unsigned nr_fe;              /* [const] after start */

	struct ranked_lock lock;     /* rank CHARDEV */
	uint8_t out[CHARDEV_OUT_SIZE]; /* [lock] ring */
	size_t out_head, out_len;    /* [lock] removed from by the loop thread only */
	bool out_dead;               /* [lock] the host end is gone: drop */
	bool fe_blocked;             /* [lock] a write was cut short */
	bool drain_scheduled;        /* [lock] a drain is on its way or waits for the host */

	/* The rest is the loop thread's. */
	int in_fd, out_fd;           /* [owner] out_fd [const]; -1: none */
	bool in_polled, out_polled;  /* [owner] registered with the loop */
	bool in_unpollable;          /* [owner] a plain file */
	bool escape;                 /* [owner] the last byte was the escape character */
	unsigned focus;              /* [owner] front end that gets the input */
	uint8_t in[CHARDEV_IN_SIZE]; /* [owner] ring */
	size_t in_head, in_len;      /* [owner] */
	_Atomic bool in_waiting;     /* [atomic] seq_cst: input waits for the front end's room */
};

/* Interprets one input byte; false if it is not for the front end. */
bool chardev_mux_filter(struct chardev *cd, uint8_t byte);
/* Puts a terminal into raw mode and has it restored at exit; `signals`: Ctrl-C and Ctrl-Z keep their meaning. */
void chardev_tty_raw(int fd, bool signals);

#endif
