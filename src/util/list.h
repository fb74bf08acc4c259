/* SPDX-License-Identifier: MIT */
/*
 * Circular doubly linked list, links inside the elements. No locking of its own: the owner's lock guards it.
 */
#ifndef COHORT_UTIL_LIST_H
#define COHORT_UTIL_LIST_H

#include "util/types.h"

struct list {
	struct list *next, *prev;
};

#define LIST_INIT(head) { &(head), &(head) }

static inline void list_init(struct list *head)
{
	head->next = head->prev = head;
}

static inline bool list_empty(const struct list *head)
{
	return head->next == head;
}

static inline void list_insert_after(struct list *where, struct list *elem)
{
	elem->prev = where;
	elem->next = where->next;
	where->next->prev = elem;
	where->next = elem;
}

static inline void list_push_front(struct list *head, struct list *elem)
{
	list_insert_after(head, elem);
}

static inline void list_push_back(struct list *head, struct list *elem)
{
	list_insert_after(head->prev, elem);
}

/* Leaves the element linked to itself: removing it again is harmless. */
static inline void list_remove(struct list *elem)
{
	elem->prev->next = elem->next;
	elem->next->prev = elem->prev;
	list_init(elem);
}

/* Moves all of `from` to the end of `to`. */
static inline void list_splice(struct list *to, struct list *from)
{
	if (list_empty(from))
		return;
	from->next->prev = to->prev;
	to->prev->next = from->next;
	from->prev->next = to;
	to->prev = from->prev;
	list_init(from);
}

#define list_entry(ptr, type, member) container_of(ptr, type, member)

/* The link inside `pos`, which may be the head's make-believe element: no member of that is touched, it is not aligned as others are. */
#define list_link(pos, member) ((const struct list *)((const char *)(pos) + offsetof(__typeof__(*(pos)), member)))

#define list_for_each_entry(pos, head, member)                                                                         \
	for (pos = list_entry((head)->next, __typeof__(*pos), member); list_link(pos, member) != (head);              \
	     pos = list_entry(pos->member.next, __typeof__(*pos), member))

/* As above; the body may remove `pos`. */
#define list_for_each_entry_safe(pos, tmp, head, member)                                                               \
	for (pos = list_entry((head)->next, __typeof__(*pos), member),                                                 \
	    tmp = list_entry(pos->member.next, __typeof__(*pos), member);                                              \
	     list_link(pos, member) != (head); pos = tmp, tmp = list_entry(tmp->member.next, __typeof__(*tmp), member))

#endif
