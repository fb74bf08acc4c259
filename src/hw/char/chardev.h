/* SPDX-License-Identifier: MIT */
/*
 * Character back ends: where the bytes of a serial port come from and go to (stdio, file, null).
 *
 * Owner:   the board or main; opened before the machine starts, closed after the loop has ended.
 * Threads: chardev_write() and chardev_accept_input() from any thread, with the front end's lock held; the front end's
 *          callbacks run on the I/O loop thread with no lock held.
 * Rule:    no byte is lost. Output goes to a bounded queue that the loop drains with non-blocking writes; a full queue
 *          makes chardev_write() take less, and writable() tells when there is room again. Input is read only when it
 *          can be kept, and handed to the front end only as far as room() allows.
 */
#ifndef COHORT_HW_CHAR_CHARDEV_H
#define COHORT_HW_CHAR_CHARDEV_H

#include "util/types.h"

struct err;
struct chardev;

/* The device at the guest's side. */
struct chardev_fe {
	size_t (*room)(void *opaque);
	void (*input)(void *opaque, const uint8_t *buf, size_t len);
	void (*writable)(void *opaque);
	void *opaque;
};

/*
 * Specifications as QEMU's -serial: "stdio", "mon:stdio" (escape character Ctrl-A), "file:PATH", "null", "none".
 * NULL and a text in *err when it cannot be had. evloop_init() has been called.
 */
struct chardev *chardev_open(const char *spec, struct err *err);
/* Waits for queued output to leave (not for ever), restores the terminal, frees. */
void chardev_close(struct chardev *cd);

/*
 * Connects a front end; before start or on the loop thread. Up to four may share one back end (serial port and monitor):
 * the first has the input, Ctrl-A c passes it to the next.
 */
void chardev_attach(struct chardev *cd, const struct chardev_fe *fe);

/* Takes as much as fits, never blocks. Less than len: writable() will be called. */
size_t chardev_write(struct chardev *cd, const void *buf, size_t len);
/* The front end has room again after room() said less than was wanted. */
void chardev_accept_input(struct chardev *cd);
/* Gives the terminal back as it was found; async-signal-safe, for exits that bypass chardev_close(). */
void chardev_restore_tty(void);

#endif
