# SPDX-License-Identifier: MIT
"""
The bars that benchmarks/scale holds medians against, and its verdicts: PASS, FAIL, or SKIP for what was not measured.

What concerns speed and time holds on a host that has nothing else to do; what is counted (exclusive sections, waits for global locks) on any.
"""

from scale_results import efficiency, efficiency_span, host_cpus, ratio, ratio_span, wait_share, waits_by_rank

# Efficiency of Cohort's vCPUs, {work: (vCPUs, at least)}, where there are host CPUs for them; its throughput against each other emulator's,
# {work: (counts of vCPUs, at least)}.
EFFICIENCY_BARS = {"compute": (2, 0.95), "rewrite": (2, 0.95)}
RATIO_BARS = {"rewrite": ((2, 4), 10), "ipi": ((2,), 3), "shootdown": ((2,), 3)}

# Share of the time that may go into waits for locks, but for work that is one wait for the lock of the page that all write their code on. With more
# vCPUs than host CPUs who holds a lock may have no CPU: that is the host's doing, and not counted.
WAIT_BAR = 0.005
WAIT_EXCEPT = ("rewrite-one-page",)

# Ranks (src/util/lock_ranks.def) of which there is one lock for the whole machine; all others belong to a device or a page. Two threads may meet at
# one by chance: up to so many times a second is not contention.
GLOBAL_RANKS = ("machine", "map", "split", "code", "queue", "log")
GLOBAL_WAITS = 10

PASS, FAIL, SKIP = "PASS", "FAIL", "SKIP"


def verdict(good, sentence):
    return PASS if good else FAIL, sentence


def span_text(span, form):
    return "%s to %s" % (form % span[0], form % span[1]) if span[0] != span[1] else "once"


def efficiency_verdicts(results):
    for work, (count, bar) in EFFICIENCY_BARS.items():
        by_count = results.samples.get(work, {}).get("cohort", {})
        what = "%s: efficiency of %d vCPUs" % (work, count)
        if count > host_cpus():
            yield SKIP, "%s: the host has fewer CPUs" % what
        elif count not in by_count or 1 not in by_count:
            yield SKIP, "%s: 1 and %d vCPUs were not both measured" % (what, count)
        else:
            found = efficiency(by_count, count)
            yield verdict(found >= bar, "%s %.2f (%s), at least %.2f" % (what, found, span_text(efficiency_span(by_count, count), "%.2f"), bar))


def ratio_verdicts(results, others):
    for work, (counts, bar) in RATIO_BARS.items():
        by_side = results.samples.get(work, {})
        if not others:
            yield SKIP, "%s: at least %g times as fast as another emulator: none was given (--emulator)" % (work, bar)
        for other in others:
            for count in counts:
                if any(count not in by_side.get(side, {}) for side in ("cohort", other)):
                    yield SKIP, "%s: at least %g times as fast as %s: not measured with %d vCPUs" % (work, bar, other, count)
                    continue
                found = ratio(by_side, "cohort", other, count)
                yield verdict(found >= bar, "%s: %d vCPUs %.1f times as fast as %s (%s), at least %g" % (
                    work, count, found, other, span_text(ratio_span(by_side, "cohort", other, count), "%.1f"), bar))


def counted_verdicts(results):
    """On what stopped or delayed vCPUs, over all work, counts and repetitions."""
    found = [(work, count, c) for work, by_count in results.counted.items() for count, all_of in by_count.items() for c in all_of]
    if not found:
        return
    stopped = sorted({"%s with %d vCPUs" % (work, count) for work, count, c in found if c["exclusive_sections"]})
    yield verdict(not stopped, "exclusive sections: %s" % (", ".join(stopped) or "none"))
    met = [(waits_by_rank(c).get(rank, 0) / c["seconds"], rank, work, count) for work, count, c in found for rank in GLOBAL_RANKS]
    rate, rank, work, count = max(met)
    yield verdict(rate <= GLOBAL_WAITS, "global locks (%s): %s, at most %d waits per second" % (
        ", ".join(GLOBAL_RANKS), "%.1f for %s (%s, %d vCPUs)" % (rate, rank, work, count) if rate else "none waited for", GLOBAL_WAITS))
    shares = [(wait_share(c, count), work, count) for work, count, c in found if work not in WAIT_EXCEPT and count <= host_cpus()]
    if shares:
        share, work, count = max(shares)
        yield verdict(share <= WAIT_BAR, "waits for locks of any kind: no more than %.3f%% of the time (%s, %d vCPUs), at most %g%%" % (
            100 * share, work, count, 100 * WAIT_BAR))


def failure_verdicts(results):
    """Cohort runs no stale code, and has to get through with any number of vCPUs; what others do is their business."""
    if any(work.startswith("rewrite") for work in results.samples):
        stale = ["%s: %d operations" % (work, n) for (side, work), n in sorted(results.stale.items()) if side == "cohort"]
        yield verdict(not stale, "stale code run: %s" % (", ".join(stale) or "none"))
    for (side, count), why in sorted(results.failed.items()):
        if side == "cohort":
            yield FAIL, why


def verdicts(results, others):
    """[(PASS, FAIL or SKIP, sentence)]; others: names of the other emulators."""
    return [*efficiency_verdicts(results), *ratio_verdicts(results, others), *counted_verdicts(results), *failure_verdicts(results)]
