/* SPDX-License-Identifier: MIT */
/*
 * Character back ends. One struct serves all kinds: they differ in their two file descriptors and in whether the
 * escape character is interpreted (hw/char/chardev_mux.c).
 */
#include "hw/char/chardev.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/stat.h>
#include <unistd.h>

#include "hw/char/chardev_impl.h"
#include "sched/evloop.h"
#include "util/err.h"
#include "util/log.h"

#define FLUSH_STALL_MS 1000 /* give up on closing when nobody reads for so long */

static void drain(void *opaque);

/* Output. */

static void output_failed(struct chardev *cd)
{
	warn("character device %s: cannot write: %s; further output is dropped", cd->name, strerror(errno));
	lock_acquire(&cd->lock);
	cd->out_dead = true;
	cd->out_len = 0;
	lock_release(&cd->lock);
}

/* Copies the longest contiguous piece at the head of the queue; the loop thread alone removes. */
static size_t peek_output(struct chardev *cd, uint8_t *buf, size_t max)
{
	size_t n;

	lock_acquire(&cd->lock);
	n = CHARDEV_OUT_SIZE - cd->out_head;
	n = n < cd->out_len ? n : cd->out_len;
	n = n < max ? n : max;
	memcpy(buf, cd->out + cd->out_head, n);
	if (!n)
		cd->drain_scheduled = false;
	lock_release(&cd->lock);
	return n;
}

static void consume_output(struct chardev *cd, size_t n)
{
	lock_acquire(&cd->lock);
	cd->out_head = (cd->out_head + n) % CHARDEV_OUT_SIZE;
	cd->out_len -= n;
	lock_release(&cd->lock);
}

/* Writes what the host takes now. 0: the queue is empty; 1: must wait; -1: failed. */
static int push_output(struct chardev *cd)
{
	uint8_t buf[4096];
	size_t n;

	while ((n = peek_output(cd, buf, sizeof(buf))) > 0) {
		ssize_t w = write(cd->out_fd, buf, n);

		if (w >= 0) {
			consume_output(cd, (size_t)w);
		} else if (errno == EAGAIN) {
			return 1;
		} else if (errno != EINTR) {
			output_failed(cd);
			return -1;
		}
	}
	return 0;
}

static void wake_writers(struct chardev *cd)
{
	bool wake;

	lock_acquire(&cd->lock);
	wake = cd->fe_blocked && cd->out_len < CHARDEV_OUT_SIZE / 2;
	if (wake)
		cd->fe_blocked = false;
	lock_release(&cd->lock);
	for (unsigned i = 0; wake && i < cd->nr_fe; i++)
		if (cd->fe[i].writable)
			cd->fe[i].writable(cd->fe[i].opaque);
}

static void out_ready(void *opaque, int fd, unsigned events)
{
	(void)fd;
	(void)events;
	drain(opaque);
}

static void drain(void *opaque)
{
	struct chardev *cd = opaque;
	bool wait = push_output(cd) == 1;

	if (wait != cd->out_polled) {
		if (!wait)
			evloop_fd_del(cd->out_fd);
		else if (evloop_fd_add(cd->out_fd, EPOLLOUT, out_ready, cd) != 0)
			wait = false;
		cd->out_polled = wait;
	}
	wake_writers(cd);
}

size_t chardev_write(struct chardev *cd, const void *buf, size_t len)
{
	const uint8_t *p = buf;
	bool schedule = false;
	size_t n;

	if (cd->out_fd < 0)
		return len;
	lock_acquire(&cd->lock);
	if (cd->out_dead) {
		lock_release(&cd->lock);
		return len;
	}
	n = CHARDEV_OUT_SIZE - cd->out_len;
	n = n < len ? n : len;
	for (size_t i = 0; i < n; i++)
		cd->out[(cd->out_head + cd->out_len + i) % CHARDEV_OUT_SIZE] = p[i];
	cd->out_len += n;
	if (n < len)
		cd->fe_blocked = true;
	if (cd->out_len && !cd->drain_scheduled)
		schedule = cd->drain_scheduled = true;
	lock_release(&cd->lock);
	if (schedule)
		evloop_call(drain, cd);
	return n;
}

static void flush(struct chardev *cd)
{
	struct pollfd p = {.fd = cd->out_fd, .events = POLLOUT};

	while (cd->out_fd >= 0 && !cd->out_dead && push_output(cd) == 1)
		if (poll(&p, 1, FLUSH_STALL_MS) <= 0)
			return;
}

/* Input. */

static void input_stop(struct chardev *cd)
{
	if (!cd->in_polled)
		return;
	evloop_fd_del(cd->in_fd);
	cd->in_polled = false;
}

/* Hands what is kept to the front end with the input. Pairs with chardev_accept_input(). */
static void pump(struct chardev *cd)
{
	const struct chardev_fe *fe = &cd->fe[cd->focus];

	while (cd->in_len) {
		size_t room = fe->room(fe->opaque);
		size_t n = CHARDEV_IN_SIZE - cd->in_head;

		if (!room) {
			/* Ask again after the flag is up: a reader that made room in between did not see it. */
			atomic_store(&cd->in_waiting, true);
			room = fe->room(fe->opaque);
			if (!room)
				return;
			atomic_store(&cd->in_waiting, false);
		}
		n = n < cd->in_len ? n : cd->in_len;
		n = n < room ? n : room;
		fe->input(fe->opaque, cd->in + cd->in_head, n);
		cd->in_head = (cd->in_head + n) % CHARDEV_IN_SIZE;
		cd->in_len -= n;
	}
}

static void in_ready(void *opaque, int fd, unsigned events);

/* Reads on while there is a place for the bytes; files that cannot be polled are read by repeated calls. */
static void input_continue(void *opaque)
{
	struct chardev *cd = opaque;

	if (cd->in_fd < 0 || !cd->nr_fe)
		return;
	if (cd->in_len == CHARDEV_IN_SIZE) {
		input_stop(cd);
		return;
	}
	if (cd->in_polled)
		return;
	if (!cd->in_unpollable && evloop_fd_add(cd->in_fd, EPOLLIN, in_ready, cd) == 0) {
		cd->in_polled = true;
		return;
	}
	cd->in_unpollable = true;
	if (cd->in_len == 0)
		in_ready(cd, cd->in_fd, EPOLLIN);
}

static void in_ready(void *opaque, int fd, unsigned events)
{
	struct chardev *cd = opaque;
	uint8_t buf[1024];
	size_t max = CHARDEV_IN_SIZE - cd->in_len;
	ssize_t n;

	(void)events;
	n = read(fd, buf, max < sizeof(buf) ? max : sizeof(buf));
	if (n < 0 && (errno == EINTR || errno == EAGAIN))
		return;
	if (n <= 0) {
		input_stop(cd);
		cd->in_fd = -1;
		return;
	}
	for (ssize_t i = 0; i < n; i++)
		if (!cd->mux || chardev_mux_filter(cd, buf[i]))
			cd->in[(cd->in_head + cd->in_len++) % CHARDEV_IN_SIZE] = buf[i];
	pump(cd);
	if (cd->in_unpollable)
		evloop_call(input_continue, cd);
	else
		input_continue(cd);
}

static void accept_call(void *opaque)
{
	pump(opaque);
	input_continue(opaque);
}

void chardev_accept_input(struct chardev *cd)
{
	if (atomic_load(&cd->in_waiting) && atomic_exchange(&cd->in_waiting, false))
		evloop_call(accept_call, cd);
}

void chardev_attach(struct chardev *cd, const struct chardev_fe *fe)
{
	if (cd->nr_fe == CHARDEV_MAX_FE)
		return;
	cd->fe[cd->nr_fe++] = *fe;
	if (cd->nr_fe == 1)
		evloop_call(input_continue, cd);
}

/* Opening. */

/*
 * Output must not block, yet O_NONBLOCK on a descriptor we inherited would be felt by the shell too: terminals and pipes
 * are opened anew for a file description of our own.
 */
static int own_stdout(void)
{
	struct stat st;
	int fd;

	if (fstat(STDOUT_FILENO, &st) != 0)
		return -1;
	if (S_ISCHR(st.st_mode) || S_ISFIFO(st.st_mode)) {
		fd = open("/proc/self/fd/1", O_WRONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
		if (fd >= 0)
			return fd;
	}
	fd = fcntl(STDOUT_FILENO, F_DUPFD_CLOEXEC, 3);
	if (fd >= 0 && S_ISSOCK(st.st_mode))
		(void)fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK);
	return fd;
}

static int open_stdio(struct chardev *cd, bool mux, struct err *err)
{
	static bool taken;

	if (taken)
		return err_set(err, "standard input and output are used by more than one character device");
	cd->out_fd = own_stdout();
	if (cd->out_fd < 0)
		return err_set(err, "cannot use standard output: %s", strerror(errno));
	taken = true;
	cd->mux = mux;
	cd->in_fd = fcntl(STDIN_FILENO, F_GETFD) >= 0 ? STDIN_FILENO : -1;
	if (cd->in_fd >= 0)
		chardev_tty_raw(cd->in_fd, !mux);
	return 0;
}

static int open_file(struct chardev *cd, const char *path, struct err *err)
{
	cd->out_fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NONBLOCK, 0666);
	if (cd->out_fd < 0)
		return err_set(err, "cannot open '%s' for writing: %s", path, strerror(errno));
	return 0;
}

static int open_spec(struct chardev *cd, const char *spec, struct err *err)
{
	if (!strcmp(spec, "stdio"))
		return open_stdio(cd, false, err);
	if (!strcmp(spec, "mon:stdio"))
		return open_stdio(cd, true, err);
	if (!strncmp(spec, "file:", 5))
		return open_file(cd, spec + 5, err);
	if (!strcmp(spec, "null") || !strcmp(spec, "none"))
		return 0;
	return err_set(err, "unknown character device '%s': use stdio, mon:stdio, file:PATH or null", spec);
}

struct chardev *chardev_open(const char *spec, struct err *err)
{
	struct chardev *cd = calloc(1, sizeof(*cd));

	if (!cd) {
		err_set(err, "out of memory");
		return NULL;
	}
	lock_init(&cd->lock, LOCK_RANK_CHARDEV);
	cd->in_fd = cd->out_fd = -1;
	snprintf(cd->name, sizeof(cd->name), "%s", spec);
	if (open_spec(cd, spec, err) != 0) {
		free(cd);
		return NULL;
	}
	signal(SIGPIPE, SIG_IGN);
	return cd;
}

static void free_call(void *opaque)
{
	free(opaque);
}

void chardev_close(struct chardev *cd)
{
	if (!cd)
		return;
	flush(cd);
	input_stop(cd);
	if (cd->out_polled)
		evloop_fd_del(cd->out_fd);
	if (cd->out_fd >= 0)
		close(cd->out_fd);
	chardev_restore_tty();
	/* Calls may be on their way: they find nothing to do, and the one queued behind them frees. */
	cd->out_polled = false;
	cd->in_fd = cd->out_fd = -1;
	cd->out_len = cd->in_len = 0;
	cd->nr_fe = 0;
	evloop_call(free_call, cd);
}
