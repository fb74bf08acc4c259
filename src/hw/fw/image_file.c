/* SPDX-License-Identifier: MIT */
/*
 * Reading is by offset and tells a short file from an error: a file may change while the machine runs, and is read again at
 * each reset.
 */
#include "hw/fw/image_file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "mem/aspace.h"
#include "util/err.h"

#define CHUNK (1u << 16)

int image_open(struct image_file *f, const char *what, const char *path, struct err *err)
{
	struct stat st;

	f->path = strdup(path);
	if (!f->path)
		return err_set(err, "out of memory");
	f->fd = open(path, O_RDONLY | O_CLOEXEC);
	if (f->fd < 0) {
		err_set(err, "cannot open %s '%s': %s", what, path, strerror(errno));
		goto fail;
	}
	if (fstat(f->fd, &st) != 0 || !S_ISREG(st.st_mode)) {
		err_set(err, "%s '%s' is not a regular file", what, path);
		close(f->fd);
		goto fail;
	}
	f->size = (uint64_t)st.st_size;
	return 0;
fail:
	free(f->path);
	f->path = NULL;
	return -1;
}

void image_close(struct image_file *f)
{
	if (!f->path)
		return;
	close(f->fd);
	free(f->path);
	f->path = NULL;
}

int image_read(const struct image_file *f, void *buf, size_t len, uint64_t off, struct err *err)
{
	uint8_t *to = buf;

	while (len) {
		ssize_t n = pread(f->fd, to, len, (off_t)off);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return err_set(err, "cannot read '%s': %s", f->path, strerror(errno));
		if (n == 0)
			return err_set(err, "'%s' became shorter while it was read", f->path);
		to += n;
		len -= (size_t)n;
		off += (uint64_t)n;
	}
	return 0;
}

uint8_t *image_read_all(const struct image_file *f, struct err *err)
{
	uint8_t *data = malloc(f->size ? f->size : 1);

	if (!data)
		err_set(err, "out of memory for '%s'", f->path);
	else if (image_read(f, data, f->size, 0, err) == 0)
		return data;
	free(data);
	return NULL;
}

int image_to_ram(const struct image_file *f, gpa_t to, struct err *err)
{
	static uint8_t chunk[CHUNK];

	for (uint64_t off = 0; off < f->size;) {
		size_t n = f->size - off < CHUNK ? (size_t)(f->size - off) : CHUNK;

		if (image_read(f, chunk, n, off, err) != 0)
			return -1;
		if (dma_write(to + off, chunk, n) != 0)
			return err_set(err, "'%s' does not fit into guest memory", f->path);
		off += n;
	}
	return 0;
}

int image_zero_ram(gpa_t from, uint64_t len)
{
	static const uint8_t zeros[CHUNK];

	while (len) {
		size_t n = len < CHUNK ? (size_t)len : CHUNK;

		if (dma_write(from, zeros, n) != 0)
			return -1;
		from += n;
		len -= n;
	}
	return 0;
}
