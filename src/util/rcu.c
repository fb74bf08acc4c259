/* SPDX-License-Identifier: MIT */
#include "util/rcu.h"

#include "util/lock.h"
#include "util/log.h"

static _Thread_local bool registered;

void rcu_register(void)
{
	if (registered)
		return;
	urcu_qsbr_register_thread();
	registered = true;
}

void rcu_unregister(void)
{
	if (!registered)
		return;
	urcu_qsbr_unregister_thread();
	registered = false;
}

bool rcu_is_registered(void)
{
	return registered;
}

void rcu_call(struct rcu_head *head, void (*fn)(struct rcu_head *head))
{
	urcu_qsbr_call_rcu(head, fn);
}

void rcu_synchronize(void)
{
	assert_no_locks("waiting for a grace period");
	urcu_qsbr_synchronize_rcu();
}

void rcu_drain(void)
{
	assert_no_locks("waiting for RCU callbacks");
	urcu_qsbr_barrier();
}

void rcu_check_reader(const char *where)
{
	if (!registered || !rcu_is_online())
		emu_bug("%s: the caller is not an RCU reader", where);
}
