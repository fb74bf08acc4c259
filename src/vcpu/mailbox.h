/* SPDX-License-Identifier: MIT */
/*
 * Revocations between vCPUs, and the notion of being inside guest code.
 *
 * A vCPU is `inside` while it may use its TLB: in generated code, in runtime routines, while it delivers an interrupt. It is outside while
 * it is parked, paused, or waits for others here. Whoever needs vCPU v to give up a writable translation posts mail and looks at v->inside, both
 * sequentially consistent; v stores inside = 1 and then looks at its mailbox. So either v is seen outside, and will read the mail before it
 * touches its TLB again, or v will reach a safepoint and answer. A waiter is outside itself, so two that wait for each other both go on.
 * Modelled in tests/models/code_page.pml, and, with senders that sleep, in tests/models/mailbox.pml.
 */
#ifndef COHORT_VCPU_MAILBOX_H
#define COHORT_VCPU_MAILBOX_H

#include "mem/code_watch.h"
#include "vcpu/vcpu.h"

void mailbox_enter(struct vcpu *v); /* becomes inside; takes what came meanwhile */
void mailbox_leave(struct vcpu *v);
void mailbox_run(struct vcpu *v);   /* at a safepoint */

/* code_watch_ops.revoke, .close_own and .wait_state. */
void mailbox_revoke(const struct vcpu_set *set, ram_off_t page_off);
bool mailbox_close_own(const struct vcpu_set *writers, ram_off_t page_off);
void mailbox_wait_state(struct page_desc *page, uint16_t state);

/* Parts of vcpus_pause_all() that run on the vCPU: stands still while it is to be paused. Caller is outside and RCU-offline. */
void vcpu_pause_wait(struct vcpu *v);
/* The vCPU stops by itself: waits for a pause, then as above; or until it is to end. */
void vcpu_wait_for_pause(struct vcpu *v);

#endif
