/* SPDX-License-Identifier: MIT */
/*
 * The terminal of a character back end: raw mode, and the escape character Ctrl-A with QEMU's commands.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <termios.h>
#include <unistd.h>

#include "hw/char/chardev_impl.h"
#include "vcpu/vcpu.h"

#define ESCAPE 0x01

static struct termios saved;  /* [const] once saved_valid is set */
static int saved_fd = -1;     /* [const] after start */

static const char help_text[] = "\r\n"
				"C-a h    print this help\r\n"
				"C-a x    exit\r\n"
				"C-a c    switch between console and monitor\r\n"
				"C-a C-a  send C-a\r\n";

void chardev_restore_tty(void)
{
	if (saved_fd >= 0)
		(void)tcsetattr(saved_fd, TCSANOW, &saved);
}

void chardev_tty_raw(int fd, bool signals)
{
	struct termios t;

	if (!isatty(fd) || tcgetattr(fd, &t) != 0)
		return;
	saved = t;
	saved_fd = fd;
	t.c_iflag &= ~(tcflag_t)(IGNBRK | BRKINT | PARMRK | ISTRIP | INLCR | IGNCR | ICRNL | IXON);
	t.c_oflag |= OPOST;
	t.c_lflag &= ~(tcflag_t)(ECHO | ECHONL | ICANON | IEXTEN);
	if (!signals)
		t.c_lflag &= ~(tcflag_t)ISIG;
	t.c_cflag = (t.c_cflag & ~(tcflag_t)(CSIZE | PARENB)) | CS8;
	t.c_cc[VMIN] = 1;
	t.c_cc[VTIME] = 0;
	(void)tcsetattr(fd, TCSANOW, &t);
	atexit(chardev_restore_tty);
}

bool chardev_mux_filter(struct chardev *cd, uint8_t byte)
{
	if (!cd->escape) {
		cd->escape = byte == ESCAPE;
		return !cd->escape;
	}
	cd->escape = false;
	switch (byte) {
	case ESCAPE:
		return true;
	case 'x':
	case 'X':
		chardev_write(cd, "\r\n", 2);
		machine_request_poweroff(0);
		break;
	case 'c':
	case 'C':
		/* What was typed before goes to the old front end or, if that takes nothing, to the new one. */
		cd->focus = (cd->focus + 1) % (cd->nr_fe ? cd->nr_fe : 1);
		break;
	case 'h':
	case '?':
		chardev_write(cd, help_text, strlen(help_text));
		break;
	default:
		break;
	}
	return false;
}
