/* SPDX-License-Identifier: MIT */
/*
 * gdb's command "monitor": a line for the command monitor, whose output comes back in packets "O" and hex digits (the gdb manual, qRcmd).
 */
#define _GNU_SOURCE
#include <stdio.h>
#include <stdlib.h>

#include "main/gdb.h"
#include "main/machine.h"
#include "main/monitor.h"

#define LINE_SIZE 256
#define PIECE ((GDB_PACKET_MAX - 1) / 2)
#define OUTPUT_MAX (256u << 10) /* twice that in hex: what the connection holds for a client that reads slowly */

static int digit_of(char c)
{
	return c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

static bool line_of(const char *hex, char *line, size_t size)
{
	size_t n = 0;

	for (; *hex; hex += 2) {
		int high = digit_of(hex[0]), low = high < 0 ? -1 : digit_of(hex[1]);

		if (low < 0 || n == size - 1)
			return false;
		line[n++] = (char)(high << 4 | low);
	}
	line[n] = 0;
	return true;
}

static void send_output(const char *text, size_t len)
{
	static const char digit[] = "0123456789abcdef";
	static struct gdb_reply r;

	for (size_t pos = 0; pos < len;) {
		r.text[0] = 'O';
		for (r.len = 1; pos < len && r.len < 2 * PIECE; pos++) {
			r.text[r.len++] = digit[(uint8_t)text[pos] >> 4];
			r.text[r.len++] = digit[(uint8_t)text[pos] & 15];
		}
		gdb_server_send(&r);
	}
}

/* Under a debugger the machine stands still whatever the command said: it is the debugger that lets it go on. */
void gdb_monitor(const char *hex, struct gdb_reply *reply)
{
	char line[LINE_SIZE], *text = NULL;
	size_t size = 0;
	FILE *out;

	reply->len = (size_t)snprintf(reply->text, sizeof(reply->text), "E16");
	if (!line_of(hex, line, sizeof(line)))
		return;
	out = open_memstream(&text, &size);
	if (!out)
		return;
	monitor_command(line, out);
	fclose(out);
	machine_pause();
	send_output(text, size < OUTPUT_MAX ? size : OUTPUT_MAX);
	free(text);
	reply->len = (size_t)snprintf(reply->text, sizeof(reply->text), "OK");
}
