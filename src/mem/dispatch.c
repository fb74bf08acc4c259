/* SPDX-License-Identifier: MIT */
/*
 * Accesses of any size and alignment to ranges, cut to what the callbacks accept:
 *
 *   - at range boundaries, so an access may touch several devices and holes;
 *   - into naturally aligned pieces, powers of two, at most max_size;
 *   - pieces below min_size become an access to the aligned word of min_size that holds them: reads take their bytes out
 *     of it, writes read it, change their bytes and write it back.
 */
#include <string.h>

#include "mem/aspace.h"
#include "mem/aspace_view.h"
#include "mem/code_watch.h"
#include "mem/ram.h"
#include "mem/word.h"
#include "util/bitops.h"
#include "util/stats.h"

#define MEM_MAX 8
#define PIO_MAX 4

struct piece {
	uint64_t off;  /* of the access in the range */
	unsigned size; /* bytes the callback is asked for */
	unsigned skip; /* bytes of those before ours */
	unsigned len;  /* bytes that are ours */
};

/* The first piece of `len` bytes at `off`. */
static struct piece first_piece(const struct mmio_ops *ops, uint64_t off, unsigned len, unsigned max_default)
{
	unsigned min = ops->min_size ? ops->min_size : 1, max = ops->max_size ? ops->max_size : max_default;
	struct piece p = { .off = off, .size = max };

	while (p.size > len || off % p.size)
		p.size /= 2;
	p.len = p.size;
	if (p.size < min) {
		p.size = min;
		p.off = align_down(off, min);
		p.skip = (unsigned)(off - p.off);
		p.len = min - p.skip < len ? min - p.skip : len;
	}
	return p;
}

static uint64_t device_read(const struct aspace_range *r, uint64_t off, unsigned len, unsigned max_default)
{
	uint64_t value = 0;

	for (unsigned done = 0; done < len;) {
		struct piece p = first_piece(r->ops, off + done, len - done, max_default);
		uint64_t word = r->ops->read ? r->ops->read(r->opaque, p.off, p.size) : ~(uint64_t)0;

		value |= bits_get(word, 8 * p.skip, 8 * p.len) << (8 * done);
		done += p.len;
	}
	return value;
}

static void device_write(const struct aspace_range *r, uint64_t off, uint64_t value, unsigned len, unsigned max_default)
{
	if (!r->ops->write)
		return;
	for (unsigned done = 0; done < len;) {
		struct piece p = first_piece(r->ops, off + done, len - done, max_default);
		uint64_t part = bits_get(value, 8 * done, 8 * p.len);

		if (p.len < p.size) {
			uint64_t word = r->ops->read ? r->ops->read(r->opaque, p.off, p.size) : 0;

			part = bits_put(word, 8 * p.skip, 8 * p.len, part);
		}
		r->ops->write(r->opaque, p.off, part, p.size);
		done += p.len;
	}
}

static uint64_t range_read(const struct aspace_range *r, gpa_t addr, unsigned len, unsigned max_default)
{
	uint64_t value = 0;

	if (!r)
		return mask_low(8 * len);
	if (r->ops)
		return device_read(r, addr - r->origin, len, max_default);
	word_read_bytes(&value, ram_ptr(r->ram_off + (addr - r->origin)), len);
	return value;
}

static void range_write(const struct aspace_range *r, gpa_t addr, uint64_t value, unsigned len, unsigned max_default)
{
	ram_off_t off;

	if (!r)
		return;
	if (r->ops) {
		device_write(r, addr - r->origin, value, len, max_default);
		return;
	}
	if (r->rom)
		return;
	off = r->ram_off + (addr - r->origin);
	word_write_bytes(ram_ptr(off), &value, len);
	code_watch_store(off, len);
}

/* How many of `len` bytes from addr lie in r; or, in a hole, at least the next one. */
static unsigned bytes_in(const struct aspace_range *r, gpa_t addr, unsigned len)
{
	if (!r)
		return 1;
	return r->last - addr < len - 1 ? (unsigned)(r->last - addr) + 1 : len;
}

static uint64_t space_read(struct aspace *as, gpa_t addr, unsigned size, unsigned max_default)
{
	uint64_t value = 0;

	for (unsigned done = 0; done < size;) {
		const struct aspace_range *r = aspace_find_rcu(as, addr + done);
		unsigned len = bytes_in(r, addr + done, size - done);

		value |= range_read(r, addr + done, len, max_default) << (8 * done);
		done += len;
	}
	return value;
}

static void space_write(struct aspace *as, gpa_t addr, uint64_t value, unsigned size, unsigned max_default)
{
	for (unsigned done = 0; done < size;) {
		const struct aspace_range *r = aspace_find_rcu(as, addr + done);
		unsigned len = bytes_in(r, addr + done, size - done);

		range_write(r, addr + done, bits_get(value, 8 * done, 8 * len), len, max_default);
		done += len;
	}
}

uint64_t mmio_read(gpa_t gpa, unsigned size)
{
	stat_inc(STAT_mmio);
	return space_read(&aspace_mem, gpa, size, MEM_MAX);
}

void mmio_write(gpa_t gpa, uint64_t value, unsigned size)
{
	stat_inc(STAT_mmio);
	space_write(&aspace_mem, gpa, value, size, MEM_MAX);
}

uint64_t pio_read(uint16_t port, unsigned size)
{
	stat_inc(STAT_pio);
	return space_read(&aspace_io, port, size, PIO_MAX);
}

void pio_write(uint16_t port, uint64_t value, unsigned size)
{
	stat_inc(STAT_pio);
	space_write(&aspace_io, port, value, size, PIO_MAX);
}
