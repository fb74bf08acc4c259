/* SPDX-License-Identifier: MIT */
/*
 * The connection: a listening socket, at most one client, "$packet#checksum" both ways, acknowledged by "+" until the client says that it need not
 * be. Whatever the client sends, at worst the connection ends: a packet that is too long or damaged is refused by "-", as the protocol has it.
 */
#define _GNU_SOURCE
#include "main/gdb.h"

#include <errno.h>
#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "main/keyval.h"
#include "sched/evloop.h"
#include "util/err.h"
#include "util/log.h"

#define BACKLOG_MAX (1u << 20)
#define INTERRUPT 3

enum state { OUTSIDE, PACKET, ESCAPED, SUM_HIGH, SUM_LOW };

/* All fields belong to the I/O loop. */
static struct {
	int listener, fd; /* -1: none */
	char path[sizeof(((struct sockaddr_un *)0)->sun_path)]; /* of a Unix socket, else empty */
	bool acks, hang_up;
	enum state state;
	char packet[GDB_PACKET_MAX + 1];
	size_t len;
	bool too_long;
	uint8_t sum, sum_told;
	char *out; /* not sent yet */
	size_t out_len;
	struct gdb_reply last; /* for a client that asks again */
} s = { .listener = -1, .fd = -1 };

static void on_client(void *opaque, int fd, unsigned events);

/* One client at a time: the next waits in the socket's queue until this one has gone. */
static void listen_for_next(bool on)
{
	if (evloop_fd_mod(s.listener, on ? EPOLLIN : 0))
		warn("-gdb: cannot watch the socket");
}

static void client_gone(void)
{
	evloop_fd_del(s.fd);
	close(s.fd);
	s.fd = -1;
	free(s.out);
	s.out = NULL;
	s.out_len = 0;
	listen_for_next(true);
	gdb_session_end();
}

/* ---- Output */

static void flush(void)
{
	while (s.out_len) {
		ssize_t n = send(s.fd, s.out, s.out_len, MSG_DONTWAIT | MSG_NOSIGNAL);

		if (n < 0)
			break; /* for now, or the client is gone: the loop will tell */
		s.out_len -= (size_t)n;
		memmove(s.out, s.out + n, s.out_len);
	}
	/* Fails only for a descriptor that is not watched. */
	if (evloop_fd_mod(s.fd, s.out_len ? EPOLLIN | EPOLLOUT : EPOLLIN))
		s.hang_up = true;
}

static void put(const char *text, size_t len)
{
	char *bigger = s.out_len + len > BACKLOG_MAX ? NULL : realloc(s.out, s.out_len + len);

	if (!bigger) { /* a client that does not read */
		s.hang_up = true;
		return;
	}
	s.out = bigger;
	memcpy(s.out + s.out_len, text, len);
	s.out_len += len;
}

static bool needs_escape(char c)
{
	return c == '$' || c == '#' || c == '}' || c == '*';
}

static void put_packet(const struct gdb_reply *r)
{
	char text[2 * GDB_PACKET_MAX + 8];
	uint8_t sum = 0;
	size_t n = 0;

	text[n++] = '$';
	for (size_t i = 0; i < r->len; i++) {
		if (needs_escape(r->text[i])) {
			text[n++] = '}';
			text[n++] = r->text[i] ^ 0x20;
		} else {
			text[n++] = r->text[i];
		}
	}
	for (size_t i = 1; i < n; i++)
		sum = (uint8_t)(sum + (uint8_t)text[i]);
	n += (size_t)snprintf(text + n, 4, "#%02x", sum);
	put(text, n);
}

void gdb_server_send(const struct gdb_reply *r)
{
	if (s.fd < 0)
		return;
	s.last = *r;
	put_packet(r);
	flush();
}

void gdb_server_no_ack(void)
{
	s.acks = false;
}

void gdb_server_hang_up(void)
{
	s.hang_up = true;
}

/* ---- Input */

static int hex_digit(char c)
{
	return c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

static void packet_ends(void)
{
	static struct gdb_reply reply;
	bool acks = s.acks;

	if (s.too_long || (acks && s.sum != s.sum_told)) {
		if (acks)
			put("-", 1);
		return;
	}
	if (acks)
		put("+", 1);
	s.packet[s.len] = 0;
	reply.len = 0;
	if (gdb_command(s.packet, s.len, &reply)) {
		s.last = reply;
		put_packet(&reply);
	}
}

static void packet_byte(char c)
{
	if (s.len == GDB_PACKET_MAX)
		s.too_long = true;
	else
		s.packet[s.len++] = c;
}

static void outside(char c)
{
	static struct gdb_reply reply;

	if (c == '$') {
		s.state = PACKET;
		s.len = 0;
		s.sum = 0;
		s.too_long = false;
	} else if (c == INTERRUPT) {
		reply.len = 0;
		if (gdb_interrupt(&reply)) {
			s.last = reply;
			put_packet(&reply);
		}
	} else if (c == '-' && s.acks) {
		put_packet(&s.last);
	}
}

static void take_byte(char c)
{
	switch (s.state) {
	case OUTSIDE:
		outside(c);
		break;
	case PACKET:
		if (c == '#') {
			s.state = SUM_HIGH;
			break;
		}
		s.sum = (uint8_t)(s.sum + (uint8_t)c);
		if (c == '}')
			s.state = ESCAPED;
		else
			packet_byte(c);
		break;
	case ESCAPED:
		s.sum = (uint8_t)(s.sum + (uint8_t)c);
		packet_byte(c ^ 0x20);
		s.state = PACKET;
		break;
	case SUM_HIGH:
		s.sum_told = (uint8_t)(hex_digit(c) << 4);
		s.state = SUM_LOW;
		break;
	case SUM_LOW:
		s.sum_told |= (uint8_t)hex_digit(c);
		s.state = OUTSIDE;
		packet_ends();
		break;
	}
}

static void on_client(void *opaque, int fd, unsigned events)
{
	char buf[4096];
	ssize_t n = 0;

	(void)opaque;
	if (fd != s.fd)
		return;
	if (events & (EPOLLIN | EPOLLHUP | EPOLLERR)) {
		n = recv(fd, buf, sizeof(buf), MSG_DONTWAIT);
		if (n == 0 || (n < 0 && errno != EAGAIN && errno != EINTR)) {
			client_gone();
			return;
		}
	}
	for (ssize_t i = 0; i < n && !s.hang_up; i++)
		take_byte(buf[i]);
	flush();
	if (s.hang_up)
		client_gone();
}

static void on_listener(void *opaque, int listener, unsigned events)
{
	int fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);

	(void)opaque;
	(void)events;
	if (fd < 0)
		return;
	if (s.fd >= 0 || evloop_fd_add(fd, EPOLLIN, on_client, NULL)) {
		close(fd);
		return;
	}
	listen_for_next(false);
	s.fd = fd;
	s.acks = true;
	s.hang_up = false;
	s.state = OUTSIDE;
	s.last.len = 0;
	gdb_session_begin();
}

/* ---- The listening socket */

static int listen_unix(const char *path, struct err *err)
{
	struct sockaddr_un a = { .sun_family = AF_UNIX };
	struct stat old;

	if (!*path || strlen(path) >= sizeof(a.sun_path))
		return err_set(err, "-gdb: 'unix:' wants a path of at most %zu characters", sizeof(a.sun_path) - 1);
	strcpy(a.sun_path, path);
	if (!lstat(path, &old) && S_ISSOCK(old.st_mode))
		unlink(path); /* of one that did not end well */
	s.listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (s.listener < 0 || bind(s.listener, (struct sockaddr *)&a, sizeof(a)) || listen(s.listener, 1))
		return err_set(err, "-gdb: cannot listen at '%s': %s", path, strerror(errno));
	strcpy(s.path, path);
	return 0;
}

static int listen_tcp(const char *host, const char *port, struct err *err)
{
	struct addrinfo hints = { .ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM, .ai_flags = AI_NUMERICSERV }, *list;
	int one = 1, ret;
	struct err why;
	uint64_t n;

	if (parse_number(port, 65535, &n, &why))
		return err_set(err, "-gdb: port: %.450s", why.text);
	ret = getaddrinfo(*host ? host : "localhost", port, &hints, &list);
	if (ret)
		return err_set(err, "-gdb: '%s:%s': %s", host, port, gai_strerror(ret));
	for (const struct addrinfo *a = list; a && s.listener < 0; a = a->ai_next) {
		s.listener = socket(a->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
		if (s.listener < 0)
			continue;
		setsockopt(s.listener, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
		if (!bind(s.listener, a->ai_addr, a->ai_addrlen) && !listen(s.listener, 1))
			break;
		ret = errno;
		close(s.listener);
		s.listener = -1;
		errno = ret;
	}
	freeaddrinfo(list);
	return s.listener >= 0 ? 0 : err_set(err, "-gdb: cannot listen at '%s:%s': %s", host, port, strerror(errno));
}

int gdb_server_open(const char *spec, struct err *err)
{
	char text[256], *port;
	int ret;

	if (strlen(spec) >= sizeof(text))
		return err_set(err, "-gdb: too long");
	strcpy(text, spec);
	text[strcspn(text, ",")] = 0;
	if (!strncmp(text, "unix:", 5)) {
		ret = listen_unix(text + 5, err);
	} else {
		port = strrchr(text, ':');
		if (strncmp(text, "tcp:", 4) || port < text + 4 || !port[1])
			return err_set(err, "-gdb: '%s': want tcp:[HOST]:PORT or unix:PATH", spec);
		*port = 0;
		ret = listen_tcp(text + 4, port + 1, err);
	}
	if (!ret && evloop_fd_add(s.listener, EPOLLIN, on_listener, NULL))
		ret = err_set(err, "-gdb: cannot watch the socket");
	return ret;
}

void gdb_server_close(int status)
{
	struct gdb_reply r;

	if (s.fd >= 0) {
		r.len = (size_t)snprintf(r.text, sizeof(r.text), "W%02x", (unsigned)status & 0xff);
		gdb_server_send(&r);
		evloop_fd_del(s.fd);
		close(s.fd);
		s.fd = -1;
	}
	free(s.out);
	s.out = NULL;
	s.out_len = 0;
	if (s.listener >= 0) {
		evloop_fd_del(s.listener);
		close(s.listener);
		s.listener = -1;
	}
	if (*s.path)
		unlink(s.path);
	*s.path = 0;
}
