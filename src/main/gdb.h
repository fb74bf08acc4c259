/* SPDX-License-Identifier: MIT */
/*
 * A server for gdb's remote serial protocol (the gdb manual, appendix E): one client at a time, threads are the guest's CPUs, all-stop.
 *
 * Threads: main. Files: gdb_server.c the connection and its packets, gdb_cmd.c what the packets say, gdb_monitor.c gdb's command "monitor".
 */
#ifndef COHORT_MAIN_GDB_H
#define COHORT_MAIN_GDB_H

#include "util/types.h"

struct err;

/* "tcp:[HOST]:PORT" or "unix:PATH"; what follows a comma (server=on,wait=off) is taken and has no effect. The machine has been created. */
int must_check gdb_server_open(const char *spec, struct err *err);
/* Tells the client the guest's exit status, and goes away. Also when never opened. */
void gdb_server_close(int status);

/* ---- Between the files */

#define GDB_PACKET_MAX 16384

struct gdb_reply {
	char text[GDB_PACKET_MAX + 1];
	size_t len;
};

/* A client came: the machine stands still. It went, or detached: its points go, and the machine runs. */
void gdb_session_begin(void);
void gdb_session_end(void);

/* A packet (a zero byte follows its end). False: no answer now; the client is told when the machine stops. */
bool gdb_command(char *packet, size_t len, struct gdb_reply *reply);
/* Ctrl-C. False: nothing runs. */
bool gdb_interrupt(struct gdb_reply *reply);
/* qRcmd: a command of the monitor, in hex. Its output goes out at once, what is left to answer is in `reply`. */
void gdb_monitor(const char *hex, struct gdb_reply *reply);
/* An answer outside of gdb_command(): to a client that waits, for the machine has stopped; output of the monitor. */
void gdb_server_send(const struct gdb_reply *reply);
/* The client wants no acknowledgements from here on; the connection is to end behind the answer. */
void gdb_server_no_ack(void);
void gdb_server_hang_up(void);

#endif
