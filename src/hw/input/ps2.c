/* SPDX-License-Identifier: MIT */
/*
 * PS/2 keyboard and mouse command sets (IBM PS/2 Hardware Interface Technical Reference, "Keyboard" and "Mouse").
 * They answer as the real ones; nothing types or moves yet.
 */
#include "hw/input/ps2.h"

#include <string.h>

enum { ACK = 0xfa, RESEND = 0xfe, SELF_TEST_OK = 0xaa };
enum { CMD_LEDS = 0xed, CMD_ECHO = 0xee, CMD_SCANCODE_SET = 0xf0, CMD_IDENTIFY = 0xf2, CMD_RATE = 0xf3, CMD_ENABLE = 0xf4,
       CMD_DISABLE = 0xf5, CMD_DEFAULTS = 0xf6, CMD_KEY_TYPES_FIRST = 0xf7, CMD_KEY_TYPES_LAST = 0xfa,
       CMD_KEY_TYPE_FIRST = 0xfb, CMD_KEY_TYPE_LAST = 0xfd, CMD_RESEND = 0xfe, CMD_RESET = 0xff };
enum { MOUSE_SCALE_1 = 0xe6, MOUSE_SCALE_2 = 0xe7, MOUSE_RESOLUTION = 0xe8, MOUSE_STATUS = 0xe9, MOUSE_STREAM = 0xea,
       MOUSE_READ = 0xeb, MOUSE_WRAP_OFF = 0xec, MOUSE_WRAP_ON = 0xee, MOUSE_REMOTE = 0xf0 };

static void reply(struct ps2 *d, uint8_t byte)
{
	if (d->len < PS2_QUEUE_SIZE)
		d->queue[(d->head + d->len++) % PS2_QUEUE_SIZE] = byte;
}

int ps2_read(struct ps2 *d)
{
	if (!d->len)
		return -1;
	d->last = d->queue[d->head];
	d->head = (d->head + 1) % PS2_QUEUE_SIZE;
	d->len--;
	return d->last;
}

void ps2_reset(struct ps2 *d, const struct ps2_type *type)
{
	memset(d, 0, sizeof(*d));
	d->type = type;
	type->defaults(d);
	d->enabled = true;
}

void ps2_write(struct ps2 *d, uint8_t byte)
{
	uint8_t cmd = d->pending;

	/* A new byte from the host drops what was not fetched yet. */
	d->len = 0;
	if (cmd) {
		d->pending = 0;
		d->type->argument(d, cmd, byte);
	} else {
		d->type->command(d, byte);
	}
}

/* Commands that both kinds know. False: not one of these. */
static bool common_command(struct ps2 *d, uint8_t cmd)
{
	switch (cmd) {
	case CMD_RATE:
		d->pending = cmd;
		break;
	case CMD_ENABLE:
		d->enabled = true;
		break;
	case CMD_DISABLE:
		d->enabled = false;
		break;
	case CMD_DEFAULTS:
		d->type->defaults(d);
		break;
	case CMD_RESEND:
		reply(d, d->last);
		return true;
	case CMD_RESET:
		d->type->defaults(d);
		reply(d, ACK);
		reply(d, SELF_TEST_OK);
		return true;
	default:
		return false;
	}
	reply(d, ACK);
	return true;
}

/* Keyboard. */

static void keyboard_defaults(struct ps2 *d)
{
	d->scancode_set = 2;
	d->pending = 0;
}

static void keyboard_command(struct ps2 *d, uint8_t cmd)
{
	if (common_command(d, cmd))
		return;
	switch (cmd) {
	case CMD_LEDS:
	case CMD_SCANCODE_SET:
	case CMD_KEY_TYPE_FIRST ... CMD_KEY_TYPE_LAST:
		d->pending = cmd;
		reply(d, ACK);
		break;
	case CMD_ECHO:
		reply(d, CMD_ECHO);
		break;
	case CMD_IDENTIFY:
		reply(d, ACK);
		reply(d, 0xab);
		reply(d, 0x83);
		break;
	case CMD_KEY_TYPES_FIRST ... CMD_KEY_TYPES_LAST:
		reply(d, ACK);
		break;
	default:
		reply(d, RESEND);
	}
}

static void keyboard_argument(struct ps2 *d, uint8_t cmd, uint8_t arg)
{
	if (cmd == CMD_SCANCODE_SET && arg > 3) {
		reply(d, RESEND);
		return;
	}
	reply(d, ACK);
	if (cmd != CMD_SCANCODE_SET)
		return;
	if (arg)
		d->scancode_set = arg;
	else
		reply(d, d->scancode_set);
}

const struct ps2_type ps2_keyboard = {keyboard_command, keyboard_argument, keyboard_defaults};

/* Mouse. */

static void mouse_defaults(struct ps2 *d)
{
	d->enabled = false;
	d->resolution = 2;
	d->rate = 100;
	d->scaling = 1;
	d->remote = d->wrap = false;
	d->pending = 0;
}

static void mouse_status(struct ps2 *d)
{
	reply(d, (uint8_t)((d->remote ? 0x40 : 0) | (d->enabled ? 0x20 : 0) | (d->scaling == 2 ? 0x10 : 0)));
	reply(d, d->resolution);
	reply(d, d->rate);
}

static void mouse_command(struct ps2 *d, uint8_t cmd)
{
	if (d->wrap && cmd != CMD_RESET && cmd != MOUSE_WRAP_OFF) {
		reply(d, cmd);
		return;
	}
	if (common_command(d, cmd)) {
		if (cmd == CMD_RESET)
			reply(d, 0); /* identity: a plain mouse */
		return;
	}
	switch (cmd) {
	case MOUSE_SCALE_1:
	case MOUSE_SCALE_2:
		d->scaling = cmd == MOUSE_SCALE_2 ? 2 : 1;
		break;
	case MOUSE_RESOLUTION:
		d->pending = cmd;
		break;
	case MOUSE_STREAM:
	case MOUSE_REMOTE:
		d->remote = cmd == MOUSE_REMOTE;
		break;
	case MOUSE_WRAP_ON:
	case MOUSE_WRAP_OFF:
		d->wrap = cmd == MOUSE_WRAP_ON;
		break;
	case MOUSE_STATUS:
	case MOUSE_READ:
	case CMD_IDENTIFY:
		break;
	default:
		reply(d, RESEND);
		return;
	}
	reply(d, ACK);
	if (cmd == MOUSE_STATUS) {
		mouse_status(d);
	} else if (cmd == MOUSE_READ) { /* no button, no movement */
		reply(d, 0x08);
		reply(d, 0);
		reply(d, 0);
	} else if (cmd == CMD_IDENTIFY) {
		reply(d, 0);
	}
}

static void mouse_argument(struct ps2 *d, uint8_t cmd, uint8_t arg)
{
	if (cmd == CMD_RATE)
		d->rate = arg;
	else if (cmd == MOUSE_RESOLUTION)
		d->resolution = arg & 3;
	reply(d, ACK);
}

const struct ps2_type ps2_mouse = {mouse_command, mouse_argument, mouse_defaults};
