/* SPDX-License-Identifier: MIT */
#include "vcpu/mailbox.h"

#include <sched.h>
#include <stdlib.h>

#include "mem/tlb.h"
#include "util/cost.h"
#include "util/futex.h"
#include "util/jitter.h"
#include "util/log.h"
#include "util/rcu.h"
#include "util/stats.h"

struct mail {
	struct mail *next;      /* in the receiver's mailbox */
	struct mail *next_sent; /* [owner] the sender's */
	struct vcpu *to;        /* [const] */
	ram_off_t page_off;     /* [const] */
	uint32_t state;         /* [atomic] futex word: enum below */
	uint32_t refs;          /* [atomic] sender and receiver; the last frees */
};

/* Under way; the receiver gave the page up; under way, and the sender sleeps on the word. */
enum { MAIL_SENT, MAIL_DONE, MAIL_AWAITED };

#define SPINS 200

static void mail_put(struct mail *m)
{
	if (__atomic_sub_fetch(&m->refs, 1, __ATOMIC_ACQ_REL) == 0)
		free(m);
}

static void answer(struct mail *m)
{
	cost_lines(1);
	if (__atomic_exchange_n(&m->state, MAIL_DONE, __ATOMIC_SEQ_CST) == MAIL_AWAITED) {
		cost_kick();
		futex_wake(&m->state, 1);
	}
	mail_put(m);
}

void mailbox_run(struct vcpu *v)
{
	struct mail *m = atomic_exchange(&v->mailbox, NULL);
	enum cost_op was = cost_enter(COST_arm); /* it is part of the sender's */

	while (m) {
		struct mail *next = m->next;

		tlb_revoke_write(&v->env, m->page_off);
		stat_inc(STAT_tlb_shootdowns_taken);
		answer(m);
		m = next;
	}
	cost_end(was);
}

void mailbox_enter(struct vcpu *v)
{
	atomic_store(&v->inside, 1); /* seq_cst, before the look at the mailbox; pairs with post() then `inside` in await() */
	if (atomic_load(&v->mailbox))
		mailbox_run(v);
}

void mailbox_leave(struct vcpu *v)
{
	atomic_store(&v->inside, 0);
	/* Mail that was posted while we were still seen inside has a sender asleep on it. */
	if (atomic_load(&v->mailbox))
		mailbox_run(v);
}

static struct mail *post(struct vcpu *v, ram_off_t page_off)
{
	struct mail *m = malloc(sizeof(*m));

	if (!m)
		emu_bug("out of memory");
	m->to = v;
	m->page_off = page_off;
	m->state = MAIL_SENT;
	m->refs = 2;
	m->next = atomic_load(&v->mailbox);
	while (!atomic_compare_exchange_weak(&v->mailbox, &m->next, m))
		;
	cost_lines(1);
	vcpu_request(v, VCPU_REQ_WORK);
	stat_inc(STAT_tlb_shootdowns_sent);
	return m;
}

/* The receiver will know that it has to wake us; false: it has answered. */
static bool may_sleep(struct mail *m)
{
	uint32_t state = MAIL_SENT;

	return __atomic_compare_exchange_n(&m->state, &state, MAIL_AWAITED, false, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST) ||
	       state == MAIL_AWAITED;
}

/* Who goes outside reads its mail behind that (mailbox_leave()), so a sleeper is woken in either case. */
static void await(struct mail *m)
{
	unsigned spins = 0;

	cost_looks(1);
	while (__atomic_load_n(&m->state, __ATOMIC_SEQ_CST) != MAIL_DONE && atomic_load(&m->to->inside)) {
		if (spins == 0)
			cost_wait();
		if (spins++ < SPINS)
			cpu_relax();
		else if (may_sleep(m))
			futex_wait(&m->state, MAIL_AWAITED, NULL);
	}
	mail_put(m);
}

void mailbox_revoke(const struct vcpu_set *set, ram_off_t page_off)
{
	struct vcpu *me = vcpu_self();
	struct mail *sent = NULL;

	vcpu_set_for_each(i, set) {
		struct mail *m;

		if (vcpus[i] == me) {
			tlb_revoke_write(&me->env, page_off);
			continue;
		}
		m = post(vcpus[i], page_off);
		m->next_sent = sent;
		sent = m;
	}
	jitter();
	stat_inc(STAT_code_page_shootdowns);
	mailbox_leave(me);
	while (sent) {
		struct mail *next = sent->next_sent;

		await(sent);
		sent = next;
	}
	mailbox_enter(me);
}

bool mailbox_close_own(const struct vcpu_set *writers, ram_off_t page_off)
{
	struct vcpu *me = vcpu_self();

	vcpu_set_for_each(i, writers) {
		if (vcpus[i] != me)
			return false;
	}
	tlb_revoke_gaps(&me->env, page_off);
	return true;
}

void mailbox_wait_state(struct page_desc *page, uint16_t state)
{
	struct vcpu *me = vcpu_self();
	unsigned spins = 0;

	mailbox_leave(me);
	while (atomic_load(&page->state) == state) {
		if (spins++ < SPINS)
			cpu_relax();
		else
			sched_yield(); /* its armer waits for vCPUs that may need this host CPU */
	}
	mailbox_enter(me);
}
