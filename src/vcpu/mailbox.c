/* SPDX-License-Identifier: MIT */
#include "vcpu/mailbox.h"

#include <sched.h>
#include <stdlib.h>

#include "mem/tlb.h"
#include "util/futex.h"
#include "util/jitter.h"
#include "util/log.h"
#include "util/rcu.h"
#include "util/stats.h"

struct mail {
	struct mail *next;
	ram_off_t page_off;
	uint32_t done;      /* [atomic] futex word: 1 = the receiver gave the page up */
	uint32_t refs;      /* [atomic] sender and receiver; the last frees */
};

#define SPINS 200

static void mail_put(struct mail *m)
{
	if (__atomic_sub_fetch(&m->refs, 1, __ATOMIC_ACQ_REL) == 0)
		free(m);
}

void mailbox_run(struct vcpu *v)
{
	struct mail *m = atomic_exchange(&v->mailbox, NULL);

	while (m) {
		struct mail *next = m->next;

		tlb_revoke_write(&v->env, m->page_off);
		stat_inc(STAT_tlb_shootdowns_taken);
		__atomic_store_n(&m->done, 1, __ATOMIC_SEQ_CST);
		futex_wake(&m->done, 1);
		mail_put(m);
		m = next;
	}
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
	m->page_off = page_off;
	m->done = 0;
	m->refs = 2;
	m->next = atomic_load(&v->mailbox);
	while (!atomic_compare_exchange_weak(&v->mailbox, &m->next, m))
		;
	vcpu_request(v, VCPU_REQ_WORK);
	stat_inc(STAT_tlb_shootdowns_sent);
	return m;
}

static void await(struct vcpu *v, struct mail *m)
{
	unsigned spins = 0;

	while (!__atomic_load_n(&m->done, __ATOMIC_SEQ_CST) && atomic_load(&v->inside)) {
		if (spins++ < SPINS)
			cpu_relax();
		else
			futex_wait(&m->done, 0, NULL);
	}
	mail_put(m);
}

void mailbox_revoke(uint64_t mask, ram_off_t page_off)
{
	struct vcpu *me = vcpu_self();
	struct mail *sent[nr_vcpus];

	for (unsigned i = 0; i < nr_vcpus; i++) {
		sent[i] = NULL;
		if (!(mask >> (i & 63) & 1))
			continue;
		if (vcpus[i] == me)
			tlb_revoke_write(&me->env, page_off);
		else
			sent[i] = post(vcpus[i], page_off);
	}
	jitter();
	stat_inc(STAT_code_page_shootdowns);
	mailbox_leave(me);
	for (unsigned i = 0; i < nr_vcpus; i++)
		if (sent[i])
			await(vcpus[i], sent[i]);
	mailbox_enter(me);
}

void mailbox_wait_state(struct page_desc *page, uint32_t state)
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
