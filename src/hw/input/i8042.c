/* SPDX-License-Identifier: MIT */
/*
 * 8042 keyboard controller (IBM PS/2 Hardware Interface Technical Reference, "Keyboard and Auxiliary Device Controller").
 *
 * One byte waits in the output buffer; the devices' further bytes stay in their queues until it has been read. Scan code
 * translation concerns key codes only, of which there are none yet.
 */
#include "hw/input/i8042.h"

enum { KEYBOARD, MOUSE };
enum { STATUS_FULL = 0x01, STATUS_SYSTEM = 0x04, STATUS_COMMAND = 0x08, STATUS_UNLOCKED = 0x10, STATUS_MOUSE = 0x20 };
enum { CB_KBD_IRQ = 0x01, CB_MOUSE_IRQ = 0x02, CB_SYSTEM = 0x04, CB_KBD_OFF = 0x10, CB_MOUSE_OFF = 0x20,
       CB_TRANSLATE = 0x40 };
enum { OUT_NO_RESET = 0x01, OUT_A20 = 0x02, OUT_KBD_FULL = 0x10, OUT_MOUSE_FULL = 0x20 };
enum { CMD_READ_RAM = 0x20, CMD_READ_RAM_LAST = 0x3f, CMD_WRITE_RAM = 0x60, CMD_WRITE_RAM_LAST = 0x7f,
       CMD_MOUSE_OFF = 0xa7, CMD_MOUSE_ON = 0xa8, CMD_TEST_MOUSE = 0xa9, CMD_SELF_TEST = 0xaa, CMD_TEST_KBD = 0xab,
       CMD_KBD_OFF = 0xad, CMD_KBD_ON = 0xae, CMD_READ_INPUT = 0xc0, CMD_READ_OUTPUT = 0xd0, CMD_WRITE_OUTPUT = 0xd1,
       CMD_WRITE_KBD_BUF = 0xd2, CMD_WRITE_MOUSE_BUF = 0xd3, CMD_WRITE_MOUSE = 0xd4, CMD_A20_OFF = 0xdd,
       CMD_A20_ON = 0xdf, CMD_PULSE = 0xf0 };

static void update_irq_locked(struct i8042 *k)
{
	irq_set(&k->irq[KEYBOARD], k->full && !k->from_mouse && (k->command_byte & CB_KBD_IRQ));
	irq_set(&k->irq[MOUSE], k->full && k->from_mouse && (k->command_byte & CB_MOUSE_IRQ));
}

static void put_locked(struct i8042 *k, uint8_t byte, bool from_mouse)
{
	k->data = byte;
	k->from_mouse = from_mouse;
	k->full = true;
	update_irq_locked(k);
}

/* Fetches the next byte from the devices. A disabled one keeps what it has to say. */
static void refill_locked(struct i8042 *k)
{
	static const uint8_t off_bit[2] = {CB_KBD_OFF, CB_MOUSE_OFF};

	for (unsigned i = 0; i < 2 && !k->full; i++) {
		int byte = k->command_byte & off_bit[i] ? -1 : ps2_read(&k->device[i]);

		if (byte >= 0)
			put_locked(k, (uint8_t)byte, i == MOUSE);
	}
	update_irq_locked(k);
}

static void write_device_locked(struct i8042 *k, unsigned which, uint8_t byte)
{
	/* Sending to a device switches its clock on again. */
	k->command_byte &= (uint8_t)~(which == MOUSE ? CB_MOUSE_OFF : CB_KBD_OFF);
	ps2_write(&k->device[which], byte);
}

static void set_output_locked(struct i8042 *k, uint8_t value)
{
	k->output_port = value;
	irq_set(&k->a20, value & OUT_A20);
}

/* The data byte of a two-byte command. True: reset the machine. */
static bool argument_locked(struct i8042 *k, uint8_t cmd, uint8_t value)
{
	switch (cmd) {
	case CMD_WRITE_RAM:
		k->command_byte = value;
		break;
	case CMD_WRITE_OUTPUT:
		set_output_locked(k, value);
		return !(value & OUT_NO_RESET);
	case CMD_WRITE_KBD_BUF:
		put_locked(k, value, false);
		break;
	case CMD_WRITE_MOUSE_BUF:
		put_locked(k, value, true);
		break;
	case CMD_WRITE_MOUSE:
		write_device_locked(k, MOUSE, value);
		break;
	default:
		break;
	}
	return false;
}

static bool command_locked(struct i8042 *k, uint8_t cmd)
{
	switch (cmd) {
	case CMD_READ_RAM ... CMD_READ_RAM_LAST:
		put_locked(k, cmd == CMD_READ_RAM ? k->command_byte : 0, false);
		break;
	case CMD_WRITE_RAM ... CMD_WRITE_RAM_LAST:
	case CMD_WRITE_OUTPUT ... CMD_WRITE_MOUSE:
		k->pending = cmd;
		break;
	case CMD_MOUSE_OFF:
		k->command_byte |= CB_MOUSE_OFF;
		break;
	case CMD_MOUSE_ON:
		k->command_byte &= (uint8_t)~CB_MOUSE_OFF;
		break;
	case CMD_KBD_OFF:
		k->command_byte |= CB_KBD_OFF;
		break;
	case CMD_KBD_ON:
		k->command_byte &= (uint8_t)~CB_KBD_OFF;
		break;
	case CMD_SELF_TEST:
		k->command_byte |= CB_SYSTEM;
		put_locked(k, 0x55, false);
		break;
	case CMD_TEST_MOUSE:
	case CMD_TEST_KBD:
		put_locked(k, 0x00, false);
		break;
	case CMD_READ_INPUT:
		put_locked(k, 0x80, false); /* not locked */
		break;
	case CMD_READ_OUTPUT:
		put_locked(k, (uint8_t)(k->output_port | OUT_NO_RESET | (!k->full ? 0 : k->from_mouse ?
				OUT_MOUSE_FULL : OUT_KBD_FULL)), false);
		break;
	case CMD_A20_OFF:
		set_output_locked(k, k->output_port & (uint8_t)~OUT_A20);
		break;
	case CMD_A20_ON:
		set_output_locked(k, k->output_port | OUT_A20);
		break;
	default:
		/* Pulse the output port's low bits: bit 0 is the reset line, a clear bit means pulse. */
		return cmd >= CMD_PULSE && !(cmd & 1);
	}
	return false;
}

static void data_write(void *opaque, uint64_t off, uint64_t value, unsigned size)
{
	struct i8042 *k = opaque;
	bool reset = false;
	uint8_t cmd;

	(void)off;
	(void)size;
	lock_acquire(&k->lock);
	k->wrote_command = false;
	cmd = k->pending;
	k->pending = 0;
	if (cmd)
		reset = argument_locked(k, cmd, (uint8_t)value);
	else
		write_device_locked(k, KEYBOARD, (uint8_t)value);
	refill_locked(k);
	lock_release(&k->lock);
	if (reset && k->reset)
		k->reset(k->opaque);
}

static void command_write(void *opaque, uint64_t off, uint64_t value, unsigned size)
{
	struct i8042 *k = opaque;
	bool reset;

	(void)off;
	(void)size;
	lock_acquire(&k->lock);
	k->wrote_command = true;
	k->pending = 0;
	reset = command_locked(k, (uint8_t)value);
	refill_locked(k);
	lock_release(&k->lock);
	if (reset && k->reset)
		k->reset(k->opaque);
}

static uint64_t data_read(void *opaque, uint64_t off, unsigned size)
{
	struct i8042 *k = opaque;
	uint8_t v;

	(void)off;
	(void)size;
	lock_acquire(&k->lock);
	v = k->data;
	k->full = false;
	update_irq_locked(k);
	refill_locked(k);
	lock_release(&k->lock);
	return v;
}

static uint64_t status_read(void *opaque, uint64_t off, unsigned size)
{
	struct i8042 *k = opaque;
	uint8_t v = STATUS_UNLOCKED;

	(void)off;
	(void)size;
	lock_acquire(&k->lock);
	if (k->full)
		v |= STATUS_FULL | (k->from_mouse ? STATUS_MOUSE : 0);
	if (k->command_byte & CB_SYSTEM)
		v |= STATUS_SYSTEM;
	if (k->wrote_command)
		v |= STATUS_COMMAND;
	lock_release(&k->lock);
	return v;
}

/* As firmware leaves it: tested, keyboard on with its interrupt, mouse off. */
static void i8042_reset(void *dev)
{
	struct i8042 *k = dev;

	lock_acquire(&k->lock);
	k->command_byte = CB_KBD_IRQ | CB_SYSTEM | CB_MOUSE_OFF | CB_TRANSLATE;
	set_output_locked(k, OUT_NO_RESET | OUT_A20);
	k->pending = 0;
	k->wrote_command = k->full = k->from_mouse = false;
	ps2_reset(&k->device[KEYBOARD], &ps2_keyboard);
	ps2_reset(&k->device[MOUSE], &ps2_mouse);
	update_irq_locked(k);
	lock_release(&k->lock);
}

void i8042_init(struct i8042 *k)
{
	lock_init(&k->lock, LOCK_RANK_DEVICE);
	i8042_reset(k);
}

const struct mmio_ops i8042_data_ops = {.read = data_read, .write = data_write, .min_size = 1, .max_size = 1};
const struct mmio_ops i8042_command_ops = {.read = status_read, .write = command_write, .min_size = 1, .max_size = 1};

const struct device_type i8042_device = {
	.name = "i8042",
	.reset = i8042_reset,
};
