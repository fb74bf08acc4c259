/* SPDX-License-Identifier: MIT */
#define _GNU_SOURCE
#include "sched/host_cpu.h"

#include <sched.h>

#include "util/stats.h"

uint32_t host_cpu_now(void)
{
	return (uint32_t)sched_getcpu();
}

static bool move_to(uint32_t cpu, const cpu_set_t *back_to)
{
	cpu_set_t one;

	CPU_ZERO(&one);
	CPU_SET(cpu, &one);
	stat_add(STAT_host_calls, 2);
	if (sched_setaffinity(0, sizeof(one), &one))
		return false;
	sched_setaffinity(0, sizeof(*back_to), back_to);
	return true;
}

bool host_cpu_move(bool (*taken)(uint32_t host_cpu))
{
	uint32_t here = host_cpu_now();
	cpu_set_t may;

	stat_inc(STAT_host_calls);
	if (sched_getaffinity(0, sizeof(may), &may))
		return false;
	for (uint32_t i = 1; i < CPU_SETSIZE; i++) {
		uint32_t cpu = (here + i) % CPU_SETSIZE;

		if (CPU_ISSET(cpu, &may) && !taken(cpu))
			return move_to(cpu, &may);
	}
	return false;
}
