/* SPDX-License-Identifier: MIT */
/*
 * RAM is anonymous memory, mapped without reservation: the host pays for what the guest has touched. The mapping is aligned to 2 MiB and the
 * host is asked for huge pages, which most hosts give to anonymous memory only. They matter: each guest access is a host access, and a host
 * that is a virtual machine itself pays for a TLB miss twice over.
 */
#define _GNU_SOURCE
#include "mem/ram.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "util/bitops.h"
#include "util/err.h"
#include "util/log.h"

#define RAM_ALIGN (2u << 20)
#define RAM_MAX ((uint64_t)1 << 40) /* guest-physical addresses end there, less room for devices */

uint8_t *ram_base;
uint64_t ram_size;

static int check_size(uint64_t size, struct err *err)
{
	uint64_t host = (uint64_t)sysconf(_SC_PHYS_PAGES) * (uint64_t)sysconf(_SC_PAGESIZE);

	if (!size || size % RAM_ALIGN)
		return err_set(err, "memory size %" PRIu64 " is not a multiple of 2 MiB", size);
	if (size > RAM_MAX)
		return err_set(err, "memory size %" PRIu64 " MiB is too large: at most %" PRIu64 " MiB", size >> 20,
			       RAM_MAX >> 20);
	if (size > host)
		warn("the guest's memory (%" PRIu64 " MiB) is larger than the host's (%" PRIu64 " MiB)", size >> 20,
		     host >> 20);
	return 0;
}

/* Maps `size` bytes at an address that is a multiple of RAM_ALIGN. */
static uint8_t *map_aligned(uint64_t size)
{
	uint8_t *area = mmap(NULL, size + RAM_ALIGN, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	uint8_t *base, *end;

	if (area == MAP_FAILED)
		return MAP_FAILED;
	base = (uint8_t *)align_up((uintptr_t)area, RAM_ALIGN);
	end = area + size + RAM_ALIGN;
	if (base > area)
		munmap(area, (size_t)(base - area));
	if (end > base + size)
		munmap(base + size, (size_t)(end - (base + size)));
	return base;
}

int ram_init(uint64_t size, struct err *err)
{
	uint8_t *base;

	if (check_size(size, err))
		return -1;
	base = map_aligned(size);
	if (base == MAP_FAILED)
		return err_set(err, "cannot map %" PRIu64 " MiB of guest memory: %s", size >> 20, strerror(errno));
	madvise(base, size, MADV_HUGEPAGE);
	madvise(base, size, MADV_DONTDUMP);
	ram_base = base;
	ram_size = size;
	return 0;
}

void ram_fini(void)
{
	if (ram_base)
		munmap(ram_base, ram_size);
	ram_base = NULL;
	ram_size = 0;
}
