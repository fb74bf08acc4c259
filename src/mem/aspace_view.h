/* SPDX-License-Identifier: MIT */
/*
 * The inside of an address space, for aspace.c and dispatch.c.
 */
#ifndef COHORT_MEM_ASPACE_VIEW_H
#define COHORT_MEM_ASPACE_VIEW_H

#include "mem/aspace.h"
#include "util/lock.h"
#include "util/rcu.h"

struct aspace_range {
	gpa_t start, last; /* inclusive, so that a range may reach the end of the space */
	gpa_t origin;      /* where the range as it was added starts: offsets count from here */
	const struct mmio_ops *ops; /* NULL: RAM */
	void *opaque;
	const char *name;
	ram_off_t ram_off; /* RAM: of `origin` */
	bool rom;
};

/* Immutable once published; sorted, without overlaps. */
struct aspace_view {
	struct rcu_head rcu;
	uint64_t serial; /* never used twice: lets a thread know whether its last hit belongs to this view */
	unsigned nr;
	struct aspace_range range[];
};

struct aspace {
	struct ranked_lock lock;  /* rank MAP */
	struct aspace_view *view; /* [rcu lock] NULL: empty */
};

/* The range that holds addr, or NULL. RCU reader; the result lives as long as the read section. */
const struct aspace_range *aspace_find_rcu(struct aspace *as, gpa_t addr);

#endif
