/* SPDX-License-Identifier: MIT */
/*
 * Character back ends on the real I/O loop. Standard input and output are pipes while a case runs.
 */
#include "support/test.h"

#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>

#include "hw/char/chardev.h"
#include "hw/char/chardev_impl.h"
#include "sched/evloop.h"
#include "util/err.h"
#include "vcpu/vcpu.h"

#define BULK 300000

static struct chardev *cd;
static struct err err;
static int to_stdin, from_stdout, saved[2];
static int poweroffs;

void machine_request_poweroff(int exit_status)
{
	(void)exit_status;
	poweroffs++;
}

/* A front end that holds `room` bytes. */
struct sink {
	uint8_t data[1 << 17];
	size_t len, room;
	unsigned writables;
};

static struct sink sink, sink2;

static size_t sink_room(void *opaque)
{
	return ((struct sink *)opaque)->room;
}

static void sink_input(void *opaque, const uint8_t *buf, size_t len)
{
	struct sink *s = opaque;

	assert_true(len <= s->room);
	memcpy(s->data + s->len, buf, len);
	s->len += len;
	s->room -= len;
}

static void sink_writable(void *opaque)
{
	((struct sink *)opaque)->writables++;
}

static struct chardev_fe fe_of(struct sink *s)
{
	return (struct chardev_fe){sink_room, sink_input, sink_writable, s};
}

static void stop(void *opaque)
{
	(void)opaque;
	evloop_stop(0);
}

/* Lets the loop handle what there is. */
static void turn(void)
{
	for (unsigned i = 0; i < 3; i++) {
		usleep(2000);
		evloop_call(stop, NULL);
		evloop_run();
	}
}

static int setup(void **state)
{
	int in[2], out[2];

	(void)state;
	assert_int_equal(pipe(in), 0);
	assert_int_equal(pipe(out), 0);
	fflush(stdout);
	saved[0] = dup(0);
	saved[1] = dup(1);
	dup2(in[0], 0);
	dup2(out[1], 1);
	close(in[0]);
	close(out[1]);
	to_stdin = in[1];
	from_stdout = out[0];
	memset(&sink, 0, sizeof(sink));
	memset(&sink2, 0, sizeof(sink2));
	poweroffs = 0;
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	close(to_stdin);
	fflush(stdout);
	dup2(saved[0], 0);
	dup2(saved[1], 1);
	close(saved[0]);
	close(saved[1]);
	close(from_stdout);
	return 0;
}

static void open_with(const char *spec, struct sink *s)
{
	struct chardev_fe fe = fe_of(s);

	cd = chardev_open(spec, &err);
	assert_non_null(cd);
	chardev_attach(cd, &fe);
	turn();
}

static void type(const char *text)
{
	assert_int_equal(write(to_stdin, text, strlen(text)), strlen(text));
	turn();
}

/* Standard input can be used once per process: one case does all of it. */
static void input_waits_for_room_and_escape_works(void **state)
{
	struct chardev_fe second = fe_of(&sink2);
	char buf[256] = "";
	int saved_stderr, null;
	ssize_t n;

	(void)state;
	open_with("mon:stdio", &sink);
	chardev_attach(cd, &second);
	assert_null(chardev_open("stdio", &err)); /* taken */
	type("hello");
	assert_int_equal(sink.len, 0);
	sink.room = 3;
	chardev_accept_input(cd);
	turn();
	assert_int_equal(sink.len, 3);
	sink.room = 100;
	chardev_accept_input(cd);
	turn();
	assert_memory_equal(sink.data, "hello", 5);
	type("\001\001a"); /* Ctrl-A Ctrl-A sends one */
	assert_int_equal(sink.len, 7);
	assert_memory_equal(sink.data + 5, "\001a", 2);
	type("\001c");
	sink2.room = 10;
	type("mon");
	assert_int_equal(sink.len, 7);
	assert_memory_equal(sink2.data, "mon", 3);
	type("\001c");
	type("x");
	assert_int_equal(sink.len, 8);
	sink.room = 0;
	type("stuck\001x"); /* leaves although nobody reads the rest */
	assert_int_equal(poweroffs, 1);
	type("\001h");
	n = read(from_stdout, buf, sizeof(buf) - 1);
	assert_true(n > 0);
	assert_non_null(strstr(buf, "C-a x"));

	/* A reader that does not read: the queue fills, then everything arrives in order. */
	static uint8_t bulk[BULK], got[BULK];
	size_t sent = 0, received = 0;

	for (size_t i = 0; i < BULK; i++)
		bulk[i] = (uint8_t)(i * 31 >> 3);
	sent = chardev_write(cd, bulk, BULK);
	assert_int_equal(sent, CHARDEV_OUT_SIZE);
	while (received < BULK) {
		struct pollfd p = {.fd = from_stdout, .events = POLLIN};

		turn();
		while (poll(&p, 1, 0) > 0 && received < BULK) {
			n = read(from_stdout, got + received, BULK - received);
			assert_true(n > 0);
			received += (size_t)n;
		}
		sent += chardev_write(cd, bulk + sent, BULK - sent);
	}
	assert_memory_equal(got, bulk, BULK);
	turn();
	assert_true(sink.writables > 0);

	/* A host end that goes away is not waited for. */
	close(from_stdout);
	from_stdout = -1;
	saved_stderr = dup(2);
	null = open("/dev/null", O_WRONLY);
	dup2(null, 2); /* the warning is meant */
	chardev_write(cd, "x", 1);
	turn();
	dup2(saved_stderr, 2);
	close(saved_stderr);
	close(null);
	assert_int_equal(chardev_write(cd, bulk, BULK), BULK);
	close(to_stdin); /* end of input */
	to_stdin = -1;
	turn();
	chardev_close(cd);
}

static void file_gets_everything(void **state)
{
	char spec[64] = "file:/tmp/test_chardev.XXXXXX", buf[32] = "";
	int fd = mkstemp(spec + 5);

	(void)state;
	open_with(spec, &sink);
	assert_int_equal(chardev_write(cd, "one ", 4), 4);
	turn();
	assert_int_equal(chardev_write(cd, "two", 3), 3);
	chardev_close(cd);
	assert_int_equal(read(fd, buf, sizeof(buf)), 7);
	assert_string_equal(buf, "one two");
	close(fd);
	unlink(spec + 5);
}

static void null_takes_everything(void **state)
{
	(void)state;
	open_with("null", &sink);
	for (unsigned i = 0; i < 100; i++)
		assert_int_equal(chardev_write(cd, "0123456789", 10), 10);
	turn();
	chardev_close(cd);
}

static void bad_specifications_get_a_line(void **state)
{
	(void)state;
	assert_null(chardev_open("file:/nonexistent/x", &err));
	assert_non_null(strstr(err.text, "/nonexistent/x"));
	assert_null(chardev_open("carrier-pigeon", &err));
	assert_non_null(strstr(err.text, "carrier-pigeon"));
}

#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(file_gets_everything),
		T(null_takes_everything),
		T(bad_specifications_get_a_line),
		T(input_waits_for_room_and_escape_works),
	};

	if (evloop_init() != 0)
		return 1;
	return RUN_TESTS(tests);
}
