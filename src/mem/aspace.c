/* SPDX-License-Identifier: MIT */
/*
 * A change copies the view: what the new range covers is cut out of the old ranges (one in the middle of another leaves two
 * pieces), the new one is put in its place, and the old view is freed after a grace period.
 *
 * Lookups are a binary search, with one hint per thread and space: the range it hit last.
 */
#include "mem/aspace.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "mem/aspace_view.h"

struct aspace aspace_mem = { .lock = RANKED_LOCK_INIT(MAP) };
struct aspace aspace_io = { .lock = RANKED_LOCK_INIT(MAP) };

static void (*listener)(void);  /* [const] once set */
static uint64_t last_serial;    /* [atomic] */

struct hint {
	uint64_t serial;
	unsigned index;
};
static _Thread_local struct hint hints[2]; /* memory, ports */

static struct aspace_range hidden;                      /* [const] once the machine runs */
static _Atomic enum aspace_viewers hidden_shown_to;   /* [atomic] */
static _Thread_local bool sees_hidden;

void aspace_set_hidden(gpa_t gpa, uint64_t size, ram_off_t off)
{
	hidden = (struct aspace_range){ .start = gpa, .last = gpa + (size - 1), .origin = gpa, .ram_off = off, .name = "hidden ram" };
}

void aspace_show_hidden(enum aspace_viewers who)
{
	atomic_store(&hidden_shown_to, who);
	if (listener)
		listener();
}

void aspace_see_hidden(bool on)
{
	sees_hidden = on;
}

static bool is_hidden(gpa_t addr)
{
	enum aspace_viewers who = atomic_load_explicit(&hidden_shown_to, memory_order_relaxed);

	return unlikely(who != ASPACE_NOBODY) && (who == ASPACE_EVERYBODY || sees_hidden) && addr - hidden.start <= hidden.last - hidden.start;
}

static const struct aspace_range *search(const struct aspace_view *view, gpa_t addr)
{
	unsigned lo = 0, hi = view->nr;

	while (lo < hi) {
		unsigned mid = (lo + hi) / 2;
		const struct aspace_range *r = &view->range[mid];

		if (addr < r->start)
			hi = mid;
		else if (addr > r->last)
			lo = mid + 1;
		else
			return r;
	}
	return NULL;
}

const struct aspace_range *aspace_find_rcu(struct aspace *as, gpa_t addr)
{
	struct aspace_view *view = rcu_dereference(as->view);
	struct hint *hint = &hints[as == &aspace_io];
	const struct aspace_range *r;

	assert_rcu_reader();
	if (as == &aspace_mem && is_hidden(addr))
		return &hidden;
	if (!view)
		return NULL;
	if (hint->serial == view->serial) {
		r = &view->range[hint->index];
		if (addr - r->start <= r->last - r->start)
			return r;
	}
	r = search(view, addr);
	if (r)
		*hint = (struct hint){ view->serial, (unsigned)(r - view->range) };
	return r;
}

ram_off_t aspace_find_ram_rcu(gpa_t gpa, gpa_t *start, uint64_t *avail, bool *rom)
{
	const struct aspace_range *r = aspace_find_rcu(&aspace_mem, gpa);

	if (!r || r->ops)
		return ASPACE_NOT_RAM;
	*start = r->start;
	*avail = r->last - gpa + 1;
	*rom = r->rom;
	return r->ram_off + (gpa - r->origin);
}

static void view_free(struct rcu_head *head)
{
	free(container_of(head, struct aspace_view, rcu));
}

/* Copies the parts of `old` outside [first, last]. Returns how many ranges that made, 0 to 2. */
static unsigned cut(struct aspace_range *out, const struct aspace_range *old, gpa_t first, gpa_t last)
{
	unsigned n = 0;

	if (old->last < first || old->start > last) {
		out[n++] = *old;
		return n;
	}
	if (old->start < first) {
		out[n] = *old;
		out[n++].last = first - 1;
	}
	if (old->last > last) {
		out[n] = *old;
		out[n++].start = last + 1;
	}
	return n;
}

/* A new view: `old` without [first, last], with `add` (may be NULL) in its place. */
static struct aspace_view *view_build(const struct aspace_view *old, gpa_t first, gpa_t last,
				      const struct aspace_range *add)
{
	unsigned nr_old = old ? old->nr : 0, n = 0;
	struct aspace_view *view = malloc(sizeof(*view) + (nr_old + 2) * sizeof(view->range[0]));

	if (!view)
		return NULL;
	for (unsigned i = 0; i < nr_old; i++) {
		unsigned made = cut(&view->range[n], &old->range[i], first, last);

		if (add && made && view->range[n + made - 1].start > last) {
			/* Its last piece lies behind the new range, which goes in between. */
			view->range[n + made] = view->range[n + made - 1];
			view->range[n + made - 1] = *add;
			add = NULL;
			made++;
		}
		n += made;
	}
	if (add)
		view->range[n++] = *add;
	view->nr = n;
	view->serial = __atomic_add_fetch(&last_serial, 1, __ATOMIC_RELAXED);
	return view;
}

static int change(struct aspace *as, gpa_t first, gpa_t last, const struct aspace_range *add)
{
	struct aspace_view *old, *view;

	lock_acquire(&as->lock);
	old = as->view;
	view = view_build(old, first, last, add);
	if (!view) {
		lock_release(&as->lock);
		return -ENOMEM;
	}
	rcu_assign_pointer(as->view, view);
	if (old)
		rcu_call(&old->rcu, view_free);
	lock_release(&as->lock);
	if (as == &aspace_mem && listener)
		listener();
	return 0;
}

static int add(struct aspace *as, struct aspace_range r, uint64_t size)
{
	if (!size || r.start + (size - 1) < r.start)
		return -EINVAL;
	r.last = r.start + (size - 1);
	r.origin = r.start;
	return change(as, r.start, r.last, &r);
}

int aspace_add_ram(struct aspace *as, gpa_t gpa, uint64_t size, ram_off_t off, bool rom)
{
	return add(as, (struct aspace_range){ .start = gpa, .ram_off = off, .rom = rom, .name = rom ? "rom" : "ram" }, size);
}

int aspace_add_mmio(struct aspace *as, gpa_t gpa, uint64_t size, const struct mmio_ops *ops, void *opaque,
		    const char *name)
{
	return add(as, (struct aspace_range){ .start = gpa, .ops = ops, .opaque = opaque, .name = name }, size);
}

void aspace_remove(struct aspace *as, gpa_t gpa, uint64_t size)
{
	/* Without memory for a new view the range stays: harmless, since a device outlives its ranges. */
	if (size)
		(void)!change(as, gpa, gpa + (size - 1), NULL);
}

void aspace_set_listener(void (*changed)(void))
{
	listener = changed;
}

void aspace_print(struct aspace *as, FILE *out)
{
	struct aspace_view *view = rcu_dereference(as->view);

	for (unsigned i = 0; view && i < view->nr; i++) {
		const struct aspace_range *r = &view->range[i];

		fprintf(out, "  %012llx-%012llx %s\n", (unsigned long long)r->start, (unsigned long long)r->last, r->name);
	}
}
