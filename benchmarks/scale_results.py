# SPDX-License-Identifier: MIT
"""What benchmarks/scale has measured, and what it works out from that."""

import os
import statistics

# Guest CPUs in one machine: what Cohort's PC takes (PC_MAX_CPUS, src/hw/pc/pc_map.h), and QEMU's.
MOST_VCPUS = 255


def host_cpus():
    return len(os.sched_getaffinity(0))


def default_counts(have):
    """Powers of two up to the host's CPUs, these, and twice and four times as many."""
    counts = {have, have * 2, have * 4}
    n = 1
    while n <= have:
        counts.add(n)
        n *= 2
    return sorted({min(n, MOST_VCPUS) for n in counts})


class Results:
    """
    samples[work][side][vCPUs] = [operations per second...]; boot[side][vCPUs] = [seconds...];
    counted[work][vCPUs] = [differences of Cohort's counters, and "seconds" and "operations" of the stretch...];
    stale[side, work] = operations that ran old code, with any number of vCPUs;
    failed[side, vCPUs] = why that side did not get through with so many.
    """

    def __init__(self):
        self.samples = {}
        self.boot = {}
        self.counted = {}
        self.stale = {}
        self.failed = {}

    def add(self, side, count, found, boot, counted, stale=()):
        for work, rate in found.items():
            self.samples.setdefault(work, {}).setdefault(side, {}).setdefault(count, []).append(rate)
        if boot is not None:
            self.boot.setdefault(side, {}).setdefault(count, []).append(boot)
        for work in stale:
            self.stale[side, work] = self.stale.get((side, work), 0) + stale[work]
        for work, difference in counted.items():
            self.counted.setdefault(work, {}).setdefault(count, []).append(difference)


def boots_per_second(results):
    """{side: {vCPUs: [boots per second...]}}"""
    return {side: {n: [1 / t for t in times] for n, times in by_count.items()} for side, by_count in results.boot.items()}


def expected(count):
    """How many CPUs' worth of work `count` of them can do: those beyond the host's add nothing."""
    return min(count, host_cpus())


def efficiency_of(rate, count, least_rate, least):
    return rate / expected(count) * expected(least) / least_rate


def efficiency(by_count, count):
    """Throughput of `count` CPUs, for each that the host can run of them, compared with that of the fewest."""
    least = min(by_count)
    return efficiency_of(statistics.median(by_count[count]), count, statistics.median(by_count[least]), least)


def efficiency_span(by_count, count):
    """Least and greatest efficiency of a repetition."""
    least = min(by_count)
    each = [efficiency_of(a, count, b, least) for a, b in zip(by_count[count], by_count[least])]
    return min(each), max(each)


def ratio(by_side, side, other, count):
    return statistics.median(by_side[side][count]) / statistics.median(by_side[other][count])


def ratio_span(by_side, side, other, count):
    each = [a / b for a, b in zip(by_side[side][count], by_side[other][count])]
    return min(each), max(each)


def waits_by_rank(total):
    """{lock rank: how often one was waited for}, without the ranks that were not."""
    return {k[len("lock_wait_"):]: v for k, v in total.items() if k.startswith("lock_wait_") and k != "lock_wait_ns" and v}


def wait_share(counted, count):
    """Share of the time of `count` vCPUs that went into waits for locks."""
    return counted["lock_wait_ns"] / (counted["seconds"] * 1e9 * count)
