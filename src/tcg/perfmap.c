/* SPDX-License-Identifier: MIT */
#include "tcg/perfmap.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "tcg/cache/tb.h"
#include "util/err.h"

static int map_fd = -1; /* [const] after perfmap_open() */

static void line(const void *start, size_t size, const char *name)
{
	char text[128];
	int n = snprintf(text, sizeof(text), "%lx %zx %s\n", (unsigned long)(uintptr_t)start, size, name);

	if (write(map_fd, text, (size_t)n) < 0)
		return; /* a full disk costs names, not the guest */
}

int perfmap_open(const char *path, const void *stubs, size_t stubs_size, struct err *err)
{
	char standard[64];

	if (!*path) {
		snprintf(standard, sizeof(standard), "/tmp/perf-%d.map", (int)getpid());
		path = standard;
	}
	map_fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_APPEND | O_CLOEXEC, 0644);
	if (map_fd < 0)
		return err_set(err, "-perfmap: cannot write %s: %s", path, strerror(errno));
	line(stubs, stubs_size, "cohort-stubs");
	return 0;
}

void perfmap_add(const struct tb *tb)
{
	char name[64];

	if (map_fd < 0)
		return;
	snprintf(name, sizeof(name), "guest-%llx", (unsigned long long)tb->pc);
	line(tb->code, tb->code_size, name);
}

void perfmap_close(void)
{
	if (map_fd >= 0)
		close(map_fd);
	map_fd = -1;
}
