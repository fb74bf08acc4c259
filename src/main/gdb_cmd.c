/* SPDX-License-Identifier: MIT */
/*
 * What the packets say. Thread n + 1 is vCPU n. All stop when one does; a client may let some go on while the others stand (a step of one thread).
 *
 * Every command but an interrupt needs the machine to stand still; if somebody else has let it run (the monitor), it is refused.
 */
#define _GNU_SOURCE
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "main/gdb.h"
#include "main/machine.h"
#include "sched/evloop.h"
#include "vcpu/arch.h"
#include "vcpu/debugger.h"

#define SIG_INT 2
#define SIG_TRAP 5
#define MEMORY_MAX (GDB_PACKET_MAX / 2)
#define ERROR_BAD_PACKET "E16"
#define ERROR_NOT_THERE "E0e"

/* All of it belongs to the I/O loop. */
static struct {
	bool waits; /* the client waits for the machine to stop */
	bool says_swbreak;
	struct vcpu *current; /* of registers and memory */
	char *xml;
	size_t xml_len;
} g;

/* ---- Text */

static void say(struct gdb_reply *r, const char *text)
{
	size_t n = strlen(text);

	if (r->len + n > GDB_PACKET_MAX)
		return;
	memcpy(r->text + r->len, text, n);
	r->len += n;
}

static void say_hex(struct gdb_reply *r, const uint8_t *bytes, size_t len)
{
	static const char digit[] = "0123456789abcdef";

	for (size_t i = 0; i < len && r->len + 2 <= GDB_PACKET_MAX; i++) {
		r->text[r->len++] = digit[bytes[i] >> 4];
		r->text[r->len++] = digit[bytes[i] & 15];
	}
}

static void say_number(struct gdb_reply *r, const char *before, uint64_t v)
{
	char text[64];

	snprintf(text, sizeof(text), "%s%llx", before, (unsigned long long)v);
	say(r, text);
}

static int digit_of(char c)
{
	return c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

/* A number of 1 to 16 digits at *p, and what must follow it (0: the end; -1: anything). */
static bool number(const char **p, int follows, uint64_t *v)
{
	unsigned n = 0;

	for (*v = 0; digit_of(**p) >= 0; (*p)++, n++)
		*v = *v << 4 | (unsigned)digit_of(**p);
	if (!n || n > 16 || (follows >= 0 && **p != follows))
		return false;
	if (follows > 0)
		(*p)++;
	return true;
}

/* Bytes in hex up to the end of the text; how many, or -1. */
static long bytes_of(const char *p, uint8_t *out, size_t max)
{
	size_t n = 0;

	for (; *p; p += 2) {
		if (digit_of(p[0]) < 0 || digit_of(p[1]) < 0 || n == max)
			return -1;
		out[n++] = (uint8_t)(digit_of(p[0]) << 4 | digit_of(p[1]));
	}
	return (long)n;
}

/* ---- Threads */

/* "-1" and "0" are any: `any`. NULL: there is none of this number. */
static struct vcpu *thread_of(const char **p, int follows, struct vcpu *any)
{
	uint64_t n;

	if ((*p)[0] == '-' && (*p)[1] == '1') {
		*p += 2;
		if (follows > 0 && **p == follows)
			(*p)++;
		return any;
	}
	if (!number(p, follows, &n))
		return NULL;
	return !n ? any : n <= nr_vcpus ? vcpus[n - 1] : NULL;
}

/* ---- Stop and go */

static void say_stop(struct gdb_reply *r, struct vcpu *v, unsigned sig)
{
	static const char *const what[] = { [DEBUG_STOP_WRITE] = "watch:", [DEBUG_STOP_READ] = "rwatch:", [DEBUG_STOP_ACCESS] = "awatch:" };

	g.current = v;
	say_number(r, sig < 16 ? "T0" : "T", sig);
	if (v->debug.stop >= DEBUG_STOP_WRITE) {
		say_number(r, what[v->debug.stop], v->debug.addr);
		say(r, ";");
	} else if (v->debug.stop == DEBUG_STOP_CODE && g.says_swbreak) {
		say(r, "swbreak:;");
	}
	say_number(r, "thread:", v->index + 1);
	say(r, ";");
	v->debug.stop = DEBUG_STOP_NONE;
}

static struct vcpu *stopped_one(void)
{
	for (unsigned i = 0; i < nr_vcpus; i++)
		if (vcpus[i]->debug.stop != DEBUG_STOP_NONE)
			return vcpus[i];
	return NULL;
}

static void run_free(void)
{
	for (unsigned i = 0; i < nr_vcpus; i++)
		debug_set_step(vcpus[i], false);
	machine_resume();
}

/* A vCPU has stopped by itself. */
static void on_stopped(void *opaque)
{
	static struct gdb_reply reply;
	bool ran = machine_is_running();
	struct vcpu *v;

	(void)opaque;
	machine_pause();
	v = stopped_one();
	if (g.waits && v) {
		reply.len = 0;
		g.waits = false;
		say_stop(&reply, v, SIG_TRAP);
		gdb_server_send(&reply);
	} else if (ran && g.waits) {
		machine_resume_some(); /* told already */
	} else if (ran) {
		run_free(); /* nobody is there to whom it matters */
	}
}

static void stopped(void)
{
	evloop_call(on_stopped, NULL);
}

bool gdb_interrupt(struct gdb_reply *r)
{
	if (!g.waits)
		return false;
	machine_pause();
	g.waits = false;
	say_stop(r, stopped_one() ? stopped_one() : g.current, stopped_one() ? SIG_TRAP : SIG_INT);
	return true;
}

/*
 * Lets those run that have an action. Another that met a watch point at the same time, and was not told of, is told of now instead, if the point is
 * still there; one that met a break point meets it again.
 */
static bool go(struct gdb_reply *r, const char *actions)
{
	for (unsigned i = 0; i < nr_vcpus; i++) {
		struct vcpu *v = vcpus[i];

		if (debug_stop_still_holds(v)) {
			say_stop(r, v, SIG_TRAP);
			return true;
		}
	}
	for (unsigned i = 0; i < nr_vcpus; i++)
		debug_set_step(vcpus[i], actions[i] == 's');
	for (unsigned i = 0; i < nr_vcpus; i++)
		machine_choose(i, actions[i]);
	g.waits = true;
	machine_resume_some();
	return false;
}

static bool refuse(struct gdb_reply *r, const char *why)
{
	say(r, why);
	return true;
}

/* c, C sig: all go on. s, S sig: the current thread steps. An address to go on from is not taken. */
static bool cmd_go(const char *p, struct gdb_reply *r)
{
	bool step = *p == 's' || *p == 'S';
	char *actions;
	bool ret;

	if ((*p == 'c' || *p == 's') && p[1])
		return refuse(r, ERROR_BAD_PACKET);
	actions = malloc(nr_vcpus);
	if (!actions)
		return refuse(r, ERROR_BAD_PACKET);
	memset(actions, step ? 0 : 'c', nr_vcpus);
	if (step)
		actions[g.current->index] = 's';
	ret = go(r, actions);
	free(actions);
	return ret;
}

/* vCont;ACTION[:THREAD]...: the first that fits a thread counts; a thread that none fits stands. */
static bool parse_actions(const char *p, char *actions)
{
	while (*p) {
		struct vcpu *v = NULL;
		char action;
		uint64_t sig;

		if (*p++ != ';')
			return false;
		action = *p++;
		if (action == 'C' || action == 'S') {
			if (!number(&p, -1, &sig))
				return false;
			action = action == 'C' ? 'c' : 's';
		}
		if (action != 'c' && action != 's')
			return false;
		if (*p == ':') {
			bool every = p[1] == '-';

			p++;
			v = thread_of(&p, -1, g.current);
			if (!v || (*p && *p != ';'))
				return false;
			if (every)
				v = NULL;
		}
		for (unsigned i = 0; i < nr_vcpus; i++)
			if (!actions[i] && (!v || vcpus[i] == v))
				actions[i] = action;
	}
	return true;
}

static bool cmd_vcont(const char *p, struct gdb_reply *r)
{
	char *actions = calloc(nr_vcpus, 1);
	bool ret, any = false;

	if (!actions || !parse_actions(p, actions)) {
		free(actions);
		return refuse(r, ERROR_BAD_PACKET);
	}
	for (unsigned i = 0; i < nr_vcpus; i++)
		any |= actions[i];
	ret = any ? go(r, actions) : refuse(r, ERROR_BAD_PACKET);
	free(actions);
	return ret;
}

/* ---- Registers and memory */

static bool cmd_regs_read(struct gdb_reply *r)
{
	uint8_t value[DEBUG_REG_BYTES];
	unsigned n, size;

	for (n = 0; (size = vcpu_arch.debug_reg_read(g.current, n, value)); n++)
		say_hex(r, value, size);
	return true;
}

static bool cmd_regs_write(const char *p, struct gdb_reply *r)
{
	static uint8_t bytes[MEMORY_MAX];
	long len = bytes_of(p, bytes, sizeof(bytes)), at = 0;
	unsigned n, size;

	if (len < 0)
		return refuse(r, ERROR_BAD_PACKET);
	for (n = 0; at < len; n++, at += size) {
		size = vcpu_arch.debug_reg_write(g.current, n, bytes + at, (size_t)(len - at));
		if (!size)
			return refuse(r, ERROR_BAD_PACKET);
	}
	return refuse(r, "OK");
}

static bool cmd_reg_read(const char *p, struct gdb_reply *r)
{
	uint8_t value[DEBUG_REG_BYTES];
	uint64_t n;
	unsigned size = number(&p, 0, &n) && n < 4096 ? vcpu_arch.debug_reg_read(g.current, (unsigned)n, value) : 0;

	if (!size)
		return refuse(r, ERROR_NOT_THERE);
	say_hex(r, value, size);
	return true;
}

static bool cmd_reg_write(const char *p, struct gdb_reply *r)
{
	uint8_t value[DEBUG_REG_BYTES];
	uint64_t n;
	long len = number(&p, '=', &n) && n < 4096 ? bytes_of(p, value, sizeof(value)) : -1;

	if (len < 0 || !vcpu_arch.debug_reg_write(g.current, (unsigned)n, value, (size_t)len))
		return refuse(r, ERROR_NOT_THERE);
	return refuse(r, "OK");
}

static bool cmd_memory_read(const char *p, struct gdb_reply *r)
{
	static uint8_t bytes[MEMORY_MAX];
	uint64_t addr, len;

	if (!number(&p, ',', &addr) || !number(&p, 0, &len))
		return refuse(r, ERROR_BAD_PACKET);
	if (len > sizeof(bytes))
		len = sizeof(bytes); /* a reader takes less than it asked for */
	if (debug_read(g.current, addr, bytes, len))
		return refuse(r, ERROR_NOT_THERE);
	say_hex(r, bytes, len);
	return true;
}

/* M: in hex. X: `data` bytes as they are. */
static bool cmd_memory_write(const char *packet, size_t packet_len, struct gdb_reply *r)
{
	static uint8_t bytes[MEMORY_MAX];
	const char *p = packet + 1;
	const uint8_t *data = bytes;
	uint64_t addr, len;
	long got;

	if (!number(&p, ',', &addr) || !number(&p, ':', &len))
		return refuse(r, ERROR_BAD_PACKET);
	if (*packet == 'X') {
		data = (const uint8_t *)p;
		got = packet + packet_len - p;
	} else {
		got = bytes_of(p, bytes, sizeof(bytes));
	}
	if (got < 0 || (uint64_t)got != len)
		return refuse(r, ERROR_BAD_PACKET);
	return refuse(r, debug_write(g.current, addr, data, len) ? ERROR_NOT_THERE : "OK");
}

/* ---- Points: Z and z, TYPE,ADDRESS,LENGTH[;conditions are not taken] */

static bool cmd_point(const char *p, struct gdb_reply *r)
{
	static const enum debug_kind kinds[] = { DEBUG_SOFT_CODE, DEBUG_HARD_CODE, DEBUG_WRITE, DEBUG_READ, DEBUG_ACCESS };
	bool add = *p++ == 'Z';
	uint64_t type, addr, len;
	int ret;

	if (!number(&p, ',', &type) || !number(&p, ',', &addr) || !number(&p, -1, &len))
		return refuse(r, ERROR_BAD_PACKET);
	if (type >= ARRAY_LEN(kinds) || *p)
		return true; /* not supported */
	ret = add ? debug_point_add(kinds[type], addr, len) : debug_point_remove(kinds[type], addr, len);
	return refuse(r, ret ? ERROR_BAD_PACKET : "OK");
}

/* ---- Questions */

static bool cmd_threads(struct gdb_reply *r)
{
	for (unsigned i = 0; i < nr_vcpus; i++)
		say_number(r, i ? "," : "m", i + 1);
	return true;
}

static bool cmd_thread_info(const char *p, struct gdb_reply *r)
{
	static const char *const states[] = { "waits for start", "running", "halted" };
	struct vcpu *v = thread_of(&p, 0, NULL);
	char text[64];

	if (!v)
		return refuse(r, ERROR_NOT_THERE);
	snprintf(text, sizeof(text), "CPU#%u [%s]", v->index, states[vcpu_run_state(v)]);
	say_hex(r, (const uint8_t *)text, strlen(text));
	return true;
}

static bool cmd_xml(const char *p, struct gdb_reply *r)
{
	uint64_t off, len;
	FILE *out;

	if (!number(&p, ',', &off) || !number(&p, 0, &len))
		return refuse(r, ERROR_BAD_PACKET);
	if (!g.xml) {
		out = open_memstream(&g.xml, &g.xml_len);
		if (!out)
			return refuse(r, ERROR_BAD_PACKET);
		vcpu_arch.debug_describe(vcpus[0], out);
		fclose(out);
	}
	if (off > g.xml_len)
		return refuse(r, ERROR_BAD_PACKET);
	if (len > GDB_PACKET_MAX / 2)
		len = GDB_PACKET_MAX / 2;
	if (len > g.xml_len - off)
		len = g.xml_len - off;
	say(r, off + len == g.xml_len ? "l" : "m");
	memcpy(r->text + r->len, g.xml + off, len);
	r->len += len;
	return true;
}

static bool starts(const char **p, const char *with)
{
	size_t n = strlen(with);

	if (strncmp(*p, with, n))
		return false;
	*p += n;
	return true;
}

static bool cmd_query(const char *p, struct gdb_reply *r)
{
	if (starts(&p, "qSupported")) {
		g.says_swbreak = strstr(p, "swbreak+");
		say_number(r, "PacketSize=", GDB_PACKET_MAX);
		say(r, ";qXfer:features:read+;QStartNoAckMode+;vContSupported+;swbreak+");
	} else if (starts(&p, "qXfer:features:read:target.xml:")) {
		return cmd_xml(p, r);
	} else if (starts(&p, "qfThreadInfo")) {
		return cmd_threads(r);
	} else if (starts(&p, "qsThreadInfo")) {
		say(r, "l");
	} else if (starts(&p, "qThreadExtraInfo,")) {
		return cmd_thread_info(p, r);
	} else if (starts(&p, "qAttached")) {
		say(r, "1");
	} else if (starts(&p, "qRcmd,")) {
		gdb_monitor(p, r);
	} else if (!strcmp(p, "qC")) {
		say_number(r, "QC", g.current->index + 1);
	} else if (starts(&p, "QStartNoAckMode")) {
		gdb_server_no_ack();
		say(r, "OK");
	}
	return true;
}

static bool cmd_v(const char *p, struct gdb_reply *r)
{
	if (!strcmp(p, "vCont?")) {
		say(r, "vCont;c;C;s;S");
	} else if (starts(&p, "vCont")) {
		return cmd_vcont(p, r);
	} else if (starts(&p, "vKill")) {
		say(r, "OK");
		machine_quit(0);
	}
	return true;
}

/* H OP THREAD: only the thread of registers and memory matters. */
static bool cmd_thread_choose(const char *p, struct gdb_reply *r)
{
	char op = *p ? *p++ : 0;
	struct vcpu *v = thread_of(&p, 0, g.current);

	if (!v)
		return refuse(r, ERROR_NOT_THERE);
	if (op == 'g' || (op == 'c' && v != g.current))
		g.current = v;
	return refuse(r, "OK");
}

static bool cmd_alive(const char *p, struct gdb_reply *r)
{
	return refuse(r, thread_of(&p, 0, NULL) ? "OK" : ERROR_NOT_THERE);
}

bool gdb_command(char *packet, size_t len, struct gdb_reply *r)
{
	const char *p = packet;

	if (g.waits || machine_is_running()) {
		if (g.waits)
			return false; /* only an interrupt may come now */
		return refuse(r, ERROR_BAD_PACKET);
	}
	switch (*p) {
	case '?':
		say_stop(r, g.current, SIG_TRAP);
		return true;
	case 'g':
		return cmd_regs_read(r);
	case 'G':
		return cmd_regs_write(p + 1, r);
	case 'p':
		return cmd_reg_read(p + 1, r);
	case 'P':
		return cmd_reg_write(p + 1, r);
	case 'm':
		return cmd_memory_read(p + 1, r);
	case 'M':
	case 'X':
		return cmd_memory_write(p, len, r);
	case 'Z':
	case 'z':
		return cmd_point(p, r);
	case 'c':
	case 's':
	case 'C':
	case 'S':
		return cmd_go(p, r);
	case 'v':
		return cmd_v(p, r);
	case 'q':
	case 'Q':
		return cmd_query(p, r);
	case 'H':
		return cmd_thread_choose(p + 1, r);
	case 'T':
		return cmd_alive(p + 1, r);
	case 'D':
		gdb_server_hang_up();
		return refuse(r, "OK");
	case 'k':
		machine_quit(0);
		return false;
	default:
		return true; /* an empty answer: not supported */
	}
}

/* ---- Sessions */

void gdb_session_begin(void)
{
	debug_set_listener(stopped);
	machine_pause();
	g.waits = false;
	g.says_swbreak = false;
	g.current = vcpus[0];
}

void gdb_session_end(void)
{
	machine_pause();
	g.waits = false;
	debug_points_clear();
	run_free();
	free(g.xml);
	g.xml = NULL;
}
