/* SPDX-License-Identifier: MIT */
/*
 * Routing of interrupt messages: Intel SDM vol. 3, 11.6.2 "Determining IPI Destination" and 11.12.10 for x2APIC
 * clusters. The common cases, one physical id and an x2APIC cluster mask, index the id table and touch nobody else.
 */
#include "hw/intc/apic_bus.h"

#include "hw/intc/lapic.h"
#include "util/log.h"

/* xAPIC logical addressing: flat or cluster model by DFR; an x2APIC receiver has a cluster in the LDR's upper half. */
static bool logical_match(const struct lapic *l, uint32_t dest)
{
	uint32_t ldr = atomic_load_explicit(&l->ldr, memory_order_relaxed);

	if (lapic_mode(l) == LAPIC_X2APIC)
		return dest >> 16 == ldr >> 16 && (dest & ldr & 0xffff);
	ldr >>= 24;
	if (atomic_load_explicit(&l->dfr, memory_order_relaxed) >> 28 == 0xf)
		return dest & ldr & 0xff;
	if ((dest & 0xf0) != 0xf0 && (dest & 0xf0) != (ldr & 0xf0))
		return false;
	return dest & ldr & 0x0f;
}

static bool is_broadcast(const struct apic_msg *msg)
{
	return msg->wide ? msg->dest == 0xffffffffu : msg->dest == 0xff && !msg->logical;
}

static bool dest_match(const struct lapic *l, const struct apic_msg *msg)
{
	if (is_broadcast(msg))
		return true;
	return msg->logical ? logical_match(l, msg->dest) : l->id == msg->dest;
}

/*
 * Lowest priority: the accepting destination with the lowest processor priority; among equals the first one after a
 * starting point that the sender moves on with each message.
 */
static unsigned send_lowest(struct apic_bus *bus, const struct apic_msg *msg, unsigned rotor)
{
	struct lapic *best = NULL;
	unsigned best_prio = ~0u;

	for (unsigned i = 0; i < bus->nr; i++) {
		struct lapic *l = bus->lapic[(i + rotor) % bus->nr];
		unsigned prio;

		if (!dest_match(l, msg) || !lapic_accepts_fixed(l))
			continue;
		prio = atomic_load_explicit(&l->tpr, memory_order_relaxed) >> 4;
		if (prio < best_prio) {
			best = l;
			best_prio = prio;
		}
	}
	return best && lapic_deliver(best, msg);
}

/* An x2APIC cluster: 16 consecutive ids, one bit each. Only when every receiver is in x2APIC mode, else a scan. */
static unsigned send_cluster(struct apic_bus *bus, const struct apic_msg *msg)
{
	unsigned accepted = 0;

	for (uint32_t mask = msg->dest & 0xffff; mask; mask &= mask - 1) {
		uint32_t id = (msg->dest >> 16) * 16 + (uint32_t)__builtin_ctz(mask);

		if (id < bus->nr_ids && bus->by_id[id] && logical_match(bus->by_id[id], msg->dest))
			accepted += lapic_deliver(bus->by_id[id], msg);
	}
	return accepted;
}

unsigned apic_bus_send(struct apic_bus *bus, const struct apic_msg *msg, unsigned rotor)
{
	unsigned accepted = 0;

	if (msg->mode == APIC_DM_LOWEST)
		return send_lowest(bus, msg, rotor);
	if (!is_broadcast(msg)) {
		if (!msg->logical)
			return msg->dest < bus->nr_ids && bus->by_id[msg->dest] &&
			       lapic_deliver(bus->by_id[msg->dest], msg);
		if (msg->wide)
			return send_cluster(bus, msg);
	}
	for (unsigned i = 0; i < bus->nr; i++)
		if (dest_match(bus->lapic[i], msg))
			accepted += lapic_deliver(bus->lapic[i], msg);
	return accepted;
}

unsigned apic_bus_broadcast(struct apic_bus *bus, const struct apic_msg *msg, const struct lapic *except)
{
	unsigned accepted = 0;

	for (unsigned i = 0; i < bus->nr; i++)
		if (bus->lapic[i] != except)
			accepted += lapic_deliver(bus->lapic[i], msg);
	return accepted;
}

unsigned apic_bus_msi(struct apic_bus *bus, gpa_t addr, uint32_t data)
{
	struct apic_msg msg = {
		.dest = (addr >> 12) & 0xff,
		.vector = data & 0xff,
		.mode = (data >> 8) & 7,
		.logical = addr & 4,
		.level = data & 0x8000,
	};

	if (addr >> 20 != 0xfee) {
		guest_error("MSI write to %#llx: not an interrupt address", (unsigned long long)addr);
		return 0;
	}
	if (msg.level && !(data & 0x4000)) /* level de-assert: nothing to do */
		return 0;
	/* Redirection hint: any one of the logical destinations. */
	if ((addr & 8) && msg.logical && msg.mode == APIC_DM_FIXED)
		msg.mode = APIC_DM_LOWEST;
	return apic_bus_send(bus, &msg, msg.vector);
}
